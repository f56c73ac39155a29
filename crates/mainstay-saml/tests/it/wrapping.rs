//! Signature wrapping: the signed element is moved, and something else takes its place.

use mainstay_saml::Refusal;
use mainstay_saml::idp::{SignOptions, Signed, sign_enveloped};

use crate::support::*;

/// The same assertion without its signature, for another user and under another ID.
fn evil_assertion(xml: &str) -> String {
    let plain = assertion(xml).replace(&signature_of(&assertion(xml)), "");
    plain.replace(USER, EVIL).replace(ASSERTION_ID, "_evil")
}

fn signature_of(element: &str) -> String {
    if element.contains("<ds:Signature ") { signature(element) } else { String::new() }
}

fn with_children(element: &str, inner: &str, before: &str) -> String {
    swap(element, before, &format!("{inner}{before}"))
}

#[test]
fn the_unbent_message_is_accepted() {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        assert_eq!(lab.accepts(&lab.message(signed)).name_id.value, USER);
    }
}

/// XSW1 and XSW2: a cloned Response around or beside the signed one.
#[test]
fn cloned_responses() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Response);
    let sig = signature(&xml);
    let evil = xml
        .replace(&sig, "")
        .replace(USER, EVIL)
        .replace(RESPONSE_ID, "_evil")
        .replace(ASSERTION_ID, "_evil2");
    let inside = swap(
        &sig,
        "</ds:Signature>",
        &format!("<ds:Object>{}</ds:Object></ds:Signature>", xml.replace(&sig, "")),
    );
    let xsw1 = swap(&evil, "</saml:Issuer>", &format!("</saml:Issuer>{inside}"));
    lab.refuses(&xsw1, Refusal::AssertionMisplaced);
    let beside = format!("</saml:Issuer>{}{sig}", xml.replace(&sig, ""));
    lab.refuses(&swap(&evil, "</saml:Issuer>", &beside), Refusal::AssertionMisplaced);
    lab.refuses(&swap(&evil, "</saml:Issuer>", &format!("</saml:Issuer>{sig}")), Refusal::ReferenceMismatch);
}

/// XSW3, XSW4, and two assertions in any order.
#[test]
fn an_unsigned_assertion_beside_or_around_the_signed_one() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let (good, evil) = (assertion(&xml), evil_assertion(&xml));
    lab.refuses(&swap(&xml, &good, &format!("{evil}{good}")), Refusal::AssertionMultiple);
    lab.refuses(&swap(&xml, &good, &format!("{good}{evil}")), Refusal::AssertionMultiple);
    let around = swap(&evil, "</saml:Assertion>", &format!("{good}</saml:Assertion>"));
    lab.refuses(&swap(&xml, &good, &around), Refusal::AssertionMisplaced);
    let response_signed = lab.bent(Signed::Response, |xml| {
        let good = assertion(&xml);
        swap(&xml, &good, &format!("{good}{}", evil_assertion(&xml)))
    });
    lab.refuses(&response_signed, Refusal::AssertionMultiple);
}

/// XSW5 and XSW6: the evil assertion carries the signature of the original, which moves behind it or into it.
#[test]
fn an_evil_assertion_carries_the_signature() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let (good, evil, sig) = (assertion(&xml), evil_assertion(&xml), signature(&xml));
    let bare = good.replace(&sig, "");
    let carrying = swap(&evil, "</saml:Issuer>", &format!("</saml:Issuer>{sig}"));
    lab.refuses(&swap(&xml, &good, &format!("{carrying}{bare}")), Refusal::AssertionMultiple);
    lab.refuses(&swap(&xml, &good, &carrying), Refusal::ReferenceMismatch);
    let swallowed = swap(&sig, "</ds:Signature>", &format!("<ds:Object>{bare}</ds:Object></ds:Signature>"));
    let xsw6 = swap(&evil, "</saml:Issuer>", &format!("</saml:Issuer>{swallowed}"));
    lab.refuses(&swap(&xml, &good, &xsw6), Refusal::AssertionMisplaced);
}

/// XSW7, XSW8 and every other place where the original could be hidden.
#[test]
fn the_original_is_hidden_somewhere() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let (good, evil) = (assertion(&xml), evil_assertion(&xml));
    let with_evil = swap(&xml, &good, &evil);
    let in_response = |wrapped: String| {
        swap(&with_evil, "</saml:Issuer><samlp:Status>", &format!("</saml:Issuer>{wrapped}<samlp:Status>"))
    };
    for hidden in [
        in_response(format!("<samlp:Extensions>{good}</samlp:Extensions>")),
        in_response(format!("<x:Wrapper xmlns:x=\"urn:x\">{good}</x:Wrapper>")),
        in_response(format!("<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{good}</ds:Object>")),
        in_response(format!(
            "<ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{good}</ds:KeyInfo>"
        )),
        swap(
            &with_evil,
            "</samlp:Status>",
            &format!("<samlp:StatusDetail>{good}</samlp:StatusDetail></samlp:Status>"),
        ),
        swap(
            &with_evil,
            "<saml:AuthnStatement",
            &format!("<saml:Advice>{good}</saml:Advice><saml:AuthnStatement"),
        ),
        swap(&with_evil, "</saml:AttributeValue>", &format!("{good}</saml:AttributeValue>")),
    ] {
        lab.refuses(&hidden, Refusal::AssertionMisplaced);
    }
}

