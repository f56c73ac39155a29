//! Fetches one document from a URL that somebody typed in: over TLS, without redirects, within a size and a time, and not from
//! addresses inside the network unless that was allowed. The address that was checked is the address that is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What is allowed beyond https to public addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Plain http, also to other machines. To this machine it needs only `allow_private`.
    pub allow_http: bool,
    /// Addresses of this machine and of private networks.
    pub allow_private: bool,
    /// The largest document, in octets.
    pub max_bytes: usize,
    /// How long it may take, all in all.
    pub timeout: Duration,
}

/// Why a document was not fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// Not an absolute http(s) URL.
    Url(String),
    /// Plain http was not allowed.
    PlainHttp,
    /// The host is, or resolves only to, an address that is not public.
    PrivateAddress(String),
    /// The name does not resolve.
    Resolve(String),
    /// Nobody answers.
    Connect(String),
    /// TLS failed: the certificate is not trusted, or the other side does not speak TLS.
    Tls(String),
    /// The answer is not HTTP.
    Http(String),
    /// Another status than 200; a redirect is not followed.
    Status(StatusCode),
    /// The document is larger than the limit.
    TooLarge(usize),
    /// It took too long.
    Timeout(Duration),
    /// Somebody took the connection, and does not answer.
    Silent(Duration),
}

impl FetchError {
    /// Whether policy said no, rather than the network.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Url(_) | Self::PlainHttp | Self::PrivateAddress(_) | Self::TooLarge(_))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url:?} is not an absolute https URL"),
            Self::PlainHttp => f.write_str(
                "over plain http anybody on the way can replace the document; use https, or say --allow-http",
            ),
            Self::PrivateAddress(host) => write!(
                f,
                "{host} is an address of this machine or of a private network; if that is meant, say --allow-private"
            ),
            Self::Resolve(host) => {
                write!(f, "the name {host} does not resolve; check its spelling and the resolver")
            }
            Self::Connect(why) => {
                write!(f, "no connection: {why}; check the host, the port and the firewall")
            }
            Self::Tls(why) => write!(f, "TLS failed: {why}; check the server's certificate"),
            Self::Http(why) => write!(f, "the answer is not HTTP: {why}"),
            Self::Status(status) if status.is_redirection() => {
                write!(f, "the server answers {status}, and redirects are not followed; give the final URL")
            }
            Self::Status(status) => write!(f, "the server answers {status}; check the URL"),
            Self::TooLarge(limit) => write!(f, "the document is larger than {limit} octets"),
            Self::Timeout(limit) => write!(f, "no whole answer came within {} s", limit.as_secs()),
            Self::Silent(limit) => {
                write!(f, "the connection is taken, and no whole answer came within {} s", limit.as_secs())
            }
        }
    }
}

impl std::error::Error for FetchError {}

/// Fetches a document.
///
/// # Errors
/// [`FetchError`], with what mends it.
pub async fn fetch(url: &str, policy: &FetchPolicy) -> Result<Vec<u8>, FetchError> {
    let whole = fetch_unhurried(url, policy);
    tokio::time::timeout(policy.timeout, whole).await.unwrap_or(Err(FetchError::Timeout(policy.timeout)))
}

/// As [`fetch`], of somebody whose silence is not their absence: connecting may take as long as policy says, and the answer as long
/// again.
///
/// # Errors
/// [`FetchError`]: [`FetchError::Timeout`] when nobody took the connection, [`FetchError::Silent`] when somebody did.
pub(crate) async fn ask(url: &str, policy: &FetchPolicy) -> Result<Vec<u8>, FetchError> {
    let limit = policy.timeout;
    let connected = tokio::time::timeout(limit, connect(url, policy)).await;
    let (stream, target) = connected.unwrap_or(Err(FetchError::Timeout(limit)))?;
    let answered = async {
        let line = secured(stream, &target).await?;
        get(line, &target.uri, &target.authority, policy.max_bytes).await
    };
    tokio::time::timeout(limit, answered).await.unwrap_or(Err(FetchError::Silent(limit)))
}

async fn fetch_unhurried(url: &str, policy: &FetchPolicy) -> Result<Vec<u8>, FetchError> {
    let (stream, uri, host) = dial(url, policy).await?;
    get(stream, &uri, &host, policy.max_bytes).await
}

/// Sends a request to a service that the operator named, and reads its answer, whatever its status.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn send(
    request: Request<Bytes>,
    policy: &FetchPolicy,
) -> Result<Response<Bytes>, FetchError> {
    let whole = send_unhurried(request, policy);
    tokio::time::timeout(policy.timeout, whole).await.unwrap_or(Err(FetchError::Timeout(policy.timeout)))
}

