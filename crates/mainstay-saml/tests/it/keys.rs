//! Keys and algorithms: only the connection's keys, only the allowed algorithms, chosen by the type of the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_saml::idp::{IdentityProvider, SignOptions, Signed, sign_enveloped};
use mainstay_saml::{
    Certificate, CertificateError, CertificateValidity, KeyError, KeyKind, Refusal, SigningKey, Warning,
};

use crate::support::*;

fn value_of(xml: &str) -> String {
    slice(&signature(xml), "<ds:SignatureValue>", "</ds:SignatureValue>").to_owned()
}

pub(crate) fn with_value(xml: &str, octets: &[u8]) -> String {
    swap(xml, &value_of(xml), &format!("<ds:SignatureValue>{}</ds:SignatureValue>", STANDARD.encode(octets)))
}

fn octets_of(xml: &str) -> Vec<u8> {
    STANDARD
        .decode(value_of(xml).replace("<ds:SignatureValue>", "").replace("</ds:SignatureValue>", ""))
        .unwrap()
}

#[test]
fn keys_in_the_message_are_never_used() {
    let lab = Lab::new();
    let evil = Lab { idp: attacker().clone(), ..Lab::new() };
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        lab.refuses(&evil.message(signed), Refusal::SignatureInvalid);
    }
    // The attacker's key, with the identity provider's certificate on display.
    let options = SignOptions::new(&attacker().key, &lab.idp.certificate);
    let shown = sign_enveloped(&lab.message(Signed::Nothing), ASSERTION_ID, &options).unwrap();
    lab.refuses(&shown, Refusal::SignatureInvalid);
    let key_info = |xml: &str| slice(&signature(xml), "<ds:KeyInfo>", "</ds:KeyInfo>").to_owned();
    for inner in [
        "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>",
        "<ds:RetrievalMethod URI=\"http://evil.test/key\"/>",
        "<ds:RetrievalMethod URI=\"file:///etc/passwd\"/>",
        "<wsse:BinarySecret xmlns:wsse=\"urn:wsse\">AAAA</wsse:BinarySecret>",
        "<ds:KeyName>idp</ds:KeyName>",
    ] {
        let forged = evil.message(Signed::Assertion);
        let forged = swap(&forged, &key_info(&forged), &format!("<ds:KeyInfo>{inner}</ds:KeyInfo>"));
        lab.refuses(&forged, Refusal::SignatureInvalid);
        // Around a genuine signature KeyInfo is a hint that nobody follows.
        let genuine = lab.message(Signed::Assertion);
        lab.accepts(&swap(&genuine, &key_info(&genuine), &format!("<ds:KeyInfo>{inner}</ds:KeyInfo>")));
    }
}

