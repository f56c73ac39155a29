//! Which path leads where.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;
use crate::http::{guard, layers};
use crate::problem::{Problem, ProblemKind};
use crate::{api, console, dev, limits, ops, saml};

/// Every route with what it must pass.
pub(crate) fn router(app: App) -> Router {
    let state = || app.clone();
    // What people open: under the public name only, and forms only from our own pages.
    let mut pages = Router::new()
        .route("/", get(console::index))
        .route("/login", get(console::sign_in))
        .route("/logout", post(console::sign_out))
        .route(
            "/setup/{token}",
            get(console::setup).post(console::set_up).layer(from_fn_with_state(state(), setup_rate)),
        );
    if app.is_dev() {
        pages = pages.route("/dev/idp/sso", get(dev::pages::choose).post(dev::pages::answer));
    }
    let pages = pages.route_layer(from_fn_with_state(state(), guard::same_origin));
    let logins = Router::new()
        .route("/saml/{connection}/login", get(saml::login).layer(from_fn_with_state(state(), login_rate)));
    let named = pages.merge(logins).route_layer(from_fn_with_state(state(), guard::canonical_host));

    let acs = post(saml::consume)
        .layer(DefaultBodyLimit::max(limits::ACS_BODY_BYTES))
        .layer(from_fn_with_state(state(), acs_rate));
    let mut open = Router::new()
        .route("/saml/{connection}/acs", acs)
        .route("/saml/{connection}/metadata", get(saml::metadata))
        .route("/api/v1/me", get(api::me::me))
        .route("/api/v1/openapi.json", get(api::openapi::document))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/assets/mainstay.css", get(console::assets::style))
        .route("/assets/submit.js", get(console::assets::submit));
    if app.is_dev() {
        open = open.route("/dev/idp/metadata", get(dev::pages::metadata));
    }
    named
        .merge(open)
        .fallback(|| async { Problem::new(ProblemKind::NotFound, "Nothing is served at this path.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(ProblemKind::MethodNotAllowed, "See the Allow header for what it takes.")
        })
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(from_fn_with_state(state(), layers::around))
        .with_state(app)
}

async fn login_rate(State(app): State<App>, request: Request, next: Next) -> Response {
    match guard::within_rate(&app, &app.rates().login, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn acs_rate(State(app): State<App>, request: Request, next: Next) -> Response {
    match guard::within_rate(&app, &app.rates().acs, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn setup_rate(State(app): State<App>, request: Request, next: Next) -> Response {
    match guard::within_rate(&app, &app.rates().setup, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
