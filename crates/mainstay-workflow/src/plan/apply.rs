//! The sum of the facts. Nothing is decided here.

use std::fmt;
use std::sync::Arc;

use super::{EdgeState, Fact, Fault, Item, Letter, Part, Record, Stage, State, StepState, Trial};
use crate::definition::Workflow;
use crate::graph::{EventName, Fingerprint, Node, StepKey};

/// Why a history or a state cannot be read with a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// It belongs to a graph with another content.
    OtherGraph {
        /// The graph that it is read with.
        expected: Fingerprint,
        /// The graph that it belongs to.
        found: Fingerprint,
    },
    /// The state is stored in a form that this program does not know; replay the history.
    UnknownFormat {
        /// Its version.
        format: u32,
    },
    /// A record is missing or there twice.
    Gap {
        /// The place of the record that should come.
        expected: u64,
        /// The place of the record that came.
        found: u64,
    },
    /// The first record is not the start of a run.
    NotStarted,
    /// A record speaks of a step or an item that is not there, or not in a state for it.
    OutOfPlace {
        /// The record's place.
        seq: u64,
        /// The step.
        step: StepKey,
    },
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherGraph { expected, found } => {
                write!(f, "it belongs to the graph {found}, not to {expected}")
            }
            Self::UnknownFormat { format } => {
                write!(f, "the state is stored in format {format}, which this program does not know")
            }
            Self::Gap { expected, found } => write!(f, "record {found} came where {expected} should"),
            Self::NotStarted => f.write_str("the history does not begin with the start of the run"),
            Self::OutOfPlace { seq, step } => write!(f, "record {seq} does not fit the state of {step}"),
        }
    }
}

impl std::error::Error for Corrupt {}

/// Whether a state can be read with a workflow.
pub(super) fn belongs(flow: &Workflow, state: &State) -> Result<(), Corrupt> {
    if state.format != State::FORMAT {
        return Err(Corrupt::UnknownFormat { format: state.format });
    }
    if state.fingerprint != flow.fingerprint() {
        return Err(Corrupt::OtherGraph { expected: flow.fingerprint(), found: state.fingerprint });
    }
    if state.seq == 0 {
        return Err(Corrupt::NotStarted);
    }
    Ok(())
}

