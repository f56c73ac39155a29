//! The setup link: makes the first administrator, once.

use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Redirect, Response};
use http::{StatusCode, header};
use mainstay_core::{Clock as _, SystemClock};
use mainstay_sso::SetupToken;
use maud::html;
use serde::Deserialize;

use super::layout::{Page, Width};
use crate::app::App;
use crate::auth::cookie::Cookie;
use crate::http::extract::Path;
use crate::problem::{Problem, ProblemKind};

/// `GET /setup/{token}`: says what the link does, or at once why it does nothing. It changes nothing yet: mail scanners and previews
/// follow links.
pub(crate) async fn setup(State(app): State<App>, Path(token): Path) -> Result<Response, Problem> {
    app.sso().setup_token_check(&parse(&token)?).await?;
    let body = html! {
        div class="panel pad" {
            h1 { "Set up Mainstay" }
            p class="lead" {
                "This link makes one administrator’s session, once. With it you see every connection; "
                "identity providers are connected on the command line."
            }
            form class="choices" method="post" {
                div {
                    label for="name" { "Your name, for the audit" }
                    input id="name" type="text" name="name" required maxlength="200" autocomplete="name" autofocus;
                }
                div { button class="button" { "Begin as administrator" } }
            }
        }
    };
    Ok(Page { title: "Set up", width: Width::Narrow, dev: app.is_dev(), corner: None, body }
        .respond(StatusCode::OK))
}

#[derive(Debug, Deserialize)]
pub(crate) struct SetupForm {
    name: String,
}

/// `POST /setup/{token}`: uses the link up. The token in the path is what makes the form nobody else's.
pub(crate) async fn set_up(
    State(app): State<App>,
    Path(token): Path,
    form: Result<Form<SetupForm>, FormRejection>,
) -> Result<Response, Problem> {
    let token = parse(&token)?;
    let Form(form) =
        form.map_err(|_| Problem::new(ProblemKind::Malformed, "The form has one field, name."))?;
    let (secret, session) = app.sso().setup_token_consume(&token, &form.name).await?;
    tracing::info!(session = %session.id, "the setup link was used");
    let mut response = Redirect::to("/").into_response();
    let lifetime: Duration = session.absolute_expires_at.saturating_since(SystemClock.now());
    if let Some(cookie) = app.cookies().set(Cookie::Session, secret.expose(), lifetime) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn parse(token: &str) -> Result<SetupToken, Problem> {
    SetupToken::parse(token)
        .map_err(|_| Problem::new(ProblemKind::NotFound, "This is not a setup link; copy the whole of it."))
}
