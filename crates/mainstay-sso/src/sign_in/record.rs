//! What is known of a login while it runs, and the trace of one that was refused.

use mainstay_core::Timestamp;
use mainstay_saml::{Refused, Trace};

use super::commit::PendingLogin;
use super::{MAX_CORRELATION_CHARS, SignInError};
use crate::error::Error;
use crate::ids::{ConnectionId, TraceId};
use crate::random::RandomError;
use crate::refusal::{SignInRefusal, SignInRefused};
use crate::scope::OrganizationId;
use crate::sso::Sso;
use crate::store::traces;
use crate::trace::{Flow, LoginOutcome, LoginTrace, shown};

/// A login while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) trace_id: TraceId,
    pub(crate) now: Timestamp,
    pub(crate) flow: Flow,
    pub(crate) correlation_id: Option<String>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) organization: Option<OrganizationId>,
    /// The identity provider that the unverified message names.
    pub(crate) issuer_hint: Option<String>,
}

/// Why a login goes no further.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Box<Refusing>),
    Store(Error),
    Unknown(Box<PendingLogin>),
}

/// A refusal before it is recorded.
#[derive(Debug)]
pub(crate) struct Refusing {
    refusal: SignInRefusal,
    expected: Option<String>,
    actual: Option<String>,
    checks: Trace,
}

impl Failure {
    pub(crate) fn refused(refusal: SignInRefusal) -> Self {
        Self::Refused(Box::new(Refusing { refusal, expected: None, actual: None, checks: Trace::default() }))
    }

    /// Adds what was found.
    pub(crate) fn found(mut self, actual: Option<&str>) -> Self {
        if let Self::Refused(refusing) = &mut self {
            refusing.actual = actual.map(shown);
        }
        self
    }

    /// Adds what would have been accepted.
    pub(crate) fn expecting(mut self, expected: Option<&str>) -> Self {
        if let Self::Refused(refusing) = &mut self {
            refusing.expected = expected.map(shown);
        }
        self
    }

    /// Adds the checks that the message passed.
    pub(crate) fn after(mut self, checks: Trace) -> Self {
        if let Self::Refused(refusing) = &mut self {
            refusing.checks = checks;
        }
        self
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.refusal.into())
            .expecting(refused.expected.as_deref())
            .found(refused.actual.as_deref())
            .after(refused.trace)
    }
}

impl From<mainstay_repo::Error> for Failure {
    fn from(error: mainstay_repo::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<RandomError> for Failure {
    fn from(error: RandomError) -> Self {
        Self::Store(error.into())
    }
}

impl Attempt {
    pub(crate) fn new(sso: &Sso, correlation_id: Option<&str>, flow: Flow) -> Self {
        let cut = |text: &str| shown(text).chars().take(MAX_CORRELATION_CHARS).collect();
        Self {
            trace_id: TraceId::generate(&*sso.options().clock),
            now: sso.now(),
            flow,
            correlation_id: correlation_id.map(cut),
            connection: None,
            organization: None,
            issuer_hint: None,
        }
    }

    /// The error of a failure, without writing a trace.
    pub(crate) fn untraced(&self, failure: Failure) -> SignInError {
        match failure {
            Failure::Store(error) => SignInError::Store(error),
            Failure::Unknown(pending) => SignInError::Unknown(pending),
            Failure::Refused(refusing) => SignInError::Refused(Box::new(self.refused(*refusing, None))),
        }
    }

    fn refused(&self, refusing: Refusing, trace_id: Option<TraceId>) -> SignInRefused {
        SignInRefused {
            refusal: refusing.refusal,
            expected: refusing.expected,
            actual: refusing.actual,
            trace_id,
            connection: self.connection,
            at: self.now,
        }
    }

    fn trace(&self, refusing: &Refusing) -> LoginTrace {
        LoginTrace {
            id: self.trace_id,
            at: self.now,
            connection: self.connection,
            organization: self.organization.clone(),
            flow: self.flow,
            outcome: LoginOutcome::Refused,
            refusal: Some(refusing.refusal),
            expected: refusing.expected.clone(),
            actual: refusing.actual.clone(),
            correlation_id: self.correlation_id.clone(),
            name_id: None,
            issuer: self.issuer_hint.as_deref().map(shown),
            checks: refusing.checks.clone(),
        }
    }
}

impl Sso {
    /// The error of a failure; a refusal is written down first. That the writing fails does not change the refusal. To log it is
    /// the caller's, who knows whose request it was.
    pub(crate) async fn record(&self, attempt: &Attempt, failure: Failure) -> SignInError {
        let Failure::Refused(refusing) = failure else { return attempt.untraced(failure) };
        let written = match traces::insert(&attempt.trace(&refusing)) {
            Ok(statement) => self.repo().write(statement).await.map(drop).map_err(Error::from),
            Err(error) => Err(error),
        };
        let trace_id = match written {
            Ok(()) => Some(attempt.trace_id),
            Err(error) => {
                tracing::warn!(trace_id = %attempt.trace_id, %error, "the trace of a refused login was not written");
                None
            }
        };
        SignInError::Refused(Box::new(attempt.refused(*refusing, trace_id)))
    }
}