#[test]
fn hmac_does_not_exist() {
    let lab = Lab::new();
    for algorithm in
        ["http://www.w3.org/2000/09/xmldsig#hmac-sha1", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"]
    {
        let pem = lab.idp.certificate.to_pem();
        for secret in [lab.idp.certificate.der(), pem.as_bytes(), lab.idp.certificate.to_base64().as_bytes()]
        {
            let xml = lab.message(Signed::Assertion);
            let xml = swap(&xml, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", algorithm);
            let info = slice(&signature(&xml), "<ds:SignedInfo", "</ds:SignedInfo>").to_owned();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            let tag = aws_lc_rs::hmac::sign(&key, info.as_bytes());
            lab.refuses(&with_value(&xml, tag.as_ref()), Refusal::SignatureAlgorithmNotAllowed);
        }
    }
}

#[test]
fn weak_unknown_and_mislabelled_algorithms() {
    let lab = Lab::with(rsa());
    let method = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    for algorithm in [
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
        "http://www.w3.org/2007/05/xmldsig-more#rsa-pss",
        "urn:unknown",
        "",
    ] {
        let xml = lab.message(Signed::Assertion);
        lab.refuses(&swap(&xml, method, algorithm), Refusal::SignatureAlgorithmNotAllowed);
    }
    let xml = lab.message(Signed::Assertion);
    lab.refuses(&swap(&xml, method, &method.replace("256", "512")), Refusal::SignatureInvalid);
    lab.refuses(&swap(&xml, method, &method.replace("rsa", "ecdsa")), Refusal::KeyTypeMismatch);
    let digest = "<ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\">";
    for algorithm in
        ["http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2001/04/xmldsig-more#md5", ""]
    {
        let weak = resigned(&lab.idp, &xml, |info| {
            swap(info, digest, &format!("<ds:DigestMethod Algorithm=\"{algorithm}\">"))
        });
        lab.refuses(&weak, Refusal::DigestAlgorithmNotAllowed);
    }
    let other = resigned(&lab.idp, &xml, |info| swap(info, digest, &digest.replace("sha256", "sha512")));
    lab.refuses(&other, Refusal::DigestMismatch);
    let ecdsa = Lab::new();
    let mislabelled = swap(&ecdsa.message(Signed::Assertion), "ecdsa-sha256", "rsa-sha256");
    ecdsa.refuses(&mislabelled, Refusal::KeyTypeMismatch);
}

#[test]
fn psychic_and_misshapen_ecdsa_values() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let good = octets_of(&xml);
    assert_eq!(good.len(), 64);
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
    let half = |r: &[u8], s: &[u8]| [r, s].concat();
    let mut bad = vec![
        vec![0; 64],
        half(&[0; 32], &good[32..]),
        half(&good[..32], &[0; 32]),
        half(&order, &order),
        half(&good[..32], &order),
        good[..63].to_vec(),
        half(&good, &[0]),
        half(&[0], &good),
        half(&[0; 32], &good),
        vec![0],
        vec![1],
    ];
    // The DER form of the very same signature.
    let integer = |part: &[u8]| [&[2, 33, 0][..], part].concat();
    let body = half(&integer(&good[..32]), &integer(&good[32..]));
    bad.push(half(&[0x30, u8::try_from(body.len()).unwrap()], &body));
    for octets in bad {
        lab.refuses(&with_value(&xml, &octets), Refusal::SignatureInvalid);
    }
}

#[test]
fn misshapen_rsa_values() {
    let lab = Lab::with(rsa());
    let xml = lab.message(Signed::Assertion);
    let good = octets_of(&xml);
    let mut flipped = good.clone();
    flipped[17] ^= 1;
    // A padding without minimum length, the digest at the front, garbage behind: what lenient decoders took with e = 3.
    let mut lenient = vec![0_u8, 1, 0xff, 0xff, 0xff, 0];
    lenient.resize(256, 0x5a);
    for octets in [
        vec![0; 256],
        [vec![0; 255], vec![1]].concat(),
        good[..255].to_vec(),
        [good.clone(), vec![0]].concat(),
        [vec![0], good.clone()].concat(),
        flipped,
        lenient,
    ] {
        lab.refuses(&with_value(&xml, &octets), Refusal::SignatureInvalid);
    }
}

#[test]
fn another_curve_or_type_of_key_does_not_fit() {
    let p384 = IdentityProvider::generate(
        "https://idp.test/entity",
        "https://idp.test/sso",
        KeyKind::EcdsaP384,
        at(NOW),
    )
    .unwrap();
    let mut lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    lab.trust.certificates = vec![p384.certificate];
    lab.refuses(&xml, Refusal::SignatureInvalid);
    lab.trust.certificates = vec![rsa().certificate.clone()];
    lab.refuses(&xml, Refusal::KeyTypeMismatch);
    lab.trust.certificates.clear();
    lab.refuses(&xml, Refusal::NoTrustedCertificate);
}

/// A sibling of the same name, or of the same authority, is a stranger: keys are pinned.
#[test]
fn names_and_authorities_give_no_trust() {
    let lab = Lab::new();
    assert_eq!(attacker().certificate.subject(), lab.idp.certificate.subject());
    assert_ne!(attacker().certificate.fingerprint(), lab.idp.certificate.fingerprint());
    let sibling = Lab { idp: attacker().clone(), ..Lab::new() };
    lab.refuses(&sibling.message(Signed::Both), Refusal::SignatureInvalid);
}

#[test]
fn certificates_outside_their_validity() {
    for (now, warning, refusal) in [
        ("2040-01-01T00:00:00Z", true, Refusal::CertificateExpired),
        ("2020-01-01T00:00:00Z", false, Refusal::CertificateNotYetValid),
    ] {
        let mut lab = Lab::new();
        lab.now = at(now);
        let xml = lab.message(Signed::Assertion);
        let fingerprint = lab.idp.certificate.fingerprint();
        let expected = if warning {
            Warning::CertificateExpired(fingerprint)
        } else {
            Warning::CertificateNotYetValid(fingerprint)
        };
        assert_eq!(lab.accepts(&xml).warnings, [expected]);
        lab.trust.policy.certificate_validity = CertificateValidity::Refuse;
        lab.refuses(&xml, refusal);
    }
}

fn der_integer(bytes: &[u8]) -> Vec<u8> {
    der(2, &[&[0], bytes].concat())
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let length = match (high, low) {
        (0, 0..0x80) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, body].concat()
}

/// A certificate with any RSA key in it; its own signature is nonsense, which nobody looks at.
pub(crate) fn rsa_certificate(modulus: &[u8], exponent: &[u8]) -> Result<Certificate, CertificateError> {
    let sha256_rsa: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
    let rsa: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let exponent = [&[2, u8::try_from(exponent.len()).unwrap()][..], exponent].concat();
    let key = der(0x30, &[der_integer(modulus), exponent].concat());
    let spki = der(0x30, &[rsa, &der(3, &[&[0][..], &key].concat())].concat());
    let name: &[u8] = &[0x30, 0];
    let time = |text: &str| [&[0x17, 13][..], text.as_bytes()].concat();
    let validity = [&[0x30, 30][..], &time("260101000000Z"), &time("360101000000Z")].concat();
    let tbs = [&[0xa0, 3, 2, 1, 2, 2, 1, 1][..], sha256_rsa, name, &validity, name, &spki].concat();
    Certificate::from_der(&der(0x30, &[der(0x30, &tbs), sha256_rsa.to_vec(), vec![3, 2, 0, 0]].concat()))
}

pub(crate) fn modulus(bits: usize) -> Vec<u8> {
    let mut bytes = vec![0xc3; bits / 8];
    *bytes.last_mut().unwrap() = 0xc5;
    bytes
}

#[test]
fn rsa_keys_are_held_to_their_limits() {
    let usual: &[u8] = &[1, 0, 1];
    for (bits, fits) in
        [(1024, false), (2040, false), (2048, true), (8192, true), (8200, false), (16384, false)]
    {
        let outcome = rsa_certificate(&modulus(bits), usual);
        let expected = u32::try_from(bits).unwrap();
        match outcome {
            Ok(certificate) => assert_eq!((fits, certificate.key_kind()), (true, KeyKind::Rsa(expected))),
            Err(error) => assert_eq!((fits, error), (false, CertificateError::RsaKeySize(expected))),
        }
    }
    for (exponent, fits) in [
        (&[3_u8][..], true),
        (&[1], false),
        (&[4], false),
        (&[1, 0, 0, 0, 1], true),
        (&[1, 0, 0, 0, 0, 0, 0, 0, 1], false),
    ] {
        let outcome = rsa_certificate(&modulus(2048), exponent);
        assert_eq!(outcome.is_ok(), fits, "{exponent:?}: {outcome:?}");
    }
}

#[test]
fn certificates_are_read_and_written() {
    let certificate = &ecdsa().certificate;
    assert_eq!(&Certificate::from_pem(&certificate.to_pem()).unwrap(), certificate);
    assert_eq!(&Certificate::from_base64(&certificate.to_base64()).unwrap(), certificate);
    let fingerprint = certificate.fingerprint();
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    let colons: Vec<_> = fingerprint.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(colons.join(":").parse(), Ok(fingerprint));
    for (wrong, error) in [
        ("", CertificateError::NotPem),
        ("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----", CertificateError::NotPem),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", CertificateError::Malformed),
    ] {
        assert_eq!(Certificate::from_pem(wrong), Err(error));
    }
    assert_eq!(
        Certificate::from_der(&vec![0; mainstay_saml::MAX_CERTIFICATE_BYTES + 1]),
        Err(CertificateError::TooLarge)
    );
    assert_eq!(
        Certificate::from_der(&vec![0; mainstay_saml::MAX_CERTIFICATE_BYTES]),
        Err(CertificateError::Malformed)
    );
    assert!("abc".parse::<mainstay_saml::Fingerprint>().is_err());
}

#[test]
fn signing_keys_are_told_apart_and_never_print() {
    assert_eq!(SigningKey::from_pkcs8_der(&[0]).unwrap_err(), KeyError::Unsupported);
    assert_eq!(SigningKey::from_pkcs8_pem("no").unwrap_err(), KeyError::NotPem);
    assert_eq!(format!("{:?}", ecdsa().key), "SigningKey(ECDSA P-256, [redacted])");
    let wrong = mainstay_saml::SignatureAlgorithm::RsaSha256;
    assert_eq!(ecdsa().key.sign(wrong, b"x").unwrap_err(), KeyError::Algorithm(wrong));
    let sha1 = mainstay_saml::SignatureAlgorithm::RsaSha1;
    assert_eq!(rsa().key.sign(sha1, b"x").unwrap_err(), KeyError::Algorithm(sha1));
}
