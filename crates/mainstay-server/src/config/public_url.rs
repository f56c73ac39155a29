//! The URL under which browsers and identity providers know this server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::Uri;

/// Scheme, host and port; never a path, so that `__Host-` cookies and stable metadata URLs are possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    secure: bool,
    authority: String,
}

impl PublicUrl {
    /// Reads `https://host` or `http://host:port`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{text:?} starts with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{text:?} has no host"))?;
        if authority.as_str().contains('@') {
            return Err("a public URL holds no user name".to_owned());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("{text:?} has a path; Mainstay needs a host name of its own"));
        }
        let default_port = if secure { ":443" } else { ":80" };
        let authority = authority.as_str().to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority).to_owned();
        Ok(Self { secure, authority })
    }

    /// The URL of a local address, for a server that was given no other.
    #[must_use]
    pub fn of_listener(address: SocketAddr, secure: bool) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let default_port = if secure { 443 } else { 80 };
        let authority =
            if address.port() == default_port { host } else { format!("{host}:{}", address.port()) };
        Self { secure, authority }
    }

    /// Whether browsers come over https.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host and port, as in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether only this machine can come by that name.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, port)| {
            if port.chars().all(|c| c.is_ascii_digit()) { host } else { &self.authority }
        });
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The URL of a path of ours.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_its_own_is_taken() {
        for (text, expected) in [
            ("https://id.example.com", "https://id.example.com"),
            ("https://ID.example.com:443/", "https://id.example.com"),
            ("http://127.0.0.1:7800", "http://127.0.0.1:7800"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "id.example.com", "ftp://a", "https://a/b", "https://a?b", "https://me@a", "https://"]
        {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_known() {
        for (text, loopback) in [
            ("http://127.0.0.1:7800", true),
            ("http://localhost", true),
            ("http://[::1]:7800", true),
            ("http://10.0.0.1", false),
            ("https://localhost.example.com", false),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
