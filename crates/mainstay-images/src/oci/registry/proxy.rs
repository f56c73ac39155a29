//! Proxies between us and a registry: which request goes through which, and the connection through it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderValue;
use http::{Uri, uri::Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use mainstay_core::Secret;
use tokio::net::TcpStream;
use tower_service::Service;

use super::url;
use crate::oci::error::{Error, ErrorKind, Result};

/// Through which proxies registries are reached. This machine is never reached through one.
///
/// A proxy is written `http://[user:password@]host[:port]`; `host:port` means the same. What is fetched by https goes through a tunnel in
/// which the proxy reads nothing. `no` is a list of hosts, separated by commas, that are reached without one: a name means all below it
/// too, an address may have a mask, and `*` is every host.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Secret<String>>,
    https: Option<Secret<String>>,
    no: String,
    /// Where it is set, for errors.
    set_by: [&'static str; 2],
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // They may hold passwords.
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("no", &self.no)
            .finish()
    }
}

impl Proxies {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One for what is fetched by http, one for https, and the hosts that are reached without.
    #[must_use]
    pub fn new(http: Option<Secret<String>>, https: Option<Secret<String>>, no: &str) -> Self {
        Self { http, https, no: no.to_owned(), set_by: ["the proxy for http", "the proxy for https"] }
    }

    /// Those of an environment, which `variable` reads: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` for what the first two do not name, and
    /// `NO_PROXY`, also in lower case. None of them where a web server sets variables from requests (`REQUEST_METHOD`).
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        if variable("REQUEST_METHOD").is_some() {
            return Self::default();
        }
        let first = |name: &'static str| {
            let value = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            value.filter(|value| !value.trim().is_empty()).map(|value| (name, Secret::new(value)))
        };
        let all = first("ALL_PROXY");
        let pick = |name| first(name).or_else(|| all.clone());
        let (http, https) = (pick("HTTP_PROXY"), pick("HTTPS_PROXY"));
        let named = |found: &Option<(&'static str, _)>| found.as_ref().map_or("", |(name, _)| *name);
        Self {
            set_by: [named(&http), named(&https)],
            http: http.map(|(_, value)| value),
            https: https.map(|(_, value)| value),
            no: first("NO_PROXY").map(|(_, value)| value.expose().clone()).unwrap_or_default(),
        }
    }

    /// The rules that they make.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no http URL: what was meant to go through a proxy must not go past it.
    pub(super) fn rules(&self) -> Result<Rules> {
        let mut builder = Matcher::builder().no(self.no.as_str());
        let probes =
            [(&self.http, Uri::from_static("http://a/")), (&self.https, Uri::from_static("https://a/"))];
        for ((proxy, probe), set_by) in probes.iter().zip(self.set_by) {
            let Some(proxy) = proxy else { continue };
            let alone = Matcher::builder().all(proxy.expose().as_str()).build();
            let found = alone.intercept(probe);
            // A password with an @ of its own would be taken for a part of the host, and be told in errors.
            let is_cut =
                |found: &Intercept| found.uri().authority().is_some_and(|at| at.as_str().contains('@'));
            if found.as_ref().is_some_and(is_cut) {
                let text = format!("{set_by} has an @ in its user or password; write %40 for it");
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            let scheme = found.map(|found| found.uri().scheme().cloned());
            if scheme != Some(Some(Scheme::HTTP)) {
                let text =
                    format!("{set_by} is no URL of an http proxy; write http://[user:password@]host[:port]");
                return Err(Error::new(ErrorKind::Invalid, text));
            }
        }
        if let Some(http) = &self.http {
            builder = builder.http(http.expose().as_str());
        }
        if let Some(https) = &self.https {
            builder = builder.https(https.expose().as_str());
        }
        Ok(Rules(Arc::new(builder.build())))
    }
}

/// Which target is reached through which proxy.
#[derive(Debug, Clone)]
pub(super) struct Rules(Arc<Matcher>);

impl Rules {
    fn proxy(&self, target: &Uri) -> Option<Intercept> {
        let is_here = target.authority().is_none_or(url::is_loopback);
        if is_here { None } else { self.0.intercept(target) }
    }

    /// The host of the proxy through which a target is reached, for errors.
    pub(super) fn through(&self, target: &Uri) -> Option<String> {
        self.proxy(target).and_then(|proxy| proxy.uri().authority().map(ToString::to_string))
    }

