//! Which facts follow from an input at once.

use mainstay_core::Timestamp;
use serde_json::{Map, Value};

use super::effect::{out, revoked};
use super::{
    Attempt, Corrupt, Effect, Fact, Fault, Input, Item, Machine, Outcome, Part, Refusal, Stage, StepState,
    Trial, after_ms,
};
use crate::graph::{EventName, Kind, Mode, Node, StepKey, noise};

/// How many items a map may have: the state has an entry for each.
const ITEM_LIMIT: u32 = 100_000;

/// An attempt that counts: where it belongs.
struct Current<'a> {
    at: usize,
    node: &'a Node,
    trial: Trial,
}

impl<'a> Machine<'a> {
    pub(super) fn decide(&mut self, input: Input) -> Result<(), Refusal> {
        if let Stage::Ended { outcome, .. } = self.state.stage {
            return Err(Refusal::Ended { outcome });
        }
        match input {
            Input::Succeeded { attempt, event, targets, output } => {
                self.succeeded(&attempt, event, targets, output)
            }
            Input::Listed { attempt, items, output } => {
                let current = self.current(&attempt)?;
                if attempt.part != Part::Items {
                    return Err(Refusal::WrongResult { attempt });
                }
                if self.is_stopping() {
                    return self.drained(attempt, &current, false);
                }
                if items > ITEM_LIMIT {
                    return self.failed(&attempt, &current, Fault::TooManyItems { items });
                }
                self.keep(Fact::Listed { step: attempt.step, items, output })
            }
            Input::Finished { attempt, output } => self.finished(attempt, output),
            Input::ChildEnded { attempt, outcome, output } => self.child_ended(&attempt, outcome, output),
            Input::Failed { attempt, fault } => {
                let current = self.current(&attempt)?;
                self.failed(&attempt, &current, fault)
            }
            Input::Noted { attributes, result } => self.noted(attributes, result),
            Input::Signal { signal, payload } => {
                self.keep(Fact::Signalled { letter: self.state.letters, signal, payload })
            }
            Input::Tick => self.tick(),
            Input::Cancel { reason } => {
                if self.state.paused {
                    self.record(Fact::Resumed)?;
                }
                match self.state.stage {
                    // It stops already, and goes on with that.
                    Stage::Stopping { .. } if !self.records.is_empty() => return Ok(()),
                    Stage::Stopping { outcome, .. } => return Err(Refusal::Stopping { outcome }),
                    Stage::Running | Stage::Ended { .. } => {}
                }
                Ok(self.stop(Outcome::Cancelled, reason)?)
            }
            Input::Pause if self.state.paused => Err(Refusal::Paused),
            Input::Pause => self.keep(Fact::Paused),
            Input::Resume if !self.state.paused => Err(Refusal::NotPaused),
            Input::Resume => {
                self.record(Fact::Resumed)?;
                // Signals that came in the meantime first, then what ran out in the meantime.
                self.settle()?;
                self.tick()
            }
        }
    }

    /// The result first: what an attempt says of the run counts only if the attempt does.
    fn noted(&mut self, attributes: Map<String, Value>, result: Option<Box<Input>>) -> Result<(), Refusal> {
        let Some(result) = result else { return self.keep(Fact::Noted { step: None, attributes }) };
        let attempt = result.attempt().cloned();
        let before = self.records.len();
        self.decide(*result)?;
        let since = self.records.iter().skip(before);
        let failed =
            |record: &super::Record| matches!(record.fact, Fact::AttemptFailed { .. } | Fact::Drained { .. });
        if since.filter(|record| failed(record)).count() > 0 {
            return Ok(());
        }
        self.keep(Fact::Noted { step: attempt.map(|attempt| attempt.step), attributes })
    }

    fn keep(&mut self, fact: Fact) -> Result<(), Refusal> {
        Ok(self.record(fact)?)
    }

    fn is_stopping(&self) -> bool {
        matches!(self.state.stage, Stage::Stopping { .. })
    }