pub(super) fn apply(flow: &Workflow, state: &mut State, record: &Record) -> Result<(), Corrupt> {
    if record.seq != state.seq {
        return Err(Corrupt::Gap { expected: state.seq, found: record.seq });
    }
    let is_start = matches!(record.fact, Fact::Started { .. });
    if is_start != (record.seq == 0) {
        return Err(Corrupt::NotStarted);
    }
    let place = Place { flow, seq: record.seq };
    match &record.fact {
        Fact::Started { fingerprint, seed, deadline, .. } => {
            if *fingerprint != flow.fingerprint() {
                return Err(Corrupt::OtherGraph { expected: flow.fingerprint(), found: *fingerprint });
            }
            state.seed = *seed;
            state.deadline = *deadline;
        }
        Fact::Paused => state.paused = true,
        Fact::Resumed => state.paused = false,
        Fact::Signalled { letter, signal, payload } => {
            let (signal, payload) = (signal.clone(), payload.clone());
            state.letters = letter + 1;
            state.mailbox.push(Letter { number: *letter, signal, payload });
        }
        Fact::Noted { attributes, .. } => {
            let kept = Arc::make_mut(&mut state.attributes);
            kept.extend(attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Fact::Stopping { outcome, reason } => {
            state.stage = Stage::Stopping { outcome: *outcome, reason: reason.clone(), undo: None };
        }
        Fact::Finished { outcome, reason } => {
            state.mailbox.clear();
            state.stage = Stage::Ended { outcome: *outcome, reason: reason.clone() };
        }
        Fact::Undone { step } | Fact::NotUndone { step, .. } => place.undone(state, step, &record.fact)?,
        fact => place.step(state, fact)?,
    }
    state.seq += 1;
    Ok(())
}

/// A record's place, to say where something does not fit.
struct Place<'a> {
    flow: &'a Workflow,
    seq: u64,
}

impl Place<'_> {
    fn wrong(&self, step: &StepKey) -> Corrupt {
        Corrupt::OutOfPlace { seq: self.seq, step: step.clone() }
    }

    fn node(&self, step: &StepKey) -> Result<(usize, &Node), Corrupt> {
        let found = self.flow.index().node(step).and_then(|at| Some((at, self.flow.node(at)?)));
        found.ok_or_else(|| self.wrong(step))
    }

    /// The facts of one step.
    fn step(&self, state: &mut State, fact: &Fact) -> Result<(), Corrupt> {
        match fact {
            Fact::Skipped { step } => self.end(state, step, StepState::Skipped, None, &[]),
            Fact::Waiting { step, deadline } => {
                let next = StepState::Waiting { since: self.seq, deadline: *deadline };
                self.set(state, step, next).map(drop)
            }
            Fact::Scheduled { attempt, ready_at } => {
                let trial = self.open_trial(state, &attempt.step, attempt.part)?;
                trial.number = attempt.number;
                trial.out = true;
                trial.at = Some(*ready_at);
                Ok(())
            }
            Fact::AttemptFailed { attempt, fault, retry_at, ran } => {
                let trial = self.open_trial(state, &attempt.step, attempt.part)?;
                match fault {
                    Fault::Lost => trial.losses += 1,
                    Fault::Withdrawn => {}
                    _ => trial.failures += 1,
                }
                trial.unsure |= *ran || fault.is_unsure();
                trial.out = false;
                trial.at = *retry_at;
                match (attempt.part, retry_at) {
                    (Part::Item(item), None) => self.set_item(state, &attempt.step, item, Item::Failed),
                    _ => Ok(()),
                }
            }
            Fact::Listed { step, items, .. } => {
                let items = (0..*items).map(|_| Item::Open(Trial::default())).collect();
                self.set(state, step, StepState::Mapping(items)).map(drop)
            }
            Fact::ItemSucceeded { step, item, .. } => self.set_item(state, step, *item, Item::Succeeded),
            Fact::Ended { step, event, targets, letter, .. } => {
                state.mailbox.retain(|kept| Some(kept.number) != *letter);
                self.end(state, step, StepState::Ended(event.clone()), event.as_ref(), targets)
            }
            Fact::Failed { step, .. } => self.set_undoable(state, step, StepState::Failed, false),
            Fact::Abandoned { step } => self.set_undoable(state, step, StepState::Abandoned, false),
            Fact::Drained { attempt, ran } => match attempt.part {
                Part::Item(item) => {
                    let left = if *ran { Item::Succeeded } else { Item::Dropped };
                    self.set_item(state, &attempt.step, item, left)?;
                    let (at, _) = self.node(&attempt.step)?;
                    if state.at(at).is_out() {
                        return Ok(());
                    }
                    self.set_undoable(state, &attempt.step, StepState::Abandoned, false)
                }
                _ => self.set_undoable(state, &attempt.step, StepState::Abandoned, *ran),
            },
            _ => Ok(()),
        }
    }

    fn set(&self, state: &mut State, step: &StepKey, next: StepState) -> Result<StepState, Corrupt> {
        let (at, _) = self.node(step)?;
        let place = state.steps.get_mut(at).ok_or_else(|| self.wrong(step))?;
        Ok(std::mem::replace(place, next))
    }

    /// Changes a step and remembers whether it has something to undo.
    fn set_undoable(
        &self,
        state: &mut State,
        step: &StepKey,
        next: StepState,
        ran: bool,
    ) -> Result<(), Corrupt> {
        let before = self.set(state, step, next)?;
        let (at, node) = self.node(step)?;
        if node.compensate.is_some() && (ran || may_have_run(&before)) {
            state.undoable.push(at);
        }
        Ok(())
    }

    /// Ends a step and decides its edges.
    fn end(
        &self,
        state: &mut State,
        step: &StepKey,
        next: StepState,
        event: Option<&EventName>,
        targets: &[StepKey],
    ) -> Result<(), Corrupt> {
        let (at, node) = self.node(step)?;
        let succeeded = event.is_some() && event != node.on_failure.as_ref();
        self.set_undoable(state, step, next, succeeded)?;
        let index = self.flow.index();
        for &edge in index.outgoing_ids(at) {
            let Some(way) = index.edges.get(edge) else { continue };
            let target = self.flow.node(way.to).map(|node| &node.key);
            let taken = Some(&way.event) == event && target.is_some_and(|target| targets.contains(target));
            if let Some(place) = state.edges.get_mut(edge) {
                *place = if taken { EdgeState::Taken } else { EdgeState::Skipped };
            }
        }
        Ok(())
    }

    fn set_item(&self, state: &mut State, step: &StepKey, item: u32, next: Item) -> Result<(), Corrupt> {
        let (at, _) = self.node(step)?;
        let place = match state.steps.get_mut(at) {
            Some(StepState::Mapping(items)) => {
                usize::try_from(item).ok().and_then(|item| items.get_mut(item))
            }
            _ => None,
        };
        *place.ok_or_else(|| self.wrong(step))? = next;
        Ok(())
    }

    /// The count of attempts at a part of a step, begun if it was not.
    fn open_trial<'s>(
        &self,
        state: &'s mut State,
        step: &StepKey,
        part: Part,
    ) -> Result<&'s mut Trial, Corrupt> {
        let (at, _) = self.node(step)?;
        if part == Part::Undo {
            let Stage::Stopping { undo, .. } = &mut state.stage else { return Err(self.wrong(step)) };
            if undo.is_none_or(|(node, _)| node != at) {
                *undo = Some((at, Trial::default()));
            }
            return undo.as_mut().map(|(_, trial)| trial).ok_or_else(|| self.wrong(step));
        }
        let place = state.steps.get_mut(at).ok_or_else(|| self.wrong(step))?;
        if *place == StepState::Idle {
            *place = StepState::Working(Trial::default());
        }
        let trial = match (place, part) {
            (StepState::Working(trial), Part::Body | Part::Items) => Some(trial),
            (StepState::Mapping(items), Part::Item(item)) => {
                match usize::try_from(item).ok().and_then(|item| items.get_mut(item)) {
                    Some(Item::Open(trial)) => Some(trial),
                    _ => None,
                }
            }
            _ => None,
        };
        trial.ok_or_else(|| self.wrong(step))
    }

    fn undone(&self, state: &mut State, step: &StepKey, fact: &Fact) -> Result<(), Corrupt> {
        let (at, _) = self.node(step)?;
        if state.undoable.pop() != Some(at) {
            return Err(self.wrong(step));
        }
        if let Stage::Stopping { undo, .. } = &mut state.stage {
            *undo = None;
        }
        if matches!(fact, Fact::NotUndone { .. }) {
            state.not_undone.push(at);
        }
        Ok(())
    }
}

/// Whether a step that did not end may have done something.
fn may_have_run(step: &StepState) -> bool {
    match step {
        StepState::Working(trial) => trial.unsure,
        StepState::Mapping(items) => items.iter().any(|item| match item {
            Item::Open(trial) => trial.unsure,
            Item::Succeeded => true,
            Item::Failed | Item::Dropped => false,
        }),
        _ => false,
    }
}
