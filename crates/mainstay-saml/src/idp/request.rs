//! Reading an AuthnRequest of the HTTP-Redirect binding.

use std::fmt;

use super::IdentityProvider;
use crate::binding::redirect::{inflate, percent_decode};
use crate::refusal::Refusal;
use crate::xml::{self, Limits, attribute, children, is, names, text_of};

/// What a service asks for. Requests are not verified: this identity provider answers only where its caller lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncomingRequest {
    /// The ID that the response answers.
    pub id: String,
    /// The service's entity id.
    pub issuer: String,
    /// Where the response goes, as the service claims.
    pub acs_url: Option<String>,
    /// The handle that goes back with the response.
    pub relay_state: Option<String>,
    /// The NameID format that the service asks for.
    pub name_id_format: Option<String>,
    /// Whether the user must authenticate afresh.
    pub force_authn: bool,
}

/// Why a request was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingRequestError {
    /// There is not exactly one `SAMLRequest` parameter.
    NoRequest,
    /// The message cannot be read; holds the reason.
    Message(Refusal),
    /// The message is not an AuthnRequest of version 2.0 with an ID and an Issuer.
    NotAnAuthnRequest,
    /// The message is meant for another identity provider.
    OtherDestination,
}

impl fmt::Display for IncomingRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequest => f.write_str("the query must have exactly one SAMLRequest"),
            Self::Message(refusal) => refusal.fmt(f),
            Self::NotAnAuthnRequest => {
                f.write_str("the message is not an AuthnRequest with an ID and an Issuer")
            }
            Self::OtherDestination => f.write_str("the request is meant for another identity provider"),
        }
    }
}

impl std::error::Error for IncomingRequestError {}

impl IdentityProvider {
    /// Reads the query of a request that arrived at the single sign-on URL.
    ///
    /// # Errors
    /// [`IncomingRequestError`], with the exact reason.
    pub fn parse_request(&self, query: &str) -> Result<IncomingRequest, IncomingRequestError> {
        let packed = parameter(query, "SAMLRequest")?.ok_or(IncomingRequestError::NoRequest)?;
        let relay_state = parameter(query, "RelayState")?;
        let unreadable = |fail: crate::refusal::Fail| IncomingRequestError::Message(fail.refusal);
        let bytes = inflate(&packed).map_err(unreadable)?;
        let text = xml::decode(&bytes, &Limits::MESSAGE).map_err(unreadable)?;
        let document = xml::parse(text, &Limits::MESSAGE).map_err(unreadable)?;
        let root = document.root_element();
        let refused = IncomingRequestError::NotAnAuthnRequest;
        if !is(root, names::PROTOCOL, "AuthnRequest") || attribute(root, "Version") != Some("2.0") {
            return Err(refused);
        }
        if attribute(root, "Destination").is_some_and(|destination| destination != self.sso_url) {
            return Err(IncomingRequestError::OtherDestination);
        }
        let issuer = children(root).find(|node| is(*node, names::ASSERTION, "Issuer")).and_then(text_of);
        let policy = children(root).find(|node| is(*node, names::PROTOCOL, "NameIDPolicy"));
        Ok(IncomingRequest {
            id: attribute(root, "ID").filter(|id| !id.is_empty()).ok_or(refused)?.to_owned(),
            issuer: issuer.ok_or(refused)?.trim().to_owned(),
            acs_url: attribute(root, "AssertionConsumerServiceURL").map(str::to_owned),
            relay_state,
            name_id_format: policy.and_then(|policy| attribute(policy, "Format")).map(str::to_owned),
            force_authn: matches!(attribute(root, "ForceAuthn"), Some("true" | "1")),
        })
    }
}

fn parameter(query: &str, name: &str) -> Result<Option<String>, IncomingRequestError> {
    let mut all = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let Some((_, value)) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(IncomingRequestError::NoRequest);
    }
    percent_decode(value).map(Some).ok_or(IncomingRequestError::NoRequest)
}
