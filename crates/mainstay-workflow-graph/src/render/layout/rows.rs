//! Which row everything stands in, and in which order, so that few lines cross.

use crate::definition::Workflow;
use crate::render::Line;

/// What takes room in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Slot {
    /// A step.
    Step(usize),
    /// What stands on a line, in the row below the step that it leaves.
    Label(usize),
    /// A line where it crosses a row.
    Lane(usize, usize),
}

/// The slots of a row, from the left.
pub(super) type Row = Vec<Slot>;

pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The row of each step.
    row_of: Vec<usize>,
    /// From each row to the next: which slots are linked.
    pub(super) links: Vec<Vec<(Slot, Slot)>>,
}

/// How often the rows are sorted, down and up.
const SWEEPS: usize = 6;
/// How often the search for an order begins at most, and for how many slots in all: a large picture is drawn while somebody compiles.
const BEGINNINGS: usize = 24;
const WORK: usize = 2_000;

pub(super) fn rows(flow: &Workflow, lines: &[Line]) -> Rows {
    let row_of: Vec<usize> = depths(flow).into_iter().map(|depth| 2 * depth).collect();
    let count = row_of.iter().max().map_or(0, |last| last + 1);
    let mut rows = Rows { rows: vec![Row::new(); count], row_of, links: vec![Vec::new(); count] };
    for &step in &flow.index().order {
        rows.put(rows.row_of(step), Slot::Step(step));
    }
    for (at, line) in lines.iter().enumerate() {
        let (first, last) = (rows.row_of(line.from), rows.row_of(line.to));
        let mut before = Slot::Step(line.from);
        for row in first + 1..=last {
            let slot = if row == last {
                Slot::Step(line.to)
            } else if row == first + 1 {
                Slot::Label(at)
            } else {
                Slot::Lane(at, row)
            };
            if row != last {
                rows.put(row, slot);
            }
            if let Some(links) = rows.links.get_mut(row - 1) {
                links.push((before, slot));
            }
            before = slot;
        }
    }
    rows.uncross();
    rows
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

/// How a tie is broken: as it stands at first, then in orders that differ from row to row.
fn tie(beginning: usize, at: usize) -> usize {
    if beginning == 0 {
        at
    } else {
        at.wrapping_add(1).wrapping_mul(0x9e37_79b1).wrapping_mul(2 * beginning + 1) >> 7 & 0xff
    }
}

impl Rows {
    fn put(&mut self, row: usize, slot: Slot) {
        if let Some(row) = self.rows.get_mut(row) {
            row.push(slot);
        }
    }

    pub(super) fn row_of(&self, step: usize) -> usize {
        self.row_of.get(step).copied().unwrap_or(0)
    }

    /// The slot of a line in the row above the step that it leads to.
    pub(super) fn last_slot(&self, line: usize, lines: &[Line]) -> Slot {
        let Some(Line { from, to, .. }) = lines.get(line) else { return Slot::Label(line) };
        let row = self.row_of(*to).saturating_sub(1);
        if row == self.row_of(*from) + 1 { Slot::Label(line) } else { Slot::Lane(line, row) }
    }

    /// Sorts each row by the middle of what its slots are linked to, down and up by turns, and swaps neighbours where that helps; again
    /// from other beginnings, because what is found depends on how ties are broken. Keeps the best, and stops when no lines cross.
    fn uncross(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        let slots: usize = self.rows.iter().map(Vec::len).sum();
        let beginnings = (WORK / slots.max(1)).clamp(2, BEGINNINGS);
        for beginning in 0..beginnings {
            for sweep in 0..SWEEPS {
                if best.0 == 0 {
                    break;
                }
                let count = self.rows.len();
                for step in 1..count {
                    let down = (step, step - 1);
                    let up = (count - 1 - step, count - step);
                    let (row, before) = if sweep % 2 == 0 { down } else { up };
                    // Ties are broken once; later sweeps leave them.
                    self.sort(row, before, (sweep == 0).then_some(beginning));
                }
                self.swap_neighbours();
                let crossings = self.crossings();
                if crossings < best.0 {
                    best = (crossings, self.rows.clone());
                }
            }
        }
        self.rows = best.1;
    }

    /// Swaps two slots that stand side by side wherever fewer lines cross then.
    fn swap_neighbours(&mut self) {
        for row in 0..self.rows.len() {
            let pairs = self.rows.get(row).map_or(0, |row| row.len().saturating_sub(1));
            for at in 0..pairs {
                let before = self.crossings_at(row);
                self.swap(row, at);
                if self.crossings_at(row) >= before {
                    self.swap(row, at);
                }
            }
        }
    }

    fn swap(&mut self, row: usize, at: usize) {
        if let Some(row) = self.rows.get_mut(row) {
            row.swap(at, at + 1);
        }
    }

    fn sort(&mut self, row: usize, by: usize, ties: Option<usize>) {
        let links = self.links.get(row.min(by)).map_or(&[][..], Vec::as_slice);
        let fixed = self.rows.get(by).map_or(&[][..], Vec::as_slice);
        let Some(here) = self.rows.get(row) else { return };
        let keyed = here.iter().enumerate().map(|(at, slot)| {
            let linked = links.iter().filter_map(|(above, below)| match () {
                () if row > by && below == slot => Some(above),
                () if row < by && above == slot => Some(below),
                () => None,
            });
            let places: Vec<usize> =
                linked.filter_map(|other| fixed.iter().position(|slot| slot == other)).collect();
            // A slot without links stays where it is.
            let middle = match places.len() {
                0 => at * 1_000,
                count => places.iter().sum::<usize>() * 1_000 / count,
            };
            (middle, ties.map(|ties| tie(ties, row * 31 + at)), *slot)
        });
        let mut keyed: Vec<(usize, Option<usize>, Slot)> = keyed.collect();
        keyed.sort_by_key(|(middle, tie, _)| (*middle, *tie));
        if let Some(here) = self.rows.get_mut(row) {
            *here = keyed.into_iter().map(|(.., slot)| slot).collect();
        }
    }

    fn crossings(&self) -> usize {
        (0..self.links.len()).map(|row| self.crossings_below(row)).sum()
    }

    /// The crossings above and below a row.
    fn crossings_at(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |above| self.crossings_below(above)) + self.crossings_below(row)
    }

    fn crossings_below(&self, row: usize) -> usize {
        let place = |row: usize, slot: Slot| {
            self.rows.get(row).and_then(|row| row.iter().position(|other| *other == slot)).unwrap_or(0)
        };
        let links = self.links.get(row).into_iter().flatten();
        let placed: Vec<(usize, usize)> =
            links.map(|(above, below)| (place(row, *above), place(row + 1, *below))).collect();
        let crossing =
            |a: &(usize, usize), b: &(usize, usize)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
        let pairs =
            placed.iter().enumerate().flat_map(|(at, a)| placed.iter().skip(at + 1).map(move |b| (a, b)));
        pairs.filter(|(a, b)| crossing(a, b)).count()
    }
}
