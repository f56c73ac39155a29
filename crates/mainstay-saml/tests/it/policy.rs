//! Every field of the policy: flip it, and the decision changes.

use std::time::Duration;

use mainstay_saml::idp::{Canonicalization, Grant, Signed};
use mainstay_saml::{
    CertificateValidity, DigestAlgorithm, DuplicateAttributes, Limits, Policy, Refusal as R,
    SignatureAlgorithm, SignatureRequirement as S,
};

use crate::support::*;

/// The same message under two policies.
#[track_caller]
fn flips(xml: &str, allows: impl FnOnce(&mut Policy), refuses: impl FnOnce(&mut Policy), refusal: R) {
    Lab::new().policy(allows).accepts(xml);
    Lab::new().policy(refuses).refuses(xml, refusal);
}

#[test]
fn signatures() {
    let lab = Lab::new();
    for (signed, requirement, refusal) in [
        (Signed::Assertion, S::Either, None),
        (Signed::Assertion, S::Assertion, None),
        (Signed::Assertion, S::Response, Some(R::ResponseSignatureMissing)),
        (Signed::Assertion, S::Both, Some(R::ResponseSignatureMissing)),
        (Signed::Response, S::Either, None),
        (Signed::Response, S::Response, None),
        (Signed::Response, S::Assertion, Some(R::AssertionSignatureMissing)),
        (Signed::Response, S::Both, Some(R::AssertionSignatureMissing)),
        (Signed::Both, S::Either, None),
        (Signed::Both, S::Response, None),
        (Signed::Both, S::Assertion, None),
        (Signed::Both, S::Both, None),
        (Signed::Nothing, S::Either, Some(R::SignatureMissing)),
        (Signed::Nothing, S::Both, Some(R::SignatureMissing)),
    ] {
        let xml = lab.message(signed);
        let lab = Lab::new().policy(|policy| policy.signatures = requirement);
        match refusal {
            None => drop(lab.accepts(&xml)),
            Some(refusal) => lab.refuses(&xml, refusal),
        }
    }
    // What is signed beyond the requirement must verify too.
    let broken = swap(&lab.message(Signed::Both), "<saml:Subject>", "<saml:Subject >");
    assert!(lab.validate(&broken).is_ok());
    let broken = swap(&lab.message(Signed::Both), "<ds:SignatureValue>", "<ds:SignatureValue>AAAA");
    Lab::new().policy(|policy| policy.signatures = S::Assertion).refuses(&broken, R::SignatureInvalid);
}

#[test]
fn clock_skew() {
    let xml = Lab::new().bent(Signed::Both, |xml| {
        swap(&xml, "NotBefore=\"2026-11-21T09:03:00Z\"", "NotBefore=\"2026-11-21T09:04:00Z\"")
    });
    let seconds = Duration::from_secs;
    flips(&xml, |p| p.clock_skew = seconds(60), |p| p.clock_skew = seconds(59), R::AssertionNotYetValid);
}

#[test]
fn idp_initiated() {
    let mut lab = Lab::new();
    let answer = lab.message(Signed::Assertion);
    lab.request = None;
    let unsolicited = lab.message(Signed::Assertion);
    lab.refuses(&unsolicited, R::UnsolicitedNotAllowed);
    lab.refuses(&answer, R::UnsolicitedNotAllowed);
    let lab = lab.policy(|policy| policy.allow_idp_initiated = true);
    assert_eq!(lab.accepts(&unsolicited).in_response_to, None);
    // An answer whose request nobody waits for is not turned into an unsolicited login.
    lab.refuses(&answer, R::InResponseToUnexpected);
    let stripped = swap(&answer, &format!(" InResponseTo=\"{REQUEST}\""), "");
    lab.refuses(&stripped, R::ConfirmationInResponseToMismatch);
    // And where a request waits, an unsolicited response does not answer it, whatever the policy.
    let waiting = Lab::new().policy(|policy| policy.allow_idp_initiated = true);
    waiting.refuses(&unsolicited, R::InResponseToMissing);
}

#[test]
fn algorithms() {
    let xml = Lab::new().message(Signed::Assertion);
    let (mine, other) = (SignatureAlgorithm::EcdsaSha256, SignatureAlgorithm::EcdsaSha384);
    flips(
        &xml,
        |p| p.signature_algorithms = vec![mine],
        |p| p.signature_algorithms = vec![other],
        R::SignatureAlgorithmNotAllowed,
    );
    let (mine, other) = (DigestAlgorithm::Sha256, DigestAlgorithm::Sha512);
    flips(
        &xml,
        |p| p.digest_algorithms = vec![mine],
        |p| p.digest_algorithms = vec![other],
        R::DigestAlgorithmNotAllowed,
    );
}

