//! The baton: one task of a run that outlives its attempts.
//!
//! A run that goes on step by step in one node's hands needs no new task for each step. Its task is keyed by the run alone and stands for
//! the one attempt that is out; a commit that ends this attempt and gives the only next one to the same node leaves the row as it is, and
//! appends to the history, nothing else. This is what a step costs on a straight stretch: one row, written once.
//!
//! **A run has a baton only while exactly one attempt of it is out and this attempt has no task of its own.** Each commit keeps that, and
//! the fence of the history orders the commits, so whoever finds the baton (a claim, or a node that takes over) reads the run and knows
//! which attempt it stands for. When a second attempt comes, or the attempt is taken back, the row becomes that attempt's own, in the hands
//! that it is in. Only first attempts stand on a baton: what becomes of the later ones is counted.

use crate::definition::Workflow;
use crate::graph::Kind;
use crate::plan::{Attempt, Item, Part, Stage, State, StepState, Trial};

/// What a commit does with the baton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover<'a> {
    /// There is none, or it stands for what it stood for.
    None,
    /// A new attempt stands on a new one; the attempt that the old one stood for gets it as its own task.
    Take { attempt: &'a Attempt, left: Option<&'a Attempt> },
    /// It stands for the next attempt: nothing is written.
    Keep { answered: &'a Attempt, next: &'a Attempt },
    /// It goes with the answer.
    Drop { answered: &'a Attempt },
    /// It becomes the attempt's own task.
    Leave { left: &'a Attempt },
}

impl<'a> Handover<'a> {
    /// The attempt that gets the old baton as its own task.
    pub(super) const fn left(self) -> Option<&'a Attempt> {
        match self {
            Self::Take { left, .. } => left,
            Self::Leave { left } => Some(left),
            Self::None | Self::Keep { .. } | Self::Drop { .. } => None,
        }
    }

    /// The attempt that was answered and has no task of its own to remove.
    pub(super) const fn answered(self) -> Option<&'a Attempt> {
        match self {
            Self::Keep { answered, .. } | Self::Drop { answered } => Some(answered),
            Self::None | Self::Take { .. } | Self::Leave { .. } => None,
        }
    }

    /// The new attempt that needs no row.
    pub(super) const fn kept(self) -> Option<&'a Attempt> {
        match self {
            Self::Keep { next, .. } => Some(next),
            _ => None,
        }
    }

    /// The new attempt whose row is a baton.
    pub(super) const fn taken(self) -> Option<&'a Attempt> {
        match self {
            Self::Take { attempt, .. } => Some(attempt),
            _ => None,
        }
    }
}

/// The only attempt that is out and runs code; none when there are several, or when it is a child.
pub(super) fn sole(flow: &Workflow, state: &State) -> Option<Attempt> {
    if state.is_ended() {
        return None;
    }
    let mut sole: Option<(usize, Part, u32)> = None;
    let mut is_only = |at: usize, part: Part, trial: &Trial| {
        let is_first = sole.is_none() || !trial.out;
        if trial.out {
            sole = Some((at, part, trial.number));
        }
        is_first
    };
    for (at, step) in state.steps().iter().enumerate() {
        let is_only = match step {
            StepState::Working(trial) => match flow.node(at)?.kind {
                Kind::Child { .. } if trial.out => false,
                Kind::Map { .. } => is_only(at, Part::Items, trial),
                _ => is_only(at, Part::Body, trial),
            },
            StepState::Mapping(items) => (0..).zip(items).all(|(item, open)| match open {
                Item::Open(trial) => is_only(at, Part::Item(item), trial),
                _ => true,
            }),
            _ => true,
        };
        if !is_only {
            return None;
        }
    }
    if let Stage::Stopping { undo: Some((at, trial)), .. } = &state.stage
        && !is_only(*at, Part::Undo, trial)
    {
        return None;
    }
    let (at, part, number) = sole?;
    Some(Attempt { step: flow.node(at)?.key.clone(), part, number })
}
