//! Which path leads where.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use crate::app::App;
use crate::http::{guard, layers};
use crate::problem::{Problem, ProblemKind};
use crate::{api, console, dev, limits, ops, saml, single_node};

/// Every route with what it must pass.
pub(crate) fn router(app: App) -> Router {
    let state = || app.clone();
    // What people open: under the public name only, and forms only from our own pages.
    let mut pages = Router::new()
        .route("/", get(console::index))
        .route("/login", get(console::sign_in))
        .route("/logout", post(console::sign_out))
        .merge(console::images::routes())
        .route("/runs", get(console::runs::list))
        .route("/runs/{run}", get(console::runs::run))
        .route("/runs/{run}/live", get(console::runs::live))
        .route("/runs/{run}/history", get(console::runs::history))
        .route("/workflows", get(console::runs::workflows))
        .route("/workflows/{workflow}", get(console::runs::workflow))
        .route("/queues", get(console::runs::queues))
        .route("/schedules", get(console::runs::schedules))
        .route("/nodes", get(console::runs::nodes))
        .route("/acts", get(console::runs::acts))
        .route("/operate", post(console::runs::operate).layer(DefaultBodyLimit::max(limits::RUN_BODY_BYTES)))
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
        // The name that clusters ask for who know readyz.
        .route("/livez", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route(single_node::PATH, get(single_node::nodez))
        .route("/metrics", get(ops::metrics))
        .route("/assets/mainstay.css", get(console::assets::style))
        .route("/assets/submit.js", get(console::assets::submit))
        .route("/assets/live.js", get(console::assets::live))
        .merge(api::images::routes(state()))
        .merge(runs(state()));
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

/// Runs for programs. A browser's cookie comes along with what another site sends, so their origin is checked as well.
fn runs(app: App) -> Router<App> {
    use api::{operate, runs, settings};

    Router::new()
        .route("/api/v1/workflows", get(runs::workflows))
        .route("/api/v1/workflows/{workflow}", get(runs::workflow))
        .route("/api/v1/workflows/{workflow}/graph", get(runs::workflow_graph))
        .route("/api/v1/workflows/{workflow}/{action}", post(operate::workflow))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/prune", post(operate::prune))
        .route("/api/v1/runs/{run}", get(runs::show).delete(operate::delete_run))
        .route("/api/v1/runs/{run}/history", get(runs::history))
        .route("/api/v1/runs/{run}/graph", get(runs::graph))
        .route("/api/v1/runs/{run}/{action}", post(operate::run))
        .route("/api/v1/namespace/{action}", post(operate::namespace))
        .route("/api/v1/queues", get(settings::queues))
        .route("/api/v1/queues/{queue}", put(operate::set_queue).delete(operate::remove_queue))
        .route("/api/v1/schedules", get(settings::schedules))
        .route("/api/v1/schedules/{schedule}", put(operate::set_schedule).delete(operate::remove_schedule))
        .route("/api/v1/schedules/{schedule}/{action}", post(operate::schedule))
        .route("/api/v1/nodes", get(settings::nodes))
        .route("/api/v1/pauses", get(settings::pauses))
        .route("/api/v1/acts", get(settings::acts))
        .layer(DefaultBodyLimit::max(limits::RUN_BODY_BYTES))
        .route_layer(from_fn_with_state(app, guard::same_origin))
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
