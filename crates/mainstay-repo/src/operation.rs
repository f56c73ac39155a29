//! What passes through the middleware: one operation, its circumstances and its outcome.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::row::Row;
use crate::statement::Statement;
use crate::transaction::TransactionDriver;

mainstay_core::typed_id! {
    /// Names one operation, in traces and in [`ErrorKind::Unknown`](crate::ErrorKind::Unknown).
    pub struct RequestId("req");
}

/// How urgent an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Normal,
    /// Housekeeping (sweeps, collection): it yields to others. PostgreSQL ends each of its statements after `cap`; on
    /// SQLite, where the writer takes turns, it waits in a lane of its own and the cap does not apply.
    Low {
        /// The longest that one statement may run on PostgreSQL.
        cap: Duration,
    },
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Statements that read, in one snapshot.
    Read,
    /// One statement that writes.
    Write,
    /// A batch.
    Batch,
    /// The start of an interactive transaction.
    Begin,
    /// The end of an interactive transaction that is to be kept.
    Commit,
}

impl Action {
    /// A word for traces and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Batch => "batch",
            Self::Begin => "begin",
            Self::Commit => "commit",
        }
    }

    /// Whether it can change the database.
    #[must_use]
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Read)
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// Statements that read, in one snapshot.
    Read(Vec<Statement>),
    /// One statement that writes.
    Write(Statement),
    /// A batch.
    Batch(Batch),
    /// The start of an interactive transaction.
    Begin,
    /// The commit of an interactive transaction.
    Commit,
}

/// What the driver needs to know of the caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) request_id: RequestId,
    pub(crate) deadline: Instant,
    pub(crate) priority: Priority,
}

impl Call {
    /// A call of the driver's own.
    pub(crate) fn internal(within: Duration) -> Self {
        Self {
            request_id: RequestId::generate(&mainstay_core::SystemClock),
            deadline: Instant::now() + within,
            priority: Priority::Normal,
        }
    }
}

/// One operation on its way to the database.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(crate) call: Call,
    pub(crate) component: &'static str,
    pub(crate) attempt: u32,
    pub(crate) payload: Payload,
}

impl Operation {
    /// The operation's id.
    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.call.request_id
    }

    /// What it does.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self.payload {
            Payload::Read(_) => Action::Read,
            Payload::Write(_) => Action::Write,
            Payload::Batch(_) => Action::Batch,
            Payload::Begin => Action::Begin,
            Payload::Commit => Action::Commit,
        }
    }

    /// Which component asked (`sso`, `workflow`, the host's own).
    #[must_use]
    pub const fn component(&self) -> &'static str {
        self.component
    }

    /// The batch's or the first statement's name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.payload {
            Payload::Batch(batch) => Some(batch.name()),
            Payload::Write(statement) => statement.name(),
            Payload::Read(statements) => statements.first().and_then(Statement::name),
            Payload::Begin | Payload::Commit => None,
        }
    }

    /// The table it is about, if the statement says so.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.statements().find_map(Statement::table)
    }

    /// The statements, in order.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        let (reads, write, steps): (&[Statement], Option<&Statement>, &[crate::batch::Step]) =
            match &self.payload {
                Payload::Read(statements) => (statements, None, &[]),
                Payload::Write(statement) => (&[], Some(statement), &[]),
                Payload::Batch(batch) => (&[], None, batch.steps()),
                Payload::Begin | Payload::Commit => (&[], None, &[]),
            };
        reads.iter().chain(write).chain(steps.iter().map(|step| &step.statement))
    }

    /// What is to be run.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The same operation with something else to run; a middleware that rewrites uses it.
    #[must_use]
    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// Which attempt this is, from one.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The next attempt at the same operation.
    #[must_use]
    pub const fn retried(mut self) -> Self {
        self.attempt += 1;
        self
    }

    /// When the caller gives up.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.call.deadline
    }

    /// The same operation with an earlier deadline; a later one changes nothing.
    #[must_use]
    pub fn not_later_than(mut self, deadline: Instant) -> Self {
        self.call.deadline = self.call.deadline.min(deadline);
        self
    }

    /// How urgent it is.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.call.priority
    }
}

/// What came of an operation, by its action.
#[non_exhaustive]
pub enum Outcome {
    /// The rows of each statement of a read.
    Rows(Vec<Vec<Row>>),
    /// What a statement did.
    Written(Written),
    /// What each statement of a batch did.
    Batch(BatchOutcome),
    /// An interactive transaction was begun.
    Begun(Box<dyn TransactionDriver>),
    /// An interactive transaction was committed.
    Committed,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => f.debug_tuple("Rows").field(rows).finish(),
            Self::Written(written) => f.debug_tuple("Written").field(written).finish(),
            Self::Batch(outcome) => f.debug_tuple("Batch").field(outcome).finish(),
            Self::Begun(_) => f.write_str("Begun"),
            Self::Committed => f.write_str("Committed"),
        }
    }
}

impl Outcome {
    fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Rows(_) => "rows".into(),
            Self::Written(_) => "written".into(),
            Self::Batch(_) => "batch".into(),
            Self::Begun(_) => "begun".into(),
            Self::Committed => "committed".into(),
        }
    }

    fn mismatch(&self, wanted: &str) -> Error {
        Error::new(
            ErrorKind::Internal,
            format!("a middleware answered with {:?} where {wanted:?} is due", self.kind()),
        )
    }

    pub(crate) fn into_rows(self) -> Result<Vec<Vec<Row>>> {
        match self {
            Self::Rows(rows) => Ok(rows),
            other => Err(other.mismatch("rows")),
        }
    }

    pub(crate) fn into_written(self) -> Result<Written> {
        match self {
            Self::Written(written) => Ok(written),
            other => Err(other.mismatch("written")),
        }
    }

    pub(crate) fn into_batch(self) -> Result<BatchOutcome> {
        match self {
            Self::Batch(outcome) => Ok(outcome),
            other => Err(other.mismatch("batch")),
        }
    }

    pub(crate) fn into_begun(self) -> Result<Box<dyn TransactionDriver>> {
        match self {
            Self::Begun(driver) => Ok(driver),
            other => Err(other.mismatch("begun")),
        }
    }
}
