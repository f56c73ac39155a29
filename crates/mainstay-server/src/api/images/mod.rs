//! `/api/v1/images…`: images for programs, in the documents that the command line prints.

mod care;
mod change;
mod lease;
mod look;
mod transfer;

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;

use crate::app::App;
use crate::http::guard;
use crate::problem::{Problem, ProblemKind};

/// A body, or why it is none.
type Body<T> = Result<Json<T>, JsonRejection>;

/// Reads a body.
fn body<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(body)| body).map_err(|rejection| {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedType,
            _ => ProblemKind::Malformed,
        };
        Problem::new(kind, rejection.body_text())
    })
}

/// No parameters; a misspelt one is refused and not passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A page of something that is numbered.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Paged {
    limit: Option<u32>,
    after: Option<i64>,
}

/// The most lines of a page.
const MAX_LIMIT: u32 = mainstay_images::MAX_PAGE;
/// How many lines a page has that is not asked for a number.
const LIMIT: u32 = 50;

/// The newest of something that is remembered up to a number.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limited {
    limit: Option<u32>,
}

impl Limited {
    /// How many lines are asked for.
    fn limit(&self) -> Result<u32, Problem> {
        Paged { limit: self.limit, after: None }.limit()
    }
}

impl Paged {
    /// How many lines are asked for.
    fn limit(&self) -> Result<u32, Problem> {
        match self.limit {
            None => Ok(LIMIT),
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            Some(limit) => {
                let detail =
                    format!("A limit of {limit} is outside 1 to {MAX_LIMIT}; leave it out for {LIMIT}.");
                Err(Problem::new(ProblemKind::Malformed, detail))
            }
        }
    }
}

/// The routes. A browser's cookie comes along with what another site sends, so the origin of changes is checked as well. An image that
/// has the name of a route is found by its digest.
pub(crate) fn routes(app: App) -> Router<App> {
    Router::new()
        .route("/api/v1/images", get(look::list))
        .route("/api/v1/images/usage", get(look::usage))
        .route("/api/v1/images/lineage", get(look::lineage))
        .route("/api/v1/images/acts", get(look::acts))
        .route("/api/v1/images/collection", get(care::plan).post(care::collect))
        .route("/api/v1/images/collections", get(care::collections))
        .route("/api/v1/images/pause", post(care::pause))
        .route("/api/v1/images/restored", post(care::restored))
        .route("/api/v1/images/scrub", get(care::scrub_state).post(care::scrub))
        .route("/api/v1/images/scrubs", get(care::scrubs))
        .route("/api/v1/images/findings", get(care::findings))
        .route("/api/v1/images/leases", get(lease::list))
        .route("/api/v1/images/leases/{lease}", axum::routing::delete(lease::release))
        .route("/api/v1/images/leases/{lease}/renew", post(lease::renew))
        .route("/api/v1/images/holders", get(lease::holders))
        .route("/api/v1/images/holders/{holder}/revoke", post(lease::revoke))
        .route("/api/v1/images/import", post(transfer::import))
        .route("/api/v1/images/commit", post(transfer::commit))
        .route("/api/v1/images/{image}", get(look::show).delete(change::remove))
        .route("/api/v1/images/{image}/archive", get(transfer::archive))
        .route("/api/v1/images/{image}/explain", get(look::explain))
        .route("/api/v1/images/{image}/layers", get(look::layers))
        .route("/api/v1/images/{image}/acts", get(look::acts_on))
        .route("/api/v1/images/{image}/tag", post(change::tag))
        .route("/api/v1/images/{image}/fork", post(change::fork))
        .route("/api/v1/images/{image}/untag", post(change::untag))
        .route("/api/v1/images/{image}/pin", post(change::pin))
        .route("/api/v1/images/{image}/unpin", post(change::unpin))
        .route("/api/v1/images/{image}/leases", post(lease::acquire))
        .route("/api/v1/blobs/{blob}", get(look::blob))
        .route_layer(from_fn_with_state(app, guard::same_origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_as_many_lines_as_were_asked_for_within_the_bounds() {
        let limit = |limit| Paged { limit, after: None }.limit();
        assert_eq!(limit(None).unwrap(), LIMIT);
        for given in [1, MAX_LIMIT] {
            assert_eq!(limit(Some(given)).unwrap(), given);
        }
        for given in [0, MAX_LIMIT + 1] {
            let refused = limit(Some(given)).unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::Malformed);
            assert!(refused.detail().contains("1 to 1000"), "{}", refused.detail());
        }
    }

    /// A route that is not described is one that the tests of who may do what do not know.
    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let source = include_str!("mod.rs");
        let routes =
            source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once("\", "));
        let mut routed: Vec<(String, String)> = Vec::new();
        for (path, methods) in routes {
            for method in ["get", "post", "put", "delete"] {
                if methods.contains(&format!("{method}(")) {
                    routed.push((path.to_owned(), method.to_owned()));
                }
            }
        }
        routed.sort();
        let described = crate::api::described::paths();
        let ours = described
            .iter()
            .filter(|(path, _)| path.starts_with("/api/v1/images") || path.starts_with("/api/v1/blobs"));
        let mut described: Vec<(String, String)> = ours
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
            })
            .collect();
        described.sort();
        assert!(routed.len() > 25, "{routed:?}");
        assert_eq!(routed, described);
    }
}
