//! A small identity provider, for `mainstay serve --dev` and for tests: it signs for real, and signs in whoever it is told to.
//!
//! ```
//! use mainstay_core::Timestamp;
//! use mainstay_saml::idp::{Grant, IdentityProvider};
//! use mainstay_saml::{KeyKind, Policy, ResponseInput, ServiceProvider, validate_response};
//!
//! let now: Timestamp = "2026-11-21T09:03:00Z".parse().unwrap();
//! let idp = IdentityProvider::generate("https://idp.test", "https://idp.test/sso", KeyKind::EcdsaP256, now).unwrap();
//! let sp = ServiceProvider::new("https://app.test", "https://app.test/acs");
//! let grant = Grant::new(&sp, Some("_request"), "alice@example.test");
//! let saml_response = idp.respond(&grant, &[7; 32], now).unwrap();
//!
//! let trust = idp.trust(Policy::default());
//! let expected_request_id = Some("_request");
//! let input = ResponseInput { saml_response: &saml_response, sp: &sp, trust: &trust, expected_request_id, now };
//! assert_eq!(validate_response(&input).unwrap().name_id.value, "alice@example.test");
//! ```

mod issue;
mod request;
mod sign;

use std::time::Duration;

use mainstay_core::Timestamp;

pub use issue::{Grant, Signed};
pub use request::{IncomingRequest, IncomingRequestError};
pub use sign::{Canonicalization, SignError, SignOptions, sign_enveloped};

use crate::algorithm::KeyKind;
use crate::certificate::Certificate;
use crate::policy::Policy;
use crate::response::Trust;
use crate::signing_key::{KeyError, SigningKey};
use crate::xml::escape::push_attribute;
use crate::xml::names;

/// How long a generated certificate is valid.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// An identity provider with one key.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// The entity id.
    pub entity_id: String,
    /// Where requests arrive (HTTP-Redirect binding).
    pub sso_url: String,
    /// The key that signs.
    pub key: SigningKey,
    /// The certificate of that key.
    pub certificate: Certificate,
}

impl IdentityProvider {
    /// An identity provider with a new key and a self-signed certificate. RSA keys have 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] when the key cannot be made.
    pub fn generate(
        entity_id: impl Into<String>,
        sso_url: impl Into<String>,
        kind: KeyKind,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        let (key, certificate) = generate_key(kind, now)?;
        Ok(Self { entity_id: entity_id.into(), sso_url: sso_url.into(), key, certificate })
    }

    /// The trust that a service needs to accept this identity provider.
    #[must_use]
    pub fn trust(&self, policy: Policy) -> Trust {
        Trust {
            entity_id: self.entity_id.clone(),
            sso_url: self.sso_url.clone(),
            certificates: vec![self.certificate.clone()],
            policy,
        }
    }

    /// This identity provider's metadata, which [`IdpMetadata`](crate::IdpMetadata) reads.
    #[must_use]
    pub fn metadata(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor");
        push_attribute(&mut xml, "xmlns:md", names::METADATA);
        push_attribute(&mut xml, "xmlns:ds", names::DSIG);
        push_attribute(&mut xml, "entityID", &self.entity_id);
        xml.push_str("><md:IDPSSODescriptor");
        push_attribute(&mut xml, "WantAuthnRequestsSigned", "false");
        push_attribute(&mut xml, "protocolSupportEnumeration", names::PROTOCOL);
        xml.push('>');
        crate::metadata::push_key(&mut xml, &self.certificate);
        xml.push_str("<md:SingleSignOnService");
        push_attribute(&mut xml, "Binding", names::BINDING_REDIRECT);
        push_attribute(&mut xml, "Location", &self.sso_url);
        xml.push_str("/></md:IDPSSODescriptor></md:EntityDescriptor>\n");
        xml
    }
}

/// A new key and its self-signed certificate.
///
/// # Errors
/// [`KeyError::Unsupported`] when the key cannot be made.
pub fn generate_key(kind: KeyKind, now: Timestamp) -> Result<(SigningKey, Certificate), KeyError> {
    let unsupported = |_| KeyError::Unsupported;
    let pair = match kind {
        KeyKind::Rsa(bits) => {
            let size = match bits {
                2048 => rcgen::RsaKeySize::_2048,
                3072 => rcgen::RsaKeySize::_3072,
                4096 => rcgen::RsaKeySize::_4096,
                other => return Err(KeyError::RsaKeySize(other)),
            };
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size)
        }
        KeyKind::EcdsaP256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyKind::EcdsaP384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyKind::EcdsaP521 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
    }
    .map_err(unsupported)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Mainstay development identity provider");
    let (year, month, day) = calendar_day(now.saturating_sub(Duration::from_secs(86_400)));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = calendar_day(now.saturating_add(CERTIFICATE_LIFETIME));
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let certificate = params.self_signed(&pair).map_err(unsupported)?;
    let key = SigningKey::from_pkcs8_der(&pair.serialize_der())?;
    let certificate = Certificate::from_der(certificate.der()).map_err(|_| KeyError::Unsupported)?;
    Ok((key, certificate))
}

/// The year, month and day of an instant.
fn calendar_day(now: Timestamp) -> (i32, u8, u8) {
    let text = now.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u16>().ok());
    let small = |value: Option<u16>| value.and_then(|value| u8::try_from(value).ok()).unwrap_or(1);
    let (year, month, day) = (part(0..4).unwrap_or(1970), small(part(5..7)), small(part(8..10)));
    (i32::from(year), month, day)
}
