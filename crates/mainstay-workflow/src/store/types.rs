//! What goes into the store and comes out of it.

use std::sync::Arc;

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::{MAX_NAME_BYTES, check_name};
use crate::error::Result;
use crate::graph::SignalName;
use crate::id::{DefinitionId, MailId, NodeId, RunId};
use crate::plan::{Attempt, Effect, Input, Outcome, Part, Record, State, Transition};

/// Where the tasks of a run stand in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The queue of tasks whose queue nobody says.
    pub queue: Arc<str>,
    /// Smaller numbers go first.
    pub priority: i16,
    /// Tasks of different keys take turns.
    pub fairness: Option<Arc<str>>,
}

impl Lane {
    /// The queue of those that name none.
    pub const DEFAULT_QUEUE: &'static str = "default";

    pub(super) fn check(&self) -> Result<()> {
        check_name("queue", &self.queue, MAX_NAME_BYTES)?;
        self.fairness.as_deref().map_or(Ok(()), |key| check_name("fairness key", key, MAX_NAME_BYTES))
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { queue: Self::DEFAULT_QUEUE.into(), priority: 0, fairness: None }
    }
}

/// Whose child a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The run that started it.
    pub run: RunId,
    /// The attempt that it is.
    pub attempt: Attempt,
}

/// A task: one attempt of one run that is out, or the run's baton.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskKey {
    /// The run.
    pub run: RunId,
    /// The attempt; of a baton, none that there is.
    pub attempt: Attempt,
}

impl TaskKey {
    /// The run's baton: it stands for the one attempt of the run that is out, whichever that is by now ([`Head::baton`]).
    #[must_use]
    pub fn baton(run: RunId) -> Self {
        Self { run, attempt: Attempt { step: "".into(), part: Part::Body, number: 0 } }
    }

    /// Whether it is a baton. Attempts are numbered from one.
    #[must_use]
    pub const fn is_baton(&self) -> bool {
        self.attempt.number == 0
    }
}

/// What to do with a task that one got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Run it.
    Run,
    /// It is not wanted any more and nobody ran it: answer [`Fault::Withdrawn`](crate::plan::Fault::Withdrawn).
    Revoked,
    /// Its worker is gone: answer [`Fault::Lost`](crate::plan::Fault::Lost).
    Lost,
}

/// A task that is leased to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub key: TaskKey,
    /// What the run is pinned to.
    pub definition: DefinitionId,
    /// Where it stood.
    pub queue: String,
    /// What to do with it.
    pub fate: Fate,
    /// Whether somebody noted that it begins ([`Store::begin`](super::Store::begin)).
    pub begun: bool,
    /// Since when it was ready.
    pub ready_at: Timestamp,
}

/// A claim of ready tasks.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who claims.
    pub node: NodeId,
    /// The time.
    pub now: Timestamp,
    /// How many of each queue at the most, in this order.
    pub queues: &'a [(&'a str, u32)],
    /// What the caller can run.
    pub definitions: &'a [DefinitionId],
}

/// What does not change while a run goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// Which run.
    pub run: RunId,
    /// What it is pinned to.
    pub definition: DefinitionId,
    /// The workflow's name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// The business key, `key::value`.
    pub business_key: Option<String>,
    /// What no other active run may have.
    pub token: Option<String>,
    /// Where its tasks stand.
    pub lane: Lane,
    /// Whose child it is.
    pub parent: Option<Parent>,
    /// What the host wants on each telemetry event.
    pub telemetry: Value,
    /// When it began.
    pub created_at: Timestamp,
}

/// A run as it is kept in memory: move it with the plain core, then commit.
#[derive(Debug, Clone)]
pub struct Head {
    /// What does not change.
    pub meta: Arc<Meta>,
    /// What does.
    pub state: State,
    /// Up to where the state is stored as a whole.
    pub snapshot: u64,
    /// The attempt that the run's baton stands for, if it has one; such an attempt has no task of its own.
    pub baton: Option<Attempt>,
}

/// A run as it is stored.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What does not change.
    pub meta: Meta,
    /// The latest state that is stored as a whole.
    pub snapshot: Option<State>,
    /// The records since then, without results.
    pub records: Vec<Record>,
    /// What waits in its mail, oldest first.
    pub mail: Vec<Mail>,
    /// Its baton, if it has one.
    pub baton: Option<Baton>,
    /// The attempts whose tasks are taken back.
    pub revoked: Vec<Attempt>,
    /// What it is found by. The state says the same, except of a run that began before histories told of attributes.
    pub attributes: Map<String, Value>,
}

/// Where a run's baton is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baton {
    /// In whose hands; none when anybody may claim it.
    pub node: Option<NodeId>,
}

/// What a run is told from outside, besides results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Message {
    /// A signal.
    Signal {
        /// Its name.
        signal: SignalName,
        /// What it says.
        payload: Value,
    },
    /// A signal that reaches the run at an instant, not before.
    Scheduled {
        /// When.
        at: Timestamp,
        /// Its name.
        signal: SignalName,
        /// What it says.
        payload: Value,
    },
    /// Stop and undo.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// A child ended.
    ChildEnded {
        /// The attempt that it was.
        attempt: Attempt,
        /// How it ended.
        outcome: Outcome,
        /// Its result.
        output: Value,
    },
}

