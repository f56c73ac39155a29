//! The assertion consumer service: where identity providers post their responses.

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use mainstay_sso::{ConnectionId, FinishInput, SignInError, SignedIn};
use serde::Deserialize;

use super::{connection_id, refuse};
use crate::app::App;
use crate::auth::cookie::Cookie;
use crate::auth::session;
use crate::console;
use crate::http::extract::Path;
use crate::http::layers::RequestId;
use crate::problem::{Problem, ProblemKind};

/// The form of the POST binding.
#[derive(Debug, Deserialize)]
pub(crate) struct AcsForm {
    #[serde(rename = "SAMLResponse")]
    saml_response: String,
    #[serde(rename = "RelayState")]
    relay_state: Option<String>,
    /// Set by our own page that posts the form once more.
    bounced: Option<String>,
}

pub(crate) async fn consume(
    State(app): State<App>,
    Path(connection): Path,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
    form: Result<Form<AcsForm>, FormRejection>,
) -> Result<Response, Problem> {
    let connection = connection_id(&connection)?;
    let Form(form) = form.map_err(|rejection| form_problem(&rejection))?;
    let binding = session::binding(&app, &headers);
    if binding.is_none() && !app.cookies().login_crosses_sites() && form.bounced.is_none() {
        return Ok(bounce(&app, connection, &form));
    }
    let correlation = request.to_string();
    let finished = app
        .sso()
        .sign_in_finish(FinishInput {
            connection: Some(connection),
            saml_response: &form.saml_response,
            relay_state: form.relay_state.as_deref(),
            browser: binding.as_ref(),
            correlation_id: Some(&correlation),
        })
        .await;
    // The outcome of the write was not known: ask once more, now that some time has passed.
    let finished = match finished {
        Err(SignInError::Unknown(pending)) => app.sso().sign_in_resolve(*pending).await,
        known => known,
    };
    match finished {
        Ok(signed_in) => Ok(enter(&app, &headers, &signed_in).await),
        Err(error) => refuse(&app, error, request),
    }
}

/// Gives the browser its new session and sends it to where it wanted to go.
async fn enter(app: &App, headers: &HeaderMap, signed_in: &SignedIn) -> Response {
    metrics::counter!("mainstay_logins_total", "outcome" => "accepted", "code" => "").increment(1);
    tracing::info!(connection = %signed_in.connection, session = %signed_in.session_id, "signed in");
    // The session that this browser had before ends. If that fails it ends by itself; the login is not spoilt by it.
    if let Some(old) = session::token(app, headers)
        && let Err(error) = app.sso().session_revoke(&old).await
    {
        tracing::warn!(%error, "the browser's earlier session was not revoked");
    }
    let mut response = Redirect::to(&signed_in.return_path).into_response();
    if let Some(cookie) = app.cookies().set(Cookie::Session, signed_in.token.expose(), app.session_lifetime())
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Lets our own page post the form, so that the browser sends the login cookie with it.
fn bounce(app: &App, connection: ConnectionId, form: &AcsForm) -> Response {
    let mut fields = vec![("SAMLResponse", form.saml_response.as_str())];
    fields.extend(form.relay_state.as_deref().map(|state| ("RelayState", state)));
    fields.push(("bounced", "1"));
    let action = format!("/saml/{connection}/acs");
    console::bounce::page(&action, &fields, "Your organisation has answered; one moment.", app.is_dev())
}

fn form_problem(rejection: &FormRejection) -> Problem {
    let (kind, detail) = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            (ProblemKind::TooLarge, "The form is larger than any response that is accepted.")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (ProblemKind::UnsupportedType, "Post the form as application/x-www-form-urlencoded.")
        }
        _ => (
            ProblemKind::Malformed,
            "The form needs exactly one field SAMLResponse and at most one RelayState.",
        ),
    };
    Problem::new(kind, detail)
}
