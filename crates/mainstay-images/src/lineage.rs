//! Which image comes from which: as data, as DOT and as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::digest::Digest;
use crate::error::Result;
use crate::ids::ImageId;
use crate::images::{Images, MAX_PAGE};

/// The style of the picture, for pages that allow no style but their own. Its rules hold inside the picture only.
pub const LINEAGE_STYLE: &str = "\
.mainstay-lineage{--ink:#1c2024;--soft:#60646c;--line:#9a9ca6;--box:#fcfcfd;--edge:#b9bbc6;--kept:#3e63dd;\
--busy:#0d74ce;--busy-box:#e6f4fe}\
@media(prefers-color-scheme:dark){.mainstay-lineage{--ink:#edeef0;--soft:#b0b4ba;--line:#777b84;--box:#212225;--edge:#5a6169;\
--kept:#9eb1ff;--busy:#70b8ff;--busy-box:#0d2847}}\
.mainstay-lineage text{font:13px system-ui,sans-serif;fill:var(--ink)}\
.mainstay-lineage .detail{font-size:11px;fill:var(--soft)}\
.mainstay-lineage rect{fill:var(--box);stroke:var(--edge)}\
.mainstay-lineage path{fill:none;stroke:var(--line)}\
.mainstay-lineage .kept rect{stroke:var(--kept)}\
.mainstay-lineage .leased rect{fill:var(--busy-box);stroke:var(--busy);stroke-width:2}\
.mainstay-lineage .loose rect{stroke-dasharray:4 3}";

/// An image in a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineageNode {
    /// Its number.
    pub image: ImageId,
    /// Its name.
    pub digest: Digest,
    /// What it comes from.
    pub parent: Option<ImageId>,
    /// What a person calls it.
    pub label: Option<String>,
    /// The names that point at it.
    pub names: Vec<String>,
    /// Its size in octets, each blob counted once.
    pub size_bytes: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// How many leases it has.
    pub leases: u64,
}

/// Which image comes from which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lineage(pub Vec<LineageNode>);

impl Images {
    /// Which image comes from which, in the whole store.
    ///
    /// # Errors
    /// Of the database.
    pub async fn lineage(&self) -> Result<Lineage> {
        let mut names: BTreeMap<ImageId, Vec<String>> = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.references(&after, MAX_PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            for reference in page {
                names.entry(reference.image).or_default().push(reference.name);
            }
        }
        let facts = self.facts().await?;
        let nodes = facts.into_iter().map(|image| LineageNode {
            image: image.id,
            digest: image.digest,
            parent: image.parent,
            label: image.label,
            names: names.remove(&image.id).unwrap_or_default(),
            size_bytes: image.size_bytes,
            pinned: image.pinned,
            leases: image.leases,
        });
        Ok(Lineage(nodes.collect()))
    }
}

impl LineageNode {
    /// What the picture says of it: a name if there is one, else a label, else the beginning of its digest.
    fn title(&self) -> String {
        let short = || self.digest.to_string().chars().take(12).collect();
        self.names.first().cloned().or_else(|| self.label.clone()).unwrap_or_else(short)
    }

    /// Whether anything but the policy keeps it, as a class of the picture. The words beside it say the same.
    const fn class(&self) -> &'static str {
        if self.leases > 0 {
            "leased"
        } else if self.pinned || !self.names.is_empty() {
            "kept"
        } else {
            "loose"
        }
    }

    fn detail(&self) -> String {
        let mut detail = size(self.size_bytes);
        if self.pinned {
            detail.push_str(", pinned");
        }
        if self.leases > 0 {
            let _ = write!(detail, ", {} leased", self.leases);
        }
        detail
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut left = bytes;
    let mut unit = "B";
    let mut rest = 0;
    for next in UNITS {
        if left < 1024 {
            break;
        }
        (rest, left, unit) = (left % 1024 * 10 / 1024, left / 1024, next);
    }
    format!("{left}.{rest} {unit}")
}

/// The size of a box, and the distance from one to the next, in pixels.
const WIDTH: usize = 200;
const HEIGHT: usize = 44;
const RIGHT: usize = 250;
const DOWN: usize = 64;

/// Columns and rows: a child stands a column right of its parent, below its elder siblings' children.
struct Places<'a> {
    nodes: BTreeMap<ImageId, &'a LineageNode>,
    children: BTreeMap<Option<ImageId>, Vec<ImageId>>,
}

impl<'a> Places<'a> {
    fn new(lineage: &'a Lineage) -> Self {
        let nodes: BTreeMap<ImageId, &LineageNode> =
            lineage.0.iter().map(|node| (node.image, node)).collect();
        let mut children: BTreeMap<Option<ImageId>, Vec<ImageId>> = BTreeMap::new();
        for node in &lineage.0 {
            // A parent that is not in the picture leaves a root.
            children
                .entry(node.parent.filter(|parent| nodes.contains_key(parent)))
                .or_default()
                .push(node.image);
        }
        Self { nodes, children }
    }

