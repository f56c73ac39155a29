//! When and how the user authenticated, and the attributes (SAML core 2.7.2 and 2.7.3).

use std::collections::HashSet;

use mainstay_core::Timestamp;

use super::ResponseInput;
use super::shell::{late, trimmed};
use crate::login::{Attribute, Warning};
use crate::policy::DuplicateAttributes;
use crate::refusal::{Fail, Refusal};
use crate::time;
use crate::xml::{Node, attribute, children, is, names, text_of};

/// What the authentication statements say.
#[derive(Debug)]
pub(super) struct Authn<'a> {
    pub(super) instant: Option<Timestamp>,
    pub(super) context: Option<String>,
    pub(super) session_index: Option<&'a str>,
    /// The earliest of all statements.
    pub(super) session_not_on_or_after: Option<Timestamp>,
}

/// Every statement passes the checks; the first one is the one that is shown.
pub(super) fn authn<'a>(assertion: Node<'a>, input: &ResponseInput<'_>) -> Result<Authn<'a>, Fail> {
    let mut shown: Option<Authn<'a>> = None;
    for statement in children(assertion).filter(|node| is(*node, names::ASSERTION, "AuthnStatement")) {
        let read = read_authn(statement, input)?;
        let Some(first) = &mut shown else {
            shown = Some(read);
            continue;
        };
        let ends = [first.session_not_on_or_after, read.session_not_on_or_after];
        first.session_not_on_or_after = ends.into_iter().flatten().min();
    }
    shown.ok_or_else(|| Refusal::AuthnStatementMissing.into())
}

fn read_authn<'a>(statement: Node<'a>, input: &ResponseInput<'_>) -> Result<Authn<'a>, Fail> {
    let policy = &input.trust.policy;
    let instant = attribute(statement, "AuthnInstant").map(time::parse).transpose()?;
    check_instant(instant, input)?;
    let context = children(statement)
        .filter(|node| is(*node, names::ASSERTION, "AuthnContext"))
        .flat_map(children)
        .find(|node| is(*node, names::ASSERTION, "AuthnContextClassRef"))
        .map(|node| text_of(node).map(trimmed).ok_or(Refusal::AuthnContextNotAllowed))
        .transpose()?;
    let shown = context.as_deref().unwrap_or("");
    if !policy.authn_contexts.is_empty() && !policy.authn_contexts.iter().any(|allowed| allowed == shown) {
        return Err(Refusal::AuthnContextNotAllowed
            .expecting(&policy.authn_contexts.join(" or "))
            .found(shown));
    }
    let end = attribute(statement, "SessionNotOnOrAfter").map(time::parse).transpose()?;
    Ok(Authn {
        instant,
        context: context.map(Into::into),
        session_index: attribute(statement, "SessionIndex"),
        session_not_on_or_after: end,
    })
}

/// The schema asks for the instant, but not every provider sends it; it is only missed where the policy needs it.
fn check_instant(instant: Option<Timestamp>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let policy = &input.trust.policy;
    let Some(instant) = instant else {
        let needed = policy.max_authn_age.is_some();
        return if needed { Err(Refusal::AuthnInstantInvalid.expecting("an instant")) } else { Ok(()) };
    };
    let latest = input.now.saturating_add(policy.skew());
    if instant > latest {
        return Err(late(Refusal::AuthnInstantInvalid, latest, instant));
    }
    match policy.max_authn_age.map(|age| input.now.saturating_sub(age).saturating_sub(policy.skew())) {
        Some(earliest) if instant < earliest => Err(late(Refusal::AuthnTooOld, earliest, instant)),
        _ => Ok(()),
    }
}

impl Authn<'_> {
    /// The session at the identity provider has not ended.
    pub(super) fn check_session(&self, input: &ResponseInput<'_>) -> Result<(), Fail> {
        match self.session_not_on_or_after {
            Some(end) if input.now >= end.saturating_add(input.trust.policy.skew()) => {
                Err(late(Refusal::SessionExpired, end, input.now))
            }
            _ => Ok(()),
        }
    }
}

/// All attributes of all statements, in order.
pub(super) fn attributes(
    assertion: Node<'_>,
    input: &ResponseInput<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Attribute>, Fail> {
    let mut all = Vec::new();
    for statement in children(assertion).filter(|node| is(*node, names::ASSERTION, "AttributeStatement")) {
        for node in children(statement) {
            if is(node, names::ASSERTION, "EncryptedAttribute") {
                return Err(Refusal::EncryptedAttributeUnsupported.into());
            }
            if !is(node, names::ASSERTION, "Attribute") {
                return Err(Refusal::AttributeInvalid.expecting("Attribute").found(node.tag_name().name()));
            }
            all.push(read_attribute(node, warnings)?);
        }
    }
    if input.trust.policy.duplicate_attributes == DuplicateAttributes::Refuse {
        let mut seen = HashSet::with_capacity(all.len());
        if let Some(twice) = all.iter().find(|attribute| !seen.insert(attribute.name.as_str())) {
            return Err(Refusal::AttributeDuplicate.found(&twice.name));
        }
    }
    Ok(all)
}

fn read_attribute(node: Node<'_>, warnings: &mut Vec<Warning>) -> Result<Attribute, Fail> {
    let name = attribute(node, "Name").filter(|name| !name.is_empty()).ok_or(Refusal::AttributeInvalid)?;
    let mut values = Vec::new();
    for value in children(node).filter(|child| is(*child, names::ASSERTION, "AttributeValue")) {
        match text_of(value).or_else(|| nested_name_id(value)) {
            Some(text) => values.push(text.into_owned()),
            None => warnings.push(Warning::StructuredValue(name.to_owned())),
        }
    }
    let owned = |key| attribute(node, key).map(str::to_owned);
    Ok(Attribute {
        name: name.to_owned(),
        name_format: owned("NameFormat"),
        friendly_name: owned("FriendlyName"),
        values,
    })
}

/// The text of a NameID that is the only content of a value, as in `eduPersonTargetedID`; white space around it is layout.
fn nested_name_id<'a>(value: Node<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let layout = |node: &Node<'_>| node.is_text() && node.text().is_some_and(|text| text.trim().is_empty());
    let mut inner = value.children().filter(|node| !layout(node));
    match (inner.next(), inner.next()) {
        (Some(node), None) if is(node, names::ASSERTION, "NameID") => text_of(node),
        _ => None,
    }
}