#[test]
fn responses_in_responses_and_foreign_roots() {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        let xml = lab.message(signed);
        let outer = lab
            .message(Signed::Nothing)
            .replace(RESPONSE_ID, "_outer")
            .replace(ASSERTION_ID, "_evil")
            .replace(USER, EVIL);
        lab.refuses(
            &swap(&outer, "</samlp:Response>", &format!("{xml}</samlp:Response>")),
            Refusal::AssertionMisplaced,
        );
        lab.refuses(&format!("<x>{xml}</x>"), Refusal::NotAResponse);
        lab.refuses(&format!("{xml}{xml}"), Refusal::XmlMalformed);
        lab.refuses(&format!("{outer}{xml}"), Refusal::XmlMalformed);
    }
    let bare = "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";
    let alone = swap(&assertion(&lab.message(Signed::Assertion)), "<saml:Assertion", bare);
    lab.refuses(&alone, Refusal::NotAResponse);
}

#[test]
fn plain_and_encrypted_assertions_do_not_mix() {
    let lab = Lab::new();
    let encrypted = "<saml:EncryptedAssertion></saml:EncryptedAssertion>";
    for signed in [Signed::Assertion, Signed::Response] {
        let mixed =
            lab.bent(signed, |xml| swap(&xml, "</samlp:Response>", &format!("{encrypted}</samlp:Response>")));
        lab.refuses(&mixed, Refusal::AssertionMultiple);
    }
    let only = lab.bent(Signed::Response, |xml| swap(&xml, &assertion(&xml), encrypted));
    lab.refuses(&only, Refusal::EncryptedAssertionUnsupported);
}

#[test]
fn copied_and_decoy_signatures() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let (good, sig) = (assertion(&xml), signature(&xml));
    let evil = swap(&evil_assertion(&xml), "</saml:Issuer>", &format!("</saml:Issuer>{sig}"))
        .replace("_evil", ASSERTION_ID);
    lab.refuses(&swap(&xml, &good, &evil), Refusal::DigestMismatch);
    lab.refuses(&swap(&xml, &good, &format!("{evil}{good}")), Refusal::IdDuplicate);
    lab.refuses(&swap(&xml, &good, &format!("{good}{evil}")), Refusal::IdDuplicate);
    // A second signature with the same value, which a greedy enveloped transform would strip with everything it holds.
    let decoy = swap(
        &sig,
        "</ds:Signature>",
        &format!("<ds:Object>{}</ds:Object></ds:Signature>", evil_assertion(&xml)),
    );
    lab.refuses(
        &swap(&xml, "</saml:Assertion>", &format!("{decoy}</saml:Assertion>")),
        Refusal::AssertionMisplaced,
    );
    lab.refuses(
        &swap(&xml, "</saml:Assertion>", &format!("{sig}</saml:Assertion>")),
        Refusal::SignatureMultiple,
    );
    lab.refuses(&swap(&xml, &sig, &format!("{sig}{sig}")), Refusal::SignatureMultiple);
}

/// What a digest leaves out must not hold an assertion, nor anything that could pass for one.
#[test]
fn content_smuggled_into_the_signature() {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response] {
        let xml = lab.message(signed);
        let evil = evil_assertion(&xml);
        let object = format!("<ds:Object>{evil}</ds:Object></ds:Signature>");
        lab.refuses(&swap(&xml, "</ds:Signature>", &object), Refusal::AssertionMisplaced);
        lab.refuses(
            &swap(&xml, "</ds:KeyInfo>", &format!("{evil}</ds:KeyInfo>")),
            Refusal::AssertionMisplaced,
        );
        let harmless = "<ds:Object>text</ds:Object></ds:Signature>";
        lab.refuses(&swap(&xml, "</ds:Signature>", harmless), Refusal::SignatureMalformed);
    }
}

