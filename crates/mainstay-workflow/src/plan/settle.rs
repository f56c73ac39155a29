//! Which facts follow from a state by themselves: dead paths, joins, signals that are there, items, compensation, the end.

use serde_json::Value;

use super::decide::all_targets;
use super::{
    Attempt, Corrupt, EdgeState, Effect, Fact, Fault, Item, Letter, Machine, Outcome, Part, Record, Stage,
    StepState, Trial,
};
use crate::graph::{Join, Kind, Need, Node};

impl<'a> Machine<'a> {
    /// Until nothing follows any more. Each round either adds a fact that cannot be added twice or is the last one.
    pub(super) fn settle(&mut self) -> Result<(), Corrupt> {
        loop {
            let before = self.state.seq;
            match &self.state.stage {
                Stage::Ended { .. } => return Ok(()),
                _ if self.state.paused => return Ok(()),
                Stage::Running => self.advance()?,
                Stage::Stopping { outcome, undo, .. } => {
                    let (outcome, undo) = (*outcome, *undo);
                    self.undo(outcome, undo)?;
                }
            }
            if self.state.seq == before {
                return Ok(());
            }
        }
    }

    fn advance(&mut self) -> Result<(), Corrupt> {
        let flow = self.flow;
        for &at in &flow.index().order {
            let Some(node) = flow.node(at) else { continue };
            match self.state.at(at) {
                StepState::Idle => self.enter(at, node)?,
                StepState::Working(trial) if !trial.out => {
                    let trial = *trial;
                    self.schedule(node, body(node), trial)?;
                }
                StepState::Mapping(_) => self.map(at, node)?,
                _ => {}
            }
            if self.state.stage != Stage::Running {
                return Ok(());
            }
        }
        self.deliver()?;
        self.conclude()
    }

    /// The join: runs the step, skips it, or leaves it open.
    fn enter(&mut self, at: usize, node: &Node) -> Result<(), Corrupt> {
        let (mut open, mut taken) = (0_usize, 0_usize);
        let incoming = self.flow.index().incoming_ids(at);
        for edge in incoming {
            match self.state.edge(*edge) {
                EdgeState::Open => open += 1,
                EdgeState::Taken => taken += 1,
                EdgeState::Skipped => {}
            }
        }
        let needs = match node.join {
            Join::All | Join::Any => 1,
            Join::AtLeast(needs) => usize::try_from(needs).unwrap_or(usize::MAX),
        };
        let waits = node.join == Join::All && open > 0;
        if incoming.is_empty() || (taken >= needs && !waits) {
            self.begin(node)
        } else if taken + open < needs {
            self.record(Fact::Skipped { step: node.key.clone() })
        } else {
            Ok(())
        }
    }

    fn begin(&mut self, node: &Node) -> Result<(), Corrupt> {
        let step = node.key.clone();
        match node.kind {
            Kind::Done => {
                let (event, targets, output) = (None, Vec::new(), Value::Null);
                self.record(Fact::Ended { step, event, targets, output, letter: None })
            }
            Kind::Wait { .. } | Kind::Timer { .. } => {
                let deadline = self.wait_until(&node.kind);
                self.record(Fact::Waiting { step, deadline })
            }
            Kind::Task { .. } | Kind::Child { .. } | Kind::Map { .. } => {
                self.schedule(node, body(node), Trial::default())
            }
        }
    }

    fn schedule(&mut self, node: &Node, part: Part, trial: Trial) -> Result<(), Corrupt> {
        let attempt = Attempt { step: node.key.clone(), part, number: trial.number + 1 };
        let ready_at = trial.at.map_or(self.now, |at| at.max(self.now));
        self.record(Fact::Scheduled { attempt, ready_at })
    }

    /// A map goes on: it ended, cannot end well any more, or has room for more items. All its items are looked at, but nothing of them is copied
    /// but what begins now.
    fn map(&mut self, at: usize, node: &Node) -> Result<(), Corrupt> {
        let Kind::Map { limit, need, mapped, .. } = &node.kind else { return Ok(()) };
        let StepState::Mapping(items) = self.state.at(at) else { return Ok(()) };
        let Tally { succeeded, open, out } = Tally::of(items);
        let needed = match need {
            Need::All => items.len(),
            Need::AtLeast(needed) => usize::try_from(*needed).unwrap_or(usize::MAX),
        };
        if succeeded >= needed {
            if node.compensate.is_some() && out > 0 {
                // The others are asked to stop and waited for: what is still running cannot be undone.
                let recalled = self.recalled(node, items);
                self.effects.extend(recalled);
                return Ok(());
            }
            let (step, event, targets) = (node.key.clone(), mapped.clone(), all_targets(node, mapped));
            return self.record(Fact::Ended {
                step,
                event: Some(event),
                targets,
                output: Value::Null,
                letter: None,
            });
        }
        let possible = succeeded + open;
        if possible < needed {
            // What is still running cannot be undone: it is waited for.
            return match node.compensate {
                Some(_) if out > 0 => Ok(()),
                _ => self.give_up(node, Fault::TooFewItems { needed, possible }),
            };
        }
        let room = usize::try_from(*limit).unwrap_or(usize::MAX).saturating_sub(out);
        if room == 0 || open == out {
            return Ok(());
        }
        let ready = (0..).zip(items).filter_map(|(at, item)| match item {
            Item::Open(trial) if !trial.out => Some((at, *trial)),
            _ => None,
        });
        let ready: Vec<(u32, Trial)> = ready.take(room).collect();
        for (item, trial) in ready {
            self.schedule(node, Part::Item(item), trial)?;
        }
        Ok(())
    }

