//! The page for what went wrong: a refused login, or any other problem.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use mainstay_sso::{SignInRefusal, SignInRefused};
use maud::html;

use super::layout::{Page, Width};
use crate::app::App;
use crate::http::layers::RequestId;
use crate::problem::Problem;

/// A refused login: what it means and what mends it. Never the values of the message: those are in the login trace.
pub(crate) fn refused_page(app: &App, refused: &SignInRefused, request: RequestId) -> Response {
    let refusal = refused.refusal;
    let again = refused.connection.filter(|_| may_work_again(refusal)).map(|id| format!("/saml/{id}/login"));
    let body = html! {
        div class="panel pad stack-loose" {
            div {
                span class="tag bad" { "Not signed in" }
                h1 { "The sign-in was refused" }
                p class="lead" { (refusal.meaning()) }
            }
            dl class="explain" {
                div { dt { "Likely cause" } dd { (refusal.likely_cause()) } }
                div { dt { "What an operator does" } dd { (refusal.operator_action()) } }
            }
            div class="actions" {
                @if let Some(again) = &again { a class="button" href=(again) { "Sign in again" } }
                a class=(if again.is_some() { "button quiet" } else { "button" }) href="/login" { "Choose an organisation" }
            }
            dl class="notice facts" {
                div { dt { "Reason" } dd { code { (refusal.code()) } } }
                div { dt { "Request" } dd { code { (request) } } }
                @if let Some(trace) = refused.trace_id { div { dt { "Login trace" } dd { code { (trace) } } } }
            }
        }
    };
    let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    Page { title: "Sign-in refused", width: Width::Reading, dev: app.is_dev(), corner: None, body }
        .respond(status)
}

/// Whether the same connection can be tried once more before an operator has done something.
const fn may_work_again(refusal: SignInRefusal) -> bool {
    !matches!(
        refusal,
        SignInRefusal::ConnectionNotFound
            | SignInRefusal::ConnectionDraft
            | SignInRefusal::ConnectionDisabled
    )
}

/// Any other problem, for people.
pub(crate) fn problem_page(app: &App, problem: &Problem, request: RequestId) -> Response {
    let kind = problem.kind();
    let body = html! {
        div class="panel pad stack-loose" {
            div {
                span class="tag warn" { (kind.status().as_u16()) }
                h1 { (kind.title()) }
                p class="lead" { (problem.detail()) }
            }
            div class="actions" { a class="button" href="/" { "To the start" } }
            dl class="notice facts" {
                div { dt { "Reason" } dd { code { (kind.code()) } } }
                div { dt { "Request" } dd { code { (request) } } }
            }
        }
    };
    let page = Page { title: kind.title(), width: Width::Reading, dev: app.is_dev(), corner: None, body };
    let mut response = page.respond(kind.status());
    if let Some(seconds) = problem.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
