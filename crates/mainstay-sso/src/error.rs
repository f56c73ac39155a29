//! The error of everything but a refused login: what happened, why, and what mends it.

use std::borrow::Cow;
use std::fmt;

use mainstay_core::{ActorError, UnknownRole};

use crate::certificate::CertificateState;
use crate::metadata::MetadataDiff;
use crate::random::RandomError;
use crate::readiness::Missing;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong. Match on it to decide what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An input is wrong.
    Invalid {
        /// Which one.
        field: &'static str,
    },
    /// The scope's role does not allow it.
    Forbidden,
    /// It is not there, or not in this scope.
    NotFound,
    /// Somebody else changed the connection since the caller looked.
    Stale {
        /// The version that the caller saw.
        expected: i64,
    },
    /// Something with that name or key is there already.
    Conflict {
        /// What it is.
        what: &'static str,
    },
    /// The connection cannot be enabled; all that is missing.
    NotReady(Vec<Missing>),
    /// The last active certificate of a connection in use cannot be retired.
    LastActiveCertificate,
    /// The certificate's state does not allow the step.
    Transition {
        /// Its state.
        from: CertificateState,
        /// The state that was asked for.
        to: CertificateState,
    },
    /// The connection's status does not allow the step.
    Status,
    /// The metadata does not parse, or is not what it claims.
    Metadata,
    /// The metadata changes what logins rely on; nothing was applied.
    MetadataDrift(MetadataDiff),
    /// There is no such setup token.
    SetupTokenInvalid,
    /// The setup token is too old.
    SetupTokenExpired,
    /// The setup token was used.
    SetupTokenConsumed,
    /// Too many changed the audit's head at once; nothing was written, retry.
    Busy,
    /// The database cannot be reached or is full; nothing was written, retry when the cause is gone.
    Unavailable,
    /// It is not known whether the change is there; look before repeating it.
    Unknown,
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
            Self::Stale { .. } => "stale",
            Self::Conflict { .. } => "conflict",
            Self::NotReady(_) => "not_ready",
            Self::LastActiveCertificate => "last_active_certificate",
            Self::Transition { .. } => "transition",
            Self::Status => "status",
            Self::Metadata => "metadata",
            Self::MetadataDrift(_) => "metadata_drift",
            Self::SetupTokenInvalid => "setup_token_invalid",
            Self::SetupTokenExpired => "setup_token_expired",
            Self::SetupTokenConsumed => "setup_token_consumed",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that a server answers with.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Metadata => 422,
            Self::Forbidden
            | Self::SetupTokenInvalid
            | Self::SetupTokenExpired
            | Self::SetupTokenConsumed => 403,
            Self::NotFound => 404,
            Self::Stale { .. }
            | Self::Conflict { .. }
            | Self::NotReady(_)
            | Self::LastActiveCertificate
            | Self::Transition { .. }
            | Self::Status
            | Self::MetadataDrift(_) => 409,
            Self::Busy | Self::Unavailable | Self::Unknown => 503,
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
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid { field }, message)
    }

    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
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

impl From<mainstay_repo::Error> for Error {
    fn from(source: mainstay_repo::Error) -> Self {
        use mainstay_repo::ErrorKind as Repo;
        let (kind, message) = match source.kind() {
            Repo::Busy => (ErrorKind::Busy, "the database is busy; nothing was written"),
            Repo::Unavailable
            | Repo::Timeout
            | Repo::ReadOnly
            | Repo::NotPrimary { .. }
            | Repo::StorageFull
            | Repo::Closed => {
                (ErrorKind::Unavailable, "the database cannot do this now; nothing was written")
            }
            Repo::Unknown { .. } => (ErrorKind::Unknown, "it is not known whether the change is there"),
            Repo::Configuration | Repo::PermissionDenied | Repo::Migration(_) => {
                (ErrorKind::Configuration, "the database is not set up for sign-in")
            }
            _ => (ErrorKind::Internal, "the database refused what sign-in asked of it"),
        };
        Self::new(kind, format!("{message}: {}", source.message())).with_source(source)
    }
}

impl From<ActorError> for Error {
    fn from(source: ActorError) -> Self {
        Self::invalid("actor", source.to_string())
    }
}

impl From<UnknownRole> for Error {
    fn from(source: UnknownRole) -> Self {
        Self::invalid("role", source.to_string())
    }
}

impl From<RandomError> for Error {
    fn from(source: RandomError) -> Self {
        Self::new(ErrorKind::Internal, "no random octets could be had").with_source(source)
    }
}
