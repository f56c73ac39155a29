//! One error for both databases: what happened, why, and what mends it.

use std::borrow::Cow;
use std::fmt;

use crate::operation::RequestId;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, the same for SQLite and PostgreSQL. Match on it to decide what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A row that had to exist does not.
    NotFound,
    /// A unique constraint holds a row with that key. The name is PostgreSQL's, on SQLite formed by the same rule
    /// (`table_column_key`, `table_pkey`), or the index's own.
    Conflict {
        /// The constraint's name.
        constraint: String,
    },
    /// A foreign key, check or not-null constraint refused the row.
    Constraint {
        /// Which sort of constraint.
        constraint: ConstraintKind,
        /// Its name, or the column for not-null; SQLite does not name foreign keys.
        name: Option<String>,
    },
    /// A statement of a batch did not meet its condition; the whole batch is rolled back.
    ConditionFailed {
        /// Which statement, from zero.
        index: usize,
    },
    /// A lock was held too long by another writer, or a serialisation failed; nothing was written, retry.
    Busy,
    /// The database cannot be reached or ran out of a resource; nothing was written, retry when the cause is gone.
    Unavailable,
    /// The deadline passed before the operation started or ended; nothing was written.
    Timeout,
    /// A write was sent where only reads are allowed.
    ReadOnly,
    /// This node must not write.
    NotPrimary {
        /// Where the primary is, if known.
        hint: Option<String>,
    },
    /// The outcome of a write is not known: it may be there or not. Look it up by what you wrote, or by this id.
    Unknown {
        /// The operation's id.
        request_id: RequestId,
    },
    /// A migration cannot be applied, or the schema is not the one that the program expects.
    Migration(MigrationProblem),
    /// The database file or a page of it is damaged; never retry, restore.
    Corrupt,
    /// The request is wrong: SQL that does not parse, a value that does not fit, a batch out of its limits.
    InvalidInput,
    /// The URL or an option is wrong; the program cannot start with it.
    Configuration,
    /// The user or password was refused, or the user may not do this.
    PermissionDenied,
    /// The disk or a quota is full; nothing was written.
    StorageFull,
    /// The handle was closed.
    Closed,
    /// A defect of this crate or of the database.
    Internal,
}

/// The sort of constraint that refused a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// A reference to a row that is not there, or from a row that still is.
    ForeignKey,
    /// A check that evaluated to false.
    Check,
    /// Null in a column that forbids it.
    NotNull,
}

/// Why migrating was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationProblem {
    /// The text of an applied migration has changed since.
    ChecksumChanged {
        /// Whose migration.
        component: String,
        /// Which.
        version: u32,
    },
    /// The database holds a version that this program does not know: the program is older than the database.
    FutureVersion {
        /// Whose migration.
        component: String,
        /// Which.
        version: u32,
    },
    /// An applied version is missing between others, or the list in the program has a hole or is out of order.
    Gap {
        /// Whose migrations.
        component: String,
        /// The version that is missing.
        version: u32,
    },
    /// The version has no way down.
    Irreversible {
        /// Whose migration.
        component: String,
        /// Which.
        version: u32,
    },
    /// The target version is not in the list.
    UnknownTarget {
        /// Whose migrations.
        component: String,
        /// The target that was asked for.
        version: u32,
    },
    /// The database refused the migration's SQL.
    Failed {
        /// Whose migration.
        component: String,
        /// Which.
        version: u32,
    },
    /// The schema is behind the program and migrating was not asked for.
    Pending {
        /// Whose migrations.
        component: String,
        /// The version that the program needs.
        version: u32,
    },
}

/// An error of the data layer. [`Error::kind`] says what to do; the text says what, why and how to mend it.
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

    /// [`ErrorKind::InvalidInput`].
    pub fn invalid_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// [`ErrorKind::Configuration`].
    pub fn configuration(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// [`ErrorKind::Closed`].
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the database handle is closed")
            .with_help("open another with Repo::connect; close it only after its last user")
    }

    /// [`ErrorKind::Timeout`]: the deadline passed before anything was done.
    pub(crate) fn not_started_in_time() -> Self {
        Self::new(
            ErrorKind::Timeout,
            "the deadline passed while the operation waited for its turn; it was not run",
        )
        .with_help("retry; if it persists, the database is overloaded: look at mainstay_repo_queue_depth")
    }

    /// [`ErrorKind::Unknown`]: the deadline passed, or the connection broke, after the write was started.
    pub(crate) fn unknown(request_id: RequestId, why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unknown { request_id }, why)
            .with_help("read back what you wrote before you repeat it; do not report it as failed")
    }

    /// The same error for another caller; the error beneath stays with the first.
    pub(crate) fn for_another(&self) -> Self {
        let Inner { kind, message, help, source: _ } = &*self.0;
        Self(Box::new(Inner {
            kind: kind.clone(),
            message: message.clone(),
            help: help.clone(),
            source: None,
        }))
    }

    /// What happened, to decide on.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What happened and why, without the mend.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What mends it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// A unique constraint refused the row.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.kind(), ErrorKind::Conflict { .. })
    }

    /// The unique constraint that refused the row.
    #[must_use]
    pub fn conflict(&self) -> Option<&str> {
        match self.kind() {
            ErrorKind::Conflict { constraint } => Some(constraint),
            _ => None,
        }
    }

    /// The row is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotFound)
    }

    /// The statement of a batch whose condition failed.
    #[must_use]
    pub fn condition_failed(&self) -> Option<usize> {
        match self.kind() {
            ErrorKind::ConditionFailed { index } => Some(*index),
            _ => None,
        }
    }

    /// Nothing was written, and the same operation may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Busy | ErrorKind::Unavailable)
    }

    /// It is not known whether the write is there.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unknown { .. })
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
            .field("help", &self.0.help)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
