//! Attempts that follow lost ones.
//!
//! A node that dies takes all that it had claimed with it, and nobody knows what of it had begun. The first time that counts as a loss
//! all the same: to know better would cost a write a step. From then on it is known: that an attempt begins is noted before its code
//! runs, and when its node dies without the note, it was not lost, and goes on elsewhere as it is. An attempt after [`ALONE`] losses may
//! be what kills its nodes; a node runs one of these at a time, so that they do not count for each other.

use std::collections::HashSet;

use futures_util::FutureExt as _;

use super::cell::{Cell, Held};
use super::core::Core;
use super::dispatch::Ready;
use super::flight::Landed;
use crate::error::Result;
use crate::id::RunId;
use crate::plan::{Attempt, Item, Part, Stage, StepState};
use crate::store::TaskKey;

/// After so many losses an attempt runs beside no other of its kind.
const ALONE: u32 = 3;

/// What follows lost attempts, on its way to its beginning.
#[derive(Default)]
pub(super) struct Losses {
    /// What is to be noted.
    to_note: Vec<Ready>,
    /// The one that goes alone.
    alone: Option<(RunId, Attempt)>,
    /// Those that wait for it.
    waiting: Vec<Ready>,
}

impl Losses {
    /// How many leased attempts stand here.
    pub(super) const fn len(&self) -> usize {
        self.to_note.len() + self.waiting.len()
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
            let is_other = |(run, attempt): &(RunId, Attempt)| *run != ready.run || *attempt != ready.attempt;
            if self.losses.alone.as_ref().is_some_and(is_other) {
                self.losses.waiting.push(ready);
                return None;
            }
            self.losses.alone = Some((ready.run, ready.attempt.clone()));
        }
        cell.held.insert(ready.attempt.clone(), Held::Noting);
        self.losses.to_note.push(ready);
        None
    }

    /// Lets the next one go that goes alone, when the one before has answered.
    pub(super) fn let_go(&mut self) {
        if let Some((run, attempt)) = &self.losses.alone {
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
