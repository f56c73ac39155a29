//! The service provider's endpoints: parse, call `mainstay-sso`, render.

mod consume;

pub(crate) use self::consume::consume;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, header};
use mainstay_saml::{ServiceProvider, SpMetadata};
use mainstay_sso::{BrowserBinding, ConnectionId, SignInError, StartInput};
use serde::Deserialize;

use crate::app::App;
use crate::auth::cookie::Cookie;
use crate::auth::session;
use crate::console;
use crate::http::extract::{Path, Query};
use crate::http::layers::RequestId;
use crate::limits;
use crate::problem::{Problem, ProblemKind};

#[derive(Debug, Deserialize)]
pub(crate) struct LoginQuery {
    return_to: Option<String>,
}

/// Sends the browser to the connection's identity provider.
pub(crate) async fn login(
    State(app): State<App>,
    Path(connection): Path,
    Query(query): Query<LoginQuery>,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let connection = connection_id(&connection)?;
    // One binding for all tabs of a browser: a second login does not break the first.
    let binding = match session::binding(&app, &headers) {
        Some(binding) => binding,
        None => app.sso().browser_binding()?,
    };
    let correlation = request.to_string();
    let started = app
        .sso()
        .sign_in_start(StartInput {
            connection,
            return_path: query.return_to.as_deref().unwrap_or("/"),
            browser: &binding,
            correlation_id: Some(&correlation),
        })
        .await;
    match started {
        Ok(redirect) => Ok(with_binding(&app, &binding, Redirect::to(&redirect.url).into_response())),
        Err(error) => refuse(&app, error, request),
    }
}

fn with_binding(app: &App, binding: &BrowserBinding, mut response: Response) -> Response {
    if let Some(cookie) = app.cookies().set(Cookie::Login, binding.expose(), limits::LOGIN_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The service provider's metadata, for the identity provider's administrator.
pub(crate) async fn metadata(State(app): State<App>, Path(connection): Path) -> Result<Response, Problem> {
    let connection = app.sso().connection_show(app.scope(), connection_id(&connection)?).await?;
    let sp = ServiceProvider::new(connection.sp_entity_id, connection.acs_url);
    let xml = SpMetadata::new(&sp).to_xml();
    Ok(([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response())
}

pub(crate) fn connection_id(text: &str) -> Result<ConnectionId, Problem> {
    text.parse().map_err(|_| Problem::new(ProblemKind::NotFound, "There is no connection by that name."))
}

/// A refusal becomes its page, a failure of the store its problem.
pub(crate) fn refuse(app: &App, error: SignInError, request: RequestId) -> Result<Response, Problem> {
    match error {
        SignInError::Refused(refused) => {
            let code = refused.refusal.code();
            metrics::counter!("mainstay_logins_total", "outcome" => "refused", "code" => code).increment(1);
            tracing::info!(
                code,
                connection = refused.connection.map(tracing::field::display),
                trace = refused.trace_id.map(tracing::field::display),
                "login refused"
            );
            Ok(console::refused_page(app, &refused, request))
        }
        SignInError::Store(error) => Err(error.into()),
        SignInError::Unknown(_) => {
            metrics::counter!("mainstay_logins_total", "outcome" => "unknown", "code" => "").increment(1);
            let detail = "It is not known whether the login was stored. Starting again is safe.";
            Err(Problem::new(ProblemKind::OutcomeUnknown, detail))
        }
        _ => Err(Problem::new(ProblemKind::Internal, "The operator finds the cause in the log.")),
    }
}
