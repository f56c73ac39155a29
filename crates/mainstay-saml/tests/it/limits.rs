//! Every limit, at the limit and one beyond it; and hostile inputs that would be slow elsewhere.

use mainstay_saml::idp::{SignOptions, Signed, sign_enveloped};
use mainstay_saml::{Limits, MAX_MESSAGE_BYTES, MAX_NAME_ID_CHARS, MAX_TRACE_TEXT, Refusal};

use crate::support::*;

/// A message whose Extensions hold `inner`, outside the signed assertion.
fn holding(lab: &Lab, inner: &str) -> String {
    let xml = lab.message(Signed::Assertion);
    swap(
        &xml,
        "</saml:Issuer><samlp:Status>",
        &format!("</saml:Issuer><samlp:Extensions>{inner}</samlp:Extensions><samlp:Status>"),
    )
}

#[test]
fn bytes() {
    let lab = Lab::new();
    let fixed = holding(&lab, "").len();
    let padded = |bytes: usize| holding(&lab, &"x".repeat(bytes - fixed));
    lab.accepts(&padded(MAX_MESSAGE_BYTES));
    lab.refuses(&padded(MAX_MESSAGE_BYTES + 1), Refusal::MessageTooLarge);
    lab.refuses(&padded(4 * MAX_MESSAGE_BYTES), Refusal::MessageTooLarge);
    let field = "A".repeat(mainstay_saml::MAX_FIELD_BYTES + 1);
    assert_eq!(lab.validate_field(&field).unwrap_err().refusal, Refusal::MessageTooLarge);
}

#[test]
fn depth() {
    let lab = Lab::new();
    let deep = |levels: usize| holding(&lab, &format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels)));
    let room = Limits::MESSAGE.depth - 2;
    lab.accepts(&deep(room - 1));
    lab.refuses(&deep(room + 1), Refusal::XmlLimitExceeded);
    lab.refuses(&deep(30_000), Refusal::XmlLimitExceeded);
}

#[test]
fn attributes_of_a_tag() {
    let lab = Lab::new();
    let many = |count: usize| {
        let attributes: String = (0..count).map(|at| format!(" a{at}=\"\"")).collect();
        holding(&lab, &format!("<a{attributes}/>"))
    };
    lab.accepts(&many(Limits::MESSAGE.attributes));
    lab.refuses(&many(Limits::MESSAGE.attributes + 1), Refusal::XmlLimitExceeded);
    lab.refuses(&many(20_000), Refusal::XmlLimitExceeded);
}

#[test]
fn elements() {
    let lab = Lab::new();
    let others = holding(&lab, "").matches('<').count() - holding(&lab, "").matches("</").count();
    let many = |count: usize| holding(&lab, &"<a/>".repeat(count));
    lab.accepts(&many(Limits::MESSAGE.elements - others));
    lab.refuses(&many(Limits::MESSAGE.elements - others + 1), Refusal::XmlLimitExceeded);
}

#[test]
fn namespace_declarations() {
    let lab = Lab::new();
    let present = holding(&lab, "").matches("xmlns").count();
    let many = |count: usize| holding(&lab, &"<a xmlns=\"u\"/>".repeat(count));
    lab.accepts(&many(Limits::MESSAGE.declarations - present));
    lab.refuses(&many(Limits::MESSAGE.declarations - present + 1), Refusal::XmlLimitExceeded);
    let on_one_tag = |count: usize| {
        let all: String = (0..count).map(|at| format!(" xmlns:p{at}=\"urn:{at}\"")).collect();
        holding(&lab, &format!("<a{all}/>"))
    };
    // Two are declared on the Response.
    lab.accepts(&on_one_tag(Limits::MESSAGE.in_scope - 2));
    lab.refuses(&on_one_tag(Limits::MESSAGE.in_scope - 1), Refusal::XmlLimitExceeded);
    let nested: String = (0..4000).map(|at| format!("<a xmlns:p{at}=\"urn:{at}\">")).collect();
    lab.refuses(&holding(&lab, &format!("{nested}{}", "</a>".repeat(4000))), Refusal::XmlLimitExceeded);
}

