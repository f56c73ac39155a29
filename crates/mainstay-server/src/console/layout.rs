//! What every page has: head, brand, the strip of a development server, foot.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::assets;

/// How wide a page's text runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Width {
    /// One small form.
    Narrow,
    /// Sentences.
    Reading,
    /// Cards and tables.
    Wide,
}

/// A page to be.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) width: Width,
    /// Whether the built-in identity provider exists.
    pub(crate) dev: bool,
    /// What stands at the right of the top bar.
    pub(crate) corner: Option<Markup>,
    pub(crate) body: Markup,
}

impl Page<'_> {
    pub(crate) fn respond(self, status: StatusCode) -> Response {
        (status, Html(self.render().into_string())).into_response()
    }

    fn render(self) -> Markup {
        let class = match self.width {
            Width::Narrow => "narrow",
            Width::Reading => "reading",
            Width::Wide => "wide",
        };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Mainstay" }
                    link rel="stylesheet" href=(assets::style_url());
                    // Nothing is fetched for the tab's icon.
                    link rel="icon" href="data:,";
                }
                body {
                    a class="skip" href="#content" { "Skip to the content" }
                    @if self.dev {
                        div class="strip" role="note" {
                            "Development server: anybody who reaches it can sign in as a test user."
                        }
                    }
                    header class="bar" {
                        a class="brand" href="/" { (mark()) "Mainstay" }
                        @if let Some(corner) = self.corner { (corner) }
                    }
                    main id="content" class=(class) { (self.body) }
                    footer class="foot" { "Mainstay " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}

/// The right of the top bar for somebody who is signed in: where else to go, and the way out.
pub(crate) fn corner(form_token: &str, sees_runs: bool) -> Markup {
    html! {
        nav class="corner" {
            @if sees_runs {
                a href="/runs" { "Runs" }
                a href="/images" { "Images" }
            }
            form method="post" action="/logout" {
                input type="hidden" name="form_token" value=(form_token);
                button class="button quiet" { "Sign out" }
            }
        }
    }
}

/// A stay that holds a mast.
fn mark() -> Markup {
    html! {
        svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"
            stroke-linejoin="round" aria-hidden="true" {
            path d="M13 4v21" {}
            path d="M13 5 27 25" {}
            path d="M13 5 5 25" {}
            path d="M3 28.5h26" {}
        }
    }
}

/// An arrow that says that a choice leads on.
pub(crate) fn arrow() -> Markup {
    html! {
        svg class="arrow" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"
            stroke-linejoin="round" aria-hidden="true" {
            path d="M7.5 4.5 13 10l-5.5 5.5" {}
        }
    }
}

/// One or two letters that stand for a name.
pub(crate) fn initials(name: &str) -> String {
    let mut words = name.split(|c: char| !c.is_alphanumeric()).filter_map(|word| word.chars().next());
    let letters: String = words.next().into_iter().chain(words.next_back()).collect();
    letters.to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_of_the_first_and_the_last_word() {
        for (name, expected) in [
            ("Alice Example", "AE"),
            ("alice", "A"),
            ("Ada B. Lovelace", "AL"),
            ("", ""),
            ("élan vital", "ÉV"),
        ] {
            assert_eq!(initials(name), expected);
        }
    }
}