    /// What a request in plain http tells the proxy of who asks. Through a tunnel the tunnel tells it.
    pub(super) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        if target.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        let mut value = self.proxy(target)?.basic_auth()?.clone();
        value.set_sensitive(true);
        Some(value)
    }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Connects to a target, or to the proxy through which it is reached.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) http: HttpConnector,
    pub(super) rules: Rules,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Boxed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.rules.proxy(&target) else {
            let connecting = self.http.call(target);
            return Box::pin(async move { Ok(Stream { inner: connecting.await?, is_proxied: false }) });
        };
        if target.scheme() == Some(&Scheme::HTTPS) {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.http.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(target);
            return Box::pin(async move { Ok(Stream { inner: connecting.await?, is_proxied: false }) });
        }
        let connecting = self.http.call(proxy.uri().clone());
        Box::pin(async move { Ok(Stream { inner: connecting.await?, is_proxied: true }) })
    }
}

/// A connection to a target, a tunnel to it, or to a proxy that is told with each request where it goes.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(variables: &[(&str, &str)], target: &str) -> Option<String> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let rules = Proxies::from_environment(variable).rules().unwrap();
        rules.through(&target.parse().unwrap())
    }

    #[test]
    fn the_environment_says_what_goes_through_which() {
        let both = [("HTTP_PROXY", "http://plain:1"), ("https_proxy", "user:pw@secure:2")];
        assert_eq!(through(&both, "http://r.example/").as_deref(), Some("plain:1"));
        assert_eq!(through(&both, "https://r.example/").as_deref(), Some("secure:2"));
        let all = [("ALL_PROXY", "http://all:3"), ("HTTP_PROXY", ""), ("HTTPS_PROXY", "http://secure")];
        assert_eq!(through(&all, "http://r.example/").as_deref(), Some("all:3"));
        assert_eq!(through(&all, "https://r.example/").as_deref(), Some("secure"));
        assert_eq!(through(&[], "https://r.example/"), None);
        // What a request could set is not believed.
        assert_eq!(through(&[both[0], ("REQUEST_METHOD", "GET")], "http://r.example/"), None);
    }

    #[test]
    fn a_proxy_s_password_is_in_no_request_that_goes_through_its_tunnel() {
        let url = Secret::new("http://user:pw@proxy:3128".to_owned());
        let rules = Proxies::new(Some(url.clone()), Some(url), "direct.example").rules().unwrap();
        let told = |target: &str| rules.authorization(&target.parse().unwrap());
        assert!(told("http://r.example/").is_some_and(|value| value.is_sensitive()));
        // Through the tunnel it would come to the registry.
        assert_eq!(told("https://r.example/"), None);
        assert_eq!(told("http://direct.example/"), None);
    }

    #[test]
    fn some_hosts_are_reached_without() {
        let no = [("ALL_PROXY", "http://all:3"), ("no_proxy", "r.example, 10.0.0.0/8,::2")];
        for direct in [
            "https://r.example/",
            "https://a.r.example:5000/",
            "http://10.9.8.7/",
            "http://[::2]:80/",
            "http://localhost:5000/",
            "https://127.0.0.1/",
            "https://[::1]/",
        ] {
            assert_eq!(through(&no, direct), None, "{direct}");
        }
        for target in ["https://other.example/", "https://notr.example/", "http://11.0.0.1/"] {
            assert_eq!(through(&no, target).as_deref(), Some("all:3"), "{target}");
        }
        let none = [("ALL_PROXY", "http://all:3"), ("NO_PROXY", "*")];
        assert_eq!(through(&none, "https://r.example/"), None);
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_and_not_passed_by() {
        for wrong in ["https://p:1", "socks5://p:1", "http://", "ftp://p", "http://a b", "//", "http://a@p:1"]
        {
            let password = Secret::new(wrong.replace("p:", "user:hidden@p:"));
            for proxies in [
                Proxies::new(Some(password.clone()), None, ""),
                Proxies::new(None, Some(password.clone()), "*"),
            ] {
                let error = proxies.rules().unwrap_err();
                assert_eq!(error.kind(), &ErrorKind::Invalid, "{wrong}");
                assert!(!format!("{error} {error:?} {proxies:?}").contains("hidden"), "{error}");
            }
        }
        let error = Proxies::from_environment(|name| (name == "ALL_PROXY").then(|| "socks5://p".into()));
        assert!(error.rules().unwrap_err().to_string().contains("ALL_PROXY"));
    }
}
