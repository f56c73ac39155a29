//! The signed-in page: who, by which connection, on which database and how far that is.

use axum::response::Response;
use http::StatusCode;
use mainstay_core::Timestamp;
use mainstay_repo::{Position, Role};
use mainstay_sso::{Connection, Session, SessionKind, Status};
use maud::{Markup, html};

use super::layout::{Page, Width, corner, initials};
use super::person;

/// What the page shows.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) form_token: String,
    pub(crate) connection: Option<Connection>,
    /// Every connection that the user may see, for administrators.
    pub(crate) connections: Option<Vec<Connection>>,
    pub(crate) database: String,
    pub(crate) role: Role,
    pub(crate) position: Position,
    pub(crate) dev: bool,
}

pub(crate) fn page(view: &SignedIn) -> Response {
    let principal = &view.session.principal;
    let name = person::display_name(principal);
    // Runs belong to no organization.
    let sees_runs = view.session.scope().is_some_and(|scope| scope.organization.is_none());
    let corner = corner(&view.form_token, sees_runs);
    let body = html! {
        div class="person" {
            span class="avatar big" aria-hidden="true" { (initials(name)) }
            div {
                h1 { (name) }
                p class="lead" {
                    "Signed in"
                    @if let Some(email) = person::email(principal) { " as " span { (email) } }
                }
            }
        }
        div class="grid" {
            (who(view))
            (connection(view))
            (database(view))
            (session(&view.session))
        }
        @if !principal.attributes.is_empty() { (attributes(view)) }
        @if let Some(all) = &view.connections { (connections(all)) }
    };
    Page { title: name, width: Width::Wide, dev: view.dev, corner: Some(corner), body }
        .respond(StatusCode::OK)
}

fn card(title: &str, value: &Markup, facts: &Markup) -> Markup {
    html! {
        section class="panel card" {
            h2 { (title) }
            p class="value" { (value) }
            dl class="facts" { (facts) }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn who(view: &SignedIn) -> Markup {
    let principal = &view.session.principal;
    let role = view.session.role.map_or("none", |role| role.as_str());
    card(
        "Who",
        &html! { (principal.name_id) },
        &html! {
            @if let Some(format) = &principal.name_id_format { (fact("Name format", &html! { (short_urn(format)) })) }
            (fact("Administrates", &html! { (role) }))
            @if let Some(organization) = &view.session.organization { (fact("Organisation", &html! { (organization) })) }
        },
    )
}

fn connection(view: &SignedIn) -> Markup {
    let principal = &view.session.principal;
    let how = principal.authn_context.as_deref().map(short_urn);
    match (&view.connection, view.session.kind) {
        (_, SessionKind::Setup) => card(
            "Connection",
            &html! { "Setup link" },
            &html! { (fact("What next", &html! { "Connect an identity provider; this session ends by itself." })) },
        ),
        (Some(connection), _) => card(
            "Connection",
            &html! { (connection.display_name) },
            &html! {
                (fact("Provider", &html! { (principal.issuer) }))
                @if let Some(how) = how { (fact("Method", &html! { (how) })) }
                (fact("Metadata", &html! { a href=(format!("/saml/{}/metadata", connection.id)) { "of this service" } }))
            },
        ),
        (None, _) => card(
            "Connection",
            &html! { "No longer there" },
            &html! { (fact("Provider", &html! { (principal.issuer) })) },
        ),
    }
}

fn database(view: &SignedIn) -> Markup {
    let role = match &view.role {
        Role::Standalone => "the only node",
        Role::Primary => "primary",
        Role::Replica { .. } => "replica",
        Role::NoPrimary => "no primary",
        _ => "unknown",
    };
    let (kind, place) = match view.database.split_once(" at ") {
        Some((kind, place)) => (kind, Some(place)),
        None => (view.database.as_str(), None),
    };
    card(
        "Database",
        &html! { (kind) },
        &html! {
            @if let Some(place) = place { (fact("Where", &html! { (place) })) }
            (fact("This node", &html! { (role) }))
            (fact("Position", &html! { code { (view.position) } }))
        },
    )
}

fn session(session: &Session) -> Markup {
    card(
        "Session",
        &html! { "Since " (time(session.created_at)) },
        &html! {
            (fact("Ends if idle", &html! { (time(session.idle_expires_at)) }))
            (fact("Ends at latest", &html! { (time(session.absolute_expires_at)) }))
            (fact("Id", &html! { code { (session.id) } }))
        },
    )
}

fn attributes(view: &SignedIn) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "What the identity provider says" } }
            div class="scroll" tabindex="0" role="region" aria-label="Attributes" {
                table {
                    thead { tr { th scope="col" { "Attribute" } th scope="col" { "Values" } } }
                    tbody {
                        @for attribute in &view.session.principal.attributes {
                            tr {
                                td { code { (attribute.friendly_name.as_deref().unwrap_or(&attribute.name)) } }
                                td { @for value in &attribute.values { div { (value) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn connections(all: &[Connection]) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "Connections" } span class="tag" { (all.len()) } }
            @if all.is_empty() {
                div class="body stack" {
                    p { "None yet. An operator connects an identity provider with its metadata, a file or a URL:" }
                    pre tabindex="0" { "mainstay sso connection add --name \"Example Ltd\" --metadata idp.xml --enable" }
                }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Connections" {
                    // The roles stay when the stylesheet takes the table apart for a narrow window.
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Name" }
                                th scope="col" { "Organisation" }
                                th scope="col" { "State" }
                                th scope="col" { "Identity provider" }
                                th scope="col" { "For its administrator" }
                            }
                        }
                        tbody { @for connection in all { (row(connection)) } }
                    }
                }
            }
        }
    }
}

fn row(connection: &Connection) -> Markup {
    let tag = match connection.status {
        Status::Enabled => "tag good",
        Status::Draft => "tag warn",
        Status::Disabled => "tag",
    };
    html! {
        tr role="row" {
            td role="cell" { (connection.display_name) }
            td role="cell" data-label="Organisation" {
                (connection.organization.as_ref().map_or("–", |organization| organization.as_str()))
            }
            td role="cell" data-label="State" { span class=(tag) { (connection.status) } }
            td role="cell" data-label="Identity provider" { (connection.idp_entity_id.as_deref().unwrap_or("–")) }
            td role="cell" data-label="For its administrator" { a href=(format!("/saml/{}/metadata", connection.id)) { "metadata" } }
        }
    }
}

/// A time to the minute; the whole of it for programs.
fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown = text.get(..16).map(|minute| format!("{} UTC", minute.replace('T', " ")));
    html! { time datetime=(text) { (shown.as_deref().unwrap_or(&text)) } }
}

/// The last part of a URN: what differs between the values that occur.
fn short_urn(urn: &str) -> &str {
    urn.rsplit([':', '/']).next().filter(|part| !part.is_empty()).unwrap_or(urn)
}
