//! The pages that people see. A handler asks `mainstay-sso` and renders; it decides nothing.

pub(crate) mod assets;
pub(crate) mod bounce;
pub(crate) mod images;
pub(crate) mod layout;
pub(crate) mod person;
mod refused;
pub(crate) mod runs;
mod setup;
mod sign_in;
mod signed_in;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, header};
use mainstay_repo::Topology as _;
use mainstay_sso::{Connection, ConnectionFilter, Status};
use serde::Deserialize;

pub(crate) use self::refused::{problem_page, refused_page};
pub(crate) use self::setup::{set_up, setup};

use self::sign_in::{Choice, SignIn};
use self::signed_in::SignedIn;
use crate::app::App;
use crate::auth::cookie::Cookie;
use crate::auth::{csrf, session};
use crate::http::extract::Query;
use crate::problem::{Problem, ProblemKind};
use crate::{dev, limits};
use mainstay_core::PageSize;

/// `GET /`.
pub(crate) async fn index(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(current) = session::current(&app, &headers).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    let connection = match current.session.connection {
        Some(id) => app.sso().connection_show(app.scope(), id).await.ok(),
        None => None,
    };
    let connections = match current.session.scope() {
        Some(scope) => {
            let size = PageSize::clamped(limits::CONSOLE_LISTED);
            Some(app.sso().connection_list(&scope, &ConnectionFilter::default(), size, None).await?.items)
        }
        None => None,
    };
    let position = app.repo().position().await?;
    Ok(signed_in::page(&SignedIn {
        form_token: csrf::token(&current.token),
        session: current.session,
        connection,
        connections,
        database: app.repo().describe().to_owned(),
        role: app.repo().role(),
        position,
        dev: app.is_dev(),
    }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct SignInQuery {
    #[serde(default)]
    organization: String,
}

/// `GET /login`.
pub(crate) async fn sign_in(
    State(app): State<App>,
    Query(query): Query<SignInQuery>,
) -> Result<Response, Problem> {
    let enabled = |named| ConnectionFilter { status: Some(Status::Enabled), named, organization: None };
    let most = u32::try_from(limits::SIGN_IN_LISTED).unwrap_or(u32::MAX);
    let first = app.sso().connection_list(app.scope(), &enabled(None), PageSize::clamped(most), None).await?;
    let choices = |items: &[Connection]| {
        items
            .iter()
            .filter(|connection| !dev::is_elsewhere(connection, app.public_url()))
            .map(choice)
            .collect()
    };
    if first.next.is_none() {
        return Ok(sign_in::page(&SignIn::Listed(choices(&first.items)), app.is_dev()));
    }
    let asked = query.organization.trim().to_owned();
    let found = if asked.is_empty() {
        Vec::new()
    } else {
        let filter = enabled(Some(asked.clone()));
        app.sso().connection_list(app.scope(), &filter, PageSize::clamped(most), None).await?.items
    };
    Ok(sign_in::page(&SignIn::Searched { asked, found: choices(&found) }, app.is_dev()))
}

fn choice(connection: &Connection) -> Choice {
    Choice {
        name: connection.display_name.clone(),
        organization: connection.organization.as_ref().map(ToString::to_string),
        url: format!("/saml/{}/login", connection.id),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct SignOutForm {
    form_token: String,
}

/// `POST /logout`: ends the session here; the identity provider's own goes on.
pub(crate) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
    form: Result<Form<SignOutForm>, FormRejection>,
) -> Result<Response, Problem> {
    let mut response = Redirect::to("/login").into_response();
    if let Some(token) = session::token(&app, &headers) {
        let Form(form) =
            form.map_err(|_| Problem::new(ProblemKind::StaleForm, "Open the page again and repeat."))?;
        csrf::check(&token, &form.form_token)?;
        app.sso().session_revoke(&token).await?;
    }
    if let Some(cookie) = app.cookies().clear(Cookie::Session) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
