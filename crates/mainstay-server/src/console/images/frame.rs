//! What all pages about images have: the way between them, what was just done, forms that only those see who may send them.

use axum::response::Response;
use http::StatusCode;
use mainstay_images::Commands;
use maud::{Markup, html};

use crate::console::layout::{Page, Width, corner};

/// What every page knows.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) form_token: String,
    /// The store in the hands of whoever looks.
    pub(super) commands: Commands,
    /// What was just done.
    pub(super) done: Option<String>,
    pub(super) dev: bool,
}

const TABS: [(&str, &str); 5] = [
    ("/images", "All images"),
    ("/images/lineage", "Lineage"),
    ("/images/leases", "Leases"),
    ("/images/care", "Collection"),
    ("/images/scrub", "Scrub"),
];

impl Frame {
    /// A page under one of the tabs, or under none of them.
    pub(super) fn page(&self, title: &str, tab: &str, body: &Markup) -> Response {
        let body = html! {
            @if tab.is_empty() {
                p class="path" { a href="/images" { "Images" } " / " (title) }
            } @else {
                h1 { "Images" }
                nav class="tabs" aria-label="Images" {
                    @for (path, name) in TABS {
                        a href=(path) aria-current=[(path == tab).then_some("page")] { (name) }
                    }
                }
            }
            @if let Some(done) = self.done.as_deref().and_then(said) { div class="notice good" role="status" { (done) } }
            (body)
        };
        let corner = Some(corner(&self.form_token, true));
        Page { title, width: Width::Wide, dev: self.dev, corner, body }.respond(StatusCode::OK)
    }

    /// What every form carries.
    pub(super) fn token(&self) -> Markup {
        html! { input type="hidden" name="form_token" value=(self.form_token); }
    }
}

/// What was just done, in a sentence. Whatever else stands in the address is not shown.
fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "tag" => "The name points at this image now.",
        "fork" => "The new name begins at this image.",
        "untag" => "The name was removed. The image stays.",
        "pin" => "The image is pinned: it is kept whatever the policy says.",
        "unpin" => "The image is not pinned any more.",
        "remove" => "The image was removed. A collection gives back what no other image uses.",
        "revoke" => "The holder may not renew any more. What it claims is free when its time has run out.",
        "collect" => "The collection goes on in the background.",
        "scrub" => "Everything is read again in the background.",
        _ => return None,
    })
}
