//! Attempts that follow lost ones.
//!
//! A node that dies takes all that it had claimed with it, and nobody knows what of it had begun. The first time that counts as a loss
//! all the same: to know better would cost a write a step. From then on it is known: that an attempt begins is noted before its code
//! runs, and when its node dies without the note, it was not lost, and goes on elsewhere as it is.
//!
//! An attempt after [`ALONE`] losses may be what kills its nodes. A node lets one of these at a time begin, so that they do not count for
//! each other: it goes alone for as many beats of the node as it had losses. The more often it was lost, the longer nobody begins beside
//! it; but one that runs for hours holds up the others of its node for seconds, and what has to wait for longer than it takes to come to
//! another node is given back.

use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::cell::{Cell, Held};
use super::core::Core;
use super::dispatch::Ready;
use super::flight::Landed;
use crate::error::Result;
use crate::id::RunId;
use crate::plan::{Attempt, Item, Part, Stage, StepState};
use crate::store::TaskKey;

/// After so many losses an attempt begins beside no other of its kind.
const ALONE: u32 = 3;
/// After so many beats beside the one that goes alone, those that wait for it are given back: they have waited for a whole beat.
const PATIENCE: u32 = 2;
/// For so many beats nobody claims what was given back: one node alone would take it again at once.
const AWAY: u32 = 4;

/// What follows lost attempts, on its way to its beginning.
#[derive(Default)]
pub(super) struct Losses {
    /// What is to be noted.
    to_note: Vec<Ready>,
    /// The one that goes alone.
    alone: Option<Alone>,
    /// Those that wait for it.
    waiting: BinaryHeap<Ready>,
    /// Those that have waited for too long, and are to be given back.
    pub(super) surplus: Vec<Ready>,
}

/// An attempt that goes alone.
struct Alone {
    run: RunId,
    attempt: Attempt,
    /// How many attempts before it were lost.
    losses: u32,
    /// How many beats its node has lived since it began.
    beats: u32,
}

impl Alone {
    /// Another beat. Whether it has lived long enough to go beside others.
    const fn outlives(&mut self) -> bool {
        self.beats += 1;
        self.beats >= self.losses
    }

    /// How many may go on waiting for it; the others are given back.
    const fn keeps(&self) -> usize {
        if self.beats < PATIENCE {
            usize::MAX
        } else if self.beats + AWAY >= self.losses {
            // The next one begins here before it could come back.
            1
        } else {
            0
        }
    }
}

impl Losses {
    /// How many leased attempts stand here.
    pub(super) fn len(&self) -> usize {
        self.to_note.len() + self.waiting.len() + self.surplus.len()
    }
}

impl Cell {
    /// How many attempts before this one were lost.
    pub(super) fn losses(&self, attempt: &Attempt) -> u32 {
        // The number of an attempt counts those before it, however they ended.
        if attempt.number <= 1 {
            return 0;
        }
        let (flow, state) = (&self.registered.flow, &self.head.state);
        let trial = match (attempt.part, state.step(flow, &attempt.step), &state.stage) {
            (Part::Undo, _, Stage::Stopping { undo: Some((_, trial)), .. }) => Some(trial),
            (Part::Item(item), Some(StepState::Mapping(items)), _) => {
                match usize::try_from(item).ok().and_then(|item| items.get(item)) {
                    Some(Item::Open(trial)) => Some(trial),
                    _ => None,
                }
            }
            (_, Some(StepState::Working(trial)), _) => Some(trial),
            _ => None,
        };
        trial.map_or(0, |trial| trial.losses)
    }
}

impl Core {
    /// Holds back an attempt that is about to begin, when that is to be noted first.
    pub(super) fn hold_back(&mut self, ready: Ready) -> Option<Ready> {
        let cell = self.cells.get_mut(&ready.run)?;
        let losses = cell.losses(&ready.attempt);
        if losses == 0 || !matches!(cell.held.get(&ready.attempt), Some(Held::Ready)) {
            return Some(ready);
        }
        if losses >= ALONE {
            let is_other = |alone: &Alone| alone.run != ready.run || alone.attempt != ready.attempt;
            if self.losses.alone.as_ref().is_some_and(is_other) {
                self.losses.waiting.push(ready);
                return None;
            }
            let (run, attempt) = (ready.run, ready.attempt.clone());
            self.losses.alone = Some(Alone { run, attempt, losses, beats: 0 });
        }
        cell.held.insert(ready.attempt.clone(), Held::Noting);
        self.losses.to_note.push(ready);
        None
    }

