//! A sans-I/O SAML 2.0 service provider: it reads only what a signature covers.
//!
//! Bytes, keys, time and randomness come in; a decision goes out. There is no HTTP, no database and no clock in here.
//!
//! * [`authn_request`] sends the browser to the identity provider.
//! * [`validate_response`] decides over what comes back: a [`Login`], or [`Refused`] with one exact [`Refusal`] and a [`Trace`].
//! * [`IdpMetadata`] reads an identity provider's metadata, [`SpMetadata`] writes this service's.
//! * [`Policy`] says what a connection accepts; every field of it is enforced.
//! * [`RelayState`] and [`check_return_path`] keep a login from becoming an open redirect.
//!
//! ```
//! use mainstay_core::Timestamp;
//! use mainstay_saml::{AuthnRequestOptions, Policy, Refusal, ResponseInput, ServiceProvider, Trust};
//!
//! let sp = ServiceProvider::new("https://app.example.com/saml", "https://app.example.com/saml/acs");
//! let trust = Trust {
//!     entity_id: "https://idp.example.com".to_owned(),
//!     sso_url: "https://idp.example.com/sso".to_owned(),
//!     certificates: Vec::new(), // in earnest: every active one
//!     policy: Policy::default(),
//! };
//! let now: Timestamp = "2026-11-21T09:03:00Z".parse().unwrap();
//! let random = [7; 20]; // in earnest: fresh for each request
//! let out = mainstay_saml::authn_request(&sp, &trust, &AuthnRequestOptions::default(), &random, now).unwrap();
//! assert!(out.redirect_url.starts_with("https://idp.example.com/sso?SAMLRequest="));
//!
//! let refused = mainstay_saml::validate_response(&ResponseInput {
//!     saml_response: "PGE+PC9hPg==",
//!     sp: &sp,
//!     trust: &trust,
//!     expected_request_id: Some(&out.request_id),
//!     now,
//! })
//! .unwrap_err();
//! assert_eq!(refused.refusal, Refusal::NotAResponse);
//! ```

#![deny(missing_docs)]

mod algorithm;
mod authn_request;
mod binding;
mod c14n;
mod certificate;
mod dsig;
#[cfg(feature = "idp")]
pub mod idp;
mod key;
mod login;
mod metadata;
mod policy;
mod refusal;
mod relay_state;
mod response;
mod signing_key;
mod time;
mod trace;
mod xml;

pub use algorithm::{DigestAlgorithm, KeyKind, SignatureAlgorithm};
pub use authn_request::{
    AuthnRequestOptions, MAX_RELAY_STATE_BYTES, MAX_SSO_URL_BYTES, OutgoingRequest, RESERVED_PARAMETERS,
    RequestError, authn_request, check_sso_url,
};
pub use binding::post::{MAX_FIELD_BYTES, POST_FORM_SCRIPT, post_form};
pub use binding::redirect::{MAX_INFLATED_BYTES, PercentEncoding};
pub use certificate::{
    Certificate, CertificateError, Fingerprint, MAX_CERTIFICATE_BYTES, MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS,
    MIN_LEGACY_RSA_BITS, MIN_RSA_BITS,
};
pub use dsig::{MAX_PREFIXES, SignedBy, SignedKind, SignedOctets};
pub use login::{Attribute, Login, NameId, Warning};
pub use metadata::{IdpMetadata, MAX_SIGNING_CERTIFICATES, MetadataError, MetadataOptions, SpMetadata};
pub use policy::{
    CertificateValidity, DuplicateAttributes, LegacyOverride, MAX_CLOCK_SKEW, Policy, SignatureRequirement,
};
pub use refusal::{MAX_TRACE_TEXT, Refusal, Refused};
pub use relay_state::{MAX_RETURN_PATH_BYTES, RelayState, ReturnPathRefusal, check_return_path};
pub use response::{
    MAX_NAME_ID_CHARS, ResponseHints, ResponseInput, ServiceProvider, Trust, peek_response, validate_response,
};
pub use signing_key::{KeyError, SigningKey};
pub use trace::{Check, Outcome, Trace, TraceEntry};
pub use xml::Limits;

/// Largest protocol message, in bytes of XML.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Largest canonical form of a message: what one signature can cover.
pub const MAX_CANONICAL_BYTES: usize = 4 * MAX_MESSAGE_BYTES;
/// Largest metadata document, in bytes of XML.
pub const MAX_METADATA_BYTES: usize = 10 * 1024 * 1024;
/// The NameID format of an identifier whose message does not name one (SAML core 8.3.1).
pub const NAME_ID_UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
