//! Who the Assertion is about, and who may present it (SAML core 2.4, profiles 4.1.4.2).

use mainstay_core::Timestamp;

use super::ResponseInput;
use super::shell::{equal, late};
use crate::login::NameId;
use crate::refusal::{Fail, Refusal};
use crate::time;
use crate::xml::{Node, attribute, children, is, names, text_of};

/// Longest NameID, in characters (SAML core 8.3.7 allows 256; some providers need more).
pub const MAX_NAME_ID_CHARS: usize = 1024;

/// The only Subject.
pub(super) fn find(assertion: Node<'_>) -> Result<Node<'_>, Fail> {
    let mut all = children(assertion).filter(|node| is(*node, names::ASSERTION, "Subject"));
    match (all.next(), all.next()) {
        (Some(subject), None) => Ok(subject),
        _ => Err(Refusal::SubjectMissing.into()),
    }
}

/// The only identifier: a NameID that holds text and nothing else.
pub(super) fn name_id(subject: Node<'_>, input: &ResponseInput<'_>) -> Result<NameId, Fail> {
    let policy = &input.trust.policy;
    let identifiers: Vec<_> = children(subject)
        .filter(|node| {
            node.tag_name().namespace() == Some(names::ASSERTION)
                && matches!(node.tag_name().name(), "NameID" | "BaseID" | "EncryptedID")
        })
        .collect();
    let node = match identifiers.as_slice() {
        [] => return Err(Refusal::NameIdMissing.into()),
        [one] => *one,
        many => return Err(Refusal::NameIdMultiple.expecting("1").found(&many.len().to_string())),
    };
    match node.tag_name().name() {
        "NameID" => {}
        "EncryptedID" => return Err(Refusal::EncryptedIdUnsupported.into()),
        _ => return Err(Refusal::NameIdMissing.expecting("NameID").found("BaseID")),
    }
    let value = text_of(node).ok_or_else(|| Refusal::NameIdInvalid.expecting("text only"))?;
    let long = value.chars().nth(MAX_NAME_ID_CHARS).is_some();
    // White space of any script: whoever trims the name later must not arrive at somebody else's.
    if value.is_empty() || long || value.trim() != value || value.contains(char::is_control) {
        return Err(Refusal::NameIdInvalid.expecting("text without white space around it").found(&value));
    }
    let format = attribute(node, "Format");
    if !policy.name_id_formats.is_empty() {
        let shown = format.unwrap_or(crate::NAME_ID_UNSPECIFIED);
        if !policy.name_id_formats.iter().any(|allowed| allowed == shown) {
            let expected = policy.name_id_formats.join(" or ");
            return Err(Refusal::NameIdFormatNotAllowed.expecting(&expected).found(shown));
        }
    }
    let qualifier = attribute(node, "SPNameQualifier");
    if let Some(qualifier) = qualifier {
        equal(Refusal::NameIdQualifierMismatch, &input.sp.entity_id, qualifier)?;
    }
    let owned = |value: Option<&str>| value.map(str::to_owned);
    Ok(NameId {
        value: value.into_owned(),
        format: owned(format),
        name_qualifier: owned(attribute(node, "NameQualifier")),
        sp_name_qualifier: owned(qualifier),
        sp_provided_id: owned(attribute(node, "SPProvidedID")),
    })
}

/// One bearer confirmation that holds is enough. Returns the latest end of all of them, for the replay key: one that does not
/// hold for this request may still hold for another.
pub(super) fn confirm(subject: Node<'_>, input: &ResponseInput<'_>) -> Result<Timestamp, Fail> {
    let mut refused = None;
    let mut holds = false;
    let mut latest = Timestamp::MIN;
    for confirmation in children(subject).filter(|node| is(*node, names::ASSERTION, "SubjectConfirmation")) {
        if attribute(confirmation, "Method") != Some(names::BEARER) {
            continue;
        }
        match check_bearer(confirmation, input) {
            Ok(()) => holds = true,
            Err(fail) => refused = refused.or(Some(fail)),
        }
        latest = ends(confirmation).fold(latest, Timestamp::max);
    }
    match refused {
        _ if holds => Ok(latest),
        Some(fail) => Err(fail),
        None => Err(Refusal::SubjectConfirmationMissing.expecting(names::BEARER)),
    }
}

/// When the confirmation ends, as far as it says.
fn ends(confirmation: Node<'_>) -> impl Iterator<Item = Timestamp> {
    children(confirmation)
        .filter(|node| is(*node, names::ASSERTION, "SubjectConfirmationData"))
        .filter_map(|data| time::parse(attribute(data, "NotOnOrAfter")?).ok())
}

fn check_bearer(confirmation: Node<'_>, input: &ResponseInput<'_>) -> Result<(), Fail> {
    let mut all =
        children(confirmation).filter(|node| is(*node, names::ASSERTION, "SubjectConfirmationData"));
    let (Some(data), None) = (all.next(), all.next()) else {
        return Err(Refusal::SubjectConfirmationDataMissing.into());
    };
    if let Some(not_before) = attribute(data, "NotBefore") {
        return Err(Refusal::ConfirmationNotBeforePresent.found(not_before));
    }
    let recipient =
        attribute(data, "Recipient").ok_or_else(|| Refusal::RecipientMissing.expecting(&input.sp.acs_url))?;
    equal(Refusal::RecipientMismatch, &input.sp.acs_url, recipient)?;
    let found = attribute(data, "InResponseTo");
    if found != input.expected_request_id {
        let fail = Fail::from(Refusal::ConfirmationInResponseToMismatch);
        return Err(fail
            .expecting(input.expected_request_id.unwrap_or("none"))
            .found(found.unwrap_or("none")));
    }
    let end = attribute(data, "NotOnOrAfter").ok_or(Refusal::ConfirmationExpiryMissing)?;
    let end = time::parse(end)?;
    if input.now >= end.saturating_add(input.trust.policy.skew()) {
        return Err(late(Refusal::ConfirmationExpired, end, input.now));
    }
    Ok(())
}
