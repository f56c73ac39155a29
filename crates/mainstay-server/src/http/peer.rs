//! Who is at the other end: the address that rate limits count by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

/// The address that the connection came from; put into each request by the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a rate limit counts by: an IPv4 address, or the /64 that an IPv6 client can choose its address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

/// The peer, or, when the peer is a proxy of ours, the last address of `X-Forwarded-For` that is not.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    let forwarded: Vec<IpAddr> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|item| item.trim().parse().ok())
        .collect();
    let client = forwarded.into_iter().rev().find(|address: &IpAddr| !proxies.contains(address));
    client.unwrap_or(peer).to_canonical()
}

impl Client {
    /// Who a rate limit counts by.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> Self {
        match client_address(peer, headers, proxies) {
            IpAddr::V4(ip) => Self(IpAddr::V4(ip)),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], proxies: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let proxies: Vec<IpAddr> = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        let client = Client::of(peer.parse().unwrap(), &headers, &proxies);
        assert_eq!(client.0, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        check("192.0.2.1", &["198.51.100.9"], &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.9"], &["10.0.0.1"], "192.0.2.1");
        check("10.0.0.1", &["203.0.113.7, 198.51.100.9"], &["10.0.0.1"], "198.51.100.9");
        check("10.0.0.1", &["203.0.113.7", "198.51.100.9, 10.0.0.1"], &["10.0.0.1"], "198.51.100.9");
        check("10.0.0.1", &[], &["10.0.0.1"], "10.0.0.1");
        check("10.0.0.1", &["nonsense"], &["10.0.0.1"], "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        check("2001:db8:1:2:3:4:5:6", &[], &[], "2001:db8:1:2::");
        check("::ffff:192.0.2.1", &[], &[], "192.0.2.1");
    }
}