async fn send_unhurried(
    request: Request<Bytes>,
    policy: &FetchPolicy,
) -> Result<Response<Bytes>, FetchError> {
    let broken = |error: hyper::Error| FetchError::Http(error.to_string());
    let wrong = |error: http::Error| FetchError::Http(error.to_string());
    let (stream, uri, host) = dial(&request.uri().to_string(), policy).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (parts, body) = request.into_parts();
    let mut builder = Request::builder().method(parts.method).uri(path);
    if let Some(headers) = builder.headers_mut() {
        *headers = parts.headers;
    }
    let request = builder.header(header::HOST, host).header(header::CONNECTION, "close");
    let request = request.body(Full::new(body)).map_err(wrong)?;
    let answered = async {
        let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, policy.max_bytes).collect().await;
        let body = body.map_err(|error| FetchError::Http(error.to_string()))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
    .await;
    driver.abort();
    answered
}

/// A connection, with or without TLS.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// What a URL leads to.
struct Place {
    uri: Uri,
    authority: String,
    host: String,
    secure: bool,
}

/// Connects to the host of a URL, if policy allows it, and speaks TLS if the URL says so.
async fn dial(url: &str, policy: &FetchPolicy) -> Result<(Box<dyn Line>, Uri, String), FetchError> {
    let (stream, target) = connect(url, policy).await?;
    let line = secured(stream, &target).await?;
    Ok((line, target.uri, target.authority))
}

async fn connect(url: &str, policy: &FetchPolicy) -> Result<(TcpStream, Place), FetchError> {
    let wrong = || FetchError::Url(url.chars().take(200).collect());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let address = resolve(host, port, policy.allow_private).await?;
    if !secure && !policy.allow_http && !address.ip().is_loopback() {
        return Err(FetchError::PlainHttp);
    }
    let stream = TcpStream::connect(address).await.map_err(|error| FetchError::Connect(error.to_string()))?;
    let (host, authority) = (host.to_owned(), authority.to_string());
    Ok((stream, Place { uri, authority, host, secure }))
}

async fn secured(stream: TcpStream, target: &Place) -> Result<Box<dyn Line>, FetchError> {
    if !target.secure {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| FetchError::Url(target.host.clone()))?;
    let stream = tls()?.connect(name, stream).await.map_err(|error| FetchError::Tls(error.to_string()))?;
    Ok(Box::new(stream))
}

async fn resolve(host: &str, port: u16, allow_private: bool) -> Result<SocketAddr, FetchError> {
    let found =
        tokio::net::lookup_host((host, port)).await.map_err(|_| FetchError::Resolve(host.to_owned()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        return Err(FetchError::Resolve(host.to_owned()));
    }
    let usable = found.into_iter().find(|address| allow_private || is_public(address.ip()));
    usable.ok_or_else(|| FetchError::PrivateAddress(host.to_owned()))
}

fn tls() -> Result<TlsConnector, FetchError> {
    let mut roots = rustls::RootCertStore::empty();
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(FetchError::Tls(
            "this system has no trusted certificates; install ca-certificates".to_owned(),
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| FetchError::Tls(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

async fn get<S>(stream: S, uri: &Uri, host: &str, max_bytes: usize) -> Result<Vec<u8>, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |error: hyper::Error| FetchError::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/samlmetadata+xml, application/xml, text/xml;q=0.9, */*;q=0.1")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Http(error.to_string()))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|error| {
            match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => FetchError::TooLarge(max_bytes),
                None => FetchError::Http(error.to_string()),
            }
        })
    }
    .await;
    driver.abort();
    answered
}

/// Whether an address belongs to the public internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 240
        || shared
        || protocol
        || benchmark
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Only 2000::/3 is given out; within it, what leads into an IPv4 network (Teredo, 6to4) and documentation are not.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0 || b == 0xdb8)) && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_known() {
        for inside in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for public in ["1.1.1.1", "100.63.255.255", "100.128.0.0", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn who_takes_the_connection_and_says_nothing_is_told_from_nobody() {
        let policy = FetchPolicy {
            allow_http: true,
            allow_private: true,
            max_bytes: 1024,
            timeout: Duration::from_millis(200),
        };
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        // Also when nobody ever accepts, as of a process that stands still: the system takes the connection.
        for scheme in ["http", "https"] {
            let answer = ask(&format!("{scheme}://{address}/"), &policy).await;
            assert!(matches!(answer, Err(FetchError::Silent(_))), "{scheme}: {answer:?}");
        }
        drop(silent);
        let nobody = ask(&format!("http://{address}/"), &policy).await;
        assert!(matches!(nobody, Err(FetchError::Connect(_))), "{nobody:?}");
    }
}
