//! Pictures of a workflow: DOT, text and a static SVG, each with how far a run is if there is one.
//!
//! Pure functions of their arguments; equal arguments give equal texts, so that a picture can be a golden file.

mod dot;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use svg::{STYLE, svg, svg_unstyled};
pub use text::text;

use std::fmt::Write as _;

use crate::definition::Workflow;
use crate::graph::{Edge, Join, Kind, Node};

/// How far a run is. Without entries, only the workflow is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The word for the state of each step, such as `running`, in the order of [`Graph::nodes`](crate::graph::Graph).
    pub steps: Vec<&'static str>,
    /// The state of each edge, in the order of [`Index::edges`](crate::graph::Index).
    pub edges: Vec<Passage>,
}

/// What became of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Its source has not ended.
    Open,
    /// The run went this way.
    Taken,
    /// The run will not go this way.
    Skipped,
}

impl Overlay {
    /// The word for a step's state; empty without a run.
    fn step(&self, at: usize) -> &'static str {
        self.steps.get(at).copied().unwrap_or("")
    }

    /// The word for the state of edges that are drawn as one: taken if one of them is, skipped if all are.
    fn edges(&self, edges: &[usize]) -> &'static str {
        if self.edges.is_empty() {
            return "";
        }
        let is = |edge: &usize, wanted| self.edges.get(*edge) == Some(&wanted);
        if edges.iter().any(|edge| is(edge, Passage::Taken)) {
            "taken"
        } else if edges.iter().all(|edge| is(edge, Passage::Skipped)) {
            "skipped"
        } else {
            "open"
        }
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

/// The kind of a step with what it waits for: a time, some of its edges.
fn detail(node: &Node) -> String {
    let mut words = kind_word(node).to_owned();
    match &node.kind {
        Kind::Timer { expiry } => words = format!("{words}, {}", time(expiry.after_ms)),
        Kind::Wait { timeout: Some(expiry), .. } => {
            words = format!("{words}, up to {}", time(expiry.after_ms))
        }
        Kind::Child { workflow, .. } => words = format!("{words}: {workflow}"),
        _ => {}
    }
    match node.join {
        Join::All => {}
        Join::Any => words.push_str(", joins any"),
        Join::AtLeast(edges) => {
            let _ = write!(words, ", joins {edges}");
        }
    }
    if node.compensate.is_some() {
        words.push_str(", can be undone");
    }
    words
}

/// A time in the largest unit in which it is whole.
fn time(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let unit = units.into_iter().find(|(length, _)| ms != 0 && ms.is_multiple_of(*length));
    unit.map_or_else(|| "0 ms".to_owned(), |(length, name)| format!("{} {name}", ms / length))
}

/// Edges between the same two steps, drawn as one line with all their events.
#[derive(Debug, Clone)]
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
