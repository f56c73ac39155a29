//! The decision over a Response: an ordered list of named checks, then a [`Login`] or a [`Refused`].

mod assertion;
mod conditions;
mod decide;
mod shell;
mod statements;
pub(crate) mod structure;
mod subject;

pub use subject::MAX_NAME_ID_CHARS;

use mainstay_core::Timestamp;

use crate::binding::post;
use crate::certificate::Certificate;
use crate::login::Login;
use crate::policy::Policy;
use crate::refusal::{Fail, Refusal, Refused};
use crate::trace::{Check, Trace};
use crate::xml::{self, Limits, attribute};

/// This service, as identity providers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceProvider {
    /// The entity id; the audience of every assertion.
    pub entity_id: String,
    /// The assertion consumer service URL; the destination and recipient of every response.
    pub acs_url: String,
}

impl ServiceProvider {
    /// A service provider with these two names.
    pub fn new(entity_id: impl Into<String>, acs_url: impl Into<String>) -> Self {
        Self { entity_id: entity_id.into(), acs_url: acs_url.into() }
    }
}

/// One identity provider, and what is accepted from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The identity provider's entity id.
    pub entity_id: String,
    /// Where requests go (HTTP-Redirect binding).
    pub sso_url: String,
    /// Every certificate in use; all are tried, and no other key ever is.
    pub certificates: Vec<Certificate>,
    /// What is accepted.
    pub policy: Policy,
}

/// What [`validate_response`] decides over.
#[derive(Debug, Clone, Copy)]
pub struct ResponseInput<'a> {
    /// The form field `SAMLResponse`, still in base64.
    pub saml_response: &'a str,
    /// This service.
    pub sp: &'a ServiceProvider,
    /// The identity provider that the login was started with.
    pub trust: &'a Trust,
    /// The ID of the request that waits for an answer; `None` for a login that the identity provider started.
    pub expected_request_id: Option<&'a str>,
    /// The present instant.
    pub now: Timestamp,
}

/// Validates a Response of the HTTP-POST binding (SAML profiles 4.1.4, bindings 3.5).
///
/// The caller still consumes the request and inserts [`Login::replay_key`], atomically, before it trusts the login.
///
/// # Errors
/// [`Refused`], with the exact reason and the trace up to it.
pub fn validate_response(input: &ResponseInput<'_>) -> Result<Login, Refused> {
    let mut trace = Trace::new();
    match decide::decide(input, &mut trace) {
        Ok(mut login) => {
            login.trace = trace;
            Ok(login)
        }
        Err((check, fail)) => Err(trace.refuse(check, fail)),
    }
}

/// What an unverified Response claims. Good for finding a connection and for logs, never for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHints {
    /// The Issuer of the Response.
    pub issuer: Option<String>,
    /// The request that it claims to answer.
    pub in_response_to: Option<String>,
    /// Its ID.
    pub response_id: Option<String>,
    /// Its Destination.
    pub destination: Option<String>,
}

/// Reads the outside of a Response without verifying anything, under the same limits.
///
/// # Errors
/// [`Refused`] when the field does not hold a Response at all.
pub fn peek_response(saml_response: &str) -> Result<ResponseHints, Refused> {
    let peek = || -> Result<ResponseHints, (Check, Fail)> {
        let bytes = post::decode(saml_response).map_err(|fail| (Check::Decode, fail))?;
        let text = xml::decode(&bytes, &Limits::MESSAGE).map_err(|fail| (Check::Parse, fail))?;
        let document = xml::parse(text, &Limits::MESSAGE).map_err(|fail| (Check::Parse, fail))?;
        let root = document.root_element();
        structure::check_root(root).map_err(|fail| (Check::Root, fail))?;
        let owned = |name| attribute(root, name).map(str::to_owned);
        let issuer =
            shell::issuer_of(root, Refusal::IssuerMismatch).map_err(|fail| (Check::IssuerHint, fail))?;
        Ok(ResponseHints {
            issuer: issuer.map(Into::into),
            in_response_to: owned("InResponseTo"),
            response_id: owned("ID"),
            destination: owned("Destination"),
        })
    };
    peek().map_err(|(check, fail)| Trace::new().refuse(check, fail))
}
