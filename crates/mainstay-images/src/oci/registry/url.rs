//! URLs of the protocol: where a registry is, and where it may send us.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::client::Transport;
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::refusal::shown;

/// Scheme and host: what a credential is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

impl Origin {
    pub(crate) fn of(url: &Uri) -> Result<Self> {
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        match (url.scheme(), authority) {
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
                Ok(Self { scheme: scheme.clone(), authority: authority.clone() })
            }
            _ => Err(wrong(&url.to_string())),
        }
    }

    /// A URL at this origin; the path starts with a slash.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<Uri> {
        let path: PathAndQuery = path_and_query.parse().map_err(|_| wrong(path_and_query))?;
        let builder = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        builder.path_and_query(path).build().map_err(|_| wrong(path_and_query))
    }
}

/// Where an answer at `base` sends us. From https it never leads to plain http, and from plain http on this machine not to plain http
/// on another, unless the caller has allowed it everywhere.
pub(crate) fn follow(base: &Uri, location: &str, transport: Transport) -> Result<Uri> {
    let target = match location.parse::<Uri>() {
        Ok(url) if url.scheme().is_some() => url,
        Ok(_) if location.starts_with("//") => return Err(wrong(location)),
        Ok(_) if location.starts_with('/') => Origin::of(base)?.url(location)?,
        _ => return Err(wrong(location)),
    };
    let (from, to) = (Origin::of(base)?, Origin::of(&target)?);
    if from.scheme == Scheme::HTTPS && to.scheme == Scheme::HTTP {
        let text = format!(
            "the registry sends us from https to plain http at {}; it is configured wrongly, or somebody is in between",
            shown(to.authority.as_str())
        );
        return Err(Error::new(ErrorKind::Registry, text));
    }
    if to.scheme == Scheme::HTTP && transport != Transport::Http && !is_loopback(&to.authority) {
        let text = format!(
            "the registry sends us to plain http at {}, where everybody on the way can read the credentials and exchange what comes; \
             have it name an https address, or allow plain http (--plain-http)",
            shown(to.authority.as_str())
        );
        return Err(Error::new(ErrorKind::Registry, text));
    }
    Ok(target)
}

/// The same URL with one more parameter, whose value is escaped.
pub(crate) fn with_query(url: &Uri, key: &str, value: &str) -> Result<Uri> {
    let path = url.path_and_query().map_or("/", PathAndQuery::as_str);
    let joint = if path.contains('?') { '&' } else { '?' };
    Origin::of(url)?.url(&format!("{path}{joint}{key}={}", escaped(value)))
}

/// Percent-encoding of everything that is not unreserved.
pub(crate) fn escaped(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(octet))
            }
            other => write!(text, "%{other:02X}").unwrap_or_default(),
        }
    }
    text
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn wrong(url: &str) -> Error {
    Error::new(
        ErrorKind::Registry,
        format!("the registry sends us to {:?}, which is no http URL", shown(url)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: &str, location: &str, expected: Option<&str>) {
        check_by(Transport::Auto, base, location, expected);
    }

    fn check_by(transport: Transport, base: &str, location: &str, expected: Option<&str>) {
        let found = follow(&base.parse().unwrap(), location, transport).ok().map(|url| url.to_string());
        assert_eq!(found.as_deref(), expected, "{transport:?} {location}");
    }

    #[test]
    fn locations_are_followed_within_reason() {
        let base = "https://r.example/v2/a/blobs/uploads/";
        check(base, "/v2/a/blobs/uploads/1?state=x", Some("https://r.example/v2/a/blobs/uploads/1?state=x"));
        check(base, "https://cdn.example/x", Some("https://cdn.example/x"));
        check(base, "http://cdn.example/x", None);
        check("http://localhost:5000/", "https://cdn.example/x", Some("https://cdn.example/x"));
        for wrong in
            ["//evil.example/x", "file:///etc/passwd", "https://user:pw@cdn.example/", "x", "", "ftp://a/b"]
        {
            check(base, wrong, None);
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let (here, near, far) =
            ("http://localhost:5000/", "http://127.0.0.1:5001/x", "http://auth.corp/token");
        for transport in [Transport::Auto, Transport::Https] {
            check_by(transport, here, near, Some(near));
            check_by(transport, here, far, None);
            check_by(transport, here, "http://localhost.corp/x", None);
        }
        // Who allows it has it everywhere, but for the way out of TLS.
        check_by(Transport::Http, here, far, Some(far));
        check_by(Transport::Http, "http://registry.corp/", far, Some(far));
        check_by(Transport::Http, "https://registry.corp/", far, None);
    }

    #[test]
    fn parameters_are_escaped() {
        let url = with_query(&"https://r.example/t?a=1".parse().unwrap(), "scope", "repository:a/b:pull&x=é");
        let expected = "https://r.example/t?a=1&scope=repository%3Aa%2Fb%3Apull%26x%3D%C3%A9";
        assert_eq!(url.unwrap().to_string(), expected);
        assert_eq!(
            with_query(&"http://a/b".parse().unwrap(), "c", "d").unwrap().to_string(),
            "http://a/b?c=d"
        );
    }

    #[test]
    fn this_machine_is_known() {
        for (authority, expected) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.8.0.1:80", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(is_loopback(&authority.parse().unwrap()), expected, "{authority}");
        }
    }
}
