//! What has to be done outside, and what a run rests on at a moment.

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attempt, Item, Outcome, Part, Stage, State, StepState, Trial};
use crate::definition::Workflow;
use crate::graph::{HandlerName, Kind, Node, SignalName, StepKey};

/// What has to be done outside. Each may be carried out more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// Run code of the host.
    Run {
        /// The attempt.
        attempt: Attempt,
        /// The code.
        handler: HandlerName,
        /// Whether its SQL commits with its result.
        tx: bool,
        /// Not before.
        ready_at: Timestamp,
        /// How long it may take from when it begins.
        timeout_ms: Option<u64>,
    },
    /// Start another workflow; the attempt tells repetitions.
    StartChild {
        /// The attempt.
        attempt: Attempt,
        /// The workflow.
        workflow: String,
        /// Its version; the current one when there is none.
        version: Option<u32>,
        /// Not before.
        ready_at: Timestamp,
    },
    /// Take an attempt back: forget it if it has not begun, ask it to stop if it has.
    Revoke {
        /// The attempt.
        attempt: Attempt,
    },
    /// Cancel a child.
    CancelChild {
        /// The attempt that started it.
        attempt: Attempt,
    },
    /// Say [`Input::Tick`](super::Input::Tick) at this time.
    SetTimer {
        /// The step that waits, or none for the run's deadline.
        step: Option<StepKey>,
        /// When.
        at: Timestamp,
    },
    /// The timer is not needed any more.
    ClearTimer {
        /// The step that waited, or none for the run's deadline.
        step: Option<StepKey>,
    },
    /// The run ended: tell the parent and whoever waits.
    Finish {
        /// How.
        outcome: Outcome,
    },
}

impl Effect {
    /// The attempt that it gives out.
    pub(super) fn gives_out(&self) -> Option<&Attempt> {
        match self {
            Self::Run { attempt, .. } | Self::StartChild { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Whether the other one takes it back.
    fn is_undone_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SetTimer { step: set, .. }, Self::ClearTimer { step }) => set == step,
            (_, Self::Revoke { attempt } | Self::CancelChild { attempt }) => {
                self.gives_out() == Some(attempt)
            }
            _ => false,
        }
    }
}

/// Leaves out what was asked for and taken back in one transition; `drained` are attempts that were taken back without an effect.
pub(super) fn netted(mut effects: Vec<Effect>, drained: &[&Attempt]) -> Vec<Effect> {
    effects.retain(|effect| effect.gives_out().is_none_or(|attempt| !drained.contains(&attempt)));
    let mut net: Vec<Effect> = Vec::with_capacity(effects.len());
    for effect in effects {
        match net.iter().position(|before| before.is_undone_by(&effect)) {
            Some(at) => drop(net.remove(at)),
            None => net.push(effect),
        }
    }
    net
}

/// A step that a signal would wake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The step.
    pub step: StepKey,
    /// The signals.
    pub signals: Vec<SignalName>,
}

pub(super) fn dispatch(node: &Node, part: Part, number: u32, ready_at: Timestamp) -> Option<Effect> {
    let attempt = Attempt { step: node.key.clone(), part, number };
    let (handler, is_tx) = match (&node.kind, part) {
        (_, Part::Undo) => (node.compensate.as_ref()?, false),
        (Kind::Task { handler, tx, .. }, Part::Body) => (handler, *tx),
        (Kind::Map { items, .. }, Part::Items) => (items, false),
        (Kind::Map { handler, .. }, Part::Item(_)) => (handler, false),
        (Kind::Child { workflow, version, .. }, Part::Body) => {
            let (workflow, version) = (workflow.clone(), *version);
            return Some(Effect::StartChild { attempt, workflow, version, ready_at });
        }
        _ => return None,
    };
    let (handler, timeout_ms) = (handler.clone(), node.timeout_ms);
    Some(Effect::Run { attempt, handler, tx: is_tx, ready_at, timeout_ms })
}

/// The attempts of a step that are out.
pub(super) fn out(node: &Node, state: &StepState) -> Vec<(Part, Trial)> {
    let body = if matches!(node.kind, Kind::Map { .. }) { Part::Items } else { Part::Body };
    match state {
        StepState::Working(trial) if trial.out => vec![(body, *trial)],
        StepState::Mapping(items) => (0..)
            .zip(items)
            .filter_map(|(at, item)| match item {
                Item::Open(trial) if trial.out => Some((Part::Item(at), *trial)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Takes back everything of a step that is out or set.
pub(super) fn revoke(node: &Node, state: &StepState) -> Vec<Effect> {
    if let StepState::Waiting { deadline: Some(_), .. } = state {
        return vec![Effect::ClearTimer { step: Some(node.key.clone()) }];
    }
    let attempts = out(node, state).into_iter();
    let attempts =
        attempts.map(|(part, trial)| Attempt { step: node.key.clone(), part, number: trial.number });
    attempts.map(|attempt| revoked(node, attempt)).collect()
}

/// Takes back one attempt.
pub(super) fn revoked(node: &Node, attempt: Attempt) -> Effect {
    match node.kind {
        Kind::Child { .. } => Effect::CancelChild { attempt },
        _ => Effect::Revoke { attempt },
    }
}

/// All that must be under way for a run in this state: what a store has to have, and what is rebuilt from a state alone.
#[must_use]
pub fn outstanding(flow: &Workflow, state: &State) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Stage::Ended { .. } = state.stage {
        return effects;
    }
    if let Some(at) = state.deadline.filter(|_| state.stage == Stage::Running) {
        effects.push(Effect::SetTimer { step: None, at });
    }
    for (node, step) in flow.graph().nodes.iter().zip(&state.steps) {
        if let StepState::Waiting { deadline: Some(at), .. } = step {
            effects.push(Effect::SetTimer { step: Some(node.key.clone()), at: *at });
        }
        for (part, trial) in out(node, step) {
            effects.extend(dispatch(node, part, trial.number, trial.at.unwrap_or(Timestamp::MIN)));
        }
    }
    if let Stage::Stopping { undo: Some((at, trial)), .. } = &state.stage
        && let Some(node) = flow.node(*at).filter(|_| trial.out)
    {
        effects.extend(dispatch(node, Part::Undo, trial.number, trial.at.unwrap_or(Timestamp::MIN)));
    }
    effects
}

/// The signals that would wake a run in this state.
#[must_use]
pub fn awaited(flow: &Workflow, state: &State) -> Vec<Awaited> {
    let waiting = flow.graph().nodes.iter().zip(&state.steps);
    let waiting = waiting.filter(|(_, step)| matches!(step, StepState::Waiting { .. }));
    let awaited = waiting.filter_map(|(node, _)| match &node.kind {
        Kind::Wait { signals, .. } => {
            let signals = signals.iter().map(|arrival| arrival.signal.clone()).collect();
            Some(Awaited { step: node.key.clone(), signals })
        }
        _ => None,
    });
    awaited.collect()
}
