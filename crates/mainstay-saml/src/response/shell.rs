//! What the Response says around its Assertion.
//!
//! Where only the Assertion is signed these values come from an unverified document: they may contradict, never grant.

use mainstay_core::Timestamp;

use crate::refusal::{Fail, Refusal};
use crate::response::ResponseInput;
use crate::xml::{Node, attribute, children, is, names, text_of};
use crate::{time, xml};

/// Exactly one Status that says Success (SAML core 3.2.2).
pub(super) fn check_status(response: Node<'_>) -> Result<(), Fail> {
    let mut all = children(response).filter(|node| is(*node, names::PROTOCOL, "Status"));
    let (Some(status), None) = (all.next(), all.next()) else {
        return Err(Refusal::StatusMissing.into());
    };
    let mut codes = children(status).filter(|node| is(*node, names::PROTOCOL, "StatusCode"));
    let (Some(code), None) = (codes.next(), codes.next()) else {
        return Err(Refusal::StatusMissing.into());
    };
    let value = attribute(code, "Value").ok_or(Refusal::StatusMissing)?;
    if value == names::STATUS_SUCCESS {
        return Ok(());
    }
    let mut found = value.to_owned();
    let detail = children(code).find_map(|inner| attribute(inner, "Value"));
    let message = children(status).find(|node| is(*node, names::PROTOCOL, "StatusMessage")).and_then(text_of);
    for more in [detail.map(Into::into), message].into_iter().flatten() {
        found.push_str("; ");
        found.push_str(&more);
    }
    Err(Refusal::StatusNotSuccess.expecting(names::STATUS_SUCCESS).found(&found))
}

/// The Issuer among the children of a Response or Assertion: at most one, text only, white space around it taken off.
pub(super) fn issuer_of<'a>(
    node: Node<'a>,
    many: Refusal,
) -> Result<Option<std::borrow::Cow<'a, str>>, Fail> {
    let mut all = children(node).filter(|child| is(*child, names::ASSERTION, "Issuer"));
    let Some(issuer) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(many.into());
    }
    if attribute(issuer, "Format").is_some_and(|format| format != names::ENTITY_FORMAT) {
        return Err(many.expecting(names::ENTITY_FORMAT));
    }
    let text = text_of(issuer).ok_or(many)?;
    Ok(Some(trimmed(text)))
}

/// Without the white space of XML around it: values that are compared with configured identifiers.
pub(super) fn trimmed(text: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, str> {
    let inner = text.trim_matches(xml_space);
    if inner.len() == text.len() { text } else { inner.to_owned().into() }
}

fn xml_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The Issuer of the Response is the connection's identity provider. The profile lets an unsigned Response leave it out
/// (profiles 4.1.4.2); we ask for it always, against mix-up of identity providers.
pub(super) fn check_issuer(response: Node<'_>, expected: &str) -> Result<(), Fail> {
    let issuer = issuer_of(response, Refusal::IssuerMismatch)?
        .ok_or_else(|| Refusal::IssuerMissing.expecting(expected))?;
    equal(Refusal::IssuerMismatch, expected, &issuer)
}

pub(super) fn equal(refusal: Refusal, expected: &str, actual: &str) -> Result<(), Fail> {
    if expected == actual { Ok(()) } else { Err(refusal.expecting(expected).found(actual)) }
}

/// Bindings 3.5.5.2.
pub(super) fn check_destination(response: Node<'_>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let expected = &input.sp.acs_url;
    match attribute(response, "Destination") {
        Some(destination) => equal(Refusal::DestinationMismatch, expected, destination),
        None if input.trust.policy.require_destination => {
            Err(Refusal::DestinationMissing.expecting(expected))
        }
        None => Ok(()),
    }
}

/// Profiles 4.1.4.2 and 4.1.5: an answer names its request; an unsolicited Response names none.
pub(super) fn check_in_response_to(response: Node<'_>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let found = attribute(response, "InResponseTo");
    match (input.expected_request_id, found) {
        (Some(expected), Some(found)) => equal(Refusal::InResponseToMismatch, expected, found),
        (Some(expected), None) => Err(Refusal::InResponseToMissing.expecting(expected)),
        (None, _) if !input.trust.policy.allow_idp_initiated => Err(Refusal::UnsolicitedNotAllowed.into()),
        (None, Some(found)) => Err(Refusal::InResponseToUnexpected.found(found)),
        (None, None) => Ok(()),
    }
}

/// `IssueInstant` is there, is a time, and is not in the future.
pub(super) fn check_issue_instant(node: xml::Node<'_>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let issued = time::parse(attribute(node, "IssueInstant").unwrap_or(""))?;
    let latest = input.now.saturating_add(input.trust.policy.skew());
    if issued > latest { Err(late(Refusal::IssuedInFuture, latest, issued)) } else { Ok(()) }
}

pub(super) fn late(refusal: Refusal, limit: Timestamp, found: Timestamp) -> Fail {
    refusal.expecting(&limit.to_string()).found(&found.to_string())
}
