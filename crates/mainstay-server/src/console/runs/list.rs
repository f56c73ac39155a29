//! The list of runs: what there is of each workflow, a search, a page of runs.

use axum::response::Response;
use http::StatusCode;
use mainstay_core::Page as Listed;
use mainstay_workflow::WorkflowSummary;
use mainstay_workflow::store::RunSummary;
use maud::{Markup, html};

use super::flows::{counts, runs_link};
use super::frame::{Frame, Tab, tabs};
use super::words::{self, STATUSES, tag, time};
use crate::console::layout::{Page, Width, corner};
use crate::http::extract::Pair;
use crate::workflow::{encoded, namespace_query};

/// What the page shows.
#[derive(Debug)]
pub(super) struct ListView<'a> {
    /// The query as it came.
    pub(super) pairs: &'a [Pair],
    pub(super) page: Listed<RunSummary>,
    /// Why the query is none.
    pub(super) wrong: Option<String>,
    pub(super) workflows: Vec<WorkflowSummary>,
    pub(super) frame: Frame,
}

impl ListView<'_> {
    fn given(&self, name: &str) -> &str {
        self.pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    fn namespace(&self) -> Option<&str> {
        self.frame.namespace.as_deref()
    }

    /// The same query with another page.
    fn next(&self, after: &str) -> String {
        let kept =
            self.pairs.iter().filter(|(name, value)| name != "after" && name != "done" && !value.is_empty());
        let kept: Vec<String> =
            kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        format!("/runs?{}", [kept, vec![format!("after={}", encoded(after))]].concat().join("&"))
    }
}

pub(super) fn page(view: &ListView<'_>) -> Response {
    let body = html! {
        h1 { "Runs" }
        p class="lead" {
            "What the workflows of the applications on this database do"
            @if let Some(name) = view.namespace() { ", in the namespace " code { (name) } }
            "."
        }
        (tabs(Tab::Runs, view.namespace()))
        (view.frame.notice())
        @if !view.workflows.is_empty() { (workflows(view)) }
        (search(view))
        (runs(view))
    };
    let status = if view.wrong.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let corner = Some(corner(&view.frame.form_token, true));
    Page { title: "Runs", width: Width::Wide, dev: view.frame.dev, corner, body }.respond(status)
}

fn workflows(view: &ListView<'_>) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "Workflows" } span class="tag" { (view.workflows.len()) } }
            div class="scroll" tabindex="0" role="region" aria-label="Workflows" {
                table class="stacks" role="table" {
                    thead {
                        tr role="row" {
                            th scope="col" { "Workflow" }
                            th scope="col" { "Versions" }
                            th scope="col" { "Runs" }
                        }
                    }
                    tbody { @for workflow in &view.workflows { (workflow_row(view, workflow)) } }
                }
            }
        }
    }
}

fn workflow_row(view: &ListView<'_>, workflow: &WorkflowSummary) -> Markup {
    let versions: Vec<String> = workflow.versions.iter().map(|version| format!("v{version}")).collect();
    html! {
        tr role="row" {
            td role="cell" {
                a href=(runs_link(view.namespace(), &workflow.name, "")) { (workflow.name) }
                @if workflow.paused { " " span class="tag warn" { "paused" } }
            }
            td role="cell" data-label="Versions" { (versions.join(", ")) }
            td role="cell" data-label="Runs" {
                (counts(view.namespace(), workflow))
            }
        }
    }
}

fn search(view: &ListView<'_>) -> Markup {
    let field = |id: &str, label: &str, hint: &str| {
        html! {
            div {
                label for=(id) { (label) }
                input id=(id) type="search" name=(id) value=(view.given(id)) placeholder=(hint) maxlength="300";
            }
        }
    };
    html! {
        form class="panel section search" method="get" action="/runs" role="search" {
            div class="fields" {
                div {
                    label for="status" { "Status" }
                    select id="status" name="status" {
                        option value="" { "any" }
                        @for status in STATUSES {
                            @let word = words::status(status);
                            option value=(word) selected[view.given("status") == word] { (word) }
                        }
                    }
                }
                (field("workflow", "Workflow", "order"))
                (field("workflow_version", "Version", "2"))
                (field("workflow_family", "Name begins with", "sales."))
                (field("id", "Run or business key", "orderid::a17"))
                (field("where", "In the context", "context.initial.order_id=123"))
            }
            @if let Some(name) = view.namespace() { input type="hidden" name="namespace" value=(name); }
            div class="actions" {
                button class="button" { "Search" }
                a class="button quiet" href=(format!("/runs{}", namespace_query(view.namespace()))) { "Clear" }
            }
            @if let Some(wrong) = &view.wrong { p class="notice bad" role="alert" { (wrong) } }
        }
    }
}

fn runs(view: &ListView<'_>) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "Found" } }
            @if view.page.items.is_empty() {
                div class="body stack" {
                    p { "No run meets these conditions." }
                    @if view.workflows.is_empty() {
                        p {
                            "Runs appear when an application with " code { "mainstay-workflow" }
                            " works on this database, in the same namespace."
                        }
                    }
                }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Runs" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Run" }
                                th scope="col" { "Workflow" }
                                th scope="col" { "Status" }
                                th scope="col" { "Began (UTC)" }
                            }
                        }
                        tbody { @for run in &view.page.items { (row(view, run)) } }
                    }
                }
                @if let Some(next) = &view.page.next {
                    div class="body" { a class="button quiet" rel="next" href=(view.next(next.as_str())) { "Older runs" } }
                }
            }
        }
    }
}

fn row(view: &ListView<'_>, run: &RunSummary) -> Markup {
    let link = format!("/runs/{}{}", run.run, namespace_query(view.namespace()));
    html! {
        tr role="row" {
            td role="cell" {
                a class="mono" href=(link) { (run.run) }
                @if let Some(key) = &run.key { span class="hint" { (key) } }
            }
            td role="cell" data-label="Workflow" { (run.workflow) " v" (run.version) }
            td role="cell" data-label="Status" {
                (tag(run.status))
                @if let Some(reason) = run.reason.as_deref().filter(|reason| !reason.is_empty()) {
                    span class="hint" { (reason) }
                }
            }
            td role="cell" data-label="Began (UTC)" { (time(run.created_at)) }
        }
    }
}
