//! From a signature to the octets that it covers.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::grammar;
use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::c14n::canonicalize;
use crate::certificate::{Certificate, Fingerprint, MIN_RSA_BITS};
use crate::policy::{CertificateValidity, Policy};
use crate::refusal::{Fail, Refusal};
use crate::xml::Node;
use crate::{KeyKind, Warning};

/// Which element a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedKind {
    /// `samlp:Response`.
    Response,
    /// `saml:Assertion`.
    Assertion,
    /// `md:EntityDescriptor` or `md:EntitiesDescriptor`.
    Metadata,
}

/// Who signed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBy {
    /// What the signature covers.
    pub kind: SignedKind,
    /// The certificate whose key verified it.
    pub fingerprint: Fingerprint,
    /// The signature algorithm.
    pub algorithm: SignatureAlgorithm,
    /// The digest algorithm.
    pub digest: DigestAlgorithm,
}

/// The canonical octets that a verified signature covers: the only thing that the profile layer reads.
///
/// There is no way to make one but by verifying a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOctets {
    octets: Vec<u8>,
    signed_by: SignedBy,
}

impl SignedOctets {
    /// The octets: one element in canonical form, without the signature itself.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Who signed them.
    #[must_use]
    pub const fn signed_by(&self) -> &SignedBy {
        &self.signed_by
    }
}

/// Who may have signed, under which policy, at what time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signers<'a> {
    pub(crate) certificates: &'a [Certificate],
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
    pub(crate) limit: usize,
}

/// Verifies `signature`, a child of `element` whose ID is `id`.
///
/// The order: shape and algorithms, keys by type and size, `SignedInfo`, then the digest of the content.
pub(crate) fn verify(
    element: Node<'_>,
    signature: Node<'_>,
    id: &str,
    kind: SignedKind,
    signers: &Signers<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<SignedOctets, Fail> {
    let parsed = grammar::read(signature, id, signers.policy, signers.now)?;
    let candidates = candidates(signers, parsed.algorithm)?;
    let info = canonicalize(parsed.signed_info, &parsed.signed_info_method, None, signers.limit)?;
    let certificate = candidates
        .iter()
        .find(|certificate| certificate.key().verifies(parsed.algorithm, &info, &parsed.value))
        .ok_or_else(|| {
            let tried: Vec<_> = candidates.iter().map(|c| c.fingerprint().to_string()).collect();
            Refusal::SignatureInvalid.expecting(&tried.join(" or "))
        })?;
    let octets = canonicalize(element, &parsed.content_method, Some(signature.id()), signers.limit)?;
    let digest = parsed.digest_algorithm.digest(&octets);
    if octets.is_empty() || verify_slices_are_equal(digest.as_ref(), &parsed.digest).is_err() {
        return Err(Refusal::DigestMismatch.into());
    }
    check_validity(certificate, signers, warnings)?;
    if parsed.algorithm.is_legacy() || parsed.digest_algorithm.is_legacy() || is_short(certificate) {
        warnings.push(Warning::LegacyCryptography);
    }
    let signed_by = SignedBy {
        kind,
        fingerprint: certificate.fingerprint(),
        algorithm: parsed.algorithm,
        digest: parsed.digest_algorithm,
    };
    Ok(SignedOctets { octets, signed_by })
}

fn is_short(certificate: &Certificate) -> bool {
    matches!(certificate.key_kind(), KeyKind::Rsa(bits) if bits < MIN_RSA_BITS)
}

/// The certificates whose keys fit the algorithm and are long enough, those that are valid now first.
fn candidates<'a>(
    signers: &Signers<'a>,
    algorithm: SignatureAlgorithm,
) -> Result<Vec<&'a Certificate>, Fail> {
    if signers.certificates.is_empty() {
        return Err(Refusal::NoTrustedCertificate.into());
    }
    let fitting: Vec<_> = signers.certificates.iter().filter(|c| c.key().fits(algorithm)).collect();
    if fitting.is_empty() {
        let kinds: Vec<_> = signers.certificates.iter().map(|c| c.key_kind().to_string()).collect();
        return Err(Refusal::KeyTypeMismatch.expecting(&kinds.join(" or ")).found(&algorithm.to_string()));
    }
    let short_allowed = signers.policy.allows_short_keys(signers.now);
    let mut strong: Vec<_> = fitting.iter().copied().filter(|c| short_allowed || !is_short(c)).collect();
    if strong.is_empty() {
        let kinds: Vec<_> = fitting.iter().map(|c| c.key_kind().to_string()).collect();
        return Err(Refusal::KeyTooWeak.expecting(&format!("RSA {MIN_RSA_BITS}")).found(&kinds.join(" or ")));
    }
    // A renewed certificate may keep its key: the one that is valid now speaks for it, wherever it stands.
    strong.sort_by_key(|c| signers.now < c.not_before() || signers.now > c.not_after());
    Ok(strong)
}

fn check_validity(
    certificate: &Certificate,
    signers: &Signers<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), Fail> {
    let fingerprint = certificate.fingerprint();
    let (refusal, warning, limit) = if signers.now > certificate.not_after() {
        (Refusal::CertificateExpired, Warning::CertificateExpired(fingerprint), certificate.not_after())
    } else if signers.now < certificate.not_before() {
        (
            Refusal::CertificateNotYetValid,
            Warning::CertificateNotYetValid(fingerprint),
            certificate.not_before(),
        )
    } else {
        return Ok(());
    };
    match signers.policy.certificate_validity {
        CertificateValidity::Refuse => {
            Err(refusal.expecting(&limit.to_string()).found(&signers.now.to_string()))
        }
        CertificateValidity::Warn => {
            warnings.push(warning);
            Ok(())
        }
    }
}