    /// The items that are out, to be taken back once: with the one that sufficed.
    fn recalled(&self, node: &Node, items: &[Item]) -> Vec<Effect> {
        let suffices = |record: &Record| match &record.fact {
            Fact::ItemSucceeded { step, .. } => *step == node.key,
            fact => *fact == Fact::Resumed,
        };
        if !self.records.iter().any(suffices) {
            return Vec::new();
        }
        let out = (0..).zip(items).filter_map(|(item, place)| match place {
            Item::Open(trial) if trial.out => {
                Some(Attempt { step: node.key.clone(), part: Part::Item(item), number: trial.number })
            }
            _ => None,
        });
        out.map(|attempt| Effect::Revoke { attempt }).collect()
    }

    /// Gives the signals in the mailbox to the steps that wait for them: the oldest signal to the step that has waited longest.
    fn deliver(&mut self) -> Result<(), Corrupt> {
        if self.state.mailbox.is_empty() {
            return Ok(());
        }
        let mut waiting: Vec<(u64, usize)> = Vec::new();
        for (at, step) in self.state.steps.iter().enumerate() {
            if let StepState::Waiting { since, .. } = step {
                waiting.push((*since, at));
            }
        }
        waiting.sort_unstable();
        for node in waiting.into_iter().filter_map(|(_, at)| self.flow.node(at)) {
            let Kind::Wait { signals, .. } = &node.kind else { continue };
            let arrival = |letter: &Letter| signals.iter().find(|arrival| arrival.signal == letter.signal);
            let found = self.state.mailbox.iter().find_map(|letter| Some((letter, &arrival(letter)?.event)));
            let Some((letter, event)) = found else { continue };
            let (output, number) = (letter.payload.clone(), letter.number);
            self.record(Fact::Ended {
                step: node.key.clone(),
                event: Some(event.clone()),
                targets: all_targets(node, event),
                output,
                letter: Some(number),
            })?;
        }
        Ok(())
    }

    /// The run ends when every end is reached or skipped. Steps that still run then lead to steps that have been reached already; their
    /// results cannot matter.
    fn conclude(&mut self) -> Result<(), Corrupt> {
        let flow = self.flow;
        let ends = || flow.graph().nodes.iter().enumerate().filter(|(_, node)| node.is_done());
        if ends().any(|(at, _)| *self.state.at(at) == StepState::Idle) {
            return Ok(());
        }
        if !ends().any(|(at, _)| matches!(self.state.at(at), StepState::Ended(_))) {
            return self.stop(Outcome::Failed, Fault::DeadEnd.to_string());
        }
        for (at, node) in flow.graph().nodes.iter().enumerate() {
            if self.state.at(at).is_live() {
                self.record(Fact::Abandoned { step: node.key.clone() })?;
            }
        }
        self.record(Fact::Finished { outcome: Outcome::Completed, reason: String::new() })
    }

    /// Undoes the steps in reverse, one at a time, when none of them runs any more; then the run ends.
    fn undo(&mut self, outcome: Outcome, undo: Option<(usize, Trial)>) -> Result<(), Corrupt> {
        if self.state.steps.iter().any(StepState::is_live) || undo.is_some_and(|(_, trial)| trial.out) {
            return Ok(());
        }
        let trial = undo.map(|(_, trial)| trial).unwrap_or_default();
        if let Some(node) = self.state.undoable.last().and_then(|at| self.flow.node(*at)) {
            return self.schedule(node, Part::Undo, trial);
        }
        let reason = match &self.state.stage {
            Stage::Stopping { reason, .. } => reason.clone(),
            _ => String::new(),
        };
        self.record(Fact::Finished { outcome, reason })
    }
}

/// How far the items of a map are.
#[derive(Default)]
struct Tally {
    succeeded: usize,
    /// May succeed yet.
    open: usize,
    /// Of these, with an attempt that is out.
    out: usize,
}

impl Tally {
    fn of(items: &[Item]) -> Self {
        let mut tally = Self::default();
        for item in items {
            match item {
                Item::Succeeded => tally.succeeded += 1,
                Item::Open(trial) => {
                    tally.open += 1;
                    tally.out += usize::from(trial.out);
                }
                Item::Failed | Item::Dropped => {}
            }
        }
        tally
    }
}

fn body(node: &Node) -> Part {
    if matches!(node.kind, Kind::Map { .. }) { Part::Items } else { Part::Body }
}
