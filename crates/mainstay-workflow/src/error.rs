//! One error for the engine: what happened, why, and what mends it.

use std::borrow::Cow;
use std::fmt;

use crate::id::RunId;
use crate::plan::Refusal;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong. Match on it to decide what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the host registered does not fit together; the text lists every problem.
    Setup,
    /// No workflow of that name is registered.
    UnknownWorkflow,
    /// The workflow has no such version here.
    UnknownVersion,
    /// The business key's value is malformed, missing, or given where nothing is unique.
    BadKey,
    /// A run with the same business key is active.
    AlreadyRunning {
        /// That run.
        run: RunId,
    },
    /// There is no such namespace, run, schedule or queue; or no table to import from.
    NotFound,
    /// The run is in a state that does not allow it.
    Refused(Refusal),
    /// No step of the run's version waits for a signal of that name.
    UnknownSignal,
    /// The caller does not have the access that this needs.
    Forbidden,
    /// The run has ended: nothing reaches it any more.
    Ended,
    /// Too many signals wait in the run's mail.
    MailboxFull,
    /// A value is malformed; the text says which and how.
    InvalidInput,
    /// There is no condition of that name to search runs by.
    UnknownFilter {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// A value is larger than what is kept.
    TooLarge {
        /// Which.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The largest that is kept.
        limit: usize,
    },
    /// The run has not ended, and this needs one that has.
    Active,
    /// The engine moves the run, so it is not to be written from outside.
    Managed,
    /// The run came from elsewhere and is only kept; no engine moves it.
    Foreign,
    /// Somebody else moved the run since it was read; nothing was written.
    Stale,
    /// A version is kept with another content than the one that is registered.
    OtherGraph,
    /// Nodes work on the tables that would not know what a migration makes of them; nothing was changed.
    NodesAtWork {
        /// Their names.
        nodes: Vec<String>,
    },
    /// The engine was shut down.
    Closed,
    /// The database: its own error is the source.
    Database(mainstay_repo::ErrorKind),
    /// What is stored cannot be read.
    Corrupt,
    /// A defect of this crate.
    Internal,
}

/// An error of the engine. [`Error::kind`] says what to do; the text says what, why and how to mend it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    source: Option<Source>,
}

impl Error {
    /// An error of a kind, with what happened and why.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    /// Adds what mends it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the error beneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What happened and why.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What mends it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the workflow engine was shut down")
            .with_help("start another one on the same database")
    }

    pub(crate) fn unknown_run(run: RunId) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no run {run}"))
            .with_help("list the runs; it may be in another namespace, or pruned")
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error for one more of those who wait for it.
    pub(crate) fn for_another(&self) -> Self {
        let copy = Self::new(self.0.kind.clone(), self.0.message.clone());
        match &self.0.help {
            Some(help) => copy.with_help(help.clone()),
            None => copy,
        }
    }
}

impl From<mainstay_repo::Error> for Error {
    fn from(error: mainstay_repo::Error) -> Self {
        Self::new(ErrorKind::Database(error.kind().clone()), error.to_string()).with_source(error)
    }
}

impl From<mainstay_core::Denied> for Error {
    fn from(denied: mainstay_core::Denied) -> Self {
        Self::new(ErrorKind::Forbidden, denied.to_string()).with_help("ask somebody who has it")
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(ErrorKind::Refused(refusal.clone()), refusal.to_string());
        match refusal {
            Refusal::NotUndone { .. } => error.with_help(
                "see to what it did, and then fork the run from the first step that is to be done again",
            ),
            _ => error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
