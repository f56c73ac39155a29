//! Private keys that sign requests (and, in the `idp` feature, responses).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::{KeyKind, SignatureAlgorithm};
use crate::certificate::{MAX_RSA_BITS, MIN_RSA_BITS};

/// Why a private key was not read or cannot sign.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not PKCS#8 in PEM.
    NotPem,
    /// Neither an RSA nor an ECDSA key in PKCS#8.
    Unsupported,
    /// An RSA key outside 2048 to 8192 bits.
    RsaKeySize(u32),
    /// The key cannot sign with this algorithm.
    Algorithm(SignatureAlgorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => {
                f.write_str("the text is not a private key in PEM (PKCS#8, \"BEGIN PRIVATE KEY\")")
            }
            Self::Unsupported => {
                f.write_str("the private key is neither RSA nor ECDSA on P-256, P-384 or P-521")
            }
            Self::RsaKeySize(bits) => {
                write!(f, "an RSA key of {bits} bits does not sign: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits do")
            }
            Self::Algorithm(algorithm) => write!(f, "the private key cannot sign with {algorithm}"),
        }
    }
}

impl std::error::Error for KeyError {}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(KeyKind, EcdsaKeyPair, Vec<u8>),
}

/// A private key. It never prints and is cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<Pair>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.kind(), mainstay_core::REDACTED)
    }
}

impl SigningKey {
    /// Reads a PKCS#8 key in PEM.
    ///
    /// # Errors
    /// [`KeyError`], with the exact reason.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----").ok_or(KeyError::NotPem)?;
        let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(KeyError::NotPem)?;
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Self::from_pkcs8_der(&STANDARD.decode(digits).map_err(|_| KeyError::NotPem)?)
    }

    /// Reads a PKCS#8 key in DER.
    ///
    /// # Errors
    /// [`KeyError`], with the exact reason.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            let bits = u32::try_from(pair.public_modulus_len()).unwrap_or(u32::MAX / 8).saturating_mul(8);
            if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                return Err(KeyError::RsaKeySize(bits));
            }
            return Ok(Self(Arc::new(Pair::Rsa(pair))));
        }
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521] {
            let Some(algorithm) = default_algorithm(kind).and_then(|a| ecdsa_signing(kind, a)) else {
                continue;
            };
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der) {
                return Ok(Self(Arc::new(Pair::Ecdsa(kind, pair, der.to_vec()))));
            }
        }
        Err(KeyError::Unsupported)
    }

    /// The kind and size of the key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.0.as_ref() {
            Pair::Rsa(pair) => KeyKind::Rsa(
                u32::try_from(pair.public_modulus_len()).unwrap_or(u32::MAX / 8).saturating_mul(8),
            ),
            Pair::Ecdsa(kind, _, _) => *kind,
        }
    }

    /// The algorithm that this key signs with unless told otherwise: SHA-256, or the curve's own digest.
    #[must_use]
    pub fn default_algorithm(&self) -> SignatureAlgorithm {
        default_algorithm(self.kind()).unwrap_or(SignatureAlgorithm::RsaSha256)
    }

    /// Signs `message`: PKCS#1 v1.5 for RSA, `r` and `s` for ECDSA. The nonce comes from the cryptographic library.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] when the key and the algorithm do not fit, and for SHA-1.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let refused = KeyError::Algorithm(algorithm);
        match self.0.as_ref() {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    SignatureAlgorithm::RsaSha256 => &signature::RSA_PKCS1_SHA256,
                    SignatureAlgorithm::RsaSha384 => &signature::RSA_PKCS1_SHA384,
                    SignatureAlgorithm::RsaSha512 => &signature::RSA_PKCS1_SHA512,
                    _ => return Err(refused),
                };
                let mut value = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(encoding, &SystemRandom::new(), message, &mut value);
                signed.map(|()| value).map_err(|_| refused)
            }
            Pair::Ecdsa(kind, pair, der) => {
                let signing = ecdsa_signing(*kind, algorithm).ok_or_else(|| refused.clone())?;
                let value = if pair.algorithm() == signing {
                    pair.sign(&SystemRandom::new(), message)
                } else {
                    EcdsaKeyPair::from_pkcs8(signing, der)
                        .map_err(|_| refused.clone())?
                        .sign(&SystemRandom::new(), message)
                };
                value.map(|value| value.as_ref().to_vec()).map_err(|_| refused)
            }
        }
    }
}

const fn default_algorithm(kind: KeyKind) -> Option<SignatureAlgorithm> {
    Some(match kind {
        KeyKind::Rsa(_) => SignatureAlgorithm::RsaSha256,
        KeyKind::EcdsaP256 => SignatureAlgorithm::EcdsaSha256,
        KeyKind::EcdsaP384 => SignatureAlgorithm::EcdsaSha384,
        KeyKind::EcdsaP521 => SignatureAlgorithm::EcdsaSha512,
    })
}

fn ecdsa_signing(kind: KeyKind, algorithm: SignatureAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    use SignatureAlgorithm as A;
    Some(match (kind, algorithm) {
        (KeyKind::EcdsaP256, A::EcdsaSha256) => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        (KeyKind::EcdsaP384, A::EcdsaSha384) => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        (KeyKind::EcdsaP521, A::EcdsaSha512) => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        (KeyKind::EcdsaP521, A::EcdsaSha256) => &signature::ECDSA_P521_SHA256_FIXED_SIGNING,
        (KeyKind::EcdsaP521, A::EcdsaSha384) => &signature::ECDSA_P521_SHA384_FIXED_SIGNING,
        _ => return None,
    })
}
