//! One run in memory.

use std::sync::Arc;

use mainstay_core::Timestamp;

use crate::engine::birth::Birth;
use crate::engine::registry::Registered;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Results;
use crate::id::RunId;
use crate::plan::{Attempt, Effect, Input, Outcome, Record, Refusal, State, transition};
use crate::store::check_kept;

/// A run, its history and what it waits for.
pub(super) struct TestRun {
    pub(super) registered: Arc<Registered>,
    pub(super) key: Option<Arc<str>>,
    pub(super) token: Option<String>,
    pub(super) parent: Option<(RunId, Attempt)>,
    pub(super) state: State,
    pub(super) history: Vec<Record>,
    pub(super) results: Results,
    /// What may run, and from when on.
    pub(super) tasks: Vec<(Timestamp, Attempt)>,
    /// Signals that are to arrive later.
    pub(super) scheduled: Vec<(Timestamp, Input)>,
}

/// Whether an answer came to a run that does not wait for it any more.
pub(super) fn is_late(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused(Refusal::Stale { .. } | Refusal::Ended { .. }))
}

/// What a transition asks of the world around the run.
pub(super) struct Asked {
    pub(super) cancel_children: Vec<Attempt>,
    pub(super) ended: Option<Outcome>,
}

impl TestRun {
    pub(super) fn new(birth: Birth) -> (Self, Asked) {
        let Birth { registered, token, key, transition, parent, .. } = birth;
        let results = Results::of(&transition.records);
        let mut run = Self {
            registered,
            key: key.map(Arc::from),
            token,
            parent,
            state: transition.state,
            history: transition.records,
            results,
            tasks: Vec::new(),
            scheduled: Vec::new(),
        };
        let asked = run.take(transition.effects).0;
        (run, asked)
    }

    /// Moves the run. What is taken back before it began is answered at once.
    pub(super) fn input(&mut self, input: Input, now: Timestamp) -> Result<Asked> {
        let next = transition(&self.registered.flow, &self.state, input, now)?;
        check_kept(&next)?;
        self.state = next.state;
        self.results.add(&next.records);
        self.history.extend(next.records);
        let (mut asked, withdrawn) = self.take(next.effects);
        for attempt in withdrawn {
            let fault = crate::plan::Fault::Withdrawn;
            match self.input(Input::Failed { attempt, fault }, now) {
                Ok(more) => {
                    asked.cancel_children.extend(more.cancel_children);
                    asked.ended = asked.ended.or(more.ended);
                }
                // Nobody waits for the answer.
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(asked)
    }

    fn take(&mut self, effects: Vec<Effect>) -> (Asked, Vec<Attempt>) {
        let mut asked = Asked { cancel_children: Vec::new(), ended: None };
        let mut withdrawn = Vec::new();
        for effect in effects {
            match effect {
                Effect::Run { attempt, ready_at, .. } | Effect::StartChild { attempt, ready_at, .. } => {
                    self.tasks.push((ready_at, attempt));
                }
                Effect::Revoke { attempt } => {
                    self.tasks.retain(|(_, task)| *task != attempt);
                    withdrawn.push(attempt);
                }
                Effect::CancelChild { attempt } => {
                    match self.tasks.iter().position(|(_, task)| *task == attempt) {
                        Some(at) => {
                            self.tasks.remove(at);
                            withdrawn.push(attempt);
                        }
                        None => asked.cancel_children.push(attempt),
                    }
                }
                Effect::Finish { outcome } => asked.ended = Some(outcome),
                // Read from the state.
                Effect::SetTimer { .. } | Effect::ClearTimer { .. } => {}
            }
        }
        (asked, withdrawn)
    }

    /// What happens when its earliest timer goes off: a signal arrives, or time has passed.
    pub(super) fn due(&mut self, now: Timestamp) -> Input {
        self.scheduled.sort_by_key(|(at, _)| *at);
        match self.scheduled.first() {
            Some((at, _)) if *at <= now => self.scheduled.remove(0).1,
            _ => Input::Tick,
        }
    }

    /// Whether attempts at this step end by themselves.
    pub(super) fn has_timeout(&self, attempt: &Attempt) -> bool {
        let flow = &self.registered.flow;
        let node = flow.index().node(&attempt.step).and_then(|at| flow.node(at));
        node.is_some_and(|node| node.timeout_ms.is_some())
    }

    /// The earliest of its timers, and of the signals that are to arrive.
    pub(super) fn timer(&self) -> Option<Timestamp> {
        let effects = crate::plan::outstanding(&self.registered.flow, &self.state).into_iter();
        let timers = effects.filter_map(|effect| match effect {
            Effect::SetTimer { at, .. } => Some(at),
            _ => None,
        });
        let timer = timers.min().filter(|_| !self.state.paused);
        let arrivals = self.scheduled.iter().map(|(at, _)| *at).filter(|_| !self.state.is_ended());
        timer.into_iter().chain(arrivals).min()
    }
}
