//! DOT, for Graphviz.

use std::fmt::Write;

use super::{Overlay, kind_word, lines};
use crate::definition::Workflow;

/// The workflow in the language of Graphviz.
#[must_use]
pub fn dot(flow: &Workflow, overlay: &Overlay) -> String {
    let graph = flow.graph();
    let mut out = String::new();
    let name = quoted(&format!("{} v{}", graph.name, graph.version));
    let _ = writeln!(out, "digraph {name} {{\n  rankdir=TB;\n  node [shape=box, style=rounded];");
    for (at, node) in graph.nodes.iter().enumerate() {
        let word = overlay.step(at);
        let shape = if node.is_done() { "doublecircle" } else { "box" };
        let bold = if node.key == graph.start { ", penwidth=2" } else { "" };
        let class = if word.is_empty() { String::new() } else { format!(", class={}", quoted(word)) };
        let label = quoted(&format!("{}\n{}", node.key, kind_word(node)));
        let _ = writeln!(out, "  n{at} [label={label}, shape={shape}{bold}{class}];");
    }
    for line in lines(flow) {
        let style = match overlay.edges(&line.edges) {
            "taken" => ", penwidth=2",
            "skipped" => ", style=dashed, color=gray",
            _ => "",
        };
        let _ = writeln!(out, "  n{} -> n{} [label={}{style}];", line.from, line.to, quoted(&line.label));
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
