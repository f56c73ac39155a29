//! Public keys and the verification of raw signatures: the only module that verifies with the cryptographic library.

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use crate::algorithm::{KeyKind, SignatureAlgorithm};

/// A public key, prepared once for every algorithm it can verify.
#[derive(Debug)]
pub(crate) struct PublicKey {
    kind: KeyKind,
    prepared: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

impl PublicKey {
    /// Prepares a key: `PKCS#1 RSAPublicKey` octets for RSA, an uncompressed point for ECDSA.
    ///
    /// `None` when the library does not take the key for any algorithm.
    pub(crate) fn new(kind: KeyKind, octets: &[u8]) -> Option<Self> {
        let prepared: Vec<_> = SignatureAlgorithm::ALL
            .iter()
            .filter_map(|algorithm| {
                let key = ParsedPublicKey::new(verification(kind, *algorithm)?, octets).ok()?;
                Some((*algorithm, key))
            })
            .collect();
        (!prepared.is_empty()).then_some(Self { kind, prepared })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether the key's type fits the algorithm.
    pub(crate) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        matches!(self.kind, KeyKind::Rsa(_)) == algorithm.is_rsa()
    }

    /// Verifies an XML signature value: PKCS#1 v1.5 for RSA; `r` and `s` of exact length for ECDSA (RFC 6931 2.3.6).
    pub(crate) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], value: &[u8]) -> bool {
        let Some((_, key)) = self.prepared.iter().find(|(a, _)| *a == algorithm) else {
            return false;
        };
        if algorithm.is_rsa() {
            return key.verify_sig(message, value).is_ok();
        }
        ecdsa_der(value, self.kind.coordinate_bytes())
            .is_some_and(|der| key.verify_sig(message, &der).is_ok())
    }
}

fn verification(kind: KeyKind, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use SignatureAlgorithm as A;
    let strong = !matches!(kind, KeyKind::Rsa(bits) if bits < crate::MIN_RSA_BITS);
    Some(match (kind, algorithm) {
        (KeyKind::Rsa(_), A::RsaSha256) if strong => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa(_), A::RsaSha384) if strong => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa(_), A::RsaSha512) if strong => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa(_), A::RsaSha256) => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (KeyKind::Rsa(_), A::RsaSha512) => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (KeyKind::Rsa(_), A::RsaSha1) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (KeyKind::EcdsaP256, A::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::EcdsaP256, A::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::EcdsaP256, A::EcdsaSha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::EcdsaP384, A::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::EcdsaP384, A::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::EcdsaP384, A::EcdsaSha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::EcdsaP521, A::EcdsaSha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::EcdsaP521, A::EcdsaSha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::EcdsaP521, A::EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// The DER form of `r || s`, which the library verifies for every pair of curve and digest.
fn ecdsa_der(value: &[u8], coordinate: usize) -> Option<Vec<u8>> {
    if value.len() != coordinate.checked_mul(2)? {
        return None;
    }
    let (r, s) = value.split_at(coordinate);
    let mut body = Vec::with_capacity(value.len() + 8);
    push_integer(&mut body, r)?;
    push_integer(&mut body, s)?;
    let mut der = Vec::with_capacity(body.len() + 3);
    der.push(0x30);
    push_length(&mut der, body.len())?;
    der.extend_from_slice(&body);
    Some(der)
}

/// A positive, minimal DER integer.
fn push_integer(out: &mut Vec<u8>, unsigned: &[u8]) -> Option<()> {
    let zeros = unsigned.iter().take_while(|b| **b == 0).count();
    let digits = unsigned.get(zeros..)?;
    let padded = digits.first().is_none_or(|b| *b >= 0x80);
    out.push(0x02);
    push_length(out, digits.len() + usize::from(padded))?;
    if padded {
        out.push(0);
    }
    out.extend_from_slice(digits);
    Some(())
}

fn push_length(out: &mut Vec<u8>, length: usize) -> Option<()> {
    let length = u8::try_from(length).ok()?;
    if length >= 0x80 {
        out.push(0x81);
    }
    out.push(length);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_positive() {
        for (digits, der) in [
            (&[0_u8, 0][..], &[2_u8, 1, 0][..]),
            (&[0, 1], &[2, 1, 1]),
            (&[0, 0x80], &[2, 2, 0, 0x80]),
            (&[1, 0], &[2, 2, 1, 0]),
        ] {
            let mut out = Vec::new();
            push_integer(&mut out, digits);
            assert_eq!(out, der);
        }
        assert_eq!(ecdsa_der(&[0; 63], 32), None);
        assert_eq!(ecdsa_der(&[0xff; 132], 66).map(|der| der.len()), Some(3 + 2 * 69));
    }
}
