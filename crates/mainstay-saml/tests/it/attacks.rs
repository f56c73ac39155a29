//! Attacks that go through the seams: between the pre-scan and the parser, between two certificates of one key, between a login
//! and its replay.

use std::time::{Duration, Instant};

use mainstay_saml::idp::{SignOptions, Signed, sign_enveloped};
use mainstay_saml::{CertificateValidity, Limits, Refusal, Warning};

use crate::support::*;

/// What the parser takes for a default namespace although nobody else does, and what it takes twice.
#[test]
fn declarations_that_only_the_parser_sees() {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        let xml = lab.message(signed);
        for tag in ["<samlp:Response ", "<saml:Assertion ", "<saml:NameID ", "<ds:Signature "] {
            let foreign = format!("{tag}samlp:xmlns=\"urn:evil\" ");
            lab.refuses(&swap(&xml, tag, &foreign), Refusal::NamespaceMisuse);
            let twice = format!("{tag}xmlns=\"urn:a\" xmlns=\"urn:b\" ");
            lab.refuses(&swap(&xml, tag, &twice), Refusal::XmlMalformed);
            let same = format!("{tag}xmlns=\"urn:a\" xmlns=\"urn:a\" ");
            lab.refuses(&swap(&xml, tag, &same), Refusal::XmlMalformed);
        }
    }
    // A reserved namespace is reserved however it is spelt.
    let spelt = "<samlp:Response xmlns:y=\"http://www.w3.org/XML/1998/namespac&#101;\" ";
    lab.refuses(&swap(&lab.message(Signed::Both), "<samlp:Response ", spelt), Refusal::XmlMalformed);
}

/// The parser keeps the length of an attribute's name in sixteen bits, so that a longer prefix was lost in the canonical form.
#[test]
fn a_prefix_is_never_lost() {
    let lab = Lab::new();
    let prefix = "p".repeat(66_000);
    let xml = lab.message(Signed::Assertion);
    let altered = swap(
        &xml,
        "NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient=",
        &format!("NotOnOrAfter=\"2026-11-21T09:08:00Z\" xmlns:{prefix}=\"urn:p\" {prefix}:Recipient="),
    );
    lab.refuses(&altered, Refusal::XmlLimitExceeded);
}

#[test]
fn names_and_namespaces_at_their_limit() {
    let lab = Lab::new();
    let most = Limits::MESSAGE.name_bytes;
    let named = |bytes: usize| {
        swap(
            &lab.message(Signed::Assertion),
            "<samlp:Status>",
            &format!("<{0}/><samlp:Status>", "n".repeat(bytes)),
        )
    };
    let attributed = |bytes: usize| {
        swap(
            &lab.message(Signed::Assertion),
            "<samlp:Status>",
            &format!("<samlp:Status {}=\"\">", "n".repeat(bytes)),
        )
    };
    let spaced = |bytes: usize| {
        swap(
            &lab.message(Signed::Assertion),
            "<samlp:Status>",
            &format!("<samlp:Status xmlns:n=\"{}\">", "n".repeat(bytes)),
        )
    };
    for build in [&named as &dyn Fn(usize) -> String, &attributed, &spaced] {
        lab.accepts(&build(most));
        lab.refuses(&build(most + 1), Refusal::XmlLimitExceeded);
    }
}

/// Long names and namespaces, which the parser compares pair by pair. The time is generous: it was seconds, and hours for metadata.
#[test]
fn comparisons_stay_cheap() {
    let lab = Lab::new();
    let attributes: String =
        (b'a'..=b'z').chain(b'A'..=b'Z').map(|c| format!(" p:{}=\"\"", char::from(c))).collect();
    let tags = format!("<a{attributes}/>").repeat(300);
    for length in [Limits::MESSAGE.name_bytes, 120_000] {
        let long = "u".repeat(length);
        let xml = swap(
            &lab.message(Signed::Assertion),
            "<samlp:Status>",
            &format!("<x xmlns:p=\"{long}\">{tags}</x><samlp:Status>"),
        );
        let started = Instant::now();
        let outcome = lab.validate(&xml);
        let took = started.elapsed();
        assert!(took < Duration::from_millis(900), "{length}: {took:?}");
        assert_eq!(outcome.is_ok(), length <= Limits::MESSAGE.name_bytes);
    }
}

