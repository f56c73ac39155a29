//! How a command ends: an exit code that scripts can act on, and what went wrong for people.

use std::fmt::Display;
use std::process::ExitCode;

use mainstay_repo::ErrorKind as RepoKind;
use mainstay_server::{FetchError, StartError};
use mainstay_sso::ErrorKind as SsoKind;

/// The exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// A rule said no, or what was asked for is not there; asking again does not help.
    Refused = 1,
    /// The arguments or the configuration are wrong; also a file that they name and that cannot be read.
    Usage = 2,
    /// Something cannot be reached at the moment; asking again may help.
    Unavailable = 3,
    /// Stored data is damaged.
    Corrupt = 4,
}

impl Exit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked: what, why, and what mends it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What and why; empty when the result that was printed says it.
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// What a command ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), help: None }
    }

    pub(crate) fn with_help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }
}

/// Who has to act when the data layer failed.
const fn of_repo(kind: &RepoKind) -> Exit {
    match kind {
        RepoKind::Configuration | RepoKind::InvalidInput => Exit::Usage,
        RepoKind::Busy
        | RepoKind::Unavailable
        | RepoKind::Timeout
        | RepoKind::StorageFull
        | RepoKind::Closed
        | RepoKind::Unknown { .. }
        | RepoKind::NotPrimary { .. } => Exit::Unavailable,
        RepoKind::Corrupt => Exit::Corrupt,
        _ => Exit::Refused,
    }
}

impl From<mainstay_repo::Error> for Failure {
    fn from(error: mainstay_repo::Error) -> Self {
        let exit = of_repo(error.kind());
        Self { exit, message: error.message().to_owned(), help: error.help().map(str::to_owned) }
    }
}

impl From<mainstay_sso::Error> for Failure {
    fn from(error: mainstay_sso::Error) -> Self {
        let exit = match error.kind() {
            SsoKind::Invalid { .. } => Exit::Usage,
            SsoKind::Busy | SsoKind::Unavailable | SsoKind::Unknown => Exit::Unavailable,
            _ => Exit::Refused,
        };
        let missing = match error.kind() {
            SsoKind::NotReady(missing) => {
                let lines: Vec<&str> = missing.iter().map(|missing| missing.describe()).collect();
                Some(lines.join("\n"))
            }
            _ => None,
        };
        Self { exit, message: error.message().to_owned(), help: missing.or(error.help().map(str::to_owned)) }
    }
}

impl From<mainstay_workflow::Error> for Failure {
    fn from(error: mainstay_workflow::Error) -> Self {
        use mainstay_workflow::ErrorKind as Kind;
        let exit = match error.kind() {
            Kind::InvalidInput | Kind::UnknownFilter { .. } | Kind::BadKey | Kind::TooLarge { .. } => {
                Exit::Usage
            }
            Kind::Database(kind) => of_repo(kind),
            Kind::Closed => Exit::Unavailable,
            Kind::Corrupt => Exit::Corrupt,
            _ => Exit::Refused,
        };
        Self { exit, message: error.message().to_owned(), help: error.help().map(str::to_owned) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Repo(error) => error.into(),
            StartError::Sso(error) => error.into(),
            StartError::Workflow(error) => error.into(),
            StartError::Images(error) => error.into(),
            StartError::Tls(error) => Self::new(Exit::Usage, error),
            StartError::Listen(..) | StartError::Served(_) | StartError::Undoing(_) => {
                Self::new(Exit::Unavailable, error)
            }
            other => Self::new(Exit::Refused, other),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let exit = if error.is_refusal() { Exit::Refused } else { Exit::Unavailable };
        Self::new(exit, format!("the metadata was not fetched: {error}"))
    }
}
