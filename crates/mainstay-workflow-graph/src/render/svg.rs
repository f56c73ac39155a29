//! A static picture for web pages: no script, nothing fetched, colours of light and dark pages.

use std::fmt::Write;

use super::layout::{Layout, Path, Place, layout};
use super::{Overlay, kind_word};
use crate::definition::Workflow;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1c2024;text-anchor:middle}\
.kind,.event{font-size:11px;fill:#60646c}rect{fill:#f9f9fb;stroke:#8b8d98}\
.start{stroke-width:2}.running rect,.waiting rect{fill:#e6f4fe;stroke:#0d74ce}.ended rect{fill:#e6f6eb;stroke:#218358}\
.failed rect{fill:#feebec;stroke:#ce2c31}.skipped,.abandoned{opacity:.5}\
path{fill:none;stroke:#8b8d98}marker path{fill:#8b8d98}.taken path{stroke:#218358;stroke-width:2}\
.skipped path{stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){text{fill:#edeef0}.kind,.event{fill:#b0b4ba}rect{fill:#212225}\
.running rect,.waiting rect{fill:#0d2847}.ended rect{fill:#132d21}.failed rect{fill:#3b1219}}";

/// The workflow as SVG. Every step and every line has its state as class; the words are in the picture, not only the colours.
#[must_use]
pub fn svg(flow: &Workflow, overlay: &Overlay) -> String {
    let Layout { width, height, places, paths } = layout(flow);
    let graph = flow.graph();
    let title = escaped(&format!("{} v{}", graph.name, graph.version));
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\"><title>{title}</title><style>{STYLE}</style>\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>"
    );
    for path in &paths {
        draw_path(&mut out, path, overlay.edges(&path.line.edges));
    }
    for place in &places {
        draw_place(&mut out, flow, place, overlay.step(place.node));
    }
    out.push_str("</svg>\n");
    out
}

fn draw_path(out: &mut String, path: &Path, word: &str) {
    let mut points = path.points.iter().copied();
    let Some(start) = points.next() else { return };
    let _ =
        write!(out, "<g class=\"line {word}\"><path marker-end=\"url(#arrow)\" d=\"M{} {}", start.0, start.1);
    let mut from = start;
    for to in points {
        let middle = usize::midpoint(from.1, to.1);
        let _ = write!(out, "C{} {middle} {} {middle} {} {}", from.0, to.0, to.0, to.1);
        from = to;
    }
    let first = path.points.get(1).copied().unwrap_or(start);
    let (x, y) = (usize::midpoint(start.0, first.0), usize::midpoint(start.1, first.1));
    let _ = writeln!(
        out,
        "\"/><text class=\"event\" x=\"{x}\" y=\"{y}\">{}</text></g>",
        escaped(&path.line.label)
    );
}

fn draw_place(out: &mut String, flow: &Workflow, place: &Place, word: &str) {
    let Some(node) = flow.node(place.node) else { return };
    let Place { left, top, width, height, .. } = *place;
    let radius = if node.is_done() { height / 2 } else { 6 };
    let start = if node.key == flow.graph().start { " start" } else { "" };
    let kind =
        if word.is_empty() { kind_word(node).to_owned() } else { format!("{}, {word}", kind_word(node)) };
    let centre = left + width / 2;
    let _ = writeln!(
        out,
        "<g class=\"step {word}{start}\"><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
         rx=\"{radius}\"/><text x=\"{centre}\" y=\"{}\">{}</text><text class=\"kind\" x=\"{centre}\" y=\"{}\">{kind}\
         </text></g>",
        top + 19,
        escaped(node.key.as_str()),
        top + 35,
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
