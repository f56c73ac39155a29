//! When and for whom the Assertion holds (SAML core 2.5).

use mainstay_core::Timestamp;

use super::ResponseInput;
use super::shell::{late, trimmed};
use crate::refusal::{Fail, Refusal};
use crate::time;
use crate::xml::{Node, attribute, children, is, names, text_of};

/// The Conditions, if there is exactly one.
fn find<'a>(assertion: Node<'a>, input: &ResponseInput<'_>) -> Result<Option<Node<'a>>, Fail> {
    let mut all = children(assertion).filter(|node| is(*node, names::ASSERTION, "Conditions"));
    match (all.next(), all.next()) {
        (Some(conditions), None) => Ok(Some(conditions)),
        (None, _) if !input.trust.policy.require_audience => Ok(None),
        _ => Err(Refusal::ConditionsMissing.into()),
    }
}

/// Known conditions only, and the present is within the time. Returns the end of the time.
///
/// OneTimeUse is met by the replay key; ProxyRestriction does not bind a service that issues no assertions.
pub(super) fn check(assertion: Node<'_>, input: &ResponseInput<'_>) -> Result<Option<Timestamp>, Fail> {
    let Some(conditions) = find(assertion, input)? else {
        return Ok(None);
    };
    for condition in children(conditions) {
        let name = condition.tag_name();
        let known = name.namespace() == Some(names::ASSERTION)
            && matches!(name.name(), "AudienceRestriction" | "OneTimeUse" | "ProxyRestriction");
        if !known {
            return Err(Refusal::ConditionUnknown.found(name.name()));
        }
    }
    let skew = input.trust.policy.skew();
    if let Some(start) = attribute(conditions, "NotBefore") {
        let start = time::parse(start)?;
        if input.now.saturating_add(skew) < start {
            return Err(late(Refusal::AssertionNotYetValid, start, input.now));
        }
    }
    let end = attribute(conditions, "NotOnOrAfter").map(time::parse).transpose()?;
    match end {
        Some(end) if input.now >= end.saturating_add(skew) => {
            Err(late(Refusal::AssertionExpired, end, input.now))
        }
        end => Ok(end),
    }
}

/// Every restriction must name this service; each of them by at least one audience.
pub(super) fn check_audience(assertion: Node<'_>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let expected = &input.sp.entity_id;
    let mut restricted = false;
    let conditions = find(assertion, input)?;
    let restrictions = conditions.into_iter().flat_map(children);
    for restriction in restrictions.filter(|node| is(*node, names::ASSERTION, "AudienceRestriction")) {
        restricted = true;
        let mut found = Vec::new();
        for audience in children(restriction).filter(|node| is(*node, names::ASSERTION, "Audience")) {
            let text = text_of(audience).ok_or(Refusal::AudienceMismatch)?;
            found.push(trimmed(text));
        }
        if !found.iter().any(|audience| audience == expected) {
            return Err(Refusal::AudienceMismatch.expecting(expected).found(&found.join(" or ")));
        }
    }
    if restricted || !input.trust.policy.require_audience {
        return Ok(());
    }
    Err(Refusal::AudienceMissing.expecting(expected))
}