#[test]
fn legacy_is_dated() {
    use mainstay_saml::{LegacyOverride, Warning};
    let lab = Lab::new();
    let mut grant = lab.grant(Signed::Assertion);
    grant.digest = DigestAlgorithm::Sha1;
    let weak = lab.idp.response_xml(&grant, &random(), lab.now).unwrap();
    let over = |until: &str, sha1| Some(LegacyOverride { until: at(until), sha1, short_rsa_keys: false });
    let soon = "2026-11-21T09:03:00.000001Z";
    let login = Lab::new().policy(|p| p.legacy = over(soon, true)).accepts(&weak);
    assert_eq!(login.warnings, [Warning::LegacyCryptography]);
    let refused = [None, over(NOW, true), over(soon, false)];
    for legacy in refused {
        Lab::new().policy(|p| p.legacy = legacy).refuses(&weak, R::DigestAlgorithmNotAllowed);
    }
    // Naming SHA-1 in the list is not enough.
    Lab::new()
        .policy(|p| p.digest_algorithms.push(DigestAlgorithm::Sha1))
        .refuses(&weak, R::DigestAlgorithmNotAllowed);
}

const OLD_CERTIFICATE: &str = include_str!("data/rsa1024.pem");

#[test]
fn short_rsa_keys_need_the_override() {
    use mainstay_saml::{Certificate, CertificateError, LegacyOverride};
    assert_eq!(Certificate::from_pem(OLD_CERTIFICATE), Err(CertificateError::RsaKeySize(1024)));
    let mut lab = Lab::with(rsa());
    let xml = lab.message(Signed::Assertion);
    lab.trust.certificates = vec![Certificate::from_legacy_pem(OLD_CERTIFICATE).unwrap()];
    lab.refuses(&xml, R::KeyTooWeak);
    let over = |short_rsa_keys| {
        Some(LegacyOverride { until: at("2030-01-01T00:00:00Z"), sha1: true, short_rsa_keys })
    };
    lab.trust.policy.legacy = over(false);
    lab.refuses(&xml, R::KeyTooWeak);
    // Under the override the key is tried; it is not the one that signed.
    lab.trust.policy.legacy = over(true);
    lab.refuses(&xml, R::SignatureInvalid);
}

#[test]
fn inclusive_canonicalization() {
    let lab = Lab::new();
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let xml = resigned(&lab.idp, &lab.message(Signed::Response), |info| {
        let method = slice(info, "<ds:CanonicalizationMethod", "</ds:CanonicalizationMethod>").to_owned();
        swap(info, &method, &method.replace("http://www.w3.org/2001/10/xml-exc-c14n#", inclusive))
    });
    lab.refuses(&xml, R::InclusiveCanonicalizationNotAllowed);
    // Signed over the exclusive form, so the inclusive one does not verify; but it was looked at.
    let open = Lab::new().policy(|policy| policy.allow_inclusive_c14n = true);
    open.refuses(&xml, R::SignatureInvalid);
    // Signed over the inclusive form, it is the policy alone that decides.
    for canonicalization in [Canonicalization::Inclusive10, Canonicalization::Inclusive11] {
        for signed in [Signed::Response, Signed::Assertion, Signed::Both] {
            let grant = Grant { canonicalization, ..open.grant(signed) };
            let xml = open.idp.response_xml(&grant, &random(), open.now).unwrap();
            open.accepts(&xml);
            open.refuses(&swap(&xml, USER, EVIL), R::DigestMismatch);
            lab.refuses(&xml, R::InclusiveCanonicalizationNotAllowed);
        }
    }
}

#[test]
fn certificate_validity() {
    let mut lab = Lab::new();
    lab.now = at("2040-01-01T00:00:00Z");
    let xml = lab.message(Signed::Both);
    lab.accepts(&xml);
    lab.policy(|policy| policy.certificate_validity = CertificateValidity::Refuse)
        .refuses(&xml, R::CertificateExpired);
}

#[test]
fn destination_and_audience() {
    let lab = Lab::new();
    let xml = lab.bent(Signed::Both, |xml| swap(&xml, " Destination=\"https://sp.test/acs\"", ""));
    flips(&xml, |p| p.require_destination = false, |p| p.require_destination = true, R::DestinationMissing);
    let wrong =
        lab.bent(Signed::Both, |xml| swap(&xml, " Destination=\"https://sp.test/acs\"", " Destination=\"\""));
    Lab::new().policy(|p| p.require_destination = false).refuses(&wrong, R::DestinationMismatch);
    let xml = lab.bent(Signed::Both, |xml| {
        let restriction = slice(&xml, "<saml:AudienceRestriction>", "</saml:AudienceRestriction>").to_owned();
        swap(&xml, &restriction, "")
    });
    flips(&xml, |p| p.require_audience = false, |p| p.require_audience = true, R::AudienceMissing);
    let wrong = lab.bent(Signed::Both, |xml| {
        swap(&xml, "<saml:Audience>https://sp.test/entity", "<saml:Audience>https://other.test")
    });
    Lab::new().policy(|p| p.require_audience = false).refuses(&wrong, R::AudienceMismatch);
}

