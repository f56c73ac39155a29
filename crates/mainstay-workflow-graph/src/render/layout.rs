//! Where everything goes: steps in layers by their longest way from the start, lines through the layers that they cross.

use std::collections::BTreeMap;

use super::{Line, lines};
use crate::definition::Workflow;

const BOX_HEIGHT: usize = 44;
const LAYER_GAP: usize = 64;
const COLUMN_GAP: usize = 28;
const MARGIN: usize = 16;
/// The width that a line takes where it crosses a layer.
const LANE: usize = 12;

/// A step's box.
pub(super) struct Place {
    pub(super) node: usize,
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A line with the points that it passes.
pub(super) struct Path {
    pub(super) line: Line,
    pub(super) points: Vec<(usize, usize)>,
}

pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) places: Vec<Place>,
    pub(super) paths: Vec<Path>,
}

/// What takes room in a layer: a step, or a line that crosses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Node(usize),
    Lane(usize, usize),
}

pub(super) fn layout(flow: &Workflow) -> Layout {
    let depth = depths(flow);
    let deep = |node: usize| depth.get(node).copied().unwrap_or(0);
    let lines = lines(flow);
    let mut layers: Vec<Vec<Slot>> = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    let mut links: Vec<(Slot, Slot)> = Vec::new();
    for &node in &flow.index().order {
        put(&mut layers, deep(node), Slot::Node(node));
    }
    for (at, line) in lines.iter().enumerate() {
        let mut before = Slot::Node(line.from);
        for layer in deep(line.from) + 1..deep(line.to) {
            put(&mut layers, layer, Slot::Lane(at, layer));
            links.push((before, Slot::Lane(at, layer)));
            before = Slot::Lane(at, layer);
        }
        links.push((before, Slot::Node(line.to)));
    }
    for _ in 0..4 {
        sort(&mut layers, &links);
    }
    let (centres, width) = centres(flow, &layers);
    let x = |slot: Slot| centres.get(&slot).copied().unwrap_or(MARGIN);
    let top = |layer: usize| MARGIN + layer * (BOX_HEIGHT + LAYER_GAP);
    let places = flow.index().order.iter().map(|&node| {
        let width = slot_width(flow, Slot::Node(node));
        let left = x(Slot::Node(node)).saturating_sub(width / 2);
        Place { node, left, top: top(deep(node)), width, height: BOX_HEIGHT }
    });
    let places = places.collect();
    let path = |(at, line): (usize, Line)| {
        let mut points = vec![(x(Slot::Node(line.from)), top(deep(line.from)) + BOX_HEIGHT)];
        for layer in deep(line.from) + 1..deep(line.to) {
            let lane = x(Slot::Lane(at, layer));
            points.extend([(lane, top(layer)), (lane, top(layer) + BOX_HEIGHT)]);
        }
        points.push((x(Slot::Node(line.to)), top(deep(line.to))));
        Path { line, points }
    };
    let height = (top(layers.len()) + MARGIN).saturating_sub(LAYER_GAP);
    Layout { width, height, places, paths: lines.into_iter().enumerate().map(path).collect() }
}

fn put(layers: &mut [Vec<Slot>], layer: usize, slot: Slot) {
    if let Some(layer) = layers.get_mut(layer) {
        layer.push(slot);
    }
}

/// The longest way from the start, in steps.
fn depths(flow: &Workflow) -> Vec<usize> {
    let mut depth = vec![0; flow.graph().nodes.len()];
    for &node in &flow.index().order {
        let before = flow.index().incoming(node).filter_map(|edge| depth.get(edge.from));
        let deepest = before.max().map_or(0, |deepest| deepest + 1);
        if let Some(place) = depth.get_mut(node) {
            *place = deepest;
        }
    }
    depth
}

/// Orders each layer by the middle of what its slots are linked to in the layer above.
fn sort(layers: &mut [Vec<Slot>], links: &[(Slot, Slot)]) {
    let mut above: BTreeMap<Slot, usize> = BTreeMap::new();
    for layer in layers {
        let middle = |slot: Slot| {
            let linked: Vec<usize> = links
                .iter()
                .filter(|(_, to)| *to == slot)
                .filter_map(|(from, _)| above.get(from))
                .copied()
                .collect();
            linked.iter().sum::<usize>() * 1_000 / linked.len().max(1)
        };
        layer.sort_by_cached_key(|slot| middle(*slot));
        above = layer.iter().enumerate().map(|(at, slot)| (*slot, at)).collect();
    }
}

fn slot_width(flow: &Workflow, slot: Slot) -> usize {
    match slot {
        Slot::Node(node) => {
            flow.node(node).map_or(0, |node| node.key.as_str().chars().count() * 9 + 28).max(72)
        }
        Slot::Lane(..) => LANE,
    }
}

/// The middle of each slot, layers being centred under each other.
fn centres(flow: &Workflow, layers: &[Vec<Slot>]) -> (BTreeMap<Slot, usize>, usize) {
    let total = |layer: &Vec<Slot>| {
        let boxes: usize = layer.iter().map(|slot| slot_width(flow, *slot)).sum();
        boxes + COLUMN_GAP * layer.len().saturating_sub(1)
    };
    let widest = layers.iter().map(total).max().unwrap_or(0);
    let mut centres = BTreeMap::new();
    for layer in layers {
        let mut left = MARGIN + (widest - total(layer)) / 2;
        for slot in layer {
            let width = slot_width(flow, *slot);
            centres.insert(*slot, left + width / 2);
            left += width + COLUMN_GAP;
        }
    }
    (centres, widest + 2 * MARGIN)
}
