//! What a connection accepts. Every field is enforced.

use std::time::Duration;

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};

/// Largest clock skew that a policy can ask for; a larger one is held to this.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(600);

/// What must be signed. Whatever is signed beyond that must verify too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureRequirement {
    /// The Response or the Assertion.
    #[default]
    Either,
    /// The Response.
    Response,
    /// The Assertion.
    Assertion,
    /// Both.
    Both,
}

/// What happens when the certificate that verifies a signature is outside its validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateValidity {
    /// The login succeeds with a [`Warning`](crate::Warning): a pinned key does not become forged by its date.
    #[default]
    Warn,
    /// The login is refused.
    Refuse,
}

/// What happens when two attributes have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateAttributes {
    /// All are kept in order; a lookup by name gives the values of all of them.
    #[default]
    Keep,
    /// The login is refused.
    Refuse,
}

/// A dated permission for algorithms that are no longer safe. It ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyOverride {
    /// From this instant on the override counts for nothing.
    pub until: Timestamp,
    /// Allows RSA-SHA1 signatures and SHA-1 digests.
    pub sha1: bool,
    /// Allows RSA keys from 1024 bits (see [`Certificate::from_legacy_pem`](crate::Certificate::from_legacy_pem)).
    pub short_rsa_keys: bool,
}

/// What a connection accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What must be signed. Default: either.
    pub signatures: SignatureRequirement,
    /// How far the two clocks may differ, up to [`MAX_CLOCK_SKEW`]. Default: 120 s.
    #[serde(with = "seconds")]
    pub clock_skew: Duration,
    /// Whether a Response that answers no request is accepted. Default: no.
    pub allow_idp_initiated: bool,
    /// The signature algorithms. SHA-1 counts only under [`Policy::legacy`]. Default: RSA and ECDSA with SHA-256, -384 and -512.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
    /// The digest algorithms. SHA-1 counts only under [`Policy::legacy`]. Default: SHA-256, -384 and -512.
    pub digest_algorithms: Vec<DigestAlgorithm>,
    /// A dated permission for SHA-1 and short keys. Default: none.
    pub legacy: Option<LegacyOverride>,
    /// Whether signatures may use inclusive canonicalization. Default: no.
    pub allow_inclusive_c14n: bool,
    /// Certificates outside their validity. Default: warn.
    pub certificate_validity: CertificateValidity,
    /// Whether a Response without Destination is refused. Default: yes.
    pub require_destination: bool,
    /// Whether an Assertion without an audience restriction is refused. Default: yes.
    pub require_audience: bool,
    /// Attributes of the same name. Default: keep all.
    pub duplicate_attributes: DuplicateAttributes,
    /// The allowed NameID formats; empty for any. Default: any.
    pub name_id_formats: Vec<String>,
    /// The allowed authentication context classes; empty for any. Default: any.
    pub authn_contexts: Vec<String>,
    /// How long ago the user may have authenticated. Default: any time.
    #[serde(with = "optional_seconds")]
    pub max_authn_age: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            signatures: SignatureRequirement::default(),
            clock_skew: Duration::from_secs(120),
            allow_idp_initiated: false,
            signature_algorithms: SignatureAlgorithm::ALL
                .iter()
                .copied()
                .filter(|a| !a.is_legacy())
                .collect(),
            digest_algorithms: DigestAlgorithm::ALL.iter().copied().filter(|a| !a.is_legacy()).collect(),
            legacy: None,
            allow_inclusive_c14n: false,
            certificate_validity: CertificateValidity::default(),
            require_destination: true,
            require_audience: true,
            duplicate_attributes: DuplicateAttributes::default(),
            name_id_formats: Vec::new(),
            authn_contexts: Vec::new(),
            max_authn_age: None,
        }
    }
}

impl Policy {
    /// The skew in force.
    #[must_use]
    pub fn skew(&self) -> Duration {
        self.clock_skew.min(MAX_CLOCK_SKEW)
    }

    fn legacy_at(&self, now: Timestamp) -> Option<&LegacyOverride> {
        self.legacy.as_ref().filter(|legacy| now < legacy.until)
    }

    pub(crate) fn allows_signature(&self, algorithm: SignatureAlgorithm, now: Timestamp) -> bool {
        if algorithm.is_legacy() {
            return self.legacy_at(now).is_some_and(|legacy| legacy.sha1);
        }
        self.signature_algorithms.contains(&algorithm)
    }

    pub(crate) fn allows_digest(&self, algorithm: DigestAlgorithm, now: Timestamp) -> bool {
        if algorithm.is_legacy() {
            return self.legacy_at(now).is_some_and(|legacy| legacy.sha1);
        }
        self.digest_algorithms.contains(&algorithm)
    }

    pub(crate) fn allows_short_keys(&self, now: Timestamp) -> bool {
        self.legacy_at(now).is_some_and(|legacy| legacy.short_rsa_keys)
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}
