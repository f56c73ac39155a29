//! What makes a picture readable, for many graphs: nothing lies on anything else.

use super::{Layout, PIXEL, Place, layout};
use crate::definition::{Definition, Workflow};
use crate::graph::Node;
use crate::render::lines;

/// A graph from a number: each step leads to one to three later ones, by up to three events.
fn workflow(seed: u64, steps: usize) -> Workflow {
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut reached = vec![false; steps + 1];
    let mut definition = Definition::new("random", 1);
    for at in 0..steps {
        let mut targets: Vec<usize> = (0..=random(3)).map(|_| at + 1 + random((steps - at).min(5))).collect();
        if !reached[at + 1] {
            targets.push(at + 1);
        }
        targets.sort_unstable();
        targets.dedup();
        targets.iter().for_each(|target| reached[*target] = true);
        let mut node = Node::task(&format!("step{at}"), targets.iter().map(|target| format!("to{target}")));
        for target in &targets {
            let key = if *target == steps { "end".to_owned() } else { format!("step{target}") };
            node = node.on(&format!("to{target}"), [key]);
        }
        definition = definition.node(node);
    }
    definition.done("end").build().unwrap()
}

fn drawn(flow: &Workflow) -> Layout {
    layout(flow, &lines(flow), &|_, node| [node.key.to_string(), "task".to_owned()])
}

fn apart(a: &Place, b: &Place) -> bool {
    a.left + a.width <= b.left
        || b.left + b.width <= a.left
        || a.top + a.height <= b.top
        || b.top + b.height <= a.top
}

/// Whether a piece of a line, taken as the box that holds it, stays out of another box but for its edge.
fn outside(a: (i64, i64), b: (i64, i64), place: &Place) -> bool {
    let (left, right) = (a.0.min(b.0), a.0.max(b.0));
    let (top, bottom) = (a.1.min(b.1), a.1.max(b.1));
    right <= place.left
        || left >= place.left + place.width
        || bottom <= place.top
        || top >= place.top + place.height
}

#[test]
fn nothing_lies_on_anything_else() {
    for seed in 0..60 {
        let flow = workflow(seed, 4 + usize::try_from(seed % 13).unwrap());
        let Layout { width, height, places, paths } = drawn(&flow);
        let labels: Vec<&Place> = paths.iter().map(|path| &path.label).collect();
        let boxes: Vec<&Place> = places.iter().chain(labels.iter().copied()).collect();
        for (at, one) in boxes.iter().enumerate() {
            assert!(one.left >= 0 && one.top >= 0, "graph {seed}: {one:?} is off the picture");
            assert!(one.left + one.width <= width && one.top + one.height <= height, "graph {seed}: {one:?}");
            for other in &boxes[at + 1..] {
                assert!(apart(one, other), "graph {seed}: {one:?} lies on {other:?}");
            }
        }
        for path in &paths {
            for piece in path.points.windows(2) {
                let own = |place: &&&Place| std::ptr::eq(**place, &path.label);
                let hit = boxes
                    .iter()
                    .filter(|place| !own(place))
                    .find(|place| !outside(piece[0], piece[1], place));
                assert!(hit.is_none(), "graph {seed}: {:?} runs through {hit:?}", path.line.label);
            }
        }
    }
}

#[test]
fn lines_end_at_the_boxes_that_they_link() {
    let flow = workflow(7, 12);
    let Layout { places, paths, .. } = drawn(&flow);
    for path in &paths {
        let (from, to) = (&places[path.line.from], &places[path.line.to]);
        let (first, last) = (path.points[0], path.points[path.points.len() - 1]);
        assert!(first.0 > from.left && first.0 < from.left + from.width && first.1 == from.top + from.height);
        assert!(last.0 > to.left && last.0 < to.left + to.width && last.1 == to.top);
    }
}

#[test]
fn a_graph_that_can_be_drawn_without_crossings_is() {
    // A branch that is given up from three places, beside one that goes on: sorting alone leaves two lines that cross.
    let task = |key: &str, routes: &[(&str, &[&str])]| {
        let node = Node::task(key, routes.iter().map(|(event, _)| *event));
        routes.iter().fold(node, |node, (event, targets)| node.on(event, targets.iter().copied()))
    };
    let flow = Definition::new("order", 1)
        .node(task("reserve", &[("Reserved", &["charge"]), ("SoldOut", &["apologise"])]))
        .node(task("charge", &[("Paid", &["book"]), ("Declined", &["other_card"])]))
        .node(task("other_card", &[("Given", &["charge_other"]), ("Expired", &["apologise"])]))
        .node(task("charge_other", &[("Paid", &["book"]), ("Declined", &["apologise"])]))
        .node(task("book", &[("Booked", &["pack", "objection"])]))
        .node(task("pack", &[("Packed", &["ship"])]))
        .node(task("objection", &[("Passed", &["ship"])]))
        .node(task("ship", &[("Shipped", &["thank"])]))
        .node(task("thank", &[("Done", &["end"])]))
        .node(task("apologise", &[("Done", &["end"])]))
        .done("end")
        .build()
        .unwrap();
    let paths = drawn(&flow).paths;
    let at_height = |path: &super::Path, y: i64| {
        let piece = path.points.windows(2).find(|piece| piece[0].1 <= y && y <= piece[1].1)?;
        let (from, to) = (piece[0], piece[1]);
        Some(from.0 + (to.0 - from.0) * (y - from.1) / (to.1 - from.1).max(1))
    };
    for (at, one) in paths.iter().enumerate() {
        for other in &paths[at + 1..] {
            let bottom = one.points.iter().chain(&other.points).map(|point| point.1).max().unwrap();
            let sides = (0..bottom / PIXEL)
                .filter_map(|y| Some(at_height(one, y * PIXEL)? - at_height(other, y * PIXEL)?));
            let sides: Vec<i64> = sides.map(i64::signum).filter(|side| *side != 0).collect();
            assert!(
                sides.windows(2).all(|pair| pair[0] == pair[1]),
                "{} crosses {}",
                one.line.label,
                other.line.label
            );
        }
    }
}