#[test]
fn ids_that_only_look_alike() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let good = assertion(&xml);
    let other_case = good.replace(USER, EVIL).replacen(ASSERTION_ID, &ASSERTION_ID.to_uppercase(), 1);
    lab.refuses(&swap(&xml, &good, &other_case), Refusal::ReferenceMismatch);
    let encoded =
        good.replacen(&format!("URI=\"#{ASSERTION_ID}\""), &format!("URI=\"#%5F{}\"", &ASSERTION_ID[1..]), 1);
    lab.refuses(&swap(&xml, &good, &encoded), Refusal::ReferenceMismatch);
    let root = "<samlp:Response ";
    for attribute in [
        format!("Id=\"{ASSERTION_ID}\""),
        format!("id=\"{ASSERTION_ID}\""),
        format!("xml:id=\"{ASSERTION_ID}\""),
    ] {
        lab.refuses(&swap(&xml, root, &format!("{root}{attribute} ")), Refusal::IdDuplicate);
    }
    let namespaced = format!("{root}xmlns:u=\"urn:u\" u:ID=\"{ASSERTION_ID}\" ");
    lab.refuses(&swap(&xml, root, &namespaced), Refusal::IdNamespaced);
    let quoted = lab.message(Signed::Nothing).replace(ASSERTION_ID, "a&apos;]|//*[&quot;");
    let options = SignOptions::new(&lab.idp.key, &lab.idp.certificate);
    let signed = sign_enveloped(&quoted, "a']|//*[\"", &options).unwrap();
    assert_eq!(lab.accepts(&signed).assertion_id, "a']|//*[\"");
}

/// A signature that verifies, but over something else: Status, Extensions, metadata, another kind of message.
#[test]
fn golden_signatures() {
    let lab = Lab::new();
    let options = SignOptions::new(&lab.idp.key, &lab.idp.certificate);
    let issuer = format!("<saml:Issuer>{}</saml:Issuer>", lab.idp.entity_id);
    let names = "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";
    let golden = format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" {names} ID=\"_md\">{issuer}</md:EntityDescriptor>"
    );
    let golden = sign_enveloped(&golden, "_md", &options).unwrap();
    let evil = lab.message(Signed::Nothing).replace(USER, EVIL);
    let in_extensions = format!("</saml:Issuer><samlp:Extensions>{golden}</samlp:Extensions><samlp:Status>");
    lab.refuses(&swap(&evil, "</saml:Issuer><samlp:Status>", &in_extensions), Refusal::SignatureMisplaced);
    let moved = swap(
        &evil,
        "</saml:Issuer><saml:Subject>",
        &format!("</saml:Issuer>{}<saml:Subject>", signature(&golden)),
    );
    lab.refuses(&moved, Refusal::ReferenceMismatch);
    let logout = format!(
        "<samlp:LogoutResponse xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" {names} ID=\"_lo\" Version=\"2.0\">{issuer}</samlp:LogoutResponse>"
    );
    let logout = sign_enveloped(&logout, "_lo", &options).unwrap();
    lab.refuses(&logout, Refusal::NotAResponse);
    // An honest error Response, to which an assertion is added.
    let error = lab.bent(Signed::Response, |xml| {
        let xml = swap(&xml, "status:Success", "status:Responder");
        swap(&xml, &assertion(&xml), "")
    });
    lab.refuses(&error, Refusal::StatusNotSuccess);
    let added = swap(&error, "</samlp:Response>", &format!("{}</samlp:Response>", assertion(&evil)));
    lab.refuses(&added, Refusal::StatusNotSuccess);
    let success = swap(&added, "status:Responder", "status:Success");
    lab.refuses(&success, Refusal::DigestMismatch);
}

#[test]
fn signatures_out_of_place() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let sig = signature(&xml);
    let without = xml.replace(&sig, "");
    for place in [
        "<saml:Subject>",
        "</saml:Assertion>",
        "<saml:Assertion ",
        "<samlp:Status>",
        "<samlp:StatusCode",
        "</samlp:Response>",
    ] {
        let moved = swap(&without, place, &format!("{sig}{place}"));
        match place {
            "<saml:Subject>" => drop(lab.accepts(&moved)),
            "<samlp:Status>" => lab.refuses(&moved, Refusal::ReferenceMismatch),
            _ => lab.refuses(&moved, Refusal::SignatureMisplaced),
        }
    }
    let before_issuer = swap(
        &without,
        "<saml:Issuer>https://idp.test/entity</saml:Issuer><saml:Subject>",
        &format!("{sig}<saml:Issuer>https://idp.test/entity</saml:Issuer><saml:Subject>"),
    );
    lab.refuses(&before_issuer, Refusal::SignatureMisplaced);
    let nested = with_children(&xml, &sig, "</samlp:Status>");
    lab.refuses(&nested, Refusal::SignatureMisplaced);
}

#[test]
fn foreign_assertions_are_not_assertions() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let (good, evil) = (assertion(&xml), evil_assertion(&xml));
    let foreign = evil.replacen("<saml:Assertion", "<saml:Assertion xmlns:saml=\"urn:foreign\"", 1);
    // It is there, but nothing reads it: the login is the signed one's.
    let login = lab.accepts(&swap(&xml, &good, &format!("{foreign}{good}")));
    assert_eq!(login.name_id.value, USER);
    let only = swap(&xml, &good, &foreign);
    lab.refuses(&only, Refusal::AssertionMissing);
    let other_prefix = evil.replace("saml:", "s:").replacen(
        "<s:Assertion",
        "<s:Assertion xmlns:s=\"urn:oasis:names:tc:SAML:2.0:assertion\"",
        1,
    );
    lab.refuses(&swap(&xml, &good, &format!("{other_prefix}{good}")), Refusal::AssertionMultiple);
}
