//! Where everything goes: steps in rows by their longest way from the start, what stands on the lines in rows between them.
//!
//! Every line has a place of its own in each row that it crosses, so it runs through no box and no label. Lengths are tenths of a pixel.

mod place;
mod rows;
#[cfg(test)]
mod tests;

use super::Line;
use crate::definition::Workflow;
use crate::graph::Node;
use rows::{Row, Slot};

/// A pixel.
pub(super) const PIXEL: i64 = 10;
const BOX_HEIGHT: i64 = 46 * PIXEL;
const LABEL_HEIGHT: i64 = 20 * PIXEL;
/// What lies between two rows: room for the lines to turn.
const GAP: i64 = 20 * PIXEL;
const MARGIN: i64 = 12 * PIXEL;
/// Between two lines at one box.
const PORT_GAP: i64 = 22 * PIXEL;

/// A box: of a step, or of what stands on a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

/// A line with the points that it passes, straight from an even one to the next.
pub(super) struct Path {
    pub(super) line: Line,
    pub(super) label: Place,
    pub(super) points: Vec<(i64, i64)>,
}

pub(super) struct Layout {
    pub(super) width: i64,
    pub(super) height: i64,
    /// By the number of the step.
    pub(super) places: Vec<Place>,
    pub(super) paths: Vec<Path>,
}

/// What is written into the box of a step: its name, and what it does.
pub(super) type Words<'a> = &'a dyn Fn(usize, &Node) -> [String; 2];

pub(super) fn layout(flow: &Workflow, lines: &[Line], words: Words<'_>) -> Layout {
    let step_width = |at: usize| {
        let [name, kind] = flow.node(at).map_or_else(Default::default, |node| words(at, node));
        (text_width(&name, 78) + 30 * PIXEL).max(text_width(&kind, 62) + 22 * PIXEL).max(84 * PIXEL)
    };
    let label_width =
        |line: usize| lines.get(line).map_or(0, |line| text_width(&line.label, 62) + 16 * PIXEL);
    let width = |slot: Slot| match slot {
        Slot::Step(at) => step_width(at),
        Slot::Label(line) => label_width(line),
        Slot::Lane(..) => 2 * PIXEL,
    };
    let rows = rows::rows(flow, lines);
    let centres = place::centres(&rows, &width);
    let tops = tops(&rows.rows);
    let total = tops.last().copied().unwrap_or(0) + BOX_HEIGHT + MARGIN;
    let boxed = |slot: Slot, row: usize, height: i64| {
        let centre = centres.get(&slot).copied().unwrap_or(0) + MARGIN;
        Place {
            left: centre - width(slot) / 2,
            top: tops.get(row).copied().unwrap_or(0),
            width: width(slot),
            height,
        }
    };
    let nodes = flow.graph().nodes.len();
    let places: Vec<Place> =
        (0..nodes).map(|at| boxed(Slot::Step(at), rows.row_of(at), BOX_HEIGHT)).collect();
    let ports = Ports::new(&rows, &places, lines, &centres);
    let paths = lines.iter().enumerate().map(|(at, line)| {
        let label = boxed(Slot::Label(at), rows.row_of(line.from) + 1, LABEL_HEIGHT);
        let mut points = vec![ports.leaving(at)];
        for row in rows.row_of(line.from) + 1..rows.row_of(line.to) {
            let slot = if row == rows.row_of(line.from) + 1 { Slot::Label(at) } else { Slot::Lane(at, row) };
            let height = if row % 2 == 0 { BOX_HEIGHT } else { LABEL_HEIGHT };
            let place = boxed(slot, row, height);
            let x = place.left + place.width / 2;
            points.extend([(x, place.top), (x, place.top + height)]);
        }
        points.push(ports.arriving(at));
        Path { line: line.clone(), label, points }
    });
    let paths: Vec<Path> = paths.collect();
    let right =
        places.iter().chain(paths.iter().map(|path| &path.label)).map(|place| place.left + place.width).max();
    Layout { width: right.unwrap_or(0) + MARGIN, height: total, places, paths }
}

/// How wide a text is, by the mean width of its characters in tenths of a pixel.
fn text_width(text: &str, character: i64) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(0) * character
}

/// The upper edge of each row: steps and labels take turns.
fn tops(rows: &[Row]) -> Vec<i64> {
    let mut top = MARGIN;
    let tops = rows.iter().enumerate().map(|(at, _)| {
        let here = top;
        top += GAP + if at % 2 == 0 { BOX_HEIGHT } else { LABEL_HEIGHT };
        here
    });
    tops.collect()
}

/// Where lines leave and enter boxes: side by side, in the order in which they come from or go to their next slots.
struct Ports {
    outgoing: Vec<(i64, i64)>,
    incoming: Vec<(i64, i64)>,
}

impl Ports {
    fn new(rows: &rows::Rows, places: &[Place], lines: &[Line], centres: &place::Centres) -> Self {
        let mut ports = Self { outgoing: vec![(0, 0); lines.len()], incoming: vec![(0, 0); lines.len()] };
        let centre = |slot: Slot| centres.get(&slot).copied().unwrap_or(0);
        for (at, place) in places.iter().enumerate() {
            let mut leaving: Vec<usize> = (0..lines.len())
                .filter(|line| lines.get(*line).is_some_and(|line| line.from == at))
                .collect();
            leaving.sort_by_key(|line| centre(Slot::Label(*line)));
            spread(&mut ports.outgoing, &leaving, place, place.top + place.height);
            let mut arriving: Vec<usize> =
                (0..lines.len()).filter(|line| lines.get(*line).is_some_and(|line| line.to == at)).collect();
            arriving.sort_by_key(|line| centre(rows.last_slot(*line, lines)));
            spread(&mut ports.incoming, &arriving, place, place.top);
        }
        ports
    }

    fn leaving(&self, line: usize) -> (i64, i64) {
        self.outgoing.get(line).copied().unwrap_or_default()
    }

    fn arriving(&self, line: usize) -> (i64, i64) {
        self.incoming.get(line).copied().unwrap_or_default()
    }
}

fn spread(ports: &mut [(i64, i64)], lines: &[usize], place: &Place, y: i64) {
    let gaps = i64::try_from(lines.len()).unwrap_or(1) - 1;
    let room = place.width - 24 * PIXEL;
    let gap = if gaps > 0 { PORT_GAP.min(room / gaps) } else { 0 };
    let mut x = place.left + place.width / 2 - gap * gaps / 2;
    for line in lines {
        if let Some(port) = ports.get_mut(*line) {
            *port = (x, y);
        }
        x += gap;
    }
}
