//! X.509 certificates as containers of a key: pinned, never chased up a chain.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Decode as _;
use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::algorithm::{DigestAlgorithm, KeyKind};
use crate::key::PublicKey;

/// Shortest RSA key that is imported, in bits.
pub const MIN_RSA_BITS: u32 = 2048;
/// Longest RSA key that is imported, in bits: a longer one only costs time.
pub const MAX_RSA_BITS: u32 = 8192;
/// Shortest RSA key that a dated legacy override can allow, in bits.
pub const MIN_LEGACY_RSA_BITS: u32 = 1024;
/// Longest RSA public exponent, in bits.
pub const MAX_RSA_EXPONENT_BITS: u32 = 33;
/// Largest certificate, in bytes of DER.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// Why a certificate was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`MAX_CERTIFICATE_BYTES`].
    TooLarge,
    /// Neither PEM nor base64 of DER.
    NotPem,
    /// Not an X.509 certificate.
    Malformed,
    /// A key that is neither RSA nor ECDSA on P-256, P-384 or P-521, or that is not a point or a modulus.
    UnsupportedKey,
    /// An RSA key whose size or exponent is outside the limits; holds the bits of the modulus.
    RsaKeySize(u32),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the certificate is larger than {MAX_CERTIFICATE_BYTES} bytes"),
            Self::NotPem => f.write_str("the text is not a certificate in PEM or base64"),
            Self::Malformed => f.write_str("the bytes are not an X.509 certificate"),
            Self::UnsupportedKey => {
                f.write_str("the certificate's key is neither RSA nor ECDSA on P-256, P-384 or P-521")
            }
            Self::RsaKeySize(bits) => write!(
                f,
                "the certificate's RSA key of {bits} bits is not accepted: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are, with an odd \
                 exponent from 3 to {MAX_RSA_EXPONENT_BITS} bits"
            ),
        }
    }
}

impl std::error::Error for CertificateError {}

/// The SHA-256 of a certificate's DER. Displayed and parsed as 64 lower-case hexadecimal digits; colons are tolerated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or(CertificateError::Malformed)?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|p| p.iter().fold(0, |byte, d| byte << 4 | d)).collect();
        let whole = digits.len() == 64;
        bytes.try_into().ok().filter(|_| whole).map(Self).ok_or(CertificateError::Malformed)
    }
}

impl From<Fingerprint> for String {
    fn from(value: Fingerprint) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = CertificateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A certificate whose key can verify signatures. Cheap to clone; equal when the DER is equal.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    fingerprint: Fingerprint,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    key: PublicKey,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`CertificateError`], with the exact reason.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let body = pem
            .split_once("-----BEGIN CERTIFICATE-----")
            .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
            .ok_or(CertificateError::NotPem)?
            .0;
        Self::from_base64(body)
    }

    /// Reads the base64 of a certificate's DER, as `ds:X509Certificate` holds it. White space is tolerated.
    ///
    /// # Errors
    /// [`CertificateError`], with the exact reason.
    pub fn from_base64(text: &str) -> Result<Self, CertificateError> {
        Self::from_der(&base64_der(text)?)
    }

    /// Reads a certificate's DER. Its own signature is not looked at: trust comes from having been imported.
    ///
    /// # Errors
    /// [`CertificateError`], with the exact reason.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::read(der, MIN_RSA_BITS)
    }

    /// Like [`from_pem`](Self::from_pem), but takes RSA keys from [`MIN_LEGACY_RSA_BITS`]. Such a key verifies nothing unless a
    /// [`LegacyOverride`](crate::LegacyOverride) with `short_rsa_keys` is in force.
    ///
    /// # Errors
    /// [`CertificateError`], with the exact reason.
    pub fn from_legacy_pem(pem: &str) -> Result<Self, CertificateError> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        Self::read(&base64_der(&body)?, MIN_LEGACY_RSA_BITS)
    }

    fn read(der: &[u8], min_rsa_bits: u32) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge);
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let tbs = parsed.tbs_certificate;
        let spki = &tbs.subject_public_key_info;
        let octets = spki.subject_public_key.as_bytes().ok_or(CertificateError::UnsupportedKey)?;
        let kind = if spki.algorithm.oid.to_string() == RSA_ENCRYPTION {
            rsa_kind(octets, min_rsa_bits)?
        } else if spki.algorithm.oid.to_string() == EC_PUBLIC_KEY {
            let parameters = spki.algorithm.parameters.as_ref().ok_or(CertificateError::UnsupportedKey)?;
            let curve: der::asn1::ObjectIdentifier =
                parameters.decode_as().map_err(|_| CertificateError::UnsupportedKey)?;
            curve_kind(&curve.to_string())?
        } else {
            return Err(CertificateError::UnsupportedKey);
        };
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs())
                .ok()
                .and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok())
                .unwrap_or(Timestamp::MAX)
        };
        Ok(Self(Arc::new(Inner {
            fingerprint: fingerprint(der)?,
            subject: tbs.subject.to_string(),
            not_before: seconds(tbs.validity.not_before),
            not_after: seconds(tbs.validity.not_after),
            key: PublicKey::new(kind, octets).ok_or(CertificateError::UnsupportedKey)?,
            der: der.to_vec(),
        })))
    }

    /// The SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The first instant of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// The last instant of validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// The kind and size of the key.
    #[must_use]
    pub fn key_kind(&self) -> KeyKind {
        self.0.key.kind()
    }

    /// The subject's distinguished name, for people; it decides nothing.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The base64 of the DER, without line breaks.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.der())
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for (at, digit) in self.to_base64().char_indices() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(digit);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.0.key
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {} until {})", self.subject(), self.fingerprint(), self.not_after())
    }
}

