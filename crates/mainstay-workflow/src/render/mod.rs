//! Pictures of a workflow: DOT, text and a static SVG, each with the state of a run if there is one.
//!
//! Pure functions of their arguments; equal arguments give equal texts, so that a picture can be a golden file.

mod dot;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use svg::svg;
pub use text::text;

use crate::definition::Workflow;
use crate::graph::{Edge, Kind, Node};
use crate::plan::{EdgeState, State, StepState};

/// The state of a run, if it belongs to the workflow.
fn fitting<'a>(flow: &Workflow, state: Option<&'a State>) -> Option<&'a State> {
    state.filter(|state| state.fingerprint == flow.fingerprint())
}

/// The word for a step's state; empty without a run.
fn step_word(state: Option<&State>, at: usize) -> &'static str {
    state.and_then(|state| state.steps().get(at)).map_or("", StepState::word)
}

/// The word for the state of edges that are drawn as one: taken if one of them is, skipped if all are.
fn edge_word(state: Option<&State>, edges: &[usize]) -> &'static str {
    let Some(state) = state else { return "" };
    let is = |edge: &usize, wanted| state.edges().get(*edge) == Some(&wanted);
    if edges.iter().any(|edge| is(edge, EdgeState::Taken)) {
        "taken"
    } else if edges.iter().all(|edge| is(edge, EdgeState::Skipped)) {
        "skipped"
    } else {
        "open"
    }
}

fn kind_word(node: &Node) -> &'static str {
    match node.kind {
        Kind::Task { tx: false, .. } => "task",
        Kind::Task { tx: true, .. } => "tx task",
        Kind::Wait { .. } => "wait",
        Kind::Timer { .. } => "timer",
        Kind::Child { .. } => "child",
        Kind::Map { .. } => "map",
        Kind::Done => "done",
    }
}

/// Edges between the same two steps, drawn as one line with all their events.
struct Line {
    from: usize,
    to: usize,
    edges: Vec<usize>,
    label: String,
}

fn lines(flow: &Workflow) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (at, Edge { from, to, event, .. }) in flow.index().edges.iter().enumerate() {
        match lines.iter_mut().find(|line| line.from == *from && line.to == *to) {
            Some(line) => {
                line.edges.push(at);
                line.label = format!("{}, {event}", line.label);
            }
            None => lines.push(Line { from: *from, to: *to, edges: vec![at], label: event.to_string() }),
        }
    }
    lines
}
