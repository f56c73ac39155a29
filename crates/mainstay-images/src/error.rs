//! The crate's error: what happened, why, and what mends it.

use std::borrow::Cow;
use std::fmt;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong. Match on it to decide what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value of the caller is not acceptable.
    Invalid {
        /// Which.
        field: &'static str,
    },
    /// The caller's role is too small for it.
    Forbidden,
    /// There is no such image, blob, reference or holder.
    NotFound,
    /// It exists already, or moved since it was read.
    Conflict,
    /// Something still claims it: a reference, a lease, a pin, a child.
    InUse,
    /// The caller's claim is gone: its holder expired or was taken over, or its lease was replaced. Stop using the image.
    Stale,
    /// A blob of the image is not on disk, or its file is damaged. Publishing the same content again repairs it.
    Incomplete,
    /// Octets do not have the digest or the size that they should have.
    Corrupt,
    /// Foreign content breaks a rule; `source` says which.
    Refused,
    /// The quota, the free-space floor or the disk is reached; nothing was kept.
    NoSpace,
    /// The directory is not this store's, is not mounted, or answers with errors; nothing was decided from it.
    Medium,
    /// Too many changed the same rows at once; nothing was written, retry.
    Busy,
    /// The database cannot be reached; nothing was written, retry when the cause is gone.
    Unavailable,
    /// It is not known whether the change is there; look before repeating it.
    Unknown,
    /// Collecting is switched off until a time: the database was restored.
    CollectingOff,
    /// An option is wrong; the program cannot start with it.
    Configuration,
    /// Stored data is not what this program wrote, or a defect.
    Internal,
}

impl ErrorKind {
    /// The stable name for interfaces.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InUse => "in_use",
            Self::Stale => "stale",
            Self::Incomplete => "incomplete",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
            Self::NoSpace => "no_space",
            Self::Medium => "medium",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::CollectingOff => "collecting_off",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that a server answers with.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Refused | Self::Corrupt => 422,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::InUse | Self::Stale | Self::Incomplete | Self::CollectingOff => 409,
            Self::NoSpace => 507,
            Self::Medium | Self::Busy | Self::Unavailable | Self::Unknown => 503,
            Self::Configuration | Self::Internal => 500,
        }
    }
}

/// An error. [`Error::kind`] says what to do; the text says what, why and how to mend it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    source: Option<Source>,
}

impl Error {
    /// An error of a kind. A [`Steps`](crate::Steps) that ends an operation makes one.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid { field }, message)
    }

    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An error of the file system at a path: a full disk, or a medium that nothing can be said of.
    pub(crate) fn medium(doing: &str, path: &str, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Medium,
        };
        let help = match kind {
            ErrorKind::NoSpace => {
                "free space, lower the quota so that images are evicted, or run a collection"
            }
            _ => "see that the store's directory is mounted and readable; nothing was deleted",
        };
        Self::new(kind, format!("{doing} {path:?}: {source}")).with_help(help).with_source(source)
    }

    pub(crate) fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
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

    /// The HTTP status that a server answers with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.kind().http_status()
    }

    /// It is not known whether the change is there.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unknown)
    }

    /// The caller's claim is gone.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.kind(), ErrorKind::Stale)
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

impl From<mainstay_core::Denied> for Error {
    fn from(denied: mainstay_core::Denied) -> Self {
        Self::new(ErrorKind::Forbidden, denied.to_string())
            .with_help(format!("ask an administrator for the role {}, or to do it", denied.needed()))
    }
}

impl From<mainstay_repo::Error> for Error {
    fn from(source: mainstay_repo::Error) -> Self {
        use mainstay_repo::ErrorKind as Repo;
        let (kind, message) = match source.kind() {
            Repo::Busy => (ErrorKind::Busy, "the database is busy; nothing was written"),
            Repo::StorageFull => (ErrorKind::NoSpace, "the database's disk is full; nothing was written"),
            Repo::Unavailable | Repo::Timeout | Repo::ReadOnly | Repo::NotPrimary { .. } | Repo::Closed => {
                (ErrorKind::Unavailable, "the database cannot do this now; nothing was written")
            }
            Repo::Unknown { .. } => (ErrorKind::Unknown, "it is not known whether the change is there"),
            Repo::Configuration | Repo::PermissionDenied | Repo::Migration(_) => {
                (ErrorKind::Configuration, "the database is not set up for images")
            }
            _ => (ErrorKind::Internal, "the database refused what the image store asked of it"),
        };
        Self::new(kind, format!("{message}: {}", source.message())).with_source(source)
    }
}
