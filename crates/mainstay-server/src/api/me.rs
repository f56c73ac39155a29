//! `GET /api/v1/me`: who is signed in.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use mainstay_sso::Session;
use serde::Serialize;

use crate::app::App;
use crate::auth::{csrf, session};
use crate::console::person;
use crate::problem::{Problem, ProblemKind};

/// Who is signed in, version 1.
#[derive(Debug, Serialize)]
pub(crate) struct Me {
    /// The identity provider's name for the user.
    subject: String,
    /// The identity provider's entity id.
    issuer: String,
    /// The best name that the attributes have; the subject otherwise.
    name: String,
    email: Option<String>,
    /// `saml`, or `setup` for a session of the setup link.
    kind: &'static str,
    /// What the user may administrate: `read`, `write`, `admin` or nothing.
    role: Option<&'static str>,
    organization: Option<String>,
    connection: Option<String>,
    attributes: Vec<Attribute>,
    session: MySession,
    /// What a change has to carry in the header `x-mainstay-form-token`.
    form_token: String,
}

#[derive(Debug, Serialize)]
struct Attribute {
    name: String,
    friendly_name: Option<String>,
    values: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MySession {
    id: String,
    created_at: String,
    idle_expires_at: String,
    expires_at: String,
}

pub(crate) async fn me(State(app): State<App>, headers: HeaderMap) -> Result<Json<Me>, Problem> {
    match session::current(&app, &headers).await? {
        Some(current) => Ok(Json(of_session(&current.session, csrf::token(&current.token)))),
        None => Err(Problem::new(ProblemKind::NotSignedIn, "Sign in with a browser at /login.")),
    }
}

fn of_session(session: &Session, form_token: String) -> Me {
    let principal = &session.principal;
    let attributes = principal.attributes.iter().map(|attribute| Attribute {
        name: attribute.name.clone(),
        friendly_name: attribute.friendly_name.clone(),
        values: attribute.values.clone(),
    });
    Me {
        subject: principal.name_id.clone(),
        issuer: principal.issuer.clone(),
        name: person::display_name(principal).to_owned(),
        email: person::email(principal).map(str::to_owned),
        kind: session.kind.as_str(),
        role: session.role.map(|role| role.as_str()),
        organization: session.organization.as_ref().map(ToString::to_string),
        connection: session.connection.as_ref().map(ToString::to_string),
        attributes: attributes.collect(),
        session: MySession {
            id: session.id.to_string(),
            created_at: session.created_at.to_string(),
            idle_expires_at: session.idle_expires_at.to_string(),
            expires_at: session.absolute_expires_at.to_string(),
        },
        form_token,
    }
}
