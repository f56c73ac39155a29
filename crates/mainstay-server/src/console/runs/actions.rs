//! What may be done about a run, each with what it will do.

use mainstay_workflow::graph::Kind;
use mainstay_workflow::{Action, Status};
use maud::{Markup, html};

use super::run::RunPage;

/// The forms that make sense at the moment; nothing for those who may only look.
pub(super) fn actions(page: &RunPage) -> Markup {
    let summary = &page.view.summary;
    let is_open = summary.ended_at.is_none() && summary.managed;
    html! {
        @if page.frame.writes && is_open {
            section class="panel section" {
                div class="head" { h2 { "Actions" } }
                div class="body stack" {
                    @if hears(page) { (signal(page)) }
                    @if summary.status == Status::Paused {
                        (plain(page, Action::Resume, "Resume", "Lets the run go on where it stands."))
                    } @else {
                        (plain(page, Action::Pause, "Pause", "Lets nothing new begin. What runs ends, signals are kept, nothing is undone."))
                    }
                    (cancel(page))
                }
            }
        } @else if page.frame.writes && summary.ended_at.is_some() {
            section class="panel section" {
                div class="head" { h2 { "Actions" } }
                div class="body stack" {
                    @if summary.managed { (again(page)) }
                    @if page.frame.admin { (remove(page)) }
                }
            }
        }
    }
}

fn hidden(page: &RunPage, action: Action) -> Markup {
    html! {
        (page.frame.hidden(action))
        input type="hidden" name="run" value=(page.view.summary.run);
    }
}

fn plain(page: &RunPage, action: Action, title: &str, says: &str) -> Markup {
    html! {
        form class="act" method="post" action="/operate" {
            (hidden(page, action))
            p { (says) }
            button class="button quiet" { (title) }
        }
    }
}

fn remove(page: &RunPage) -> Markup {
    html! {
        details {
            summary { "Remove the run…" }
            form class="stack" method="post" action="/operate" {
                (hidden(page, Action::Delete))
                p { "The run is removed with its history and its results. Nothing brings it back." }
                (page.frame.confirm(Action::Delete, "", "confirm-remove"))
                button class="button danger" { "Remove the run" }
            }
        }
    }
}

/// Whether some step waits for signals at all.
fn hears(page: &RunPage) -> bool {
    let nodes = page.view.workflow.as_ref().map_or(&[][..], |flow| flow.graph().nodes.as_slice());
    nodes.iter().any(|node| matches!(node.kind, Kind::Wait { .. }))
}

fn signal(page: &RunPage) -> Markup {
    let names = page.view.awaited.iter().flat_map(|wait| &wait.signals);
    let names: Vec<String> = names.map(ToString::to_string).collect();
    let nodes = page.view.workflow.as_ref().map_or(&[][..], |flow| flow.graph().nodes.as_slice());
    let mut known: Vec<&str> = Vec::new();
    for node in nodes {
        if let Kind::Wait { signals, .. } = &node.kind {
            known.extend(signals.iter().map(|arrival| arrival.signal.as_str()));
        }
    }
    known.sort_unstable();
    known.dedup();
    html! {
        details {
            summary { "Send a signal…" }
            form class="stack" method="post" action="/operate" {
                (hidden(page, Action::Signal))
                p {
                    @if names.is_empty() {
                        "No step waits for a signal at the moment. The run keeps it until one does."
                    } @else {
                        "A step waits for " (names.join(" or ")) "."
                    }
                }
                div {
                    label for="signal" { "Signal" }
                    select id="signal" name="signal" {
                        @for name in known {
                            option value=(name) selected[names.first().is_some_and(|first| first == name)] { (name) }
                        }
                    }
                }
                div {
                    label for="payload" { "What it says, as JSON" }
                    textarea id="payload" name="payload" rows="3" spellcheck="false" placeholder="{\"approved\": true}" {}
                }
                div {
                    label for="at" { "Not before (UTC); empty for at once" }
                    input id="at" type="datetime-local" name="at";
                }
                button class="button" { "Send the signal" }
            }
        }
    }
}

fn again(page: &RunPage) -> Markup {
    let nodes = page.view.workflow.as_ref().map_or(&[][..], |flow| flow.graph().nodes.as_slice());
    let failed = matches!(page.view.summary.status, Status::Failed | Status::Cancelled);
    html! {
        details {
            summary { "Do it again…" }
            form class="stack" method="post" action="/operate" {
                (hidden(page, Action::Fork))
                p {
                    "A new run with the same input and business key begins. What does not come after the step stays done; the "
                    "rest is done once more, with whatever it does to the world."
                }
                div {
                    label for="from" { "From" }
                    select id="from" name="from" {
                        @if failed { option value="" { "where it stopped" } }
                        @for node in nodes.iter().filter(|node| !node.is_done()) {
                            option value=(node.key) { (node.key) }
                        }
                    }
                }
                (page.frame.confirm(Action::Fork, "", "confirm-again"))
                button class="button" { "Begin the new run" }
            }
        }
    }
}

fn cancel(page: &RunPage) -> Markup {
    html! {
        details {
            summary { "Cancel the run…" }
            form class="stack" method="post" action="/operate" {
                (hidden(page, Action::Cancel))
                p {
                    "Steps that run are asked to stop. What was done is undone, in reverse order, by the compensations of the "
                    "workflow. A cancelled run does not come back."
                }
                div {
                    label for="reason" { "Why, for the history" }
                    input id="reason" type="text" name="reason" required maxlength="500";
                }
                (page.frame.confirm(Action::Cancel, "", "confirm-cancel"))
                button class="button danger" { "Cancel the run" }
            }
        }
    }
}
