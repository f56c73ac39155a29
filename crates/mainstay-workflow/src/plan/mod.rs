//! How a run moves: `(state, input, now) -> (state, effects)`, and the records that say so for ever.
//!
//! A transition decides which facts follow from an input; the state is the sum of the facts. So a history that was written by an older
//! program is read, not decided again.

mod apply;
mod context;
mod decide;
mod effect;
mod fact;
mod fork;
mod input;
mod settle;
mod state;

use mainstay_core::Timestamp;
use serde_json::{Map, Value};

use crate::definition::Workflow;

pub use apply::Corrupt;
pub use context::context;
pub use effect::{Awaited, Effect, awaited, outstanding};
pub use fact::{Attempt, Fact, Fault, Outcome, Part, Record};
pub use fork::fork;
pub use input::{Input, Refusal};
pub use state::{EdgeState, Item, Letter, Stage, State, Status, StepState, Trial};

/// What follows from an input. All of it is kept in one commit, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The state afterwards.
    pub state: State,
    /// What to append to the history.
    pub records: Vec<Record>,
    /// What to do outside, once the records are kept.
    pub effects: Vec<Effect>,
}

/// Begins a run. `seed` is any number; the noise of its pauses is derived from it.
///
/// # Errors
/// [`Refusal::Corrupt`], which would be a defect of this crate.
pub fn start(flow: &Workflow, input: Value, seed: u64, now: Timestamp) -> Result<Transition, Refusal> {
    begin(flow, input, seed, now, Opening::default())
}

/// What a run begins with besides its input.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// Its first attributes.
    pub(crate) attributes: Map<String, Value>,
    /// Nothing of it begins until it is resumed.
    pub(crate) paused: bool,
}

/// Begins a run, as [`start`] does.
pub(crate) fn begin(
    flow: &Workflow,
    input: Value,
    seed: u64,
    now: Timestamp,
    opening: Opening,
) -> Result<Transition, Refusal> {
    let graph = flow.graph();
    let deadline = graph.deadline_ms.map(|after| after_ms(now, after));
    let mut machine = Machine::new(flow, State::blank(flow), now);
    machine.record(Fact::Started {
        workflow: graph.name.clone(),
        version: graph.version,
        fingerprint: flow.fingerprint(),
        seed,
        deadline,
        input,
    })?;
    let Opening { attributes, paused } = opening;
    if !attributes.is_empty() {
        machine.record(Fact::Noted { step: None, attributes })?;
    }
    if paused {
        machine.record(Fact::Paused)?;
    }
    machine.settle()?;
    Ok(machine.end())
}

/// Moves a run.
///
/// # Errors
/// [`Refusal`]: the input changes nothing, and why.
pub fn transition(
    flow: &Workflow,
    state: &State,
    input: Input,
    now: Timestamp,
) -> Result<Transition, Refusal> {
    apply::belongs(flow, state)?;
    let mut machine = Machine::new(flow, state.clone(), now);
    machine.decide(input)?;
    machine.settle()?;
    Ok(machine.end())
}

/// The state that a history adds up to.
///
/// # Errors
/// [`Corrupt`] when the history has a gap or belongs to another graph.
pub fn replay(flow: &Workflow, history: &[Record]) -> Result<State, Corrupt> {
    let mut state = State::blank(flow);
    for record in history {
        apply::apply(flow, &mut state, record)?;
    }
    Ok(state)
}

/// The state that follows from a stored one, or from nothing, and the records after it.
///
/// # Errors
/// As [`replay`]; [`Corrupt::UnknownFormat`] when the state is of another version of this crate.
pub(crate) fn resume(flow: &Workflow, state: Option<State>, records: &[Record]) -> Result<State, Corrupt> {
    let mut state = match state {
        Some(state) => {
            apply::belongs(flow, &state)?;
            state
        }
        None => State::blank(flow),
    };
    for record in records {
        apply::apply(flow, &mut state, record)?;
    }
    if state.seq == 0 { Err(Corrupt::NotStarted) } else { Ok(state) }
}

/// A transition in the making.
struct Machine<'a> {
    flow: &'a Workflow,
    state: State,
    now: Timestamp,
    records: Vec<Record>,
    effects: Vec<Effect>,
}

impl<'a> Machine<'a> {
    fn new(flow: &'a Workflow, state: State, now: Timestamp) -> Self {
        Self { flow, state, now, records: Vec::new(), effects: Vec::new() }
    }

    /// Keeps a fact, and what has to be done because of it.
    fn record(&mut self, fact: Fact) -> Result<(), Corrupt> {
        self.effects.extend(self.effects_of(&fact));
        let record = Record { seq: self.state.seq, at: self.now, fact };
        apply::apply(self.flow, &mut self.state, &record)?;
        self.records.push(record);
        Ok(())
    }

    /// What a fact asks for, given the state before it.
    fn effects_of(&self, fact: &Fact) -> Vec<Effect> {
        let node_of = |step| {
            let at = self.flow.index().node(step)?;
            Some((self.flow.node(at)?, self.state.at(at)))
        };
        match fact {
            Fact::Started { deadline: Some(at), .. } => vec![Effect::SetTimer { step: None, at: *at }],
            Fact::Waiting { step, deadline: Some(at) } => {
                vec![Effect::SetTimer { step: Some(step.clone()), at: *at }]
            }
            Fact::Scheduled { attempt, ready_at } => node_of(&attempt.step)
                .and_then(|(node, _)| effect::dispatch(node, attempt.part, attempt.number, *ready_at))
                .into_iter()
                .collect(),
            // A result has arrived for the attempt that ended a task; what else is out or set is not wanted any more.
            Fact::Ended { step, .. } | Fact::Failed { step, .. } => match node_of(step) {
                Some((node, before)) if !matches!(before, StepState::Working(_)) => {
                    effect::revoke(node, before)
                }
                _ => Vec::new(),
            },
            Fact::Abandoned { step } => {
                node_of(step).map_or_else(Vec::new, |(node, before)| effect::revoke(node, before))
            }
            Fact::Stopping { .. } if self.state.deadline.is_some() => {
                vec![Effect::ClearTimer { step: None }]
            }
            Fact::Finished { outcome, .. } => {
                let running = self.state.deadline.is_some() && self.state.stage == Stage::Running;
                let clear = running.then_some(Effect::ClearTimer { step: None });
                clear.into_iter().chain([Effect::Finish { outcome: *outcome }]).collect()
            }
            _ => Vec::new(),
        }
    }

    fn end(self) -> Transition {
        let drained = self.records.iter().filter_map(|record| match &record.fact {
            Fact::Drained { attempt, .. } => Some(attempt),
            _ => None,
        });
        let drained: Vec<&Attempt> = drained.collect();
        let effects = effect::netted(self.effects, &drained);
        Transition { state: self.state, records: self.records, effects }
    }
}

fn after_ms(now: Timestamp, ms: u64) -> Timestamp {
    now.saturating_add(std::time::Duration::from_millis(ms))
}
