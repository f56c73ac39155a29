//! What is refused before a handler sees it: other sites' forms, other host names, too many requests.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, Method};

use super::peer::{Client, Peer};
use super::rate::RateLimit;
use crate::app::App;
use crate::config::PublicUrl;
use crate::problem::{Problem, ProblemKind};

/// Sends a browser that came by another name to the public URL, before it is given a cookie that would not come back.
pub(crate) async fn canonical_host(State(app): State<App>, request: Request, next: Next) -> Response {
    let url = app.public_url();
    let is_right = match name_of(&app, &request) {
        Name::Said(host) => is_same_host(url, host),
        Name::ProxyKnows => true,
        Name::Unsaid => false,
    };
    if is_right {
        return next.run(request).await;
    }
    if request.method() == Method::GET || request.method() == Method::HEAD {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // The path begins with one slash and is appended to a host: it cannot lead anywhere else.
        return Redirect::temporary(&url.join(path)).into_response();
    }
    Problem::new(ProblemKind::WrongHost, format!("Use {url}.")).into_response()
}

/// The name by which a browser came.
enum Name<'a> {
    Said(&'a str),
    /// A proxy of ours put its own name in place of the browser's; sending the browser elsewhere could go on for ever.
    ProxyKnows,
    Unsaid,
}

fn name_of<'a>(app: &App, request: &'a Request) -> Name<'a> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| peer.ip().to_canonical());
    if peer.is_some_and(|peer| app.trusted_proxies().contains(&peer)) {
        return text("x-forwarded-host").map_or(Name::ProxyKnows, Name::Said);
    }
    // A request line with a full URL names the host there.
    let host = request.uri().authority().map(http::uri::Authority::as_str).or_else(|| text("host"));
    host.map_or(Name::Unsaid, Name::Said)
}

fn is_same_host(url: &PublicUrl, host: &str) -> bool {
    let default_port = if url.is_secure() { ":443" } else { ":80" };
    let host = host.to_ascii_lowercase();
    host.strip_suffix(default_port).unwrap_or(&host) == url.authority()
}

/// Refuses a form that another site sent. The CSRF token would refuse it as well; this one does not depend on a page.
pub(crate) async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_own_origin(app.public_url(), request.headers()) {
        return next.run(request).await;
    }
    metrics::counter!("mainstay_http_refused_total", "reason" => "origin").increment(1);
    let detail = "Forms are taken only from this server's own pages. Open the page again and repeat.";
    Problem::new(ProblemKind::ForeignOrigin, detail).into_response()
}

/// No browser leaves out both headers on a form's POST; what does is no browser, and has no cookies to be abused.
fn is_own_origin(url: &PublicUrl, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text("origin"), text("sec-fetch-site")) {
        (Some(origin), _) => origin == url.to_string(),
        (None, Some(site)) => site == "same-origin",
        (None, None) => true,
    }
}

/// Counts the request against a limit of its client.
pub(crate) fn within_rate(app: &App, limit: &RateLimit, request: &Request) -> Result<(), Problem> {
    let Some(Peer(peer)) = request.extensions().get::<Peer>() else { return Ok(()) };
    let client = Client::of(peer.ip(), request.headers(), app.trusted_proxies());
    limit.take(client, Instant::now()).map_err(|wait| {
        metrics::counter!("mainstay_http_refused_total", "reason" => "rate").increment(1);
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Problem::new(ProblemKind::TooMany, "This address has sent too many requests; wait a little.")
            .retry_after(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_forms_pass() {
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        let check = |origin: Option<&str>, site: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(is_own_origin(&url, &headers), expected, "{origin:?} {site:?}");
        };
        check(Some("https://id.example.com"), None, true);
        check(Some("https://id.example.com.evil.example"), None, false);
        check(Some("http://id.example.com"), Some("same-origin"), false);
        check(Some("null"), Some("same-origin"), false);
        check(None, Some("same-origin"), true);
        check(None, Some("cross-site"), false);
        check(None, Some("same-site"), false);
        check(None, None, true);
    }

    #[test]
    fn the_default_port_may_be_said() {
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        assert!(is_same_host(&url, "ID.example.com:443"));
        assert!(!is_same_host(&url, "id.example.com:80"));
        assert!(!is_same_host(&url, "evil.example"));
    }
}