fn base64_der(text: &str) -> Result<Vec<u8>, CertificateError> {
    if text.len() > 2 * MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::TooLarge);
    }
    let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).map_err(|_| CertificateError::NotPem)
}

fn fingerprint(der: &[u8]) -> Result<Fingerprint, CertificateError> {
    let digest = DigestAlgorithm::Sha256.digest(der);
    digest.as_ref().try_into().map(Fingerprint).map_err(|_| CertificateError::Malformed)
}

fn curve_kind(curve: &str) -> Result<KeyKind, CertificateError> {
    match curve {
        "1.2.840.10045.3.1.7" => Ok(KeyKind::EcdsaP256),
        "1.3.132.0.34" => Ok(KeyKind::EcdsaP384),
        "1.3.132.0.35" => Ok(KeyKind::EcdsaP521),
        _ => Err(CertificateError::UnsupportedKey),
    }
}

/// Reads `RSAPublicKey` (RFC 8017 A.1.1) and holds modulus and exponent to the limits.
fn rsa_kind(octets: &[u8], min_bits: u32) -> Result<KeyKind, CertificateError> {
    let pair: Vec<der::asn1::Uint> = Vec::from_der(octets).map_err(|_| CertificateError::UnsupportedKey)?;
    let [modulus, exponent] = pair.as_slice() else {
        return Err(CertificateError::UnsupportedKey);
    };
    let bits = bit_length(modulus.as_bytes());
    let exponent_bits = bit_length(exponent.as_bytes());
    let odd = exponent.as_bytes().last().is_some_and(|b| b % 2 == 1);
    let fits = (min_bits..=MAX_RSA_BITS).contains(&bits);
    if !fits || !odd || !(2..=MAX_RSA_EXPONENT_BITS).contains(&exponent_bits) {
        return Err(CertificateError::RsaKeySize(bits));
    }
    Ok(KeyKind::Rsa(bits))
}

fn bit_length(unsigned: &[u8]) -> u32 {
    let zeros = unsigned.iter().take_while(|b| **b == 0).count();
    let Some((first, rest)) = unsigned.get(zeros..).and_then(<[u8]>::split_first) else {
        return 0;
    };
    let rest = u32::try_from(rest.len()).unwrap_or(u32::MAX / 16);
    rest.saturating_mul(8) + (8 - first.leading_zeros())
}
