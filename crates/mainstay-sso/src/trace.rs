//! Login traces: what was checked in each login, successful or not.

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::connection::text_enum;
use crate::ids::{ConnectionId, TraceId};
use crate::refusal::SignInRefusal;
use crate::scope::OrganizationId;

/// Longest expected, actual or hint value that is kept, in characters.
pub const MAX_TRACE_CHARS: usize = 512;

text_enum! {
    /// Who began the login.
    Flow {
        /// This service sent the browser away with a request.
        SpInitiated "sp_initiated",
        /// The identity provider sent the browser without a request.
        IdpInitiated "idp_initiated",
        /// It could not be told.
        Unknown "unknown",
    }
}

text_enum! {
    /// How a login ended.
    LoginOutcome {
        /// A session was handed out.
        Succeeded "succeeded",
        /// It was refused.
        Refused "refused",
    }
}

/// One login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoginTrace {
    /// Its name.
    pub id: TraceId,
    /// When.
    pub at: Timestamp,
    /// Through which connection, if that came to be known.
    pub connection: Option<ConnectionId>,
    /// The connection's tenant.
    pub organization: Option<OrganizationId>,
    /// Who began it.
    pub flow: Flow,
    /// How it ended.
    pub outcome: LoginOutcome,
    /// Why it was refused.
    pub refusal: Option<SignInRefusal>,
    /// What would have been accepted.
    pub expected: Option<String>,
    /// What was found.
    pub actual: Option<String>,
    /// The host's own name for the HTTP request.
    pub correlation_id: Option<String>,
    /// Who signed in; only after validation.
    pub name_id: Option<String>,
    /// The identity provider; from the unverified message when the login was refused.
    pub issuer: Option<String>,
    /// Every check that ran.
    pub checks: mainstay_saml::Trace,
}

/// Which logins to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceFilter {
    /// Only those of this connection.
    pub connection: Option<ConnectionId>,
    /// Only those that ended so.
    pub outcome: Option<LoginOutcome>,
}

/// A text cut to what a trace keeps, without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_TRACE_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
