//! A transition on its way into the database: what it appends, and which tasks, timers and mail come and go with it.

use std::sync::Arc;

use mainstay_core::Timestamp;
use serde_json::{Map, Value};

use super::baton::{Handover, sole};
use super::codec::{OutputRow, Slot, take_outputs};
use super::filter::document;
use super::limits::{MAX_ATTRIBUTES_BYTES, MAX_OUTPUT_BYTES, encode};
use super::types::{Head, Mail, Meta};
use crate::definition::Workflow;
use crate::error::{Error, Result};
use crate::id::{MailId, NodeId, RunId};
use crate::plan::{Attempt, Effect, Fact, Outcome, Record, Stage, State, Status, Transition, outstanding};

/// After so many records the state is stored as a whole, so that reading a run takes no longer as it grows.
pub(super) const SNAPSHOT_EVERY: u64 = 64;

/// What happens to a run's timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Nothing.
    Keep,
    /// It goes off then.
    Set(Timestamp),
    /// It is not needed any more.
    Clear,
}

/// A task that comes.
#[derive(Debug, Clone)]
pub(super) struct NewTask {
    pub(super) attempt: Attempt,
    pub(super) queue: Arc<str>,
    pub(super) ready_at: Timestamp,
    pub(super) revoked: bool,
    /// Whether it may go without a row of its own: a first attempt at running code.
    pub(super) is_plain: bool,
}

/// A letter that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadMail {
    pub(super) id: MailId,
    pub(super) named: bool,
    /// The number that the run gave it, if nobody took it yet.
    pub(super) letter: Option<u64>,
}

/// One commit of one run: one transition, or several one after the other.
#[derive(Debug, Clone)]
pub struct Commit {
    pub(super) meta: Arc<Meta>,
    /// The state afterwards; none before the first push.
    pub(super) state: Option<State>,
    pub(super) snapshot: u64,
    pub(super) base: u64,
    pub(super) before: Option<Status>,
    /// The attempt that the baton stood for before.
    baton: Option<Attempt>,
    /// The only attempt that is out after what was pushed.
    sole: Option<Attempt>,
    pub(super) records: Vec<Record>,
    pub(super) outputs: Vec<OutputRow>,
    pub(super) done: Vec<Attempt>,
    pub(super) tasks: Vec<NewTask>,
    pub(super) revoked: Vec<Attempt>,
    pub(super) cancelled: Vec<Attempt>,
    pub(super) timer: Timer,
    pub(super) read: Vec<ReadMail>,
    pub(super) taken: Vec<u64>,
    /// The run's attributes afterwards, when they changed.
    pub(super) attributes: Option<Arc<Map<String, Value>>>,
    /// Its attributes before.
    pub(super) attributes_before: Option<Arc<Map<String, Value>>>,
    pub(super) finish: Option<Finish>,
    pub(super) lease: Option<NodeId>,
    pub(super) now: Timestamp,
    result: Value,
    queues: Vec<(Attempt, Arc<str>)>,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    pub(super) result: Value,
}

impl Commit {
    /// Nothing yet, on what the caller knows of the run.
    pub fn new(head: &Head, now: Timestamp) -> Self {
        let status = Some(head.state.status());
        let commit = Self::on(Arc::clone(&head.meta), head.state.seq, head.snapshot, status, now);
        let attributes_before = Some(Arc::clone(head.state.attributes()));
        Self { baton: head.baton.clone(), attributes_before, ..commit }
    }

    /// The first commit of a run.
    pub(super) fn first(meta: Meta, now: Timestamp) -> Self {
        Self::on(Arc::new(meta), 0, 0, None, now)
    }

    fn on(meta: Arc<Meta>, base: u64, snapshot: u64, before: Option<Status>, now: Timestamp) -> Self {
        Self {
            meta,
            state: None,
            snapshot,
            base,
            before,
            baton: None,
            sole: None,
            records: Vec::new(),
            outputs: Vec::new(),
            done: Vec::new(),
            tasks: Vec::new(),
            revoked: Vec::new(),
            cancelled: Vec::new(),
            timer: Timer::Keep,
            read: Vec::new(),
            taken: Vec::new(),
            attributes: None,
            attributes_before: None,
            finish: None,
            lease: None,
            now,
            result: Value::Null,
            queues: Vec::new(),
        }
    }

