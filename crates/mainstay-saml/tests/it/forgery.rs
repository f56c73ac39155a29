//! Forged values and strange keys: what a lenient verifier would take.

use aws_lc_rs::digest;
use mainstay_saml::idp::Signed;
use mainstay_saml::{Certificate, KeyKind, MAX_FIELD_BYTES, Refusal};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::keys::{modulus, rsa_certificate, with_value};
use crate::support::*;

/// Two leaves of one authority: only the pinned one signs in, and pinning the authority itself helps nobody either.
#[test]
fn a_sibling_leaf_of_the_same_authority() {
    let authority = key_pair();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Authority");
    let root = Certificate::from_der(params.self_signed(&authority).unwrap().der()).unwrap();
    let issuer = Issuer::new(params, &authority);
    let leaf = || {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "idp.test");
        let certificate = params.signed_by(&pair, &issuer).unwrap();
        (signing_key(&pair), Certificate::from_der(certificate.der()).unwrap())
    };
    let ((own_key, own), (sibling_key, sibling)) = (leaf(), leaf());
    assert_eq!(own.subject(), sibling.subject());
    let signed_by = |key, certificate: &Certificate| {
        let mut lab = Lab::new();
        lab.idp.key = key;
        lab.idp.certificate = certificate.clone();
        lab.message(Signed::Both)
    };
    let (genuine, forged) = (signed_by(own_key, &own), signed_by(sibling_key, &sibling));
    let mut lab = Lab::new();
    for pinned in [vec![own.clone()], vec![own, root.clone()]] {
        lab.trust.certificates = pinned;
        lab.accepts(&genuine);
        lab.refuses(&forged, Refusal::SignatureInvalid);
    }
    lab.trust.certificates = vec![root];
    lab.refuses(&genuine, Refusal::SignatureInvalid);
}

/// A natural number in base 2^32, least digit first: as much as a cube root needs.
#[derive(Clone, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn from_be(octets: &[u8]) -> Self {
        let digits =
            octets.rchunks(4).map(|chunk| chunk.iter().fold(0, |digit, byte| digit << 8 | u32::from(*byte)));
        Self(digits.collect()).trimmed()
    }

    fn to_be(&self, length: usize) -> Vec<u8> {
        let mut octets: Vec<u8> = self.0.iter().flat_map(|digit| digit.to_le_bytes()).collect();
        octets.resize(length, 0);
        octets.reverse();
        octets
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = vec![0_u32; self.0.len() + other.0.len() + 1];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (j, b) in other.0.iter().chain([&0]).enumerate() {
                let sum = u64::from(product[i + j]) + u64::from(*a) * u64::from(*b) + carry;
                product[i + j] = u32::try_from(sum & 0xffff_ffff).unwrap();
                carry = sum >> 32;
            }
        }
        Self(product).trimmed()
    }

    fn at_most(&self, other: &Self) -> bool {
        let by_size = self.0.len().cmp(&other.0.len());
        by_size.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_le()
    }

    /// The largest number whose cube is at most `self`, bit by bit.
    fn cube_root(&self) -> Self {
        let mut root = Self(vec![0; self.0.len() / 3 + 1]);
        for bit in (0..root.0.len() * 32).rev() {
            root.0[bit / 32] |= 1 << (bit % 32);
            let tried = root.clone().trimmed();
            if !tried.times(&tried).times(&tried).at_most(self) {
                root.0[bit / 32] &= !(1 << (bit % 32));
            }
        }
        root.trimmed()
    }
}

/// Bleichenbacher 2006: with exponent 3 a cube root makes a value whose cube starts like a padding with the right digest and ends
/// in garbage. No private key is needed, so every modulus will do.
#[test]
fn a_cube_root_is_not_a_signature() {
    let lab = Lab::with(rsa());
    let xml = lab.message(Signed::Assertion);
    let info = slice(&signature(&xml), "<ds:SignedInfo", "</ds:SignedInfo>").to_owned();
    let hash = digest::digest(&digest::SHA256, info.as_bytes());
    let sha256 = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let start = [&[0_u8, 1][..], &[0xff; 8], &[0], &sha256, hash.as_ref()].concat();
    let mut target = start.clone();
    target.resize(256, 0xff);
    let root = Natural::from_be(&target).cube_root();
    let cube = root.times(&root).times(&root).to_be(256);
    assert!(cube.starts_with(&start), "a lenient verifier would take it");
    let mut victim = Lab::with(rsa());
    victim.trust.certificates = vec![rsa_certificate(&modulus(2048), &[3]).unwrap()];
    victim.refuses(&with_value(&xml, &root.to_be(256)), Refusal::SignatureInvalid);
}

/// An independent signer's values for the pairs of curve and digest that our own signer does not make.
#[test]
fn every_curve_with_every_digest() {
    for (name, xml, certificate, kind) in [
        (
            "P-256 with SHA-384",
            include_str!("data/p256-sha384.xml"),
            include_str!("data/p256.pem"),
            KeyKind::EcdsaP256,
        ),
        (
            "P-256 with SHA-512",
            include_str!("data/p256-sha512.xml"),
            include_str!("data/p256.pem"),
            KeyKind::EcdsaP256,
        ),
        (
            "P-384 with SHA-256",
            include_str!("data/p384-sha256.xml"),
            include_str!("data/p384.pem"),
            KeyKind::EcdsaP384,
        ),
        (
            "P-384 with SHA-384",
            include_str!("data/p384-sha384.xml"),
            include_str!("data/p384.pem"),
            KeyKind::EcdsaP384,
        ),
        (
            "P-384 with SHA-512",
            include_str!("data/p384-sha512.xml"),
            include_str!("data/p384.pem"),
            KeyKind::EcdsaP384,
        ),
        (
            "P-521 with SHA-256",
            include_str!("data/p521-sha256.xml"),
            include_str!("data/p521.pem"),
            KeyKind::EcdsaP521,
        ),
        (
            "P-521 with SHA-384",
            include_str!("data/p521-sha384.xml"),
            include_str!("data/p521.pem"),
            KeyKind::EcdsaP521,
        ),
        (
            "P-521 with SHA-512",
            include_str!("data/p521-sha512.xml"),
            include_str!("data/p521.pem"),
            KeyKind::EcdsaP521,
        ),
    ] {
        let mut lab = Lab::new();
        lab.trust.certificates = vec![Certificate::from_pem(certificate).unwrap()];
        assert_eq!(lab.trust.certificates[0].key_kind(), kind);
        let login = lab.accepts(xml);
        assert_eq!(login.name_id.value, USER, "{name}");
        lab.refuses(&swap(xml, USER, EVIL), Refusal::DigestMismatch);
        // Another digest of the same curve is another signature.
        let method = login.signatures[0].algorithm.identifier();
        let other = if method.ends_with("512") {
            method.replace("512", "384")
        } else {
            method.replace(&method[method.len() - 3..], "512")
        };
        lab.refuses(&swap(xml, method, &other), Refusal::SignatureInvalid);
    }
}

/// A field of exactly the longest length, the rest of it line breaks.
#[test]
fn a_field_at_its_limit() {
    use base64::Engine as _;
    let lab = Lab::new();
    let mut field = base64::engine::general_purpose::STANDARD.encode(lab.message(Signed::Assertion));
    while field.len() < MAX_FIELD_BYTES {
        field.push('\n');
    }
    assert_eq!(lab.validate_field(&field).unwrap().name_id.value, USER);
    field.push('\n');
    assert_eq!(lab.validate_field(&field).unwrap_err().refusal, Refusal::MessageTooLarge);
}