/// A renewed certificate with the old key: the expired one must not hide the one that is valid.
#[test]
fn a_renewed_certificate_of_the_same_key() {
    let pair = key_pair();
    let old = certificate_of(&pair, 2020, 2025);
    let new = certificate_of(&pair, 2025, 2035);
    let next = certificate_of(&pair, 2030, 2040);
    let mut lab = Lab::new().policy(|policy| policy.certificate_validity = CertificateValidity::Refuse);
    lab.idp.key = signing_key(&pair);
    lab.idp.certificate = old.clone();
    let xml = lab.message(Signed::Both);
    for all in [[&old, &next, &new], [&new, &old, &next], [&next, &old, &new]] {
        lab.trust.certificates = all.into_iter().cloned().collect();
        let login = lab.accepts(&xml);
        assert!(login.warnings.is_empty(), "{:?}", login.warnings);
        assert!(login.signatures.iter().all(|by| by.fingerprint == new.fingerprint()));
    }
    lab.trust.certificates = vec![old.clone()];
    lab.refuses(&xml, Refusal::CertificateExpired);
    lab.trust.certificates = vec![next];
    lab.refuses(&xml, Refusal::CertificateNotYetValid);
    lab.trust.policy.certificate_validity = CertificateValidity::Warn;
    lab.trust.certificates = vec![old.clone()];
    assert!(lab.accepts(&xml).warnings.contains(&Warning::CertificateExpired(old.fingerprint())));
}

/// An assertion with a confirmation for each of two requests: the replay key outlives both.
#[test]
fn a_replay_key_outlives_every_confirmation() {
    let mut lab = Lab::new();
    let second = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData InResponseTo=\"_second\" NotOnOrAfter=\"2026-11-21T20:00:00Z\" Recipient=\"https://sp.test/acs\"/></saml:SubjectConfirmation></saml:Subject>";
    let xml = lab.bent(Signed::Assertion, |xml| {
        let xml = swap(&xml, "</saml:Subject>", second);
        swap(
            &xml,
            "NotOnOrAfter=\"2026-11-21T09:08:00Z\"><saml:Aud",
            "NotOnOrAfter=\"2026-11-21T20:00:00Z\"><saml:Aud",
        )
    });
    let first = lab.accepts(&xml);
    lab.now = at("2026-11-21T19:00:00Z");
    lab.request = Some("_second");
    let again = lab.accepts(&xml.replacen(REQUEST, "_second", 1));
    assert_eq!(first.replay_key, again.replay_key);
    assert!(first.replay_until > lab.now, "{}", first.replay_until);
}

/// Whoever trims a name by Unicode's white space must not arrive at somebody else's.
#[test]
fn names_padded_with_any_white_space() {
    let lab = Lab::new();
    for space in ["\u{a0}", "\u{2003}", "\u{3000}", "\u{2028}", "\u{85}", "&#xa0;", "<![CDATA[ ]]>", "&#32;"]
    {
        for name in [format!("{space}{USER}"), format!("{USER}{space}"), space.to_owned()] {
            let xml = lab.bent(Signed::Both, |xml| {
                swap(&xml, &format!("{USER}</saml:NameID>"), &format!("{name}</saml:NameID>"))
            });
            lab.refuses(&xml, Refusal::NameIdInvalid);
        }
    }
}

/// Separators in an issuer or an ID must not make two assertions one.
#[test]
fn replay_keys_do_not_collide() {
    let key = |issuer: &str, id: &str| {
        let mut lab = Lab::new();
        lab.idp.entity_id = issuer.to_owned();
        lab.trust.entity_id = issuer.to_owned();
        let xml = lab.message(Signed::Nothing).replace(ASSERTION_ID, id);
        let options = SignOptions::new(&lab.idp.key, &lab.idp.certificate);
        lab.accepts(&sign_enveloped(&xml, id, &options).unwrap()).replay_key
    };
    let keys: std::collections::HashSet<_> = [
        ("urn:a", "_b|c"),
        ("urn:a|_b", "c"),
        ("urn:a:_b", "c"),
        ("urn:a", "_b:c"),
        ("urn:a_", "bc"),
        ("urn:a", "_bc"),
        ("urn:a", "_bc "),
        ("urn:A", "_bc"),
    ]
    .map(|(issuer, id)| key(issuer, id))
    .into();
    assert_eq!(keys.len(), 8);
}

