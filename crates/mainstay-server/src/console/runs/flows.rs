//! The workflows, one of them, and what has ended long ago.

use axum::response::Response;
use mainstay_workflow::store::{MAX_COUNTED, Pause};
use mainstay_workflow::{Action, Workflow, WorkflowSummary, render};
use maud::{Markup, PreEscaped, html};

use super::frame::{Frame, Tab, field};
use super::words::{self, STATUSES, time};
use crate::workflow::{encoded, namespace_query};

/// A number of runs; what is above the bound is not counted.
pub(super) fn counted(count: u64) -> String {
    if count > u64::from(MAX_COUNTED) { format!("over {MAX_COUNTED}") } else { count.to_string() }
}

/// A link to the runs of a workflow with a status.
pub(super) fn runs_link(namespace: Option<&str>, workflow: &str, status: &str) -> String {
    let query = namespace_query(namespace).replacen('?', "&", 1);
    format!("/runs?workflow={}&status={}{query}", encoded(workflow), encoded(status))
}

/// How many runs there are of each status, each a link.
pub(super) fn counts(namespace: Option<&str>, workflow: &WorkflowSummary) -> Markup {
    html! {
        span class="tags" {
            @for status in STATUSES {
                @if let Some(count) = workflow.runs.get(&status).filter(|count| **count > 0) {
                    a class="count" href=(runs_link(namespace, &workflow.name, words::status(status))) {
                        (counted(*count)) " " (words::status(status))
                    }
                }
            }
        }
    }
}

/// `GET /workflows`.
pub(super) fn page(frame: &Frame, workflows: &[WorkflowSummary], pauses: &[Pause]) -> Response {
    let everything = pauses.iter().find(|pause| pause.workflow.is_none());
    let body = html! {
        section class="panel section" {
            div class="head" { h2 { "Workflows" } span class="tag" { (workflows.len()) } }
            @if workflows.is_empty() {
                div class="body" { p { "None is known here. An application makes its workflows known when it starts." } }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Workflows" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Workflow" } th scope="col" { "Versions" } th scope="col" { "Runs" }
                                @if frame.writes { th scope="col" { "Held back" } }
                            }
                        }
                        tbody { @for workflow in workflows { (row(frame, workflow, pauses)) } }
                    }
                }
            }
        }
        (all(frame, everything))
        @if frame.admin { (old(frame)) }
    };
    frame.page(Tab::Workflows, "Workflows", "What the applications on this database can run.", &body)
}

fn row(frame: &Frame, workflow: &WorkflowSummary, pauses: &[Pause]) -> Markup {
    let versions: Vec<String> = workflow.versions.iter().map(|version| format!("v{version}")).collect();
    let is_held = pauses.iter().any(|pause| pause.workflow.as_deref() == Some(workflow.name.as_str()));
    let about = ("workflow", workflow.name.as_str());
    html! {
        tr role="row" {
            td role="cell" {
                a href=(frame.link(&format!("/workflows/{}", encoded(&workflow.name)))) { (workflow.name) }
                @if workflow.paused { " " span class="tag warn" { "paused" } }
            }
            td role="cell" data-label="Versions" { (versions.join(", ")) }
            td role="cell" data-label="Runs" { (counts(frame.namespace.as_deref(), workflow)) }
            @if frame.writes {
                td role="cell" data-label="Held back" {
                    @if is_held { (frame.button(Action::WorkflowResume, about, "Resume")) }
                    @else { (frame.button(Action::WorkflowPause, about, "Pause")) }
                }
            }
        }
    }
}

fn all(frame: &Frame, everything: Option<&Pause>) -> Markup {
    html! {
        @if let Some(pause) = everything {
            section class="panel section" {
                div class="head" { h2 { "Everything is held back" } }
                div class="body stack" {
                    p { "Since " (time(pause.since)) " UTC no step of any workflow begins. Runs, signals and schedules are kept." }
                    @if frame.writes { (frame.button(Action::WorkflowResume, ("workflow", ""), "Resume everything")) }
                }
            }
        } @else if frame.writes {
            section class="panel section" {
                div class="head" { h2 { "Everything" } }
                div class="body stack" {
                    details {
                        summary { "Pause everything…" }
                        form class="stack" method="post" action="/operate" {
                            (frame.hidden(Action::WorkflowPause))
                            p {
                                "No step of any workflow begins until it is resumed. What runs ends; runs that are started wait; "
                                "signals are kept."
                            }
                            (frame.confirm(Action::WorkflowPause, "", "confirm-all"))
                            button class="button danger" { "Pause everything" }
                        }
                    }
                }
            }
        }
    }
}

fn old(frame: &Frame) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "What has ended" } }
            div class="body stack" {
                details {
                    summary { "Remove old runs…" }
                    form class="stack" method="post" action="/operate" {
                        (frame.hidden(Action::Prune))
                        p {
                            "Runs that ended before this day (UTC) are removed with their histories and results. Nothing brings them "
                            "back. Who did what stays."
                        }
                        div {
                            label for="before" { "Ended before" }
                            input id="before" type="date" name="before" required;
                        }
                        (frame.confirm(Action::Prune, "", "confirm-prune"))
                        button class="button danger" { "Remove them" }
                    }
                }
            }
        }
    }
}

/// `GET /workflows/{workflow}`.
pub(super) fn one(frame: &Frame, flow: &Workflow, summary: Option<&WorkflowSummary>) -> Response {
    let graph = flow.graph();
    let versions = summary.map_or(&[][..], |summary| summary.versions.as_slice());
    let query = namespace_query(frame.namespace.as_deref());
    let sign = if query.is_empty() { '?' } else { '&' };
    let body = html! {
        @if versions.len() > 1 {
            p class="tags" {
                @for version in versions {
                    a class="count" href=(format!("/workflows/{}{query}{sign}version={version}", encoded(&graph.name)))
                        aria-current=[(*version == graph.version).then_some("true")] { "v" (version) }
                }
            }
        }
        @if let Some(summary) = summary { p { (counts(frame.namespace.as_deref(), summary)) } }
        section class="panel section" {
            div class="head" { h2 { "Steps of v" (graph.version) } }
            div class="canvas" tabindex="0" role="region" aria-label="The steps of the workflow" {
                // The renderer escapes every name.
                (PreEscaped(render::svg_unstyled(flow, None)))
            }
        }
        @if frame.writes { (start(frame, flow)) }
    };
    frame.page(Tab::Workflows, &graph.name, "A workflow, as its application made it known.", &body)
}

fn start(frame: &Frame, flow: &Workflow) -> Markup {
    let graph = flow.graph();
    let key = graph.unique.key.as_str();
    let has_key = graph.unique.scope != mainstay_workflow::Scope::None;
    html! {
        section class="panel section" {
            div class="head" { h2 { "Start a run" } }
            div class="body" {
                form class="stack" method="post" action="/operate" {
                    (frame.hidden(Action::Start))
                    input type="hidden" name="workflow" value=(graph.name);
                    input type="hidden" name="version" value=(graph.version);
                    div {
                        label for="input" { "What it is given, as JSON" }
                        textarea id="input" name="input" rows="4" spellcheck="false" placeholder="{\"order_id\": 17}" {}
                    }
                    @if has_key { (field("key", "key", &format!("Business key, {key}"), "", "a17")) }
                    label class="check" { input type="checkbox" name="paused" value="true"; " Begin paused" }
                    button class="button" { "Start the run" }
                }
            }
        }
    }
}
