//! Plain text, for terminals and documents.

use std::fmt::Write;

use super::{Overlay, kind_word};
use crate::definition::Workflow;
use crate::graph::{Join, Mode, Route, StepKey};

/// The steps in an order in which they can run, each with where its events lead: `&` is "and", `|` is "one of", `+` is "some of".
#[must_use]
pub fn text(flow: &Workflow, overlay: &Overlay) -> String {
    let (graph, index) = (flow.graph(), flow.index());
    let mut out = format!("{} v{}\n", graph.name, graph.version);
    for &at in &index.order {
        let Some(node) = flow.node(at) else { continue };
        let join = match node.join {
            Join::All => String::new(),
            Join::Any => ", any".to_owned(),
            Join::AtLeast(needs) => format!(", {needs} of {}", index.incoming_ids(at).len()),
        };
        let word = overlay.step(at);
        let word = if word.is_empty() { String::new() } else { format!(": {word}") };
        let _ = writeln!(out, "{} ({}{join}){word}", node.key, kind_word(node));
        for route in &node.routes {
            let edges = index.outgoing_ids(at).iter().copied();
            let edges: Vec<usize> = edges
                .filter(|edge| index.edges.get(*edge).is_some_and(|edge| edge.event == route.event))
                .collect();
            let mark = match overlay.edges(&edges) {
                "taken" => "*",
                "skipped" => "x",
                _ => " ",
            };
            let _ = writeln!(out, " {mark}{} -> {}", route.event, targets(route));
        }
    }
    out
}

fn targets(route: &Route) -> String {
    let names: Vec<&str> = route.targets.iter().map(StepKey::as_str).collect();
    names.join(match route.mode {
        Mode::All => " & ",
        Mode::One => " | ",
        Mode::Some => " + ",
    })
}
