//! Who did what, on a page of its own and on that of a run.

use axum::response::Response;
use mainstay_core::Page as Listed;
use mainstay_workflow::Action;
use mainstay_workflow::store::Act;
use maud::{Markup, html};

use super::frame::{Frame, Tab};
use super::words::time;
use crate::workflow::encoded;

/// `GET /acts`.
pub(super) fn page(frame: &Frame, acts: &Listed<Act>) -> Response {
    let body = html! {
        section class="panel section" {
            div class="head" { h2 { "Acts" } }
            @if acts.items.is_empty() {
                div class="body" { p { "Nobody has done anything here yet, from the console, by the HTTP interface or on the command line." } }
            } @else { (table(frame, &acts.items, true)) }
            @if let Some(next) = &acts.next {
                @let query = frame.link("/acts");
                @let sign = if query.contains('?') { '&' } else { '?' };
                div class="body" {
                    a class="button quiet" rel="next" href=(format!("{query}{sign}after={}", encoded(next.as_str()))) { "Earlier acts" }
                }
            }
        }
    };
    let lead =
        "What people and programs asked of workflows. What applications do in their own code is not here.";
    frame.page(Tab::Acts, "Who did what", lead, &body)
}

/// The acts about one run; nothing when there are none.
pub(super) fn of_run(frame: &Frame, acts: &[Act]) -> Markup {
    html! {
        @if !acts.is_empty() {
            section class="panel section" {
                div class="head" { h2 { "Who did what" } }
                (table(frame, acts, false))
            }
        }
    }
}

fn table(frame: &Frame, acts: &[Act], with_runs: bool) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Acts" {
            table class="stacks" role="table" {
                thead {
                    tr role="row" {
                        th scope="col" { "When (UTC)" } th scope="col" { "Who" } th scope="col" { "What" }
                        @if with_runs { th scope="col" { "About" } }
                        th scope="col" { "How" }
                    }
                }
                tbody { @for act in acts { (row(frame, act, with_runs)) } }
            }
        }
    }
}

fn row(frame: &Frame, act: &Act, with_runs: bool) -> Markup {
    let detail = act.detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let detail: Vec<String> = detail
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}: {text}"),
            None => format!("{name}: {value}"),
        })
        .collect();
    html! {
        tr role="row" {
            td role="cell" { (time(act.at)) }
            td role="cell" data-label="Who" { (act.actor) }
            td role="cell" data-label="What" { (words(&act.action)) }
            @if with_runs {
                td role="cell" data-label="About" {
                    @if let Some(run) = act.run { a class="mono" href=(frame.link(&format!("/runs/{run}"))) { (run) } }
                    @if !act.subject.is_empty() { @if act.run.is_some() { " " } (act.subject) }
                    @if act.run.is_none() && act.subject.is_empty() { "everything" }
                }
            }
            td role="cell" data-label="How" { (detail.join("; ")) }
        }
    }
}

/// An action in words; its name when a later version wrote it.
fn words(name: &str) -> &str {
    match Action::ALL.into_iter().find(|action| action.as_str() == name) {
        Some(Action::Start) => "started a run",
        Some(Action::Signal) => "sent a signal",
        Some(Action::Cancel) => "cancelled a run",
        Some(Action::Pause) => "paused a run",
        Some(Action::Resume) => "resumed a run",
        Some(Action::Retry) => "did a run again",
        Some(Action::Fork) => "did a run again from a step",
        Some(Action::Delete) => "removed a run",
        Some(Action::Prune) => "removed old runs",
        Some(Action::WorkflowPause) => "held a workflow back",
        Some(Action::WorkflowResume) => "let a workflow go on",
        Some(Action::QueueSet) => "limited a queue",
        Some(Action::QueueRemove) => "took a queue's limits away",
        Some(Action::ScheduleSet) => "kept a schedule",
        Some(Action::SchedulePause) => "held a schedule back",
        Some(Action::ScheduleResume) => "let a schedule go on",
        Some(Action::ScheduleTrigger) => "started a schedule's run",
        Some(Action::ScheduleRemove) => "removed a schedule",
        Some(Action::Import) => "imported runs",
        _ => name,
    }
}