    /// Each image with its column and row.
    fn place(&self) -> BTreeMap<ImageId, (usize, usize)> {
        let mut places = BTreeMap::new();
        let of = |parent: Option<ImageId>| self.children.get(&parent).map_or(&[][..], Vec::as_slice);
        let mut stack: Vec<(ImageId, usize)> = of(None).iter().rev().map(|image| (*image, 0)).collect();
        let mut row = 0;
        while let Some((image, column)) = stack.pop() {
            places.insert(image, (column, row));
            let children = of(Some(image));
            if children.is_empty() {
                row += 1;
            }
            stack.extend(children.iter().rev().map(|child| (*child, column + 1)));
        }
        places
    }
}

impl Lineage {
    /// The graph in the language of Graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut dot = String::from("digraph lineage {\n  rankdir=LR;\n  node [shape=box];\n");
        for node in &self.0 {
            let _ = writeln!(
                dot,
                "  i{} [label=\"{}\\n{}\"];",
                node.image,
                quoted(&node.title()),
                quoted(&node.detail())
            );
            if let Some(parent) = node.parent {
                let _ = writeln!(dot, "  i{parent} -> i{};", node.image);
            }
        }
        dot.push_str("}\n");
        dot
    }

    /// The graph as a picture that needs no other file.
    #[must_use]
    pub fn svg(&self) -> String {
        self.drawn(&format!("<style>{LINEAGE_STYLE}</style>"))
    }

    /// The same picture without its [style](LINEAGE_STYLE), for a page that has it already.
    #[must_use]
    pub fn svg_unstyled(&self) -> String {
        self.drawn("")
    }

    fn drawn(&self, style: &str) -> String {
        let graph = Places::new(self);
        let places = graph.place();
        let columns = places.values().map(|(column, _)| column + 1).max().unwrap_or(1);
        let rows = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
        let (width, height) = (columns * RIGHT + 16 + WIDTH - RIGHT, rows * DOWN + 16 + HEIGHT - DOWN);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mainstay-lineage\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\"><title>Which image comes from which</title>{style}\n"
        );
        for (image, (column, row)) in &places {
            let Some(node) = graph.nodes.get(image) else { continue };
            let (x, y) = (column * RIGHT + 8, row * DOWN + 8);
            if let Some((from, at)) = node.parent.and_then(|parent| places.get(&parent)) {
                let (x1, y1) = (from * RIGHT + 8 + WIDTH, at * DOWN + 8 + HEIGHT / 2);
                let (x2, y2) = (x, y + HEIGHT / 2);
                let middle = (x1 + x2) / 2;
                let _ = writeln!(svg, "<path d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>");
            }
            let _ = writeln!(
                svg,
                "<g class=\"{}\"><title>sha256:{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
                 rx=\"5\"/><text x=\"{}\" y=\"{}\">{}</text><text class=\"detail\" x=\"{}\" y=\"{}\">{}</text></g>",
                node.class(),
                node.digest,
                x + 8,
                y + 18,
                escaped(&shortened(&node.title())),
                x + 8,
                y + 35,
                escaped(&node.detail())
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// As much of a title as a box holds.
fn shortened(title: &str) -> String {
    if title.chars().count() <= 26 {
        return title.to_owned();
    }
    title.chars().take(25).chain(['…']).collect()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(image: i64, parent: Option<i64>, name: &str) -> LineageNode {
        LineageNode {
            image: ImageId(image),
            digest: Digest::of(name.as_bytes()),
            parent: parent.map(ImageId),
            label: None,
            names: vec![name.to_owned()],
            size_bytes: 1536,
            pinned: image == 1,
            leases: 0,
        }
    }

    #[test]
    fn children_stand_right_of_their_parents_and_no_two_in_one_place() {
        let lineage = Lineage(vec![
            node(1, None, "a"),
            node(2, Some(1), "b"),
            node(3, Some(1), "c"),
            node(4, Some(3), "d"),
            node(5, Some(99), "orphaned"),
        ]);
        let places = Places::new(&lineage).place();
        let at = |image| places[&ImageId(image)];
        assert_eq!([at(1), at(2), at(3), at(4), at(5)], [(0, 0), (1, 0), (1, 1), (2, 1), (0, 2)]);
    }

    #[test]
    fn the_picture_says_what_keeps_an_image_and_leaves_colours_to_its_style() {
        let mut loose = node(2, Some(1), "b");
        loose.names.clear();
        let leased = LineageNode { leases: 2, ..node(3, Some(1), "c") };
        let lineage = Lineage(vec![node(1, None, "a"), loose, leased]);
        let plain = lineage.svg_unstyled();
        for class in ["kept", "loose", "leased"] {
            assert_eq!(plain.matches(&format!("<g class=\"{class}\">")).count(), 1, "{plain}");
        }
        assert!(plain.contains("2 leased"), "the words say it too: {plain}");
        assert!(!plain.contains('#') && !plain.contains("style"), "{plain}");
        assert!(lineage.svg().contains(LINEAGE_STYLE));
        // The picture ends where its last box does.
        assert!(plain.contains("viewBox=\"0 0 466 124\""), "{plain}");
    }

    #[test]
    fn what_a_person_wrote_does_not_break_out() {
        let hostile = Lineage(vec![node(1, None, "<script>\"&\\")]);
        assert!(!hostile.svg().contains("<script>") && hostile.svg().contains("&lt;script&gt;"));
        assert!(hostile.dot().contains("<script>\\\"&\\\\\\n1.5 KiB, pinned"));
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
