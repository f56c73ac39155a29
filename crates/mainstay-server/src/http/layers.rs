//! What happens around every request: an id, a log line, metrics, headers, a time limit, pages for problems.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_core::SystemClock;
use tracing::Instrument as _;

use super::peer::{Peer, client_address};
use crate::app::App;
use crate::console;
use crate::images::is_transfer;
use crate::limits;
use crate::problem::{Problem, ProblemKind};

mainstay_core::typed_id! {
    /// Names one request in the log, on error pages and in login traces.
    pub(crate) struct RequestId("req");
}

/// Nothing inline, nothing from elsewhere, in nobody's frame.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
const TWO_YEARS: &str = "max-age=63072000";
/// How much longer than an operation of the database a request may take, so that the database's exact answer comes first.
const GRACE: Duration = Duration::from_secs(5);

/// The outermost layer.
pub(crate) async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::generate(&SystemClock);
    request.extensions_mut().insert(id);
    let started = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = matched.unwrap_or_else(|| "unmatched".to_owned());
    let is_safe = method.is_safe();
    let is_page = !is_machine(request.uri().path());

    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| peer.ip());
    let client = peer.map(|peer| client_address(peer, request.headers(), app.trusted_proxies()));
    // Of the gravest level, so that whatever is logged says whose request it was.
    let client = client.map(tracing::field::display);
    let span = tracing::error_span!("http", request = %id, client, otel.kind = tracing::field::Empty);
    crate::traces::begin(&span, &method, request.extensions().get::<MatchedPath>(), request.headers());

    let limit = if is_transfer(&route) { limits::TRANSFER_TIMEOUT } else { app.request_timeout() + GRACE };
    let handled = unless_it_panics(next.run(request)).instrument(span.clone());
    let mut response = match tokio::time::timeout(limit, handled).await {
        Ok(response) => response,
        Err(_elapsed) => gave_up(is_safe).into_response(),
    };
    if is_page && let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = console::problem_page(&app, &problem, id);
    }
    add_headers(response.headers_mut(), app.public_url().is_secure(), id);

    let status = response.status().as_u16();
    let took = started.elapsed();
    crate::traces::answered(&span, response.status());
    // Not the path: it can hold a setup link's token. Nodes look at each other several times a second: that is no news.
    span.in_scope(|| match route.as_str() {
        crate::single_node::PATH => {
            tracing::debug!(%method, route, status, micros = took.as_micros(), "request");
        }
        _ => tracing::info!(%method, route, status, micros = took.as_micros(), "request"),
    });
    let labels = [("method", method.to_string()), ("route", route), ("status", status.to_string())];
    metrics::counter!("mainstay_http_requests_total", &labels).increment(1);
    metrics::histogram!("mainstay_http_request_seconds").record(took.as_secs_f64());
    response
}

/// A change that was given up may have been made all the same; what only reads was not done.
fn gave_up(is_safe: bool) -> Problem {
    if is_safe {
        return Problem::new(ProblemKind::Unavailable, "The request took too long and was given up.");
    }
    let detail = "The request took too long. The change may have been made; look before you repeat it.";
    Problem::new(ProblemKind::OutcomeUnknown, detail)
}

/// A defect in a handler costs one answer, not the connection and not the process.
async fn unless_it_panics(handler: impl Future<Output = Response>) -> Response {
    // What a handler shares with others is behind locks that survive a panic, or in the database.
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!("a handler panicked; this is a defect");
        Problem::new(ProblemKind::Internal, "This is a defect; the operator finds it in the log.")
            .into_response()
    })
}

/// Whether programs rather than people read what the path answers.
fn is_machine(path: &str) -> bool {
    ["/api/", "/healthz", "/livez", "/readyz", "/nodez", "/metrics", "/assets/"]
        .iter()
        .any(|start| path.starts_with(start))
}

fn add_headers(headers: &mut HeaderMap, secure: bool, id: RequestId) {
    let mut add = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    add(header::REFERRER_POLICY, "same-origin");
    add(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    add(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    add(HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY);
    add(header::CACHE_CONTROL, "no-store");
    if secure {
        add(header::STRICT_TRANSPORT_SECURITY, TWO_YEARS);
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("x-request-id", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let panics = async { panic!("a defect") };
        let response = unless_it_panics(panics).await;
        assert_eq!(response.status(), 500);
    }

    #[test]
    fn a_change_whose_outcome_is_not_known_is_not_called_undone() {
        assert_eq!(gave_up(true).kind().status(), 503);
        assert_eq!(gave_up(false).kind().status(), 504);
    }
}
