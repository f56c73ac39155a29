//! The login: away to the identity provider, and back with an answer.
//!
//! | room | what |
//! |---|---|
//! | `plan` | pure decisions: which flow it is, whether an intent fits, what the policy is for one login |
//! | `snapshot` | what a connection looks like to a login |
//! | `start`, `finish` | the two halves |
//! | `commit` | the one batch of a login, and what its failure means |
//! | `record` | the trace of a login that was refused |

mod commit;
mod finish;
mod plan;
mod record;
mod snapshot;
mod start;

use std::fmt;

use mainstay_saml::Warning;

use crate::error::Error;
use crate::ids::{ConnectionId, SessionId, TraceId};
use crate::principal::Principal;
use crate::refusal::SignInRefused;
use crate::token::{BrowserBinding, SessionToken};
use crate::trace::Flow;

pub use self::commit::PendingLogin;
pub use self::snapshot::Snapshot;

/// Longest correlation id that is kept, in characters.
pub const MAX_CORRELATION_CHARS: usize = 128;

/// The beginning of a login.
#[derive(Debug, Clone, Copy)]
pub struct StartInput<'a> {
    /// Through which connection.
    pub connection: ConnectionId,
    /// Where the user goes afterwards: a local absolute path.
    pub return_path: &'a str,
    /// The browser's secret.
    pub browser: &'a BrowserBinding,
    /// The host's own name for the HTTP request, for the trace.
    pub correlation_id: Option<&'a str>,
}

/// Where to send the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// The identity provider's URL with the request in it.
    pub url: String,
    /// The handle that comes back with the answer.
    pub relay_state: String,
    /// The request's id.
    pub request_id: String,
}

/// The end of a login: what the browser posted.
#[derive(Debug, Clone, Copy)]
pub struct FinishInput<'a> {
    /// The connection that the URL names; needed when the identity provider began the login.
    pub connection: Option<ConnectionId>,
    /// The form field `SAMLResponse`.
    pub saml_response: &'a str,
    /// The form field `RelayState`.
    pub relay_state: Option<&'a str>,
    /// The browser's secret.
    pub browser: Option<&'a BrowserBinding>,
    /// The host's own name for the HTTP request, for the trace.
    pub correlation_id: Option<&'a str>,
}

/// A login that succeeded: its session is durable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// Who signed in.
    pub principal: Principal,
    /// What opens the session, for a `__Host-` cookie. It is not stored and cannot be had again.
    pub token: SessionToken,
    /// The session's name.
    pub session_id: SessionId,
    /// Where the user goes now: a local absolute path.
    pub return_path: String,
    /// Through which connection.
    pub connection: ConnectionId,
    /// The login's record.
    pub trace_id: TraceId,
    /// Who began it.
    pub flow: Flow,
    /// What the policy tolerated.
    pub warnings: Vec<Warning>,
}

/// Why there is no session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignInError {
    /// Policy said no, with one exact reason.
    Refused(Box<SignInRefused>),
    /// The database could not do it; nothing was written, and the same answer may be posted again.
    Store(Error),
    /// It is not known whether the login was committed; ask with [`Sso::sign_in_resolve`](crate::Sso::sign_in_resolve).
    Unknown(Box<PendingLogin>),
}

impl SignInError {
    /// The HTTP status that a server answers with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.refusal.http_status(),
            Self::Store(error) => error.http_status(),
            Self::Unknown(_) => 503,
        }
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refused(&self) -> Option<&SignInRefused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Store(_) | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for SignInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => fmt::Display::fmt(refused, f),
            Self::Store(error) => fmt::Display::fmt(error, f),
            Self::Unknown(_) => f.write_str("it is not known whether the login was committed"),
        }
    }
}

impl std::error::Error for SignInError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Store(error) => Some(error),
            Self::Unknown(_) => None,
        }
    }
}

impl From<Error> for SignInError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
