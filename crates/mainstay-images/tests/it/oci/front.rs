//! A server in front of a registry that asks for tokens, breaks answers, lies and sends elsewhere, as it is told.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The token that the front gives out and wants.
pub const TOKEN: &str = "token-of-the-test";

/// What the front does beside passing on.
#[derive(Default)]
pub struct Faults {
    /// Asks for a token, which it gives to who has this header.
    pub token_for: Option<String>,
    /// Asks for a token, which it gives to who posts this.
    pub token_for_form: Option<String>,
    /// The next answers, instead of the registry's.
    pub answers: Vec<StatusCode>,
    /// Breaks the bodies of blobs after so many octets.
    pub cut_after: Option<usize>,
    /// Ends the bodies of blobs after so many octets, as if that were all of them, and says no length.
    pub end_after: Option<usize>,
    /// Does not pass `Range` on.
    pub no_ranges: bool,
    /// Answers a range so.
    pub refuse_ranges: Option<StatusCode>,
    /// Answers a range with the part that begins so many octets later.
    pub shift_ranges: u64,
    /// Answers so many pieces of uploads with an error, and does not pass them on.
    pub refuse_pieces: u32,
    /// Passes only the first half of each piece on, and says so.
    pub halve_pieces: bool,
    /// Sends other octets for blobs.
    pub lie: Option<Bytes>,
    /// Takes pieces of uploads, says that nothing of them has arrived, and does not pass them on.
    pub swallow_pieces: bool,
    /// Asks for pieces of uploads of so many octets at least.
    pub least_piece: Option<usize>,
    /// The octets of an answer with a token.
    pub token_size: usize,
    /// Where it says that tokens are given out; itself if not said.
    pub realm: Option<String>,
    /// Sends so many requests to where they are already.
    pub circles: usize,
    /// Sends who wants a blob to another server.
    pub elsewhere: Option<SocketAddr>,
    /// What was asked: method, path, range, authorization.
    pub seen: Vec<Seen>,
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

pub struct Front {
    pub address: SocketAddr,
    faults: Arc<Mutex<Faults>>,
    accepting: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Body = BoxBody<Bytes, io::Error>;

impl Front {
    pub async fn start(registry: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Mutex::new(Faults::default()));
        let shared = Arc::clone(&faults);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = hyper::service::service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(answer(request, &shared, address, registry).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, faults, accepting }
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    /// The ranges that were asked for, of blobs alone.
    pub fn ranges(&self) -> Vec<String> {
        self.faults().seen.iter().filter_map(|seen| seen.range.clone()).collect()
    }
}

fn whole(octets: impl Into<Bytes>) -> Body {
    Full::new(octets.into()).map_err(|never| match never {}).boxed()
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole("{}"));
    *response.status_mut() = status;
    response
}

async fn answer(
    request: Request<Incoming>,
    faults: &Mutex<Faults>,
    own: SocketAddr,
    registry: SocketAddr,
) -> Response<Body> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let authorization = header(AUTHORIZATION);
    let is_blob = method == Method::GET && path.contains("/blobs/sha256:");
    if method == Method::POST && path == "/token" {
        let form = request.into_body().collect().await.unwrap().to_bytes();
        let right = faults.lock().unwrap().token_for_form.as_deref().map(str::as_bytes) == Some(&form[..]);
        let answer = format!(r#"{{"access_token":"{TOKEN}","expires_in":300}}"#);
        return if right { Response::new(whole(answer)) } else { plain(StatusCode::UNAUTHORIZED) };
    }
    let ranged = header(RANGE);
    let least_piece;
    let (cut, end, no_ranges, shift, lie, halve) = {
        let mut faults = faults.lock().unwrap();
        let range = header(RANGE);
        faults.seen.push(Seen {
            method: method.clone(),
            path: path.clone(),
            range,
            authorization: authorization.clone(),
        });
        if let Some(wanted) = faults.token_for.clone() {
            if path.starts_with("/token") {
                let right = authorization == Some(wanted);
                let answer = format!(r#"{{"token":"{TOKEN}","expires_in":300}}"#);
                let padding = " ".repeat(faults.token_size.saturating_sub(answer.len()));
                let answer = answer + &padding;
                return if right { Response::new(whole(answer)) } else { plain(StatusCode::UNAUTHORIZED) };
            }
            if authorization != Some(format!("Bearer {TOKEN}")) {
                let mut response = plain(StatusCode::UNAUTHORIZED);
                let realm = faults.realm.clone().unwrap_or_else(|| format!("http://{own}/token"));
                let challenge = format!(r#"Bearer realm="{realm}",service="test""#);
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
                return response;
            }
        }
        if !faults.answers.is_empty() {
            let mut response = plain(faults.answers.remove(0));
            response.headers_mut().insert(RETRY_AFTER, "0".parse().unwrap());
            return response;
        }
        if let Some(status) = faults.refuse_ranges.filter(|_| is_blob && header(RANGE).is_some()) {
            return plain(status);
        }
        if faults.circles > 0 {
            faults.circles -= 1;
            let mut response = plain(StatusCode::TEMPORARY_REDIRECT);
            response.headers_mut().insert(LOCATION, path.parse().unwrap());
            return response;
        }
        if method == Method::PATCH && faults.swallow_pieces {
            let mut response = plain(StatusCode::ACCEPTED);
            response.headers_mut().insert(RANGE, "0-0".parse().unwrap());
            response.headers_mut().insert(LOCATION, path.parse().unwrap());
            return response;
        }
        if method == Method::PATCH && faults.refuse_pieces > 0 {
            faults.refuse_pieces -= 1;
            return plain(StatusCode::BAD_GATEWAY);
        }
        if let Some(elsewhere) = faults.elsewhere.filter(|_| is_blob) {
            let mut response = plain(StatusCode::TEMPORARY_REDIRECT);
            response.headers_mut().insert(LOCATION, format!("http://{elsewhere}{path}").parse().unwrap());
            return response;
        }
        let begins = method == Method::POST && path.contains("/uploads/");
        least_piece = faults.least_piece.filter(|_| begins);
        let Faults { cut_after, end_after, no_ranges, shift_ranges, halve_pieces, .. } = *faults;
        (cut_after, end_after, no_ranges, shift_ranges, faults.lie.clone(), halve_pieces)
    };
    let mut passed = pass(request, registry, no_ranges, shift, halve && method == Method::PATCH).await;
    if let Some(least) = least_piece {
        passed.headers_mut().insert("oci-chunk-min-length", least.into());
    }
    if end.is_some() {
        passed.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    match lie {
        Some(octets) if is_blob && end.is_some() => {
            // A range of what it has, which may be less than it should have.
            let from =
                ranged.map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap());
            if from >= octets.len() {
                return plain(StatusCode::RANGE_NOT_SATISFIABLE);
            }
            passed.map(|_| ended(octets.slice(from..)))
        }
        Some(octets) if is_blob => Response::new(whole(octets)),
        _ => passed.map(|octets| match cut {
            Some(after) if is_blob && octets.len() > after => broken(octets.slice(..after)),
            _ => match end {
                Some(after) if is_blob => ended(octets.slice(..after.min(octets.len()))),
                _ => whole(octets),
            },
        }),
    }
}

/// A body of which nobody says how long it is.
fn ended(octets: Bytes) -> Body {
    StreamBody::new(futures_util::stream::iter([Ok(Frame::data(octets))])).boxed()
}

/// A body that breaks after some octets.
fn broken(octets: Bytes) -> Body {
    let frames = [Ok(Frame::data(octets)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    // The break comes when the octets are on their way.
    let frames = futures_util::stream::unfold(frames.into_iter(), |mut frames| async move {
        tokio::task::yield_now().await;
        let frame = frames.next()?;
        if frame.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some((frame, frames))
    });
    StreamBody::new(frames).boxed()
}

async fn pass(
    request: Request<Incoming>,
    registry: SocketAddr,
    no_ranges: bool,
    shift: u64,
    halve: bool,
) -> Response<Bytes> {
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("http://{registry}{}", parts.uri).parse().unwrap();
    if no_ranges {
        parts.headers.remove(RANGE);
    }
    if let Some(range) = parts.headers.get(RANGE).filter(|_| shift > 0) {
        let start: u64 = range.to_str().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap();
        parts.headers.insert(RANGE, format!("bytes={}-", start + shift).parse().unwrap());
    }
    let mut body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if halve && body.len() > 1 {
        body.truncate(body.len() / 2);
        parts.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
        parts.headers.remove(http::header::CONTENT_RANGE);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(Request::from_parts(parts, Full::new(body))).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