    /// The fence: only the attempt that is out counts.
    fn current(&self, attempt: &Attempt) -> Result<Current<'a>, Refusal> {
        let flow = self.flow;
        let stale = |current| Refusal::Stale { attempt: attempt.clone(), current };
        let at = flow.index().node(&attempt.step).ok_or_else(|| stale(None))?;
        let node = flow.node(at).ok_or_else(|| stale(None))?;
        let is_map = matches!(node.kind, Kind::Map { .. });
        let trial = match (attempt.part, self.state.at(at), &self.state.stage) {
            (Part::Undo, _, Stage::Stopping { undo: Some((undone, trial)), .. }) if *undone == at => {
                Some(*trial)
            }
            (Part::Body, StepState::Working(trial), _) if !is_map => Some(*trial),
            (Part::Items, StepState::Working(trial), _) if is_map => Some(*trial),
            (Part::Item(item), StepState::Mapping(items), _) => {
                match usize::try_from(item).ok().and_then(|item| items.get(item)) {
                    Some(Item::Open(trial)) => Some(*trial),
                    _ => None,
                }
            }
            _ => None,
        };
        let trial = trial.filter(|trial| trial.out).ok_or_else(|| stale(None))?;
        if trial.number != attempt.number {
            return Err(stale(Some(trial.number)));
        }
        Ok(Current { at, node, trial })
    }

    fn succeeded(
        &mut self,
        attempt: &Attempt,
        event: EventName,
        targets: Vec<StepKey>,
        output: Value,
    ) -> Result<(), Refusal> {
        let current = self.current(attempt)?;
        if attempt.part != Part::Body || !matches!(current.node.kind, Kind::Task { .. }) {
            return Err(Refusal::WrongResult { attempt: attempt.clone() });
        }
        if self.is_stopping() {
            return self.drained(attempt.clone(), &current, true);
        }
        match chosen(current.node, &event, targets) {
            Ok(targets) => self.keep(ended(current.node, event, targets, output)),
            // The step did its work and then broke its word: nobody knows where to go on.
            Err(fault) => self.failed(attempt, &current, fault),
        }
    }

    fn finished(&mut self, attempt: Attempt, output: Value) -> Result<(), Refusal> {
        let current = self.current(&attempt)?;
        match attempt.part {
            Part::Undo => self.keep(Fact::Undone { step: attempt.step }),
            Part::Item(_) if self.is_stopping() => self.drained(attempt, &current, true),
            Part::Item(item) => self.keep(Fact::ItemSucceeded { step: attempt.step, item, output }),
            Part::Body | Part::Items => Err(Refusal::WrongResult { attempt }),
        }
    }

    fn child_ended(&mut self, attempt: &Attempt, outcome: Outcome, output: Value) -> Result<(), Refusal> {
        let current = self.current(attempt)?;
        let Kind::Child { completed, .. } = &current.node.kind else {
            return Err(Refusal::WrongResult { attempt: attempt.clone() });
        };
        if attempt.part != Part::Body {
            return Err(Refusal::WrongResult { attempt: attempt.clone() });
        }
        if self.is_stopping() {
            return self.drained(attempt.clone(), &current, outcome == Outcome::Completed);
        }
        if outcome != Outcome::Completed {
            return self.failed(attempt, &current, Fault::Child { outcome });
        }
        let targets = all_targets(current.node, completed);
        self.keep(ended(current.node, completed.clone(), targets, output))
    }

    /// What became of an attempt that was out when the run stopped.
    fn drained(&mut self, attempt: Attempt, current: &Current<'_>, ran: bool) -> Result<(), Refusal> {
        self.keep(Fact::Drained { attempt, ran: ran || current.trial.unsure })
    }

    fn failed(&mut self, attempt: &Attempt, current: &Current<'_>, fault: Fault) -> Result<(), Refusal> {
        let ran = fault.has_run() && !matches!(current.node.kind, Kind::Task { tx: true, .. });
        if self.is_stopping() && attempt.part != Part::Undo {
            return self.drained(attempt.clone(), current, ran || fault.is_unsure());
        }
        let retry_at = self.retry_at(attempt, current, &fault);
        self.record(Fact::AttemptFailed { attempt: attempt.clone(), fault: fault.clone(), retry_at, ran })?;
        match attempt.part {
            _ if retry_at.is_some() => Ok(()),
            Part::Undo => self.keep(Fact::NotUndone { step: attempt.step.clone(), fault }),
            // Whether the others suffice is seen when the map is looked at.
            Part::Item(_) => Ok(()),
            Part::Body | Part::Items => Ok(self.give_up(current.node, fault)?),
        }
    }

    fn retry_at(&self, attempt: &Attempt, current: &Current<'_>, fault: &Fault) -> Option<Timestamp> {
        let (retry, trial) = (&current.node.retry, &current.trial);
        let again = match fault {
            Fault::Withdrawn => return Some(self.now),
            Fault::Lost => return (trial.losses + 1 < retry.max_losses).then_some(self.now),
            fault => fault.is_retryable() && trial.failures + 1 < retry.max_attempts,
        };
        let part = match attempt.part {
            Part::Body => 0,
            Part::Items => 1,
            Part::Undo => 2,
            Part::Item(item) => 3 + u64::from(item),
        };
        let place = u64::try_from(current.at).unwrap_or(u64::MAX);
        let noise = noise(self.state.seed, &[place, part, u64::from(attempt.number)]);
        again.then(|| self.now.saturating_add(retry.pause(trial.failures + 1, noise)))
    }

    /// A step failed for good: the way that is routed for that, or the end of the run.
    pub(super) fn give_up(&mut self, node: &Node, fault: Fault) -> Result<(), Corrupt> {
        if let Some(event) = &node.on_failure {
            let targets = all_targets(node, event);
            return self.record(ended(node, event.clone(), targets, Value::Null));
        }
        let reason = format!("{}: {fault}", node.key);
        self.record(Fact::Failed { step: node.key.clone(), fault })?;
        self.stop(Outcome::Failed, reason)
    }

    /// The run goes forward no more. Steps that nobody has to undo are given up; the others are asked to stop and waited for, because
    /// what is still running cannot be undone.
    pub(super) fn stop(&mut self, outcome: Outcome, reason: String) -> Result<(), Corrupt> {
        self.record(Fact::Stopping { outcome, reason })?;
        for (at, node) in self.flow.graph().nodes.iter().enumerate() {
            let step = self.state.at(at);
            if !step.is_live() {
                continue;
            }
            if node.compensate.is_some() && step.is_out() {
                let attempts = out(node, step);
                self.take_back(node, attempts)?;
            } else {
                self.record(Fact::Abandoned { step: node.key.clone() })?;
            }
        }
        Ok(())
    }

    /// Asks for attempts back. Those that this very transition gave out have not left it yet: they surely did nothing.
    fn take_back(&mut self, node: &Node, attempts: Vec<(Part, Trial)>) -> Result<(), Corrupt> {
        for (part, trial) in attempts {
            let attempt = Attempt { step: node.key.clone(), part, number: trial.number };
            let gives_out = |effect: &Effect| effect.gives_out() == Some(&attempt);
            if self.effects.iter().any(gives_out) {
                self.record(Fact::Drained { attempt, ran: trial.unsure })?;
            } else {
                self.effects.push(revoked(node, attempt));
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), Refusal> {
        if self.state.stage != Stage::Running || self.state.paused {
            return Ok(());
        }
        if self.state.deadline.is_some_and(|deadline| deadline <= self.now) {
            return Ok(self.stop(Outcome::Failed, Fault::DeadlineExceeded.to_string())?);
        }
        let mut due: Vec<(Timestamp, usize)> = Vec::new();
        for at in 0..self.state.steps.len() {
            if let StepState::Waiting { deadline: Some(deadline), .. } = self.state.at(at)
                && *deadline <= self.now
            {
                due.push((*deadline, at));
            }
        }
        due.sort_unstable();
        for node in due.into_iter().filter_map(|(_, at)| self.flow.node(at)) {
            if let Kind::Wait { timeout: Some(expiry), .. } | Kind::Timer { expiry } = &node.kind {
                let targets = all_targets(node, &expiry.event);
                self.record(ended(node, expiry.event.clone(), targets, Value::Null))?;
            }
        }
        Ok(())
    }

    pub(super) fn wait_until(&self, kind: &Kind) -> Option<Timestamp> {
        match kind {
            Kind::Wait { timeout: Some(expiry), .. } | Kind::Timer { expiry } => {
                Some(after_ms(self.now, expiry.after_ms))
            }
            _ => None,
        }
    }
}

/// A step ended, without a signal.
fn ended(node: &Node, event: EventName, targets: Vec<StepKey>, output: Value) -> Fact {
    Fact::Ended { step: node.key.clone(), event: Some(event), targets, output, letter: None }
}

/// Where an event leads when nobody chooses.
pub(super) fn all_targets(node: &Node, event: &EventName) -> Vec<StepKey> {
    node.routed(event).map(|route| route.targets.clone()).unwrap_or_default()
}

/// Where an event leads with this choice, or how the choice breaks the graph's word.
fn chosen(node: &Node, event: &EventName, mut choice: Vec<StepKey>) -> Result<Vec<StepKey>, Fault> {
    let Some(route) = node.routed(event) else {
        return Err(Fault::UndeclaredEvent { event: event.clone() });
    };
    choice.sort();
    choice.dedup();
    if let Some(target) = choice.iter().find(|target| !route.targets.contains(target)) {
        return Err(Fault::UndeclaredTarget { event: event.clone(), target: target.clone() });
    }
    match (route.mode, choice.len()) {
        (Mode::All, 0) => Ok(route.targets.clone()),
        (Mode::One, 1) => Ok(choice),
        (Mode::Some, 1..) => Ok(choice),
        (_, chosen) => Err(Fault::WrongChoice { event: event.clone(), chosen }),
    }
}
