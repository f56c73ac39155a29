//! The sign-in page: which organisation's identity provider to go to.

use http::StatusCode;
use maud::{Markup, html};

use super::layout::{Page, Width, arrow, initials};
use axum::response::Response;

/// A connection that somebody may choose.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) organization: Option<String>,
    pub(crate) url: String,
}

/// What the page shows.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// Few enough to list.
    Listed(Vec<Choice>),
    /// Too many: a name is asked for, the organisation's or the connection's, and these go by what was entered. Never a part of
    /// a name: strangers are not to leaf through the customers.
    Searched { asked: String, found: Vec<Choice> },
}

pub(crate) fn page(sign_in: &SignIn, dev: bool) -> Response {
    let body = html! {
        div class="panel pad" {
            h1 { "Sign in" }
            @match sign_in {
                SignIn::Listed(choices) if choices.is_empty() => (nothing_yet()),
                SignIn::Listed(choices) => {
                    p class="lead" { "Continue with your organisation." }
                    (list(choices))
                }
                SignIn::Searched { asked, found } => (search(asked, found)),
            }
        }
    };
    Page { title: "Sign in", width: Width::Narrow, dev, corner: None, body }.respond(StatusCode::OK)
}

fn list(choices: &[Choice]) -> Markup {
    html! {
        ul class="choices" {
            @for choice in choices {
                li {
                    // A link, not a form: the policy lets no form lead to another site, not even by a redirect.
                    a class="choice" href=(choice.url) {
                        span class="avatar square" aria-hidden="true" { (initials(&choice.name)) }
                        span class="grow" {
                            span class="name" { (choice.name) }
                            @if let Some(organization) = choice.organization.as_ref().filter(|it| **it != choice.name) {
                                span class="hint" { (organization) }
                            }
                        }
                        (arrow())
                    }
                }
            }
        }
    }
}

fn search(asked: &str, found: &[Choice]) -> Markup {
    html! {
        p class="lead" { "Which organisation do you belong to?" }
        form class="choices" method="get" action="/login" role="search" {
            div class="row" {
                div class="grow" {
                    label for="organization" { "Organisation" }
                    input id="organization" type="search" name="organization" value=(asked) autocomplete="organization"
                        required maxlength="200" autofocus;
                }
                button class="button" { "Find" }
            }
        }
        @if !found.is_empty() {
            (list(found))
        } @else if !asked.is_empty() {
            p class="notice choices" role="status" { "Nothing goes by that name. Write the whole name, as your administrator gave it." }
        }
    }
}

fn nothing_yet() -> Markup {
    html! {
        p class="lead" { "No identity provider is connected yet." }
        div class="stack choices" {
            p { "An operator connects one with its metadata, a file or a URL:" }
            pre tabindex="0" { "mainstay sso connection add \\\n  --name \"Example Ltd\" \\\n  --metadata idp.xml --enable" }
        }
    }
}
