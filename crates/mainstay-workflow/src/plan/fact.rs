//! The history: what happened to a run, append-only. The state is nothing but its sum.

use std::fmt;

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Status;
use crate::graph::{EventName, Fingerprint, SignalName, StepKey};

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place, from 0.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fact {
    /// The run began.
    Started {
        /// The workflow.
        workflow: String,
        /// Its version.
        version: u32,
        /// Its content.
        fingerprint: Fingerprint,
        /// What the noise of pauses is derived from.
        seed: u64,
        /// When the run is given up.
        deadline: Option<Timestamp>,
        /// What it was given.
        input: Value,
    },
    /// The run will not come to a step.
    Skipped {
        /// The step.
        step: StepKey,
    },
    /// A step waits.
    Waiting {
        /// The step.
        step: StepKey,
        /// Until when.
        deadline: Option<Timestamp>,
    },
    /// An attempt was given out.
    Scheduled {
        /// The attempt.
        attempt: Attempt,
        /// From when on it may run.
        ready_at: Timestamp,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The attempt.
        attempt: Attempt,
        /// Why.
        fault: Fault,
        /// When the next one may run; `None` when there is none.
        retry_at: Option<Timestamp>,
        /// The step did, or may have done, what it is for, and failed after that: what has a compensation is undone.
        #[serde(default, skip_serializing_if = "is_false")]
        ran: bool,
    },
    /// The items of a map are known.
    Listed {
        /// The map.
        step: StepKey,
        /// How many there are.
        items: u32,
        /// What they are.
        output: Value,
    },
    /// An item of a map succeeded.
    ItemSucceeded {
        /// The map.
        step: StepKey,
        /// The item.
        item: u32,
        /// Its result.
        output: Value,
    },
    /// A step ended, and the run goes on from it.
    Ended {
        /// The step.
        step: StepKey,
        /// By which event; none for a done step.
        event: Option<EventName>,
        /// Where that leads.
        targets: Vec<StepKey>,
        /// Its result; null when there is none.
        output: Value,
        /// The signal that it took out of the mailbox.
        letter: Option<u64>,
    },
    /// A step failed for good, and nothing is routed for that.
    Failed {
        /// The step.
        step: StepKey,
        /// Why.
        fault: Fault,
    },
    /// A step was given up, because its result cannot matter any more.
    Abandoned {
        /// The step.
        step: StepKey,
    },
    /// What became of an attempt that was out when the run stopped.
    Drained {
        /// The attempt.
        attempt: Attempt,
        /// Whether it may have done something.
        ran: bool,
    },
    /// The run has more attributes.
    Noted {
        /// The step that said so; none when the run began with them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepKey>,
        /// What is added, the later value in place of the earlier one.
        attributes: Map<String, Value>,
    },
    /// Somebody sent a signal.
    Signalled {
        /// Its number in the run.
        letter: u64,
        /// Its name.
        signal: SignalName,
        /// What it says.
        payload: Value,
    },
    /// Nothing new begins.
    Paused,
    /// New things begin again.
    Resumed,
    /// The run fails or is cancelled; what it did is undone.
    Stopping {
        /// How it will end.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
    /// A step was undone.
    Undone {
        /// The step.
        step: StepKey,
    },
    /// A step could not be undone.
    NotUndone {
        /// The step.
        step: StepKey,
        /// Why.
        fault: Fault,
    },
    /// The run ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
}

/// One attempt at one thing. Its number fences late results: only the latest one counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The step.
    pub step: StepKey,
    /// What of it.
    pub part: Part,
    /// Which attempt, from 1.
    pub number: u32,
}

/// What an attempt is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The step itself.
    Body,
    /// The list of a map's items.
    Items,
    /// One item of a map.
    Item(u32),
    /// The compensation.
    Undo,
}

impl Attempt {
    /// The key that is the same for all attempts at the same thing; with the run's id it makes what an outer system can tell repetitions
    /// by.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        match self.part {
            Part::Body => self.step.to_string(),
            Part::Items => format!("{}/items", self.step),
            Part::Item(item) => format!("{}/{item}", self.step),
            Part::Undo => format!("{}/undo", self.step),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.idempotency_key(), self.number)
    }
}

/// Why an attempt, a step or a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The step said so.
    Error {
        /// What it said.
        message: String,
        /// Whether it makes sense to try again.
        retry: bool,
        /// The code had run, or panicked on its way, and its answer was of no use. An error that the code itself returns says that nothing
        /// was done.
        #[serde(default, skip_serializing_if = "is_false")]
        ran: bool,
    },
    /// It took too long. Whether it did something is not known.
    TimedOut,
    /// Its worker is gone. Whether it did something is not known.
    Lost,
    /// It was taken back before it began.
    Withdrawn,
    /// It ended with an event that it does not declare.
    UndeclaredEvent {
        /// The event.
        event: EventName,
    },
    /// It chose a step that the route does not name.
    UndeclaredTarget {
        /// The event.
        event: EventName,
        /// The step that it chose.
        target: StepKey,
    },
    /// It chose none or too many steps.
    WrongChoice {
        /// The event.
        event: EventName,
        /// How many it chose.
        chosen: usize,
    },
    /// The child did not complete.
    Child {
        /// How it ended.
        outcome: Outcome,
    },
    /// A map has more items than a run can keep.
    TooManyItems {
        /// How many.
        items: u32,
    },
    /// Too few items of a map can succeed.
    TooFewItems {
        /// How many must.
        needed: usize,
        /// How many still can.
        possible: usize,
    },
    /// The run took too long.
    DeadlineExceeded,
    /// All paths were skipped, so that no done step was reached.
    DeadEnd,
}

impl Fault {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Error { retry, .. } => *retry,
            Self::TimedOut | Self::Lost | Self::Withdrawn => true,
            Self::Child { outcome } => *outcome == Outcome::Failed,
            _ => false,
        }
    }

    /// Whether something may have been done all the same.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Lost)
    }

    /// Whether the code ran, perhaps to its end, and then broke its word. What a `tx` step did is rolled back then; what another one did stands.
    #[must_use]
    pub fn has_run(&self) -> bool {
        match self {
            Self::Error { ran, .. } => *ran,
            Self::UndeclaredEvent { .. } | Self::UndeclaredTarget { .. } | Self::WrongChoice { .. } => true,
            _ => false,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { message, .. } => f.write_str(message),
            Self::TimedOut => f.write_str("the attempt took too long"),
            Self::Lost => f.write_str("the worker is gone"),
            Self::Withdrawn => f.write_str("the attempt was taken back"),
            Self::UndeclaredEvent { event } => write!(f, "it ended with {event}, which it does not declare"),
            Self::UndeclaredTarget { event, target } => {
                write!(f, "it chose {target}, which the route of {event} does not name")
            }
            Self::WrongChoice { event, chosen } => {
                write!(f, "it chose {chosen} steps, which the route of {event} does not allow")
            }
            Self::Child { outcome } => write!(f, "the child {outcome}"),
            Self::TooFewItems { needed, possible } => {
                write!(f, "{needed} items must succeed, only {possible} still can")
            }
            Self::TooManyItems { items } => write!(f, "{items} items are too many for one map"),
            Self::DeadlineExceeded => f.write_str("the run took too long"),
            Self::DeadEnd => f.write_str("all paths were skipped, no done step was reached"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every end was reached or skipped, and at least one reached.
    Completed,
    /// A step failed and nothing was routed for that.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl Outcome {
    pub(super) fn status(self) -> Status {
        match self {
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
        })
    }
}