#[test]
fn duplicate_attributes() {
    let xml = Lab::new().bent(Signed::Both, |xml| swap(&xml, "Name=\"groups\"", "Name=\"mail\""));
    flips(
        &xml,
        |p| p.duplicate_attributes = DuplicateAttributes::Keep,
        |p| p.duplicate_attributes = DuplicateAttributes::Refuse,
        R::AttributeDuplicate,
    );
}

#[test]
fn name_id_formats_and_contexts() {
    let xml = Lab::new().message(Signed::Both);
    let email = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress".to_owned();
    let persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned();
    flips(
        &xml,
        |p| p.name_id_formats = vec![persistent.clone(), email],
        |p| p.name_id_formats = vec![persistent.clone()],
        R::NameIdFormatNotAllowed,
    );
    let password = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned();
    let mfa = "https://refeds.org/profile/mfa".to_owned();
    flips(
        &xml,
        |p| p.authn_contexts = vec![password],
        |p| p.authn_contexts = vec![mfa],
        R::AuthnContextNotAllowed,
    );
    let silent = Lab::new().bent(Signed::Both, |xml| {
        xml.replace(" Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\"", "")
    });
    let unspecified = mainstay_saml::NAME_ID_UNSPECIFIED.to_owned();
    flips(
        &silent,
        |p| p.name_id_formats = vec![unspecified],
        |p| p.name_id_formats = vec!["x".to_owned()],
        R::NameIdFormatNotAllowed,
    );
}

#[test]
fn authentication_age() {
    let lab = Lab::new();
    let xml = lab.bent(Signed::Both, |xml| {
        swap(&xml, "AuthnInstant=\"2026-11-21T09:03:00Z\"", "AuthnInstant=\"2026-11-21T08:03:00Z\"")
    });
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    flips(&xml, |p| p.max_authn_age = minutes(58), |p| p.max_authn_age = minutes(57), R::AuthnTooOld);
    let without = lab.bent(Signed::Both, |xml| swap(&xml, " AuthnInstant=\"2026-11-21T09:03:00Z\"", ""));
    flips(&without, |p| p.max_authn_age = None, |p| p.max_authn_age = minutes(1), R::AuthnInstantInvalid);
}

/// A field that is added to the policy without a test here stops this from compiling.
#[test]
fn every_field_is_covered_above() {
    let Policy {
        signatures: _,
        clock_skew: _,
        allow_idp_initiated: _,
        signature_algorithms: _,
        digest_algorithms: _,
        legacy: _,
        allow_inclusive_c14n: _,
        certificate_validity: _,
        require_destination: _,
        require_audience: _,
        duplicate_attributes: _,
        name_id_formats: _,
        authn_contexts: _,
        max_authn_age: _,
    } = Policy::default();
    assert_eq!(Limits::MESSAGE.bytes, mainstay_saml::MAX_MESSAGE_BYTES);
}

#[test]
fn a_policy_is_stored_as_json() {
    let policy: Policy = serde_json::from_str("{}").unwrap();
    assert_eq!(policy, Policy::default());
    let mut other =
        Policy { max_authn_age: Some(Duration::from_secs(60)), allow_idp_initiated: true, ..policy };
    other.legacy = Some(mainstay_saml::LegacyOverride { until: at(NOW), sha1: true, short_rsa_keys: false });
    let json = serde_json::to_string(&other).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), other);
    assert!(json.contains("\"rsa-sha256\"") && json.contains("\"clock_skew\":120"), "{json}");
    // A field that nobody enforces is not silently kept.
    assert!(serde_json::from_str::<Policy>("{\"require_magic\":true}").is_err());
}

#[test]
fn a_trace_is_stored_as_json() {
    let login = Lab::new().accepts(&Lab::new().message(Signed::Both));
    let json = serde_json::to_string(&login.trace).unwrap();
    assert_eq!(serde_json::from_str::<mainstay_saml::Trace>(&json).unwrap(), login.trace);
    assert!(json.contains("\"check\":\"audience\"") && json.contains("https://sp.test/entity"), "{json}");
    assert!(!json.contains(USER));
    let refusal = serde_json::to_string(&R::AudienceMismatch).unwrap();
    assert_eq!(refusal, "\"audience_mismatch\"");
    assert_eq!(serde_json::from_str::<R>(&refusal).unwrap(), R::AudienceMismatch);
}
