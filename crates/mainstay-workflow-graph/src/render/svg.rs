//! A static picture for web pages: no script, nothing fetched, colours of light and dark pages.

use std::fmt::Write;

use super::layout::{Layout, PIXEL, Path, Place, layout};
use super::{Overlay, detail, lines};
use crate::definition::Workflow;
use crate::graph::Node;

/// The style of pictures, for pages that allow no style but their own. Its rules hold inside pictures only; the colours are variables.
pub const STYLE: &str = "\
.mainstay-graph{--ink:#1c2024;--soft:#60646c;--line:#9a9ca6;--box:#fcfcfd;--edge:#b9bbc6;--pill:#fff;\
--go:#218358;--go-box:#e6f6eb;--busy:#0d74ce;--busy-box:#e6f4fe;--bad:#ce2c31;--bad-box:#feebec}\
@media(prefers-color-scheme:dark){.mainstay-graph{--ink:#edeef0;--soft:#b0b4ba;--line:#777b84;--box:#212225;--edge:#5a6169;\
--pill:#18191b;--go:#3dd68c;--go-box:#132d21;--busy:#70b8ff;--busy-box:#0d2847;--bad:#ff9592;--bad-box:#3b1219}}\
.mainstay-graph text{font:13px system-ui,sans-serif;fill:var(--ink);text-anchor:middle}\
.mainstay-graph .key{font-weight:600}\
.mainstay-graph .kind,.mainstay-graph .event{font-size:11px;fill:var(--soft)}\
.mainstay-graph rect{fill:var(--box);stroke:var(--edge)}\
.mainstay-graph .start rect,.mainstay-graph .done rect{stroke-width:2}\
.mainstay-graph path{fill:none;stroke:var(--line);stroke-width:1.25}\
.mainstay-graph .head{fill:var(--line);stroke:none}\
.mainstay-graph .pill{fill:var(--pill);stroke:var(--line);stroke-width:.75}\
.mainstay-graph .running rect,.mainstay-graph .waiting rect{fill:var(--busy-box);stroke:var(--busy);stroke-width:2}\
.mainstay-graph .ended rect{fill:var(--go-box);stroke:var(--go)}\
.mainstay-graph .undone rect{stroke:var(--go);stroke-dasharray:4 4}\
.mainstay-graph .failed rect{fill:var(--bad-box);stroke:var(--bad);stroke-width:2}\
.mainstay-graph .step.skipped,.mainstay-graph .abandoned{opacity:.5}\
.mainstay-graph .taken path{stroke:var(--go);stroke-width:2}.mainstay-graph .taken .head{fill:var(--go);stroke:none}\
.mainstay-graph .taken .pill{stroke:var(--go)}.mainstay-graph .taken .event{fill:var(--go)}\
.mainstay-graph .line.skipped{opacity:.55}.mainstay-graph .line.skipped path{stroke-dasharray:4 4}\
.mainstay-graph .line.skipped .head{stroke-dasharray:none}";

/// The workflow as SVG. Every step and every line has its state as class; the words are in the picture, not only the colours.
#[must_use]
pub fn svg(flow: &Workflow, overlay: &Overlay) -> String {
    drawn(flow, overlay, &format!("<style>{STYLE}</style>"))
}

/// The same picture without its [`STYLE`], for a page that has it already.
#[must_use]
pub fn svg_unstyled(flow: &Workflow, overlay: &Overlay) -> String {
    drawn(flow, overlay, "")
}

fn drawn(flow: &Workflow, overlay: &Overlay, style: &str) -> String {
    let words = |at: usize, node: &Node| [node.key.to_string(), kind_line(node, overlay.step(at))];
    let Layout { width, height, places, paths } = layout(flow, &lines(flow), &words);
    let graph = flow.graph();
    let title = escaped(&format!("{} v{}", graph.name, graph.version));
    let (width, height) = (px(width), px(height));
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mainstay-graph\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\"><title>{title}</title>{style}"
    );
    // What was taken lies above what was not.
    let state = |path: &Path| overlay.edges(&path.line.edges);
    let (above, below): (Vec<&Path>, Vec<&Path>) = paths.iter().partition(|path| state(path) == "taken");
    for path in below.into_iter().chain(above) {
        draw_path(&mut out, path, state(path));
    }
    for (at, place) in places.iter().enumerate() {
        draw_place(&mut out, flow, at, place, overlay.step(at));
    }
    out.push_str("</svg>\n");
    out
}

fn kind_line(node: &Node, word: &str) -> String {
    // That nothing has happened yet needs no word.
    if word.is_empty() || word == "idle" { detail(node) } else { format!("{}, {word}", detail(node)) }
}

/// A length in pixels, with a tenth where it has one.
fn px(tenths: i64) -> String {
    match tenths % PIXEL {
        0 => (tenths / PIXEL).to_string(),
        rest => format!("{}.{rest}", tenths / PIXEL),
    }
}

const HEAD: i64 = 7 * PIXEL;

fn draw_path(out: &mut String, path: &Path, word: &str) {
    let (Some(first), Some(last)) = (path.points.first(), path.points.last()) else { return };
    let _ = write!(out, "<g class=\"line {word}\"><path d=\"M{} {}", px(first.0), px(first.1));
    let mut from = *first;
    for (at, to) in path.points.iter().enumerate().skip(1) {
        // The last piece ends where the head begins.
        let to = if at + 1 == path.points.len() { (to.0, to.1 - HEAD + PIXEL) } else { *to };
        if from.0 == to.0 {
            let _ = write!(out, "V{}", px(to.1));
        } else {
            let middle = px(i64::midpoint(from.1, to.1));
            let _ = write!(out, "C{} {middle} {} {middle} {} {}", px(from.0), px(to.0), px(to.0), px(to.1));
        }
        from = to;
    }
    let (x, y) = *last;
    let (left, right, top) = (px(x - HEAD / 2), px(x + HEAD / 2), px(y - HEAD));
    let _ = write!(out, "\"/><path class=\"head\" d=\"M{left} {top}H{right}L{} {}z\"/>", px(x), px(y));
    let Place { left, top, width, height } = path.label;
    let _ = writeln!(
        out,
        "<rect class=\"pill\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/><text class=\"event\" x=\"{}\" \
         y=\"{}\">{}</text></g>",
        px(left),
        px(top),
        px(width),
        px(height),
        px(height / 2),
        px(left + width / 2),
        px(top + 14 * PIXEL),
        escaped(&path.line.label)
    );
}

fn draw_place(out: &mut String, flow: &Workflow, at: usize, place: &Place, word: &str) {
    let Some(node) = flow.node(at) else { return };
    let Place { left, top, width, height } = *place;
    let radius = if node.is_done() { height / 2 } else { 8 * PIXEL };
    let start = if node.key == flow.graph().start { " start" } else { "" };
    let done = if node.is_done() { " done" } else { "" };
    let centre = px(left + width / 2);
    let key = escaped(node.key.as_str());
    let _ = writeln!(
        out,
        "<g class=\"step {word}{start}{done}\" data-step=\"{key}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>\
         <text class=\"key\" x=\"{centre}\" y=\"{}\">{key}</text><text class=\"kind\" x=\"{centre}\" y=\"{}\">{}</text></g>",
        px(left),
        px(top),
        px(width),
        px(height),
        px(radius),
        px(top + 20 * PIXEL),
        px(top + 36 * PIXEL),
        escaped(&kind_line(node, word)),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
