//! Queues: how many steps run at a time, and how fast they begin.

use axum::response::Response;
use mainstay_workflow::Action;
use maud::{Markup, html};

use super::flows::counted;
use super::frame::{Frame, Tab, field};
use crate::workflow::settings::QueueDocument;

/// `GET /queues`.
pub(super) fn page(frame: &Frame, queues: &[QueueDocument]) -> Response {
    let body = html! {
        section class="panel section" {
            div class="head" { h2 { "Queues" } span class="tag" { (queues.len()) } }
            @if queues.is_empty() {
                div class="body" { p { "No queue has limits, and no task waits." } }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Queues" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Queue" } th scope="col" { "At a time" } th scope="col" { "Rate" }
                                th scope="col" { "Ready" } th scope="col" { "Running" }
                                @if frame.writes { th scope="col" { "Limits" } }
                            }
                        }
                        tbody { @for (at, queue) in queues.iter().enumerate() { (row(frame, at, queue)) } }
                    }
                }
            }
        }
        @if frame.writes {
            section class="panel section" {
                div class="head" { h2 { "Limit another queue" } }
                div class="body" { (limits(frame, "new", None)) }
            }
        }
    };
    frame.page(
        Tab::Queues,
        "Queues",
        "How many steps run at a time on all nodes together, and how fast they begin.",
        &body,
    )
}

fn row(frame: &Frame, at: usize, queue: &QueueDocument) -> Markup {
    let any = || "any".to_owned();
    let has_limits = queue.concurrency.is_some() || queue.rate.is_some() || queue.paused;
    html! {
        tr role="row" {
            td role="cell" {
                span class="mono" { (queue.queue) }
                @if queue.paused { " " span class="tag warn" { "paused" } }
            }
            td role="cell" data-label="At a time" { (queue.concurrency.map_or_else(any, |number| number.to_string())) }
            td role="cell" data-label="Rate" { (queue.rate_text().unwrap_or_else(any)) }
            td role="cell" data-label="Ready" { (counted(queue.ready)) }
            td role="cell" data-label="Running" { (queue.leased) }
            @if frame.writes {
                td role="cell" data-label="Limits" {
                    details { summary { "Change…" } (limits(frame, &at.to_string(), Some(queue))) }
                    @if has_limits {
                        details {
                            summary { "Remove…" }
                            form class="stack" method="post" action="/operate" {
                                (frame.hidden(Action::QueueRemove))
                                input type="hidden" name="queue" value=(queue.queue);
                                p { "Its tasks then begin as fast as there are workers for them." }
                                (frame.confirm(Action::QueueRemove, &queue.queue, &format!("confirm-{at}")))
                                button class="button danger" { "Remove the limits" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The form for what holds for a queue; what is left empty is unlimited.
fn limits(frame: &Frame, id: &str, queue: Option<&QueueDocument>) -> Markup {
    let text = |number: Option<String>| number.unwrap_or_default();
    html! {
        form class="stack" method="post" action="/operate" {
            (frame.hidden(Action::QueueSet))
            @if let Some(queue) = queue { input type="hidden" name="queue" value=(queue.queue); }
            @else { (field(&format!("queue-{id}"), "queue", "Queue", "", "mail")) }
            div class="fields" {
                (field(&format!("concurrency-{id}"), "concurrency", "At a time",
                    &text(queue.and_then(|queue| queue.concurrency).map(|number| number.to_string())), "any number"))
                (field(&format!("rate-{id}"), "rate", "Begin at most",
                    &text(queue.and_then(|queue| queue.rate).map(|number| number.to_string())), "any number"))
                (field(&format!("seconds-{id}"), "rate_seconds", "in so many seconds",
                    &text(queue.and_then(|queue| queue.rate_seconds).map(|number| number.to_string())), "60"))
            }
            label class="check" {
                input type="checkbox" name="paused" value="true" checked[queue.is_some_and(|queue| queue.paused)];
                " Begin none of its steps"
            }
            button class="button" { "Set" }
        }
    }
}
