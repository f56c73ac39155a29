//! One run in the cache: its head, what waits to be decided, and which of its attempts this node holds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use mainstay_repo::Batch;
use serde_json::Value;

use super::core::Taken;
use super::tally::Tally;
use super::telemetry::Timing;
use crate::engine::registry::Registered;
use crate::handler::Results;
use crate::plan::{Attempt, Effect, Input, outstanding};
use crate::store::{Head, Mail, TaskKey};

/// A cached run.
pub(super) struct Cell {
    pub(super) head: Head,
    pub(super) registered: Arc<Registered>,
    pub(super) results: Results,
    /// What is told of it at its end and when a wait is over.
    pub(super) tally: Tally,
    /// The result of the latest step that led to an end.
    pub(super) end: Value,
    /// What happened and is not decided yet, oldest first.
    pub(super) inbox: VecDeque<Item>,
    /// A commit, a transaction or a read of its mail is under way; nothing else may be decided.
    pub(super) busy: bool,
    /// It stands in the list of runs to decide.
    pub(super) queued: bool,
    /// Nobody can have moved it since it was read: what it refuses is refused.
    pub(super) fresh: bool,
    /// There may be mail, or a timer may be due.
    pub(super) woken: bool,
    /// Attempts that were claimed while something was under way.
    pub(super) later: Vec<Taken>,
    /// The attempts that are leased to this node.
    pub(super) held: HashMap<Attempt, Held>,
}

/// An attempt that is leased to this node.
pub(super) enum Held {
    /// It has not begun.
    Ready,
    /// It is being noted that it begins.
    Noting,
    /// That is noted; it has not begun.
    Noted,
    /// Its code runs, in this worker.
    Running(u64),
    /// It has answered; the answer waits for its commit.
    Answered,
}

/// Something to decide.
pub(super) struct Item {
    pub(super) what: What,
    pub(super) source: Source,
    /// Of an attempt that ran here: for how long, and in which span.
    pub(super) timing: Option<Timing>,
}

/// What there is to decide.
pub(super) enum What {
    /// An input.
    Input(Input),
    /// The answer of a `tx` step with statements that commit with it.
    Batch(Input, Batch),
    /// An attempt that needs a transaction: the run is reserved while its code runs.
    Transaction,
}

/// Where it came from: what is settled when it is refused.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Attempt(Attempt),
    Mail(Mail),
    Time,
}

impl Cell {
    pub(super) fn new(head: Head, registered: Arc<Registered>, results: Results) -> Self {
        Self {
            head,
            registered,
            results,
            tally: Tally::default(),
            end: Value::Null,
            inbox: VecDeque::new(),
            busy: false,
            queued: false,
            fresh: true,
            woken: false,
            later: Vec::new(),
            held: HashMap::new(),
        }
    }

    /// All that the run as it is known here has given out. What is claimed and is not in it says that somebody else has moved the run.
    pub(super) fn given_out(&self) -> HashSet<Attempt> {
        let effects = outstanding(&self.registered.flow, &self.head.state).into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Run { attempt, .. } | Effect::StartChild { attempt, .. } => Some(attempt),
                _ => None,
            })
            .collect()
    }

    /// Whether this node works on a task of the run.
    pub(super) fn holds(&self, key: &TaskKey) -> bool {
        let attempt = if key.is_baton() { self.head.baton.as_ref() } else { Some(&key.attempt) };
        attempt.is_some_and(|attempt| self.held.contains_key(attempt))
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_idle(&self) -> bool {
        !self.busy
            && !self.queued
            && !self.woken
            && self.inbox.is_empty()
            && self.held.is_empty()
            && self.later.is_empty()
    }

    /// The caller's metadata for telemetry.
    pub(super) fn telemetry(&self) -> &Value {
        &self.head.meta.telemetry
    }
}

impl Item {
    pub(super) fn answer(attempt: Attempt, input: Input, batch: Option<Batch>) -> Self {
        let what = match batch {
            Some(batch) => What::Batch(input, batch),
            None => What::Input(input),
        };
        Self { what, source: Source::Attempt(attempt), timing: None }
    }

    /// An attempt needs a transaction.
    pub(super) fn transaction(attempt: Attempt) -> Self {
        Self { what: What::Transaction, source: Source::Attempt(attempt), timing: None }
    }

    /// How long the attempt ran.
    pub(super) fn timed(self, timing: Option<Timing>) -> Self {
        Self { timing, ..self }
    }

    /// Time has passed.
    pub(super) fn tick() -> Self {
        Self { what: What::Input(Input::Tick), source: Source::Time, timing: None }
    }

    /// A letter of the run's mail.
    pub(super) fn letter(mail: Mail) -> Self {
        let what = What::Input(mail.message.clone().into_input());
        Self { what, source: Source::Mail(mail), timing: None }
    }

    /// Whether it is decided alone, in a commit of its own.
    pub(super) fn is_alone(&self) -> bool {
        !matches!(self.what, What::Input(_))
    }
}
