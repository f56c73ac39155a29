//! What may be done about a run, each with what it will do.

use mainstay_workflow::Status;
use maud::{Markup, html};

use super::run::RunPage;

/// What has to be typed to cancel a run.
pub(super) const CANCEL: &str = "cancel";

/// What has to be typed to do a run again.
pub(super) const AGAIN: &str = "again";

/// The forms that make sense at the moment; nothing for those who may only look.
pub(super) fn actions(page: &RunPage) -> Markup {
    let summary = &page.view.summary;
    let is_open = summary.ended_at.is_none() && summary.managed;
    html! {
        @if page.writes && is_open {
            section class="panel section" {
                div class="head" { h2 { "Actions" } }
                div class="body stack" {
                    (signal(page))
                    @if summary.status == Status::Paused {
                        (plain(page, "resume", "Resume", "Lets the run go on where it stands."))
                    } @else {
                        (plain(page, "pause", "Pause", "Lets nothing new begin. What runs ends, signals are kept, nothing is undone."))
                    }
                    (cancel(page))
                }
            }
        } @else if page.writes && summary.managed {
            section class="panel section" {
                div class="head" { h2 { "Actions" } }
                div class="body stack" { (again(page)) }
            }
        }
    }
}

fn hidden(page: &RunPage) -> Markup {
    html! {
        input type="hidden" name="form_token" value=(page.form_token);
        input type="hidden" name="namespace" value=(page.namespace.as_deref().unwrap_or_default());
    }
}

fn path(page: &RunPage, action: &str) -> String {
    format!("/runs/{}/{action}", page.view.summary.run)
}

fn plain(page: &RunPage, action: &str, title: &str, says: &str) -> Markup {
    html! {
        form class="act" method="post" action=(path(page, action)) {
            (hidden(page))
            p { (says) }
            button class="button quiet" { (title) }
        }
    }
}

fn signal(page: &RunPage) -> Markup {
    let names = page.view.awaited.iter().flat_map(|wait| &wait.signals);
    let names: Vec<String> = names.map(ToString::to_string).collect();
    html! {
        details {
            summary { "Send a signal…" }
            form class="stack" method="post" action=(path(page, "signal")) {
                (hidden(page))
                p {
                    @if names.is_empty() {
                        "No step waits for a signal at the moment. The run keeps it until one does."
                    } @else {
                        "A step waits for " (names.join(" or ")) "."
                    }
                }
                div {
                    label for="signal" { "Signal" }
                    input id="signal" type="text" name="signal" required maxlength="200" list="signals"
                        value=[names.first().filter(|_| names.len() == 1)];
                    datalist id="signals" { @for name in &names { option value=(name) {} } }
                }
                div {
                    label for="payload" { "What it says, as JSON" }
                    textarea id="payload" name="payload" rows="3" spellcheck="false" placeholder="{\"approved\": true}" {}
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
            form class="stack" method="post" action=(path(page, "again")) {
                (hidden(page))
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
                div {
                    label for="confirm" { "Type " code { (AGAIN) } " to confirm" }
                    input id="confirm" type="text" name="confirm" required pattern=(AGAIN) autocomplete="off";
                }
                button class="button" { "Begin the new run" }
            }
        }
    }
}

fn cancel(page: &RunPage) -> Markup {
    html! {
        details {
            summary { "Cancel the run…" }
            form class="stack" method="post" action=(path(page, "cancel")) {
                (hidden(page))
                p {
                    "Steps that run are asked to stop. What was done is undone, in reverse order, by the compensations of the "
                    "workflow. A cancelled run does not come back."
                }
                div {
                    label for="reason" { "Why, for the history" }
                    input id="reason" type="text" name="reason" required maxlength="500";
                }
                div {
                    label for="confirm" { "Type " code { (CANCEL) } " to confirm" }
                    input id="confirm" type="text" name="confirm" required pattern=(CANCEL) autocomplete="off";
                }
                button class="button danger" { "Cancel the run" }
            }
        }
    }
}
