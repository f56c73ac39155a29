//! How an attempt ended, as its code says it.

use std::fmt;

use mainstay_repo::{Batch, ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::graph::{EventName, StepKey};
use crate::plan::Fault;

/// An attempt that succeeded.
///
/// ```
/// use mainstay_workflow::{Done, StepError};
///
/// fn answer() -> Result<Done, StepError> {
///     Done::event("paid").output(&serde_json::json!({"receipt": 7}))
/// }
/// # assert!(answer().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub(crate) event: Option<EventName>,
    pub(crate) value: Value,
    pub(crate) targets: Vec<StepKey>,
    pub(crate) batch: Option<Batch>,
    pub(crate) key: Option<String>,
    pub(crate) attributes: Map<String, Value>,
}

impl Done {
    /// A task ended with one of its events.
    #[must_use]
    pub fn event(event: &str) -> Self {
        Self { event: Some(event.into()), ..Self::nothing() }
    }

    /// The list of a map's items.
    #[must_use]
    pub fn items(items: Vec<Value>) -> Self {
        Self::value(Value::Array(items))
    }

    /// One item of a map is done; or, of the handler under a child step's own key, the input of the child.
    #[must_use]
    pub fn value(value: Value) -> Self {
        Self { value, ..Self::nothing() }
    }

    /// Done without a result: a compensation.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            event: None,
            value: Value::Null,
            targets: Vec::new(),
            batch: None,
            key: None,
            attributes: Map::new(),
        }
    }

    /// The step's result, which later steps read.
    #[must_use]
    pub fn with(self, value: Value) -> Self {
        Self { value, ..self }
    }

    /// The step's result, which later steps read.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when the value has no form in JSON.
    pub fn output<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, StepError> {
        let value = serde_json::to_value(value);
        Ok(self.with(
            value.map_err(|error| StepError::fatal(format!("the result has no form in JSON: {error}")))?,
        ))
    }

    /// A step to go on with, where the route leaves the choice; say it for each.
    #[must_use]
    pub fn target(mut self, step: &str) -> Self {
        self.targets.push(step.into());
        self
    }

    /// Statements that commit together with the step's result and the next task, or not at all; only of a
    /// [`tx`](crate::Node::tx) step. When one fails or does not meet its condition, the attempt failed.
    #[must_use]
    pub fn batch(self, batch: Batch) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// Something that the run can be found by from now on, as by the attributes of its start; a later value takes the place of an earlier
    /// one. It is kept in the same commit as the step's result, and not at all when the attempt fails. All attributes of a run together
    /// are bounded by [`MAX_ATTRIBUTES_BYTES`](crate::store::MAX_ATTRIBUTES_BYTES): an attempt that goes beyond failed, not to be tried
    /// again.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The value of the business key of the child that is started; only of the handler under a child step's own key.
    #[must_use]
    pub fn key(self, value: &str) -> Self {
        Self { key: Some(value.to_owned()), ..self }
    }
}

impl From<&str> for Done {
    fn from(event: &str) -> Self {
        Self::event(event)
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    message: String,
    retry: bool,
    /// Another transaction was in the way.
    busy: bool,
    /// The code did, or may have done, what it is for, and failed after that.
    ran: bool,
}

impl StepError {
    /// The most characters of a message that are kept.
    pub const MESSAGE_LIMIT: usize = 2_000;

    /// An error that may pass: the step's retry policy decides.
    pub fn retry(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true, busy: false, ran: false }
    }

    /// An error that trying again does not mend.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, busy: false, ran: false }
    }

    /// Any error, with those beneath it; it may pass.
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut beneath = error.source();
        while let Some(source) = beneath {
            message.push_str(": ");
            message.push_str(&source.to_string());
            beneath = source.source();
        }
        Self::retry(message)
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it may pass.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retry
    }

    pub(crate) fn busy(message: String) -> Self {
        Self { message, retry: true, busy: true, ran: false }
    }

    /// Whether another transaction was in the way: that is no fault of the step.
    pub(crate) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// The code did, or may have done, what it is for: what it said about that is of no use.
    pub(crate) fn after_its_work(self) -> Self {
        Self { ran: true, ..self }
    }

    pub(crate) fn into_fault(self) -> Fault {
        let Self { mut message, retry, ran, .. } = self;
        if let Some((end, _)) = message.char_indices().nth(Self::MESSAGE_LIMIT) {
            message.truncate(end);
        }
        Fault::Error { message, retry, ran }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StepError {}

impl From<mainstay_repo::Error> for StepError {
    /// What the database cannot do now may pass; what it refuses by a rule does not, except a condition, which another attempt may meet.
    fn from(error: mainstay_repo::Error) -> Self {
        let may_pass = !matches!(
            error.kind(),
            ErrorKind::InvalidInput
                | ErrorKind::Constraint { .. }
                | ErrorKind::Conflict { .. }
                | ErrorKind::Corrupt
        );
        let busy = *error.kind() == ErrorKind::Busy;
        Self { message: error.to_string(), retry: may_pass, busy, ran: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_kept_to_its_limit_and_cut_beyond() {
        for (given, kept) in [(StepError::MESSAGE_LIMIT, 2_000), (StepError::MESSAGE_LIMIT + 1, 2_000)] {
            let Fault::Error { message, .. } = StepError::retry("ä".repeat(given)).into_fault() else {
                panic!("an error stays one");
            };
            assert_eq!(message.chars().count(), kept);
        }
    }

    #[test]
    fn errors_beneath_are_told() {
        let error = std::io::Error::other(StepError::fatal("the inner one"));
        assert_eq!(StepError::from_error(&error), StepError::retry("the inner one"));
    }
}
