//! The one shape of `ds:Signature` that is read (XML-DSig section 4, SAML core section 5.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::c14n::{Family, Method};
use crate::policy::Policy;
use crate::refusal::{Fail, Refusal};
use crate::xml::{Node, attribute, children, is, names, text_of};

use mainstay_core::Timestamp;

/// Most prefixes in an `InclusiveNamespaces` list.
pub const MAX_PREFIXES: usize = 64;
/// Longest base64 text of a digest or signature value: an RSA signature of 8192 bits with line breaks.
const MAX_VALUE_TEXT: usize = 4096;

/// A signature whose shape and algorithms are allowed.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) signed_info: Node<'a>,
    pub(super) signed_info_method: Method<'a>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) value: Vec<u8>,
    pub(super) content_method: Method<'a>,
    pub(super) digest_algorithm: DigestAlgorithm,
    pub(super) digest: Vec<u8>,
}

/// Reads the signature of the element whose ID is `id`.
pub(super) fn read<'a>(
    signature: Node<'a>,
    id: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Signature<'a>, Fail> {
    only_attributes(signature, &["Id"])?;
    let parts = sequence(signature)?;
    let (signed_info, value) = match parts.as_slice() {
        [info, value] => (*info, *value),
        [info, value, key_info] if is(*key_info, names::DSIG, "KeyInfo") => (*info, *value),
        _ => return Err(malformed("SignedInfo, SignatureValue and perhaps KeyInfo")),
    };
    named(signed_info, "SignedInfo")?;
    named(value, "SignatureValue")?;
    only_attributes(signed_info, &["Id"])?;
    only_attributes(value, &["Id"])?;
    let parts = sequence(signed_info)?;
    let [canonicalization, method, references @ ..] = parts.as_slice() else {
        return Err(malformed("CanonicalizationMethod and SignatureMethod"));
    };
    named(*canonicalization, "CanonicalizationMethod")?;
    named(*method, "SignatureMethod")?;
    let [reference] = references else {
        return Err(Refusal::ReferenceCount.expecting("1").found(&references.len().to_string()));
    };
    let signed_info_method = canonicalization_method(*canonicalization, policy)?;
    let algorithm = signature_algorithm(*method, policy, now)?;
    let reference = read_reference(*reference, id, policy, now)?;
    Ok(Signature {
        signed_info,
        signed_info_method,
        algorithm,
        value: octets(value)?,
        content_method: reference.method,
        digest_algorithm: reference.algorithm,
        digest: reference.digest,
    })
}

struct Reference<'a> {
    method: Method<'a>,
    algorithm: DigestAlgorithm,
    digest: Vec<u8>,
}

fn read_reference<'a>(
    reference: Node<'a>,
    id: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Reference<'a>, Fail> {
    named(reference, "Reference")?;
    only_attributes(reference, &["Id", "URI"])?;
    let uri = attribute(reference, "URI").unwrap_or("");
    if uri.strip_prefix('#') != Some(id) {
        return Err(Refusal::ReferenceMismatch.expecting(&format!("#{id}")).found(uri));
    }
    let parts = sequence(reference)?;
    let [transforms, method, value] = parts.as_slice() else {
        return Err(malformed("Transforms, DigestMethod and DigestValue"));
    };
    named(*transforms, "Transforms")?;
    named(*method, "DigestMethod")?;
    named(*value, "DigestValue")?;
    only_attributes(*transforms, &[])?;
    only_attributes(*method, &["Algorithm"])?;
    only_attributes(*value, &[])?;
    let content = transform_method(*transforms, policy)?;
    empty(*method)?;
    let identifier = attribute(*method, "Algorithm").unwrap_or("");
    let algorithm = DigestAlgorithm::from_identifier(identifier)
        .filter(|algorithm| policy.allows_digest(*algorithm, now))
        .ok_or_else(|| Refusal::DigestAlgorithmNotAllowed.found(identifier))?;
    Ok(Reference { method: content, algorithm, digest: octets(*value)? })
}