/// What the policy lets through unsigned may only contradict: nothing outside the assertion reaches the login.
#[test]
fn the_unsigned_outside_grants_nothing() {
    let lab = Lab::new().policy(|policy| policy.require_destination = false);
    let xml = lab.message(Signed::Assertion);
    let honest = lab.accepts(&xml);
    let outside = "</saml:Issuer><samlp:Extensions><saml:Subject><saml:NameID>mallory@evil.test</saml:NameID></saml:Subject><saml:AttributeStatement><saml:Attribute Name=\"groups\"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></samlp:Extensions><samlp:Status>";
    for altered in [
        swap(&xml, "</saml:Issuer><samlp:Status>", outside),
        swap(&xml, " Destination=\"https://sp.test/acs\"", ""),
        swap(&xml, "<samlp:Status>", "<samlp:Status><!-- x -->"),
        swap(
            &xml,
            "<samlp:Response ",
            "<samlp:Response xml:base=\"https://evil.test/\" xml:lang=\"x\" xml:space=\"preserve\" ",
        ),
        swap(
            &xml,
            "<samlp:Response ",
            "<samlp:Response xmlns:ds=\"urn:evil\" xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" ",
        ),
    ] {
        let login = lab.accepts(&altered);
        assert_eq!(login.name_id, honest.name_id);
        assert_eq!(login.attributes, honest.attributes);
        assert_eq!(login.replay_key, honest.replay_key);
    }
    // A namespace moved onto the assertion itself is only a declaration nobody uses; one that is used changes the octets.
    let rebound = swap(&xml, "<saml:NameID ", "<saml:NameID xmlns:saml=\"urn:evil\" ");
    lab.refuses(&rebound, Refusal::DigestMismatch);
}

/// A prefix list makes the surroundings part of what is signed; it never makes them part of what is read.
#[test]
fn prefix_lists_cannot_rename_what_is_read() {
    let lab = Lab::new();
    let plain = swap(
        &lab.message(Signed::Nothing),
        "<samlp:Response ",
        "<samlp:Response xmlns:x=\"urn:x\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" ",
    );
    for prefixes in ["saml", "x saml xs", "#default saml", "xml xmlns saml ds", "saml saml saml"] {
        let options = SignOptions { prefixes, ..SignOptions::new(&lab.idp.key, &lab.idp.certificate) };
        let signed = sign_enveloped(&plain, ASSERTION_ID, &options).unwrap();
        assert_eq!(lab.accepts(&signed).name_id.value, USER);
        let list = format!("PrefixList=\"{prefixes}\"");
        lab.refuses(&swap(&signed, &list, "PrefixList=\"\""), Refusal::SignatureInvalid);
        // The context that the list names is signed with the rest.
        let rebound = swap(&signed, "<samlp:Response ", "<samlp:Response xmlns=\"urn:evil\" ");
        if prefixes.contains("#default") {
            lab.refuses(&rebound, Refusal::DigestMismatch);
        } else {
            lab.accepts(&rebound);
        }
    }
}

/// Inclusive canonicalization signs the surroundings: whatever is put around the assertion afterwards breaks it.
#[test]
fn inclusive_contexts_cannot_be_injected() {
    let lab = Lab::new().policy(|policy| policy.allow_inclusive_c14n = true);
    let exclusive = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Transform>";
    for method in ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11"]
    {
        // The assertion carries its own declarations, so that both methods have the same octets for it.
        let own = |xml: String| {
            let names = "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ";
            let xml = swap(&xml, "<saml:Assertion ", names);
            xml.replacen(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "", 1)
                .replacen("<saml:Issuer>", "<i:Issuer xmlns:i=\"urn:oasis:names:tc:SAML:2.0:assertion\">", 1)
                .replacen("</saml:Issuer>", "</i:Issuer>", 1)
                .replace(" xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"", "")
                .replace("samlp:", "")
                .replacen("<Response ", "<Response xmlns=\"urn:oasis:names:tc:SAML:2.0:protocol\" ", 1)
        };
        let xml = lab.bent(Signed::Assertion, own);
        let xml = resigned(&lab.idp, &xml, |info| {
            swap(info, exclusive, &exclusive.replace("http://www.w3.org/2001/10/xml-exc-c14n#", method))
        });
        // The default namespace around it is part of the inclusive octets, and was not signed.
        lab.refuses(&xml, Refusal::DigestMismatch);
        let prefixed = xml.replacen(" xmlns=\"urn:oasis:names:tc:SAML:2.0:protocol\"", "", 1).replacen(
            "<Response ",
            "<Response xmlns=\"urn:oasis:names:tc:SAML:2.0:protocol\" xml:lang=\"de\" ",
            1,
        );
        lab.refuses(&prefixed, Refusal::DigestMismatch);
    }
}