/// Few declarations in scope, but copied for many elements.
#[test]
fn copies_of_namespaces() {
    let lab = Lab::new();
    let scope = 60;
    let open: String = (0..scope).map(|at| format!("<a xmlns:p{at}=\"urn:{at}\">")).collect();
    let many = |count: usize| {
        let inner: String = "<b xmlns=\"u\"/>".repeat(count);
        holding(&lab, &format!("{open}{inner}{}", "</a>".repeat(scope)))
    };
    // The Response (2), the signature and its SignedInfo (3 and 4), the nest (3 to 62), then 63 for each element.
    let fixed = 2 + 3 + 4 + (3..=62).sum::<usize>();
    let room = (Limits::MESSAGE.copies - fixed) / 63;
    lab.accepts(&many(room));
    lab.refuses(&many(room + 1), Refusal::XmlLimitExceeded);
}

/// A long namespace that the canonical form repeats at every element: the output is bounded, not only the input.
#[test]
fn the_canonical_form() {
    let lab = Lab::new();
    let uri = format!("urn:{}", "x".repeat(200));
    let values = "<p:v/>".repeat(1000);
    let lab_message = |times: usize| {
        lab.bent(Signed::Nothing, |xml| {
            let xml = swap(&xml, "<saml:Assertion ", &format!("<saml:Assertion xmlns:p=\"{uri}\" "));
            swap(&xml, ">staff<", &format!(">{}<", values.repeat(times)))
        })
    };
    let signed = |times| sign_with_own_limit(&lab, &lab_message(times));
    lab.accepts(&signed(4));
    let refused = lab.validate(&signed(5)).unwrap_err();
    assert_eq!(refused.refusal, Refusal::XmlLimitExceeded);
    assert!(refused.expected.unwrap().contains("canonical form"));
}

/// The signer writes canonical forms without a limit; the verifier must not.
fn sign_with_own_limit(lab: &Lab, xml: &str) -> String {
    sign_enveloped(xml, ASSERTION_ID, &SignOptions::new(&lab.idp.key, &lab.idp.certificate)).unwrap()
}

#[test]
fn many_signatures_and_references_are_counted_not_verified() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let sig = signature(&xml);
    let many = MAX_MESSAGE_BYTES / sig.len() - 4;
    lab.refuses(&swap(&xml, &sig, &sig.repeat(many)), Refusal::SignatureMultiple);
    lab.refuses(&holding(&lab, &sig.repeat(many)), Refusal::SignatureMisplaced);
}

/// An issuer that is not the connection's is refused before a signature is looked at.
#[test]
fn strangers_cost_no_cryptography() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Both).replace("https://idp.test/entity", "https://stranger.test");
    let refused = lab.validate(&xml).unwrap_err();
    assert_eq!(refused.refusal, Refusal::IssuerMismatch);
    let last = refused.trace.entries().last().unwrap();
    assert_eq!(last.check, mainstay_saml::Check::IssuerHint);
}

#[test]
fn name_ids_and_trace_texts() {
    let lab = Lab::new();
    let named = |chars: usize| {
        lab.bent(Signed::Assertion, |xml| {
            xml.replace(&format!("{USER}</saml:NameID>"), &format!("{}</saml:NameID>", "é".repeat(chars)))
        })
    };
    lab.accepts(&named(MAX_NAME_ID_CHARS));
    lab.refuses(&named(MAX_NAME_ID_CHARS + 1), Refusal::NameIdInvalid);
    let refused = lab.validate(&named(MAX_NAME_ID_CHARS + 1)).unwrap_err();
    assert_eq!(refused.actual.unwrap().chars().count(), MAX_TRACE_TEXT);
}

#[test]
fn clock_skew_is_held_to_its_limit() {
    let most = mainstay_saml::MAX_CLOCK_SKEW;
    let mut lab = Lab::new().policy(|policy| policy.clock_skew = 100 * most);
    let xml = lab.message(Signed::Assertion);
    let end = lab.now.saturating_add(std::time::Duration::from_secs(300)).saturating_add(most);
    lab.now = end.saturating_sub(std::time::Duration::from_micros(1));
    lab.accepts(&xml);
    lab.now = end;
    lab.refuses(&xml, Refusal::ConfirmationExpired);
}
