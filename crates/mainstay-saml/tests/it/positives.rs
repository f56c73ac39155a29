//! Everything that must be accepted: every key, digest and place of the signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_saml::idp::{IdentityProvider, SignOptions, Signed, sign_enveloped};
use mainstay_saml::{DigestAlgorithm, KeyKind, SignatureAlgorithm as A, SignedKind, Trust};

use crate::support::*;

#[test]
fn every_key_digest_and_place() {
    let generated = |kind| {
        IdentityProvider::generate("https://idp.test/entity", "https://idp.test/sso", kind, at(NOW)).unwrap()
    };
    let providers: [(IdentityProvider, &[A]); 4] = [
        (rsa().clone(), &[A::RsaSha256, A::RsaSha384, A::RsaSha512]),
        (ecdsa().clone(), &[A::EcdsaSha256]),
        (generated(KeyKind::EcdsaP384), &[A::EcdsaSha384]),
        (generated(KeyKind::EcdsaP521), &[A::EcdsaSha256, A::EcdsaSha384, A::EcdsaSha512]),
    ];
    for (idp, algorithms) in providers {
        let lab = Lab::with(&idp);
        for algorithm in algorithms {
            for digest in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512] {
                for (signed, kinds) in [
                    (Signed::Assertion, &[SignedKind::Assertion][..]),
                    (Signed::Response, &[SignedKind::Response]),
                    (Signed::Both, &[SignedKind::Response, SignedKind::Assertion]),
                ] {
                    let mut grant = lab.grant(signed);
                    grant.algorithm = Some(*algorithm);
                    grant.digest = digest;
                    let login =
                        lab.validate_field(&idp.respond(&grant, &random(), lab.now).unwrap()).unwrap();
                    let found: Vec<_> = login.signatures.iter().map(|by| by.kind).collect();
                    assert_eq!(found, kinds);
                    for by in &login.signatures {
                        assert_eq!((by.algorithm, by.digest), (*algorithm, digest));
                        assert_eq!(by.fingerprint, idp.certificate.fingerprint());
                    }
                }
            }
        }
    }
}

#[test]
fn a_login_says_everything() {
    let lab = Lab::new();
    let login = lab.accepts(&lab.message(Signed::Assertion));
    assert_eq!(login.name_id.value, USER);
    assert_eq!(
        login.name_id.format.as_deref(),
        Some("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
    );
    assert_eq!(login.session_index.as_deref(), Some("_session"));
    assert_eq!(login.authn_instant, Some(lab.now));
    assert_eq!(
        login.authn_context.as_deref(),
        Some("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
    );
    assert_eq!(login.issuer, lab.idp.entity_id);
    assert_eq!((login.assertion_id.as_str(), login.response_id.as_str()), (ASSERTION_ID, RESPONSE_ID));
    assert_eq!(login.in_response_to.as_deref(), Some(REQUEST));
    assert_eq!(login.attribute("mail").collect::<Vec<_>>(), [USER]);
    assert_eq!(login.attribute("groups").collect::<Vec<_>>(), ["staff", "a & b <c>"]);
    assert_eq!(login.replay_until, at("2026-11-21T09:10:00Z"));
    assert_eq!(login.replay_key.len(), 64);
    assert!(login.warnings.is_empty());
}

#[test]
fn a_trace_holds_every_check_in_order() {
    let lab = Lab::new();
    let login = lab.accepts(&lab.message(Signed::Both));
    let checks: Vec<_> = login.trace.entries().iter().map(|entry| entry.check).collect();
    assert_eq!(checks, mainstay_saml::Check::ALL);
}

#[test]
fn every_active_certificate_is_tried() {
    let lab = Lab::new();
    let mut all = vec![rsa().certificate.clone(), attacker().certificate.clone()];
    all.push(lab.idp.certificate.clone());
    let lab = Lab { trust: Trust { certificates: all, ..lab.trust.clone() }, ..lab };
    let login = lab.accepts(&lab.message(Signed::Both));
    assert!(login.signatures.iter().all(|by| by.fingerprint == lab.idp.certificate.fingerprint()));
}

#[test]
fn writings_that_change_nothing() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Both);
    for same in [
        format!("\u{feff}{xml}"),
        format!("<?xml version=\"1.0\"?>{xml}"),
        format!("<?xml version='1.0' encoding='utf-8' standalone=\"yes\"?>\n{xml}\n"),
        format!("<!-- before -->{xml}<!-- after -->"),
        swap(&xml, "Version=\"2.0\"", "Version='2.0'"),
        swap(&xml, "<saml:Issuer>", "<saml:Issuer  >"),
        swap(&xml, USER, "alice&#64;<![CDATA[example]]>.test"),
        swap(&xml, USER, "ali<!-- comment -->ce@example.test"),
    ] {
        assert_eq!(lab.accepts(&same).name_id.value, USER);
    }
    let field: String = STANDARD
        .encode(&xml)
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line) + "\r\n")
        .collect();
    lab.validate_field(&field).unwrap();
}

/// XML 1.0 section 3.3.3: a literal line break in an attribute is a blank in the canonical form.
#[test]
fn literal_white_space_in_attributes() {
    let lab = Lab::new();
    let attribute = "<saml:Assertion xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"a\tb c\" ";
    let signed = lab.bent(Signed::Assertion, |xml| swap(&xml, "<saml:Assertion ", attribute));
    lab.accepts(&swap(&signed, "a\tb c", "a b\nc"));
    lab.accepts(&swap(&signed, "a\tb c", "a\r\nb c"));
    lab.refuses(&swap(&signed, "a\tb c", "a&#xA;b c"), mainstay_saml::Refusal::DigestMismatch);
}

#[test]
fn prefix_lists() {
    let lab = Lab::new();
    let declared = "<samlp:Response xmlns:unused=\"urn:unused\" xmlns=\"urn:default\" ";
    let plain = swap(&lab.message(Signed::Nothing), "<samlp:Response ", declared);
    for prefixes in ["", "unused", "#default", "saml unused #default", "nowhere", "xml"] {
        let options = SignOptions { prefixes, ..SignOptions::new(&lab.idp.key, &lab.idp.certificate) };
        let signed = sign_enveloped(&plain, ASSERTION_ID, &options).unwrap();
        lab.accepts(&signed);
        if prefixes.contains("unused") {
            // The declaration is now signed content: it cannot be changed on the unsigned root.
            lab.refuses(&swap(&signed, "urn:unused", "urn:other"), mainstay_saml::Refusal::DigestMismatch);
        } else {
            lab.accepts(&swap(&signed, "urn:unused", "urn:other"));
        }
    }
}

#[test]
fn key_info_may_be_left_out() {
    let lab = Lab::new();
    let options = SignOptions { certificate: None, ..SignOptions::new(&lab.idp.key, &lab.idp.certificate) };
    lab.accepts(&sign_enveloped(&lab.message(Signed::Nothing), ASSERTION_ID, &options).unwrap());
}

#[test]
fn hundreds_of_groups_with_their_own_declarations() {
    let lab = Lab::new();
    let value = "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">g</saml:AttributeValue>";
    let many = value.repeat(1000);
    let xml =
        lab.bent(Signed::Both, |xml| swap(&xml, "<saml:AttributeValue>staff</saml:AttributeValue>", &many));
    assert_eq!(lab.accepts(&xml).attribute("groups").count(), 1001);
}
