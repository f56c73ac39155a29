//! What a validated Response says. Every value comes from octets that a signature covers.

use aws_lc_rs::digest;
use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::dsig::SignedBy;
use crate::trace::Trace;

/// The NameID of the subject (SAML core 2.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NameId {
    /// The identifier. Never empty, never padded with white space.
    pub value: String,
    /// The format; absent when the message does not say.
    pub format: Option<String>,
    /// The domain that qualifies the identifier.
    pub name_qualifier: Option<String>,
    /// The service that qualifies the identifier; only ever this service.
    pub sp_name_qualifier: Option<String>,
    /// An identifier that this service gave to the identity provider.
    pub sp_provided_id: Option<String>,
}

/// One attribute, as it stands in the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attribute {
    /// The name; never empty.
    pub name: String,
    /// How to read the name.
    pub name_format: Option<String>,
    /// A name for people; never a key.
    pub friendly_name: Option<String>,
    /// The textual values, in order.
    pub values: Vec<String>,
}

/// Something that the policy tolerates and an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The certificate that verified a signature has expired.
    CertificateExpired(Fingerprint),
    /// The certificate that verified a signature is not valid yet.
    CertificateNotYetValid(Fingerprint),
    /// SHA-1 or a short RSA key was accepted under the dated override.
    LegacyCryptography,
    /// A value of the named attribute holds elements and was left out.
    StructuredValue(String),
}

/// A successful login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// Who it is, in the namespace of [`issuer`](Self::issuer).
    pub name_id: NameId,
    /// The session at the identity provider, for single logout.
    pub session_index: Option<String>,
    /// When the session must end.
    pub session_not_on_or_after: Option<Timestamp>,
    /// When the user authenticated; some providers leave it out, which a policy with `max_authn_age` refuses.
    pub authn_instant: Option<Timestamp>,
    /// How the user authenticated: an `AuthnContextClassRef`.
    pub authn_context: Option<String>,
    /// The attributes in document order, duplicates included.
    pub attributes: Vec<Attribute>,
    /// The identity provider's entity id.
    pub issuer: String,
    /// The ID of the Assertion.
    pub assertion_id: String,
    /// The ID of the Response; unverified when only the Assertion is signed.
    pub response_id: String,
    /// The request that this login answers; none when the identity provider started it.
    pub in_response_to: Option<String>,
    /// Insert this once and refuse the login when it is there already: one text per issuer and Assertion.
    pub replay_key: String,
    /// Until when the replay key must be kept: no later can the same Assertion be accepted.
    pub replay_until: Timestamp,
    /// The signatures that verified: of the Response, of the Assertion, or both.
    pub signatures: Vec<SignedBy>,
    /// What the policy tolerated.
    pub warnings: Vec<Warning>,
    /// Every check that ran.
    pub trace: Trace,
}

impl Login {
    /// The values of every attribute with this name, in document order.
    pub fn attribute<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.attributes
            .iter()
            .filter(move |a| a.name == name)
            .flat_map(|a| a.values.iter().map(String::as_str))
    }
}

/// A text that is the same for the same issuer and Assertion ID, and for nothing else: SHA-256 over both, with lengths.
pub(crate) fn replay_key(issuer: &str, assertion_id: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [issuer, assertion_id] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref())
}

fn hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    octets.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