    /// Which run.
    pub fn run(&self) -> RunId {
        self.meta.run
    }

    /// The task whose answer this is: it is removed.
    pub fn done(&mut self, attempt: Attempt) {
        self.done.push(attempt);
    }

    /// New tasks are leased to this node as far as [`Commit::leased`] says. The caller answers for the lane's queue having no limits.
    pub fn lease(&mut self, node: NodeId) {
        self.lease = Some(node);
    }

    /// The new tasks that are leased with this commit: those that are ready now, wanted, and stand in no queue of their own and in no turn.
    #[must_use]
    pub fn leased(&self) -> Vec<Attempt> {
        self.tasks.iter().filter(|task| self.leases(task)).map(|task| task.attempt.clone()).collect()
    }

    /// Queues may have limits, and fairness keys take turns: both are for claims to see to.
    pub(super) fn leases(&self, task: &NewTask) -> bool {
        let plain = task.queue == self.meta.lane.queue && self.meta.lane.fairness.is_none();
        self.lease.is_some() && plain && task.ready_at <= self.now && !task.revoked
    }

    /// The queue of a task that the next push brings.
    pub fn queue_of(&mut self, attempt: Attempt, queue: Arc<str>) {
        self.queues.push((attempt, queue));
    }

    /// What the run results in, should the next push end it.
    pub fn result(&mut self, value: Value) {
        self.result = value;
    }

    /// A letter that was read. Say so before the push of the transition that it led to; for a letter that was refused there is no push.
    pub fn read(&mut self, mail: &Mail) {
        self.read.push(ReadMail { id: mail.id, named: mail.named, letter: None });
    }

    /// The state after what was pushed.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a transition: the first on the head's state, the others on the state that the one before led to.
    ///
    /// # Errors
    /// A result is too large, or the transition is not the next one.
    pub fn push(&mut self, flow: &Workflow, transition: Transition) -> Result<()> {
        let Transition { state, mut records, effects } = transition;
        let next = self.state.as_ref().map_or(self.base, |state| state.seq);
        if records.first().is_some_and(|record| record.seq != next) {
            return Err(Error::internal("a transition was made on another state than the one before"));
        }
        take_outputs(&mut records, &mut self.outputs)?;
        if records.iter().any(|record| matches!(record.fact, Fact::Noted { .. })) {
            encode("attributes", &**state.attributes(), MAX_ATTRIBUTES_BYTES)?;
            document(&Value::Object(Map::clone(state.attributes())))?;
            self.attributes = Some(Arc::clone(state.attributes()));
        }
        self.letters(&records);
        // A paused run has no timer: its time-outs wait for the resume.
        let mut timers = records.iter().any(|record| matches!(record.fact, Fact::Paused | Fact::Resumed));
        for effect in effects {
            timers |= matches!(effect, Effect::SetTimer { .. } | Effect::ClearTimer { .. });
            self.effect(effect, &state)?;
        }
        if timers {
            let due = outstanding(flow, &state).into_iter().filter_map(|effect| match effect {
                Effect::SetTimer { at, .. } => Some(at),
                _ => None,
            });
            self.timer = due.min().filter(|_| !state.paused).map_or(Timer::Clear, Timer::Set);
        }
        self.records.append(&mut records);
        self.sole = sole(flow, &state);
        self.state = Some(state);
        Ok(())
    }

