//! Where in its row everything stands: as near as may be to what it is linked to, so that lines are straight.

use std::collections::BTreeMap;

use super::PIXEL;
use super::rows::{Rows, Slot};

/// The middle of each slot.
pub(super) type Centres = BTreeMap<Slot, i64>;

/// Between two slots of a row.
const BETWEEN: i64 = 18 * PIXEL;
/// How often the rows are moved, down and up.
const SWEEPS: usize = 48;

pub(super) fn centres(rows: &Rows, width: &dyn Fn(Slot) -> i64) -> Centres {
    let mut centres = packed(rows, width);
    for sweep in 0..SWEEPS {
        let count = rows.rows.len();
        for step in 0..count {
            let row = if sweep % 2 == 0 { step } else { count - 1 - step };
            let Some(slots) = rows.rows.get(row) else { continue };
            let wanted: Vec<(i64, i64)> =
                slots.iter().map(|slot| wanted(rows, row, *slot, &centres)).collect();
            let apart: Vec<i64> = slots.windows(2).map(|pair| apart(pair, width)).collect();
            for (slot, centre) in slots.iter().zip(nearest(&wanted, &apart)) {
                centres.insert(*slot, centre);
            }
        }
    }
    straighten(rows, width, &mut centres);
    let leftmost = centres.iter().map(|(slot, centre)| centre - width(*slot) / 2).min().unwrap_or(0);
    centres.values_mut().for_each(|centre| *centre -= leftmost);
    centres
}

/// Gives all lanes of a line one place, where their neighbours leave them one.
fn straighten(rows: &Rows, width: &dyn Fn(Slot) -> i64, centres: &mut Centres) {
    let mut chains: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, row) in rows.rows.iter().enumerate() {
        for (at, slot) in row.iter().enumerate() {
            if let Slot::Lane(line, _) = slot {
                chains.entry(*line).or_default().push((number, at));
            }
        }
    }
    for chain in chains.values() {
        let (mut least, mut most, mut sum) = (i64::MIN, i64::MAX, 0);
        for (row, at) in chain {
            let Some(row) = rows.rows.get(*row) else { continue };
            let centre = |at: usize| row.get(at).and_then(|slot| centres.get(slot)).copied();
            let gap = |at: usize| row.get(at..at + 2).map_or(0, |pair| apart(pair, width));
            least = least
                .max(at.checked_sub(1).and_then(|left| Some(centre(left)? + gap(left))).unwrap_or(i64::MIN));
            most = most.min(centre(at + 1).map_or(i64::MAX, |right| right - gap(*at)));
            sum += centre(*at).unwrap_or(0);
        }
        let mean = sum / i64::try_from(chain.len()).unwrap_or(1).max(1);
        if least <= most {
            for slot in chain.iter().filter_map(|(row, at)| rows.rows.get(*row)?.get(*at)) {
                centres.insert(*slot, mean.clamp(least, most));
            }
        }
    }
}

/// Every row from the left, with nothing between.
fn packed(rows: &Rows, width: &dyn Fn(Slot) -> i64) -> Centres {
    let mut centres = Centres::new();
    for row in &rows.rows {
        let mut left = 0;
        for slot in row {
            centres.insert(*slot, left + width(*slot) / 2);
            left += width(*slot) + BETWEEN;
        }
    }
    centres
}

fn apart(pair: &[Slot], width: &dyn Fn(Slot) -> i64) -> i64 {
    pair.iter().map(|slot| width(*slot) / 2).sum::<i64>() + BETWEEN
}

/// Where a slot wants to be, and how much: the middle of what it is linked to. Lines want to be straight more than boxes want to be in
/// the middle.
fn wanted(rows: &Rows, row: usize, slot: Slot, centres: &Centres) -> (i64, i64) {
    let above = row.checked_sub(1).and_then(|row| rows.links.get(row)).into_iter().flatten();
    let above = above.filter(|(_, below)| *below == slot).map(|(above, _)| *above);
    let below = rows.links.get(row).into_iter().flatten();
    let below = below.filter(|(above, _)| *above == slot).map(|(_, below)| *below);
    let (mut sum, mut weights) = (0, 0);
    for other in above.chain(below) {
        let weight = match (slot, other) {
            (Slot::Lane(..), Slot::Lane(..)) => 16,
            (Slot::Lane(..), _) | (_, Slot::Lane(..)) => 4,
            _ => 1,
        };
        sum += weight * centres.get(&other).copied().unwrap_or(0);
        weights += weight;
    }
    match weights {
        0 => (centres.get(&slot).copied().unwrap_or(0), 1),
        _ => (sum / weights, weights),
    }
}

/// The places nearest to those wanted, by least squares, that keep their order and their distances: the wanted places are moved together
/// by the distances, runs that are out of order take their common mean, and the distances are put back.
fn nearest(wanted: &[(i64, i64)], apart: &[i64]) -> Vec<i64> {
    struct Run {
        sum: i64,
        weight: i64,
        members: usize,
    }
    let mut offsets = Vec::with_capacity(wanted.len());
    let mut offset = 0;
    let mut runs: Vec<Run> = Vec::new();
    for (at, (place, weight)) in wanted.iter().enumerate() {
        offset += at.checked_sub(1).and_then(|before| apart.get(before)).copied().unwrap_or(0);
        offsets.push(offset);
        let mut run = Run { sum: (place - offset) * weight, weight: *weight, members: 1 };
        while let Some(before) = runs.pop_if(|before| before.sum * run.weight > run.sum * before.weight) {
            run = Run {
                sum: before.sum + run.sum,
                weight: before.weight + run.weight,
                members: before.members + run.members,
            };
        }
        runs.push(run);
    }
    let means = runs.iter().flat_map(|run| std::iter::repeat_n(run.sum / run.weight.max(1), run.members));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    fn check(wanted: &[i64], apart: &[i64], expected: &[i64]) {
        let wanted: Vec<(i64, i64)> = wanted.iter().map(|place| (*place, 1)).collect();
        assert_eq!(nearest(&wanted, apart), expected);
    }

    #[test]
    fn what_wants_the_same_place_stands_around_it() {
        check(&[10, 90], &[20], &[10, 90]);
        check(&[50, 50], &[20], &[40, 60]);
        check(&[60, 40], &[20], &[40, 60]);
        check(&[50, 50, 50, 200], &[20, 20, 20], &[30, 50, 70, 200]);
        check(&[], &[], &[]);
    }

    #[test]
    fn the_heavier_one_moves_less() {
        assert_eq!(nearest(&[(50, 3), (50, 1)], &[20]), [45, 65]);
    }
}
