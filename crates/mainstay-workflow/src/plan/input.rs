//! What can happen to a run from outside, and what is refused.

use std::fmt;

use serde_json::{Map, Value};

use super::{Attempt, Corrupt, Fault, Outcome};
use crate::graph::{EventName, SignalName, StepKey};

/// What happens to a run from outside.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A task ended with an event.
    Succeeded {
        /// The attempt.
        attempt: Attempt,
        /// The event.
        event: EventName,
        /// The steps that it chose, where the route leaves the choice.
        targets: Vec<StepKey>,
        /// Its result.
        output: Value,
    },
    /// The items of a map are known.
    Listed {
        /// The attempt.
        attempt: Attempt,
        /// How many there are.
        items: u32,
        /// What they are.
        output: Value,
    },
    /// An item of a map, or a compensation, is done.
    Finished {
        /// The attempt.
        attempt: Attempt,
        /// Its result.
        output: Value,
    },
    /// A child ended.
    ChildEnded {
        /// The attempt that started it.
        attempt: Attempt,
        /// How it ended.
        outcome: Outcome,
        /// Its result.
        output: Value,
    },
    /// An attempt failed, took too long, was lost or taken back.
    Failed {
        /// The attempt.
        attempt: Attempt,
        /// Why.
        fault: Fault,
    },
    /// Attributes of the run, and the result of the attempt that they come with. Those of an attempt that failed are not kept.
    Noted {
        /// What is added, the later value in place of the earlier one.
        attributes: Map<String, Value>,
        /// The result; none when they come from outside.
        result: Option<Box<Self>>,
    },
    /// Somebody sends a signal.
    Signal {
        /// Its name.
        signal: SignalName,
        /// What it says.
        payload: Value,
    },
    /// Time has passed.
    Tick,
    /// Somebody cancels the run.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Nothing new may begin.
    Pause,
    /// New things may begin again.
    Resume,
}

impl Input {
    /// A task ended with an event and no output.
    #[must_use]
    pub fn succeeded(attempt: &Attempt, event: &str) -> Self {
        let (attempt, event) = (attempt.clone(), event.into());
        Self::Succeeded { attempt, event, targets: Vec::new(), output: Value::Null }
    }

    /// An attempt failed in a way that may pass.
    #[must_use]
    pub fn failed(attempt: &Attempt, message: &str) -> Self {
        let fault = Fault::Error { message: message.to_owned(), retry: true, ran: false };
        Self::Failed { attempt: attempt.clone(), fault }
    }

    /// The attempt whose result it is.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Succeeded { attempt, .. }
            | Self::Listed { attempt, .. }
            | Self::Finished { attempt, .. }
            | Self::ChildEnded { attempt, .. }
            | Self::Failed { attempt, .. } => Some(attempt),
            Self::Noted { result, .. } => result.as_ref()?.attempt(),
            Self::Signal { .. } | Self::Tick | Self::Cancel { .. } | Self::Pause | Self::Resume => None,
        }
    }

    /// A signal.
    #[must_use]
    pub fn signal(signal: &str, payload: Value) -> Self {
        Self::Signal { signal: signal.into(), payload }
    }
}

/// Why an input changes nothing. Compare it to decide what to tell the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The run ended; nothing changes it any more.
    Ended {
        /// How.
        outcome: Outcome,
    },
    /// The attempt is not the one that is out: it is late, or made up.
    Stale {
        /// The attempt.
        attempt: Attempt,
        /// The number of the attempt that counts, if there is one.
        current: Option<u32>,
    },
    /// This kind of attempt does not end in this way.
    WrongResult {
        /// The attempt.
        attempt: Attempt,
    },
    /// The run stops already.
    Stopping {
        /// How it will end.
        outcome: Outcome,
    },
    /// The run is paused already.
    Paused,
    /// The run is not paused.
    NotPaused,
    /// The run did not come to the step, so nothing can begin there.
    NotReached {
        /// The step.
        step: StepKey,
    },
    /// The step's compensation failed, so what it did may stand, and it would be done once more.
    NotUndone {
        /// The step.
        step: StepKey,
    },
    /// The state or the history does not belong to this workflow.
    Corrupt(Corrupt),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { outcome } => write!(f, "the run has ended: it {outcome}"),
            Self::Stale { attempt, current: Some(current) } => {
                write!(f, "{attempt} is late: attempt {current} counts")
            }
            Self::Stale { attempt, current: None } => write!(f, "{attempt} is late: no attempt is out"),
            Self::WrongResult { attempt } => write!(f, "{attempt} does not end in this way"),
            Self::Stopping { .. } => f.write_str("the run stops already"),
            Self::Paused => f.write_str("the run is paused already"),
            Self::NotPaused => f.write_str("the run is not paused"),
            Self::NotReached { step } => write!(f, "the run did not come to {step}"),
            Self::NotUndone { step } => {
                write!(f, "what {step} did could not be undone, and it would be done once more")
            }
            Self::Corrupt(corrupt) => fmt::Display::fmt(corrupt, f),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Corrupt(corrupt) => Some(corrupt),
            _ => None,
        }
    }
}

impl From<Corrupt> for Refusal {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}