/// Exactly the enveloped-signature transform and a canonicalization, in this order.
///
/// A bare-name reference never selects comments, whatever the method says (XML-DSig 4.4.3.3).
fn transform_method<'a>(transforms: Node<'a>, policy: &Policy) -> Result<Method<'a>, Fail> {
    let parts = sequence(transforms)?;
    let refused = || Refusal::TransformUnsupported.expecting("enveloped-signature, then canonicalization");
    let [enveloped, canonicalization] = parts.as_slice() else {
        return Err(refused().found(&format!("{} transforms", parts.len())));
    };
    named(*enveloped, "Transform")?;
    named(*canonicalization, "Transform")?;
    let first = attribute(*enveloped, "Algorithm").unwrap_or("");
    if first != names::ENVELOPED {
        return Err(refused().found(first));
    }
    only_attributes(*enveloped, &["Algorithm"])?;
    empty(*enveloped)?;
    let second = attribute(*canonicalization, "Algorithm").unwrap_or("");
    if Method::by_identifier(second).is_none() {
        return Err(refused().found(second));
    }
    Ok(Method { comments: false, ..canonicalization_method(*canonicalization, policy)? })
}

fn canonicalization_method<'a>(node: Node<'a>, policy: &Policy) -> Result<Method<'a>, Fail> {
    only_attributes(node, &["Algorithm"])?;
    let identifier = attribute(node, "Algorithm").unwrap_or("");
    let (family, comments) = Method::by_identifier(identifier)
        .ok_or_else(|| Refusal::CanonicalizationUnsupported.expecting(names::EXC_C14N).found(identifier))?;
    if family != Family::Exclusive && !policy.allow_inclusive_c14n {
        return Err(Refusal::InclusiveCanonicalizationNotAllowed
            .expecting(names::EXC_C14N)
            .found(identifier));
    }
    let mut prefixes = Vec::new();
    match sequence(node)?.as_slice() {
        [] => {}
        [list] if family == Family::Exclusive && is(*list, names::EXC_C14N, "InclusiveNamespaces") => {
            only_attributes(*list, &["PrefixList"])?;
            empty(*list)?;
            let text = attribute(*list, "PrefixList").unwrap_or("");
            prefixes.extend(text.split_ascii_whitespace().map(|p| if p == "#default" { "" } else { p }));
            if prefixes.len() > MAX_PREFIXES {
                return Err(malformed("a shorter PrefixList"));
            }
        }
        _ => return Err(malformed("at most one InclusiveNamespaces in a canonicalization method")),
    }
    Ok(Method { family, comments, prefixes })
}

fn signature_algorithm(
    method: Node<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Result<SignatureAlgorithm, Fail> {
    only_attributes(method, &["Algorithm"])?;
    empty(method)?;
    let identifier = attribute(method, "Algorithm").unwrap_or("");
    SignatureAlgorithm::from_identifier(identifier)
        .filter(|algorithm| policy.allows_signature(*algorithm, now))
        .ok_or_else(|| Refusal::SignatureAlgorithmNotAllowed.found(identifier))
}

fn malformed(expected: &str) -> Fail {
    Refusal::SignatureMalformed.expecting(expected)
}

fn named(node: Node<'_>, name: &str) -> Result<(), Fail> {
    if is(node, names::DSIG, name) { Ok(()) } else { Err(malformed(name).found(node.tag_name().name())) }
}

fn only_attributes(node: Node<'_>, allowed: &[&str]) -> Result<(), Fail> {
    match node.attributes().find(|a| a.namespace().is_some() || !allowed.contains(&a.name())) {
        None => Ok(()),
        Some(surplus) => Err(malformed("no other attribute").found(surplus.name())),
    }
}

/// The element children of a node that holds nothing else but white space.
fn sequence<'a>(node: Node<'a>) -> Result<Vec<Node<'a>>, Fail> {
    let white = |text: &str| text.bytes().all(|b| b.is_ascii_whitespace());
    if node
        .children()
        .any(|child| !(child.is_element() || child.is_text() && white(child.text().unwrap_or(""))))
    {
        return Err(malformed("elements only").found(node.tag_name().name()));
    }
    Ok(children(node).collect())
}

fn empty(node: Node<'_>) -> Result<(), Fail> {
    match sequence(node)?.first() {
        None => Ok(()),
        Some(child) => Err(malformed("no content").found(child.tag_name().name())),
    }
}

/// The octets of a value element: text only (no comment splits it), strict base64.
fn octets(node: Node<'_>) -> Result<Vec<u8>, Fail> {
    if !node.children().all(|child| child.is_text()) {
        return Err(malformed("text only").found(node.tag_name().name()));
    }
    let text = text_of(node).unwrap_or_default();
    if text.len() > MAX_VALUE_TEXT {
        return Err(malformed("a shorter value"));
    }
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let octets =
        STANDARD.decode(digits).map_err(|_| malformed("strict base64").found(node.tag_name().name()))?;
    if octets.is_empty() { Err(malformed("a value").found(node.tag_name().name())) } else { Ok(octets) }
}
