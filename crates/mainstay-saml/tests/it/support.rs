//! A service, an identity provider, and messages between them that can be bent.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Timestamp;
use mainstay_saml::idp::{Grant, IdentityProvider, SignOptions, Signed, sign_enveloped};
use mainstay_saml::{
    Certificate, KeyKind, Login, Policy, Refusal, Refused, ResponseInput, ServiceProvider, SigningKey, Trust,
    validate_response,
};

pub(crate) const NOW: &str = "2026-11-21T09:03:00Z";
pub(crate) const REQUEST: &str = "_request-0001";
pub(crate) const RESPONSE_ID: &str = "_r000102030405060708090a0b0c0d0e0f";
pub(crate) const ASSERTION_ID: &str = "_a101112131415161718191a1b1c1d1e1f";
pub(crate) const USER: &str = "alice@example.test";
pub(crate) const EVIL: &str = "mallory@evil.test";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn random() -> [u8; 32] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn provider(cell: &'static OnceLock<IdentityProvider>, kind: KeyKind) -> &'static IdentityProvider {
    cell.get_or_init(|| {
        IdentityProvider::generate("https://idp.test/entity", "https://idp.test/sso", kind, at(NOW)).unwrap()
    })
}

pub(crate) fn ecdsa() -> &'static IdentityProvider {
    static CELL: OnceLock<IdentityProvider> = OnceLock::new();
    provider(&CELL, KeyKind::EcdsaP256)
}

pub(crate) fn rsa() -> &'static IdentityProvider {
    static CELL: OnceLock<IdentityProvider> = OnceLock::new();
    provider(&CELL, KeyKind::Rsa(2048))
}

/// Somebody else with a key of the same kind and the same name.
pub(crate) fn attacker() -> &'static IdentityProvider {
    static CELL: OnceLock<IdentityProvider> = OnceLock::new();
    provider(&CELL, KeyKind::EcdsaP256)
}

pub(crate) struct Lab {
    pub(crate) idp: IdentityProvider,
    pub(crate) sp: ServiceProvider,
    pub(crate) trust: Trust,
    pub(crate) request: Option<&'static str>,
    pub(crate) now: Timestamp,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(ecdsa())
    }

    pub(crate) fn with(idp: &IdentityProvider) -> Self {
        let sp = ServiceProvider::new("https://sp.test/entity", "https://sp.test/acs");
        Self {
            idp: idp.clone(),
            trust: idp.trust(Policy::default()),
            sp,
            request: Some(REQUEST),
            now: at(NOW),
        }
    }

    pub(crate) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.trust.policy);
        self
    }

    pub(crate) fn grant(&self, signed: Signed) -> Grant {
        let mut grant = Grant::new(&self.sp, self.request, USER);
        grant.signed = signed;
        grant.session_index = Some("_session".to_owned());
        grant.attributes = vec![
            ("mail".to_owned(), vec![USER.to_owned()]),
            ("groups".to_owned(), vec!["staff".to_owned(), "a & b <c>".to_owned()]),
        ];
        grant
    }

    pub(crate) fn message(&self, signed: Signed) -> String {
        self.idp.response_xml(&self.grant(signed), &random(), self.now).unwrap()
    }

    /// Builds an unsigned message, lets it be bent, then signs it.
    pub(crate) fn bent(&self, signed: Signed, bend: impl FnOnce(String) -> String) -> String {
        self.sign(bend(self.message(Signed::Nothing)), signed)
    }

    pub(crate) fn sign(&self, mut xml: String, signed: Signed) -> String {
        let options = SignOptions::new(&self.idp.key, &self.idp.certificate);
        if matches!(signed, Signed::Assertion | Signed::Both) {
            xml = sign_enveloped(&xml, ASSERTION_ID, &options).unwrap();
        }
        if matches!(signed, Signed::Response | Signed::Both) {
            xml = sign_enveloped(&xml, RESPONSE_ID, &options).unwrap();
        }
        xml
    }

    pub(crate) fn validate(&self, xml: &str) -> Result<Login, Refused> {
        self.validate_field(&STANDARD.encode(xml))
    }

    pub(crate) fn validate_field(&self, field: &str) -> Result<Login, Refused> {
        validate_response(&ResponseInput {
            saml_response: field,
            sp: &self.sp,
            trust: &self.trust,
            expected_request_id: self.request,
            now: self.now,
        })
    }

    #[track_caller]
    pub(crate) fn accepts(&self, xml: &str) -> Login {
        match self.validate(xml) {
            Ok(login) => login,
            Err(refused) => panic!("refused: {refused}\n{xml}"),
        }
    }

    #[track_caller]
    pub(crate) fn refuses(&self, xml: &str, refusal: Refusal) {
        match self.validate(xml) {
            Ok(login) => panic!("accepted as {:?}, expected {refusal:?}\n{xml}", login.name_id),
            Err(refused) => assert_eq!(refused.refusal, refusal, "{refused}\n{xml}"),
        }
    }
}

/// Replaces the first occurrence, which must be there.
#[track_caller]
pub(crate) fn swap(xml: &str, from: &str, to: &str) -> String {
    assert!(xml.contains(from), "{from} is not in {xml}");
    xml.replacen(from, to, 1)
}

/// The text from `start` to the end of `end`.
#[track_caller]
pub(crate) fn slice<'a>(xml: &'a str, start: &str, end: &str) -> &'a str {
    let from = xml.find(start).unwrap();
    let to = xml[from..].rfind(end).unwrap() + from + end.len();
    &xml[from..to]
}

/// The signature of the first signed element.
#[track_caller]
pub(crate) fn signature(xml: &str) -> String {
    let from = xml.find("<ds:Signature ").unwrap();
    let to = xml[from..].find("</ds:Signature>").unwrap() + from + "</ds:Signature>".len();
    xml[from..to].to_owned()
}

#[track_caller]
pub(crate) fn assertion(xml: &str) -> String {
    slice(xml, "<saml:Assertion", "</saml:Assertion>").to_owned()
}

/// Rewrites `SignedInfo` (which must stay in canonical form) and signs it again with the identity provider's own key: what an
/// attacker with a signing oracle, or a careless identity provider, could produce.
#[track_caller]
pub(crate) fn resigned(idp: &IdentityProvider, xml: &str, bend: impl FnOnce(&str) -> String) -> String {
    let info = slice(&signature(xml), "<ds:SignedInfo", "</ds:SignedInfo>").to_owned();
    let bent = bend(&info);
    let value = STANDARD.encode(idp.key.sign(idp.key.default_algorithm(), bent.as_bytes()).unwrap());
    let old = signature(xml);
    let old_value = slice(&old, "<ds:SignatureValue>", "</ds:SignatureValue>");
    let new = swap(&old, old_value, &format!("<ds:SignatureValue>{value}</ds:SignatureValue>"));
    swap(xml, &old, &swap(&new, &info, &bent))
}

pub(crate) fn key_pair() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(crate) fn signing_key(pair: &rcgen::KeyPair) -> SigningKey {
    SigningKey::from_pkcs8_der(&pair.serialize_der()).unwrap()
}

/// A self-signed certificate that is valid from the first day of one year to the first day of another.
pub(crate) fn certificate_of(pair: &rcgen::KeyPair, from: i32, until: i32) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    Certificate::from_der(params.self_signed(pair).unwrap().der()).unwrap()
}
