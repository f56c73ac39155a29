//! The enum, its decoder and the document stay in step, and every refusal has a message that causes it.

use std::collections::BTreeSet;

use mainstay_saml::idp::Signed;
use mainstay_saml::{CertificateValidity, DuplicateAttributes, Refusal, SignatureRequirement};

use crate::support::*;

const DOCUMENT: &str = include_str!("../../docs/refusals.md");

#[test]
fn the_document_has_every_refusal_in_order() {
    let rows: Vec<String> = Refusal::ALL
        .iter()
        .map(|refusal| {
            format!(
                "| `{}` | {} | {} | {} | {} |",
                refusal.code(),
                refusal.http_status(),
                refusal.meaning(),
                refusal.likely_cause(),
                refusal.operator_action()
            )
        })
        .collect();
    let found: Vec<&str> = DOCUMENT.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, rows, "write these rows into docs/refusals.md:\n{}", rows.join("\n"));
}

#[test]
fn codes_are_unique_and_entries_complete() {
    let codes: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(codes.len(), Refusal::ALL.len());
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::from_code(refusal.code()), Some(*refusal));
        let snake: String = format!("{refusal:?}")
            .chars()
            .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
            .collect();
        assert_eq!(snake.trim_start_matches('_'), refusal.code());
        assert!(matches!(refusal.http_status(), 400 | 403 | 413));
        for text in [refusal.meaning(), refusal.likely_cause(), refusal.operator_action()] {
            assert!(text.ends_with('.') && text.len() > 10, "{refusal:?}: {text}");
        }
        assert_eq!(refusal.to_string(), refusal.meaning());
    }
    assert_eq!(Refusal::from_code("none"), None);
}

#[test]
fn a_refusal_shows_what_was_expected_and_found() {
    let lab = Lab::new();
    let xml = lab.bent(Signed::Both, |xml| {
        swap(&xml, "<saml:Audience>https://sp.test/entity", "<saml:Audience>https://other.test")
    });
    let refused = lab.validate(&xml).unwrap_err();
    assert_eq!(refused.expected.as_deref(), Some("https://sp.test/entity"));
    assert_eq!(refused.actual.as_deref(), Some("https://other.test"));
    let last = refused.trace.entries().last().unwrap();
    assert_eq!((last.check, last.outcome), (mainstay_saml::Check::Audience, mainstay_saml::Outcome::Failed));
    assert_eq!(
        (last.expected.as_deref(), last.actual.as_deref()),
        (refused.expected.as_deref(), refused.actual.as_deref())
    );
    assert!(refused.to_string().starts_with("audience_mismatch: "));
}

fn inside(xml: &str, from: &str, to: &str) -> String {
    let (head, tail) = xml.split_at(xml.find("<saml:Assertion").unwrap());
    format!("{head}{}", swap(tail, from, to))
}