    fn effect(&mut self, effect: Effect, state: &State) -> Result<()> {
        let runs = matches!(effect, Effect::Run { .. });
        match effect {
            Effect::Run { attempt, ready_at, .. } | Effect::StartChild { attempt, ready_at, .. } => {
                let own = self.queues.iter().find(|(of, _)| *of == attempt).map(|(_, queue)| queue);
                let queue = Arc::clone(own.unwrap_or(&self.meta.lane.queue));
                let is_plain = runs && attempt.number == 1;
                self.tasks.push(NewTask { attempt, queue, ready_at, revoked: false, is_plain });
            }
            Effect::Revoke { attempt } => self.revoke(attempt),
            Effect::CancelChild { attempt } => {
                self.revoke(attempt.clone());
                self.cancelled.push(attempt);
            }
            Effect::Finish { outcome } => {
                let reason = match &state.stage {
                    Stage::Ended { reason, .. } => reason.clone(),
                    _ => String::new(),
                };
                let result = std::mem::take(&mut self.result);
                if !result.is_null() {
                    let value = encode("result of a run", &result, MAX_OUTPUT_BYTES)?;
                    self.outputs.push(OutputRow { step: String::new(), slot: Slot::Run, item: 0, value });
                }
                self.finish = Some(Finish { outcome, reason, result });
            }
            _ => {}
        }
        Ok(())
    }

    /// One that this very commit brings is changed before it is written.
    fn revoke(&mut self, attempt: Attempt) {
        match self.tasks.iter_mut().find(|task| task.attempt == attempt) {
            Some(task) => task.revoked = true,
            None => self.revoked.push(attempt),
        }
    }

    /// What becomes of the run's baton.
    pub(super) fn handover(&self) -> Handover<'_> {
        let before = self.baton.as_ref();
        let is_answered = before.is_some_and(|attempt| self.done.contains(attempt));
        let after = self.baton_after();
        match (before, after) {
            (None, None) => Handover::None,
            (None, Some(attempt)) => Handover::Take { attempt, left: None },
            (Some(before), Some(after)) if before == after => Handover::None,
            // The node that answers holds the baton; it keeps it for what comes next.
            (Some(answered), Some(next)) if is_answered => Handover::Keep { answered, next },
            (Some(left), Some(attempt)) => Handover::Take { attempt, left: Some(left) },
            (Some(answered), None) if is_answered => Handover::Drop { answered },
            (Some(left), None) => Handover::Leave { left },
        }
    }

    /// The attempt that the baton stands for afterwards: the only one that is out, when it stood for it before and nobody took it back, or
    /// when it begins in the hands of the node that commits.
    fn baton_after(&self) -> Option<&Attempt> {
        if self.state.is_none() {
            return self.baton.as_ref();
        }
        let sole = self.sole.as_ref().filter(|sole| !self.revoked.contains(sole))?;
        let stays = self.baton.as_ref() == Some(sole) && !self.done.contains(sole);
        let begins = |task: &NewTask| task.attempt == *sole && task.is_plain && self.leases(task);
        (stays || self.tasks.iter().any(begins)).then_some(sole)
    }

    /// Notes which numbers the run gave to letters, and which it took out of its mailbox.
    fn letters(&mut self, records: &[Record]) {
        for record in records {
            match &record.fact {
                Fact::Signalled { letter, .. } => {
                    if let Some(last) = self.read.last_mut() {
                        last.letter = Some(*letter);
                    }
                }
                Fact::Ended { letter: Some(letter), .. } => {
                    match self.read.iter_mut().find(|read| read.letter == Some(*letter)) {
                        Some(read) => read.letter = None,
                        None => self.taken.push(*letter),
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the state is to be stored as a whole now.
    pub(super) fn snapshots(&self) -> bool {
        let seq = self.state.as_ref().map_or(0, |state| state.seq);
        seq.saturating_sub(self.snapshot) >= SNAPSHOT_EVERY && self.finish.is_none()
    }

    /// About how many octets it writes.
    pub(super) fn size(&self) -> usize {
        const ROW: usize = 256;
        let payloads = self.records.iter().map(|record| match &record.fact {
            Fact::Signalled { payload, .. } => payload.to_string().len(),
            _ => ROW,
        });
        payloads.sum::<usize>() + self.outputs.iter().map(|row| row.value.len() + ROW).sum::<usize>()
    }

    /// The run after the commit; none when nothing was pushed.
    #[must_use]
    pub fn into_head(self) -> Option<Head> {
        let snapshots = self.snapshots();
        let baton = self.baton_after().cloned();
        let state = self.state?;
        let snapshot = if snapshots { state.seq } else { self.snapshot };
        Some(Head { meta: self.meta, state, snapshot, baton })
    }
}