    /// The node has lived for another beat, and whatever runs here has not killed it.
    pub(super) fn outlive_beat(&mut self) {
        let Some(alone) = &mut self.losses.alone else { return };
        let held = self.cells.get(&alone.run).and_then(|cell| cell.held.get(&alone.attempt));
        if !matches!(held, Some(Held::Running(_))) {
            return;
        }
        if alone.outlives() {
            self.losses.alone = None;
            return;
        }
        let keeps = alone.keeps();
        if self.losses.waiting.len() > keeps {
            let mut waiting = std::mem::take(&mut self.losses.waiting).into_sorted_vec();
            let given_back = waiting.len() - keeps;
            self.losses.surplus.extend(waiting.drain(..given_back));
            self.losses.waiting.extend(waiting);
        }
    }

    /// How long what is given back is left alone.
    pub(super) fn away(&self) -> Duration {
        self.config.beat.saturating_mul(AWAY)
    }

    /// Lets the next one go that goes alone, when the one before has answered, or has lived for long enough.
    pub(super) fn let_go(&mut self) {
        if let Some(Alone { run, attempt, .. }) = &self.losses.alone {
            let held = self.cells.get(run).and_then(|cell| cell.held.get(attempt));
            if matches!(held, Some(Held::Ready | Held::Noting | Held::Noted | Held::Running(_))) {
                return;
            }
            self.losses.alone = None;
        }
        self.ready.extend(self.losses.waiting.pop());
    }

    pub(super) fn launch_notes(&mut self) {
        if self.losses.to_note.is_empty() || self.under_way.others >= self.config.flights {
            return;
        }
        let notes = std::mem::take(&mut self.losses.to_note);
        let keys: Vec<TaskKey> =
            notes.iter().map(|ready| TaskKey { run: ready.run, attempt: ready.attempt.clone() }).collect();
        let (store, node) = (self.store.clone(), self.node);
        self.under_way.others += 1;
        self.flights
            .push(async move { Landed::Noted { notes, result: store.begin(node, &keys).await } }.boxed());
    }

    pub(super) fn noted(&mut self, notes: Vec<Ready>, result: Result<Vec<TaskKey>>) {
        let (begun, failed) = match result {
            Ok(begun) => (begun.into_iter().collect::<HashSet<_>>(), None),
            Err(error) => (HashSet::new(), Some(error)),
        };
        for ready in notes {
            let Some(cell) = self.cells.get_mut(&ready.run) else { continue };
            // It may have been taken back meanwhile.
            if !matches!(cell.held.get(&ready.attempt), Some(Held::Noting)) {
                continue;
            }
            let key = TaskKey { run: ready.run, attempt: ready.attempt.clone() };
            let next = match &failed {
                Some(_) => Held::Ready,
                None if begun.contains(&key) => Held::Noted,
                None => {
                    // It is not in these hands any more: others go on with it.
                    cell.held.remove(&ready.attempt);
                    self.keeper.suspect();
                    continue;
                }
            };
            cell.held.insert(ready.attempt.clone(), next);
            self.ready.push(ready);
        }
        if let Some(error) = failed {
            self.ail(&error);
        }
    }

    /// All that was in memory is worth nothing.
    pub(super) fn forget_losses(&mut self) {
        self.losses = Losses::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(losses: u32) -> Alone {
        let attempt = Attempt { step: "s".into(), part: Part::Body, number: losses + 1 };
        Alone { run: RunId::from_stored(1), attempt, losses, beats: 0 }
    }

    #[test]
    fn what_was_lost_more_often_goes_alone_for_longer() {
        for losses in [ALONE, ALONE + 1, 40] {
            let mut alone = alone(losses);
            for beat in 1..losses {
                assert!(!alone.outlives(), "{losses} losses, beat {beat}");
            }
            assert!(alone.outlives());
        }
    }

    #[test]
    fn what_waits_is_given_back_after_a_beat_except_the_next_one_when_its_turn_is_near() {
        let kept = |losses| {
            let mut alone = alone(losses);
            let mut kept = Vec::new();
            while !alone.outlives() {
                kept.push(alone.keeps());
            }
            kept
        };
        assert_eq!(kept(3), [usize::MAX, 1]);
        assert_eq!(kept(8), [usize::MAX, 0, 0, 1, 1, 1, 1]);
    }
}