/// One small cause for each refusal; the other modules have the many.
#[allow(clippy::too_many_lines, reason = "a table, one arm for each refusal")]
fn cause(refusal: Refusal) -> Result<mainstay_saml::Login, mainstay_saml::Refused> {
    use Refusal as R;
    let lab = Lab::new();
    let good = lab.message(Signed::Assertion);
    let after = |from: &str, to: &str| Lab::new().validate(&swap(&good, from, to));
    let before = |from: &str, to: &str| {
        let lab = Lab::new();
        lab.validate(&lab.bent(Signed::Assertion, |xml| inside(&xml, from, to)))
    };
    let cut = |start: &str, end: &str| {
        let lab = Lab::new();
        lab.validate(&lab.bent(Signed::Assertion, |xml| {
            let element = slice(&xml, start, end).to_owned();
            swap(&xml, &element, "")
        }))
    };
    let info = |from: &str, to: &str| {
        let lab = Lab::new();
        lab.validate(&resigned(&lab.idp, &good, |info| swap(info, from, to)))
    };
    let policy = |change: &dyn Fn(&mut mainstay_saml::Policy)| Lab::new().policy(change).validate(&good);
    let c14n = "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">";
    let dsig = signature(&good);
    match refusal {
        R::MessageTooLarge => lab.validate_field(&"A".repeat(mainstay_saml::MAX_FIELD_BYTES + 1)),
        R::NotBase64 => lab.validate_field("*"),
        R::NotUtf8 => lab.validate_field("//8="),
        R::DoctypeForbidden => lab.validate("<!DOCTYPE x><x/>"),
        R::ProcessingInstructionForbidden => lab.validate("<?x?><x/>"),
        R::XmlLimitExceeded => lab.validate(&"<x>".repeat(100)),
        R::XmlMalformed => lab.validate("<x>"),
        R::NamespaceMisuse => lab.validate("<x xmlns:y=\"\"/>"),
        R::NotAResponse => lab.validate("<x/>"),
        R::VersionUnsupported => after("Version=\"2.0\"", "Version=\"1.0\""),
        R::IdMissing => after(RESPONSE_ID, ""),
        R::IdNamespaced => after("<samlp:Status>", "<samlp:Status saml:ID=\"x\">"),
        R::IdDuplicate => after("<samlp:Status>", &format!("<samlp:Status ID=\"{RESPONSE_ID}\">")),
        R::TimeMalformed => after("IssueInstant=\"2026", "IssueInstant=\"x2026"),
        R::StatusMissing => after("<samlp:Status>", "<samlp:Status/><samlp:Status>"),
        R::StatusNotSuccess => after("status:Success", "status:Responder"),
        R::AssertionMissing => lab.validate(&good.replace(&assertion(&good), "")),
        R::AssertionMultiple => after("</samlp:Response>", "<saml:Assertion/></samlp:Response>"),
        R::AssertionMisplaced => {
            after("<samlp:Status>", "<samlp:Extensions><saml:Assertion/></samlp:Extensions><samlp:Status>")
        }
        R::EncryptedAssertionUnsupported => {
            lab.validate(&good.replace(&assertion(&good), "<saml:EncryptedAssertion/>"))
        }
        R::SignatureMisplaced => after("</samlp:Status>", &format!("{dsig}</samlp:Status>")),
        R::SignatureMultiple => after(&dsig, &dsig.repeat(2)),
        R::SignatureMissing => after(&dsig, ""),
        R::ResponseSignatureMissing => policy(&|p| p.signatures = SignatureRequirement::Response),
        R::AssertionSignatureMissing => {
            let xml = lab.message(Signed::Response);
            Lab::new().policy(|p| p.signatures = SignatureRequirement::Assertion).validate(&xml)
        }
        R::IssuerMissing => {
            after("<saml:Issuer>https://idp.test/entity</saml:Issuer><samlp:Status>", "<samlp:Status>")
        }
        R::IssuerMismatch => after("https://idp.test/entity", "https://other.test"),
        R::AssertionIssuerMissing => before("<saml:Issuer>", "<saml:Issuer Format=\"urn:x\">"),
        R::AssertionIssuerMismatch => before("https://idp.test/entity", "https://other.test"),
        R::NoTrustedCertificate => {
            let mut lab = Lab::new();
            lab.trust.certificates.clear();
            lab.validate(&good)
        }
        R::SignatureMalformed => after("<ds:SignatureValue>", "<ds:SignatureValue>*"),
        R::CanonicalizationUnsupported => info(c14n, "<ds:CanonicalizationMethod Algorithm=\"urn:x\">"),
        R::InclusiveCanonicalizationNotAllowed => {
            info(c14n, "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\">")
        }
        R::TransformUnsupported => info("enveloped-signature", "enveloped"),
        R::ReferenceCount => {
            let reference = slice(&dsig, "<ds:Reference", "</ds:Reference>").to_owned();
            info(&reference, "")
        }
        R::ReferenceMismatch => info("URI=\"#", "URI=\"#x"),
        R::SignatureAlgorithmNotAllowed => info("ecdsa-sha256", "ecdsa-sha1"),
        R::DigestAlgorithmNotAllowed => info("xmlenc#sha256", "xmlenc#ripemd160"),
        R::KeyTypeMismatch => {
            let mut lab = Lab::new();
            lab.trust.certificates = vec![rsa().certificate.clone()];
            lab.validate(&good)
        }
        R::KeyTooWeak => {
            let mut lab = Lab::with(rsa());
            let pem = include_str!("data/rsa1024.pem");
            lab.trust.certificates = vec![mainstay_saml::Certificate::from_legacy_pem(pem).unwrap()];
            lab.validate(&lab.message(Signed::Both))
        }
        R::CertificateExpired | R::CertificateNotYetValid => {
            let mut lab = Lab::new().policy(|p| p.certificate_validity = CertificateValidity::Refuse);
            lab.now = at(if refusal == R::CertificateExpired {
                "2040-01-01T00:00:00Z"
            } else {
                "2020-01-01T00:00:00Z"
            });
            lab.validate(&lab.message(Signed::Both))
        }
        R::DigestMismatch => after(USER, EVIL),
        R::SignatureInvalid => {
            lab.validate(&Lab { idp: attacker().clone(), ..Lab::new() }.message(Signed::Both))
        }
        R::DestinationMissing => after(" Destination=\"https://sp.test/acs\"", ""),
        R::DestinationMismatch => after("Destination=\"", "Destination=\"x"),
        R::InResponseToMissing => after(&format!(" InResponseTo=\"{REQUEST}\""), ""),
        R::InResponseToMismatch => after("InResponseTo=\"", "InResponseTo=\"x"),
        R::UnsolicitedNotAllowed | R::InResponseToUnexpected => {
            let mut lab = Lab::new().policy(|p| p.allow_idp_initiated = refusal == R::InResponseToUnexpected);
            lab.request = None;
            lab.validate(&good)
        }
        R::IssuedInFuture => after("IssueInstant=\"2026", "IssueInstant=\"2027"),
        R::SubjectMissing => cut("<saml:Subject>", "</saml:Subject>"),
        R::NameIdMissing => cut("<saml:NameID", "</saml:NameID>"),
        R::NameIdMultiple => before("<saml:NameID", "<saml:NameID>x</saml:NameID><saml:NameID"),
        R::NameIdInvalid => before(&format!("{USER}</saml:NameID>"), "</saml:NameID>"),
        R::NameIdFormatNotAllowed => policy(&|p| p.name_id_formats = vec!["urn:x".to_owned()]),
        R::NameIdQualifierMismatch => before("<saml:NameID ", "<saml:NameID SPNameQualifier=\"x\" "),
        R::EncryptedIdUnsupported => {
            let xml = lab.bent(Signed::Assertion, |xml| {
                let name_id = slice(&xml, "<saml:NameID", "</saml:NameID>").to_owned();
                swap(&xml, &name_id, "<saml:EncryptedID/>")
            });
            lab.validate(&xml)
        }
        R::SubjectConfirmationMissing => before("cm:bearer", "cm:holder-of-key"),
        R::SubjectConfirmationDataMissing => {
            cut("<saml:SubjectConfirmationData", "Recipient=\"https://sp.test/acs\"/>")
        }
        R::RecipientMissing => before(" Recipient=\"https://sp.test/acs\"", ""),
        R::RecipientMismatch => before("Recipient=\"", "Recipient=\"x"),
        R::ConfirmationInResponseToMismatch => before("InResponseTo=\"", "InResponseTo=\"x"),
        R::ConfirmationNotBeforePresent => before(
            "<saml:SubjectConfirmationData ",
            "<saml:SubjectConfirmationData NotBefore=\"2026-11-21T09:03:00Z\" ",
        ),
        R::ConfirmationExpiryMissing => {
            before(" NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient", " Recipient")
        }
        R::ConfirmationExpired => before(
            "NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient",
            "NotOnOrAfter=\"2025-11-21T09:08:00Z\" Recipient",
        ),
        R::ConditionsMissing => cut("<saml:Conditions", "</saml:Conditions>"),
        R::ConditionUnknown => {
            before("<saml:AudienceRestriction>", "<saml:Condition/><saml:AudienceRestriction>")
        }
        R::AssertionNotYetValid => before("NotBefore=\"2026", "NotBefore=\"2027"),
        R::AssertionExpired => before(
            "NotOnOrAfter=\"2026-11-21T09:08:00Z\"><saml:AudienceRestriction>",
            "NotOnOrAfter=\"2025-11-21T09:08:00Z\"><saml:AudienceRestriction>",
        ),
        R::AudienceMissing => cut("<saml:AudienceRestriction>", "</saml:AudienceRestriction>"),
        R::AudienceMismatch => before("<saml:Audience>", "<saml:Audience>x"),
        R::AuthnStatementMissing => cut("<saml:AuthnStatement", "</saml:AuthnStatement>"),
        R::AuthnInstantInvalid => before("AuthnInstant=\"2026", "AuthnInstant=\"2027"),
        R::AuthnTooOld => {
            let lab = Lab::new().policy(|p| p.max_authn_age = Some(std::time::Duration::from_secs(60)));
            lab.validate(
                &lab.bent(Signed::Both, |xml| swap(&xml, "AuthnInstant=\"2026", "AuthnInstant=\"2025")),
            )
        }
        R::AuthnContextNotAllowed => policy(&|p| p.authn_contexts = vec!["urn:mfa".to_owned()]),
        R::SessionExpired => before(
            "<saml:AuthnStatement ",
            "<saml:AuthnStatement SessionNotOnOrAfter=\"2025-01-01T00:00:00Z\" ",
        ),
        R::AttributeInvalid => before("Name=\"mail\"", "Name=\"\""),
        R::AttributeDuplicate => {
            let lab = Lab::new().policy(|p| p.duplicate_attributes = DuplicateAttributes::Refuse);
            lab.validate(&lab.bent(Signed::Both, |xml| swap(&xml, "Name=\"groups\"", "Name=\"mail\"")))
        }
        R::EncryptedAttributeUnsupported => {
            before("<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedAttribute/>")
        }
    }
}

#[test]
fn every_refusal_has_a_cause() {
    for refusal in Refusal::ALL {
        let refused = cause(*refusal).expect_err(refusal.code());
        assert_eq!(refused.refusal, *refusal, "{refused}");
    }
}
