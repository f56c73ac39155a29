//! Nodes of applications: who lives, and what is in whose hands.

use axum::response::Response;
use maud::{Markup, html};

use super::frame::{Frame, Tab};
use crate::workflow::settings::NodeDocument;

/// `GET /nodes`.
pub(super) fn page(frame: &Frame, nodes: &[NodeDocument]) -> Response {
    let body = html! {
        section class="panel section" {
            div class="head" { h2 { "Nodes" } span class="tag" { (nodes.len()) } }
            @if nodes.is_empty() {
                div class="body" {
                    p { "No application works here at the moment: runs wait until one does." }
                }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Nodes" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Node" } th scope="col" { "Started (UTC)" } th scope="col" { "Heard of (UTC)" }
                                th scope="col" { "In its hands" }
                            }
                        }
                        tbody { @for node in nodes { (row(frame, node)) } }
                    }
                }
            }
        }
    };
    let lead =
        "The processes that run steps. One that falls silent is given up, and others take its tasks over.";
    frame.page(Tab::Nodes, "Nodes", lead, &body)
}

fn row(frame: &Frame, node: &NodeDocument) -> Markup {
    html! {
        tr role="row" {
            td role="cell" {
                span class="mono" { (node.name) } " "
                @if node.dead_at.is_some() { span class="tag bad" { "given up" } } @else { span class="tag good" { "alive" } }
            }
            td role="cell" data-label="Started (UTC)" { (second(&node.started_at)) }
            td role="cell" data-label="Heard of (UTC)" { (second(&node.seen_at)) }
            td role="cell" data-label="In its hands" {
                (node.tasks) " tasks"
                @for task in &node.held {
                    span class="hint" {
                        a class="mono" href=(frame.link(&format!("/runs/{}", task.run))) { (task.run) } " " code { (task.attempt) }
                    }
                }
                @if node.tasks > node.held.len() as u64 { span class="hint" { "and more" } }
            }
        }
    }
}

/// An instant to the second.
fn second(instant: &str) -> Markup {
    let shown = instant.get(..19).map(|second| second.replace('T', " "));
    html! { time datetime=(instant) { (shown.as_deref().unwrap_or(instant)) } }
}
