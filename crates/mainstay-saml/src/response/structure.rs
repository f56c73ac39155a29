//! Where things stand in a Response: one Assertion, signatures in their places, unique IDs.

use std::collections::HashSet;

use crate::refusal::{Fail, Refusal};
use crate::xml::{Node, attribute, is, names};

/// The parts of a Response whose structure is sound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) response: Node<'a>,
    pub(super) response_id: &'a str,
    pub(super) response_signature: Option<Node<'a>>,
    pub(super) assertion: Node<'a>,
    pub(super) assertion_id: &'a str,
    pub(super) assertion_signature: Option<Node<'a>>,
}

/// The document element is a Response of version 2.0.
pub(super) fn check_root(root: Node<'_>) -> Result<(), Fail> {
    if !is(root, names::PROTOCOL, "Response") {
        let name = root.tag_name();
        let found = format!("{{{}}}{}", name.namespace().unwrap_or(""), name.name());
        return Err(Refusal::NotAResponse.found(&found));
    }
    check_version(root)
}

pub(super) fn check_version(node: Node<'_>) -> Result<(), Fail> {
    match attribute(node, "Version") {
        Some("2.0") => Ok(()),
        other => Err(Refusal::VersionUnsupported.expecting("2.0").found(other.unwrap_or(""))),
    }
}

/// Walks the whole document once.
pub(super) fn locate<'a>(root: Node<'a>) -> Result<Envelope<'a>, Fail> {
    let mut ids = HashSet::new();
    let (mut assertions, mut encrypted) = (Vec::new(), 0_usize);
    let mut signatures = Vec::new();
    for node in root.descendants().filter(Node::is_element) {
        collect_ids(node, &mut ids)?;
        let name = node.tag_name();
        match (name.namespace(), name.name()) {
            (Some(names::ASSERTION), "Assertion" | "EncryptedAssertion") => {
                if node.parent_element() != Some(root) {
                    return Err(Refusal::AssertionMisplaced.into());
                }
                if name.name() == "Assertion" { assertions.push(node) } else { encrypted += 1 }
            }
            (Some(names::DSIG), "Signature") => signatures.push(node),
            _ => {}
        }
    }
    let assertion = match (assertions.as_slice(), encrypted) {
        ([assertion], 0) => *assertion,
        ([], 0) => return Err(Refusal::AssertionMissing.into()),
        ([], 1) => return Err(Refusal::EncryptedAssertionUnsupported.into()),
        (some, more) => {
            return Err(Refusal::AssertionMultiple.expecting("1").found(&(some.len() + more).to_string()));
        }
    };
    let (mut response_signature, mut assertion_signature) = (None, None);
    for signature in signatures {
        let parent = signature.parent_element();
        let place = match parent {
            Some(parent) if parent == root => &mut response_signature,
            Some(parent) if parent == assertion => &mut assertion_signature,
            _ => return Err(Refusal::SignatureMisplaced.into()),
        };
        if place.is_some() {
            return Err(Refusal::SignatureMultiple.into());
        }
        if !stands_after_issuer(signature) {
            return Err(Refusal::SignatureMisplaced.into());
        }
        *place = Some(signature);
    }
    let id = |node| attribute(node, "ID").filter(|id| !id.is_empty()).ok_or(Refusal::IdMissing);
    Ok(Envelope {
        response: root,
        response_id: id(root)?,
        response_signature,
        assertion,
        assertion_id: id(assertion)?,
        assertion_signature,
    })
}

/// The schema puts a Signature right after the Issuer, which is the first child.
fn stands_after_issuer(signature: Node<'_>) -> bool {
    let issuer = signature.prev_siblings().skip(1).filter(Node::is_element).take(2).collect::<Vec<_>>();
    matches!(issuer.as_slice(), [issuer] if is(*issuer, names::ASSERTION, "Issuer"))
}

/// Every spelling of an ID counts, so that no consumer can resolve one ID to another element.
pub(crate) fn collect_ids<'a>(node: Node<'a>, ids: &mut HashSet<&'a str>) -> Result<(), Fail> {
    for attribute in node.attributes().filter(|a| a.name().eq_ignore_ascii_case("id")) {
        if attribute.namespace().is_some_and(|namespace| namespace != names::XML) {
            return Err(Refusal::IdNamespaced.found(attribute.value()));
        }
        if !ids.insert(attribute.value()) {
            return Err(Refusal::IdDuplicate.found(attribute.value()));
        }
    }
    Ok(())
}
