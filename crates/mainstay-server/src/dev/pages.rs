//! The provider's two pages: choose a user, and the form that carries the answer back.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mainstay_core::{Clock as _, SystemClock};
use mainstay_saml::idp::{Grant, IncomingRequest};
use maud::html;
use serde::Deserialize;

use super::{Dev, SESSION_LENGTHS, USERS, User};
use crate::app::App;
use crate::console;
use crate::console::layout::{Page, Width, arrow, initials};
use crate::problem::{Problem, ProblemKind};

fn dev(app: &App) -> Result<&Dev, Problem> {
    app.dev().ok_or_else(|| Problem::new(ProblemKind::NotFound, "Nothing is served at this path."))
}

/// The provider's metadata.
pub(crate) async fn metadata(State(app): State<App>) -> Result<Response, Problem> {
    let xml = dev(&app)?.idp.metadata();
    Ok(([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response())
}

fn read(dev: &Dev, query: &str) -> Result<IncomingRequest, Problem> {
    let malformed = |why: String| Problem::new(ProblemKind::Malformed, why);
    let request = dev.idp.parse_request(query).map_err(|error| malformed(error.to_string()))?;
    if request.issuer == dev.sp.entity_id {
        return Ok(request);
    }
    Err(malformed("The development provider answers only to this server's own connection.".to_owned()))
}

/// `GET /dev/idp/sso`: who shall be signed in?
pub(crate) async fn choose(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    read(dev(&app)?, &query)?;
    let body = html! {
        div class="panel pad" {
            h1 { "Choose a test user" }
            p class="lead" { "The built-in identity provider signs in whoever you choose. There is no password." }
            form class="choices" method="post" action="/dev/idp/sso" {
                input type="hidden" name="request" value=(query);
                @for user in &USERS {
                    button class="choice" name="user" value=(user.id) id=(user.id) {
                        span class="avatar" aria-hidden="true" { (initials(user.name)) }
                        span class="grow" {
                            span class="name" { (user.name) }
                            span class="hint" { (user.email) }
                        }
                        (arrow())
                    }
                }
                div {
                    label for="session" { "The provider’s session ends" }
                    select id="session" name="session" {
                        @for length in &SESSION_LENGTHS { option value=(length.id) { (length.name) } }
                    }
                }
            }
        }
    };
    let page = Page { title: "Choose a test user", width: Width::Narrow, dev: true, corner: None, body };
    Ok(page.respond(StatusCode::OK))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Chosen {
    request: String,
    user: String,
    /// One of [`SESSION_LENGTHS`]; nothing is the first.
    session: Option<String>,
}

/// `POST /dev/idp/sso`: signs the answer and lets the browser carry it to the consumer service.
pub(crate) async fn answer(
    State(app): State<App>,
    form: Result<Form<Chosen>, FormRejection>,
) -> Result<Response, Problem> {
    let dev = dev(&app)?;
    let malformed = |why: &str| Problem::new(ProblemKind::Malformed, why);
    let Form(chosen) = form.map_err(|_| malformed("The form names a request and a user."))?;
    let request = read(dev, &chosen.request)?;
    let user = USERS.iter().find(|user| user.id == chosen.user);
    let user = user.ok_or_else(|| malformed("There is no such test user."))?;
    let wanted = chosen.session.as_deref().unwrap_or_default();
    let length = SESSION_LENGTHS.iter().find(|length| length.id == wanted);
    let length = length.ok_or_else(|| malformed("There is no such length of a session."))?;
    let now = SystemClock.now();
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "the development provider could not sign");
        Problem::new(ProblemKind::Internal, "The operator finds the cause in the log.")
    };
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|error| failed(&error))?;
    let mut grant = grant(dev, &request, user);
    grant.session_not_on_or_after = length.lasts.map(|lasts| now.saturating_add(lasts));
    let response = dev.idp.respond(&grant, &random, now).map_err(|error| failed(&error))?;
    let mut fields = vec![("SAMLResponse", response.as_str())];
    fields.extend(request.relay_state.as_deref().map(|state| ("RelayState", state)));
    // Where the connection says, whatever the request asks for.
    let lead = format!("{} is being signed in.", user.name);
    Ok(console::bounce::page(&dev.sp.acs_url, &fields, &lead, true))
}

fn grant(dev: &Dev, request: &IncomingRequest, user: &User) -> Grant {
    let mut grant = Grant::new(&dev.sp, Some(&request.id), user.email);
    let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    grant.attributes = vec![
        one("uid", user.id),
        one("displayName", user.name),
        one("mail", user.email),
        ("groups".to_owned(), user.groups.iter().map(|group| (*group).to_owned()).collect()),
    ];
    grant.session_index = Some(format!("dev-{}", request.id));
    grant
}