impl Message {
    /// Whether it tells the run what to do, as an operator does.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        matches!(self, Self::Cancel { .. } | Self::Pause | Self::Resume)
    }

    /// The same for the plain core.
    pub fn into_input(self) -> Input {
        match self {
            Self::Signal { signal, payload } | Self::Scheduled { signal, payload, .. } => {
                Input::Signal { signal, payload }
            }
            Self::Cancel { reason } => Input::Cancel { reason },
            Self::Pause => Input::Pause,
            Self::Resume => Input::Resume,
            Self::ChildEnded { attempt, outcome, output } => Input::ChildEnded { attempt, outcome, output },
        }
    }
}

/// A message in a run's mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// Which.
    pub id: MailId,
    /// What it says.
    pub message: Message,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Whether its sender named it, so that it is remembered.
    pub named: bool,
}

impl Mail {
    /// Whether it may reach the run now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        !matches!(self.message, Message::Scheduled { at, .. } if at > now)
    }

    /// When which signal is to arrive, of one that was sent to arrive later.
    #[must_use]
    pub fn scheduled(&self) -> Option<(Timestamp, SignalName)> {
        match &self.message {
            Message::Scheduled { at, signal, .. } => Some((*at, signal.clone())),
            _ => None,
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// To which run.
    pub run: RunId,
    /// The sender's own identifier: a second letter with it changes nothing.
    pub sender: Option<String>,
    /// What it says.
    pub message: Message,
    /// When it is sent.
    pub now: Timestamp,
    /// From when on any node may take it up; later than now when the sender's own node does at once.
    pub due: Timestamp,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the run's mail.
    Accepted,
    /// One with its sender's identifier came before.
    Duplicate,
    /// The run has ended.
    Ended,
    /// There is no such run in this namespace.
    NotFound,
    /// The run came from elsewhere: nobody would ever read it.
    Foreign,
    /// [`MAX_MAILBOX`](super::MAX_MAILBOX) signals wait already.
    Full,
    /// [`MAX_COMMANDS`](super::MAX_COMMANDS) cancels, pauses and resumes wait already.
    TooManyCommands,
}

/// The start of a run.
#[derive(Debug, Clone)]
pub struct Start {
    /// What it is pinned to.
    pub definition: DefinitionId,
    /// The business key, `key::value`.
    pub business_key: Option<String>,
    /// What no two active runs may share ([`Unique::token`](crate::graph::Unique::token)).
    pub token: Option<String>,
    /// What the plain core made of it.
    pub transition: Transition,
    /// Where its tasks stand.
    pub lane: Lane,
    /// The queues of tasks that have their own.
    pub queues: Vec<(Attempt, Arc<str>)>,
    /// To search by, besides the input, unless the transition says it; null when there is nothing.
    pub attributes: Value,
    /// For each telemetry event; null when there is nothing.
    pub telemetry: Value,
    /// Whose child it is.
    pub parent: Option<Parent>,
    /// The task that asked for it; removed with the start, which fails when the task is not wanted any more.
    pub consumes: Option<TaskKey>,
    /// Who takes the first tasks that are ready at once.
    pub lease: Option<NodeId>,
    /// When.
    pub now: Timestamp,
}

impl Start {
    /// The tasks that are leased with the start; the same rule as [`Commit::leased`](super::Commit::leased).
    #[must_use]
    pub fn leased(&self) -> Vec<Attempt> {
        let plain = self.lease.is_some() && self.lane.fairness.is_none();
        let effects = self.transition.effects.iter().filter(|_| plain);
        let leased = effects.filter_map(|effect| match effect {
            Effect::Run { attempt, ready_at, .. } | Effect::StartChild { attempt, ready_at, .. } => {
                let other = self.queues.iter().any(|(of, queue)| of == attempt && *queue != self.lane.queue);
                (*ready_at <= self.now && !other).then(|| attempt.clone())
            }
            _ => None,
        });
        leased.collect()
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why; empty when there is nothing to say.
    pub reason: String,
    /// Its result.
    pub result: Value,
    /// When.
    pub at: Timestamp,
}

/// What became of a start.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum Started {
    /// The run began.
    New(Head),
    /// Another run has the token.
    AlreadyActive(RunId),
    /// The task that asked for it is not there, or not wanted any more.
    Withdrawn,
}

/// What became of a commit.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum Committed {
    /// It is durable.
    Done(Head),
    /// Somebody else moved the run; nothing of it was written.
    Stale,
}

/// Whether the other nodes of a namespace are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// All of them: the database serves this process alone.
    Everyone,
    /// Those that were silent for too long, later.
    Nobody,
}

/// What a node learns when it says that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// False when the others gave it up: its tasks are theirs.
    pub alive: bool,
    /// Tasks in its hands that are not wanted any more.
    pub revoked: Vec<TaskKey>,
}
