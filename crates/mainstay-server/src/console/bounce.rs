//! The page that posts a response once more, from our own site, so that the browser sends its login cookie with it.

use axum::response::Response;
use http::StatusCode;
use maud::html;

use super::assets;
use super::layout::{Page, Width};

/// A form with the same fields, which a script sends and a button as well.
pub(crate) fn page(action: &str, fields: &[(&str, &str)], lead: &str, dev: bool) -> Response {
    let body = html! {
        div class="panel pad" {
            h1 { "Signing in" }
            p class="lead" { (lead) }
            form class="choices" method="post" action=(action) {
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                div { button class="button" { "Continue" } }
            }
        }
        script src=(assets::submit_url()) defer {}
    };
    Page { title: "Signing in", width: Width::Narrow, dev, corner: None, body }.respond(StatusCode::OK)
}
