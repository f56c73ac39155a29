//! Another implementation agrees: Debian's `xmlsec1`, where it is installed.

use std::fs;
use std::process::Command;

use mainstay_saml::idp::{Canonicalization, IdentityProvider, SignOptions, Signed, sign_enveloped};

use crate::support::*;

pub(crate) fn xmlsec_accepts(xml: &str, idp: &IdentityProvider) -> Option<bool> {
    let dir = tempfile::tempdir().unwrap();
    let (message, certificate) = (dir.path().join("m.xml"), dir.path().join("c.pem"));
    fs::write(&message, xml).unwrap();
    fs::write(&certificate, idp.certificate.to_pem()).unwrap();
    let outcome = Command::new("xmlsec1")
        .args([
            "--verify",
            "--enabled-key-data",
            "x509,raw-x509-cert,key-name",
            "--insecure",
            "--pubkey-cert-pem",
        ])
        .arg(&certificate)
        .args(["--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"])
        .args(["--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response"])
        .arg(&message)
        .output();
    Some(outcome.ok()?.status.success())
}

#[test]
fn xmlsec1_verifies_what_we_sign() {
    let probe = Command::new("xmlsec1").arg("--version").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return;
    }
    for idp in [rsa(), ecdsa()] {
        let lab = Lab::with(idp).policy(|policy| policy.allow_inclusive_c14n = true);
        let odd = "<saml:Assertion xmlns=\"urn:d\" xmlns:u=\"urn:u\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"a\n\tb\" xml:lang=\"de\" ";
        let inner = ">staff&#13;&#9;\r\n<![CDATA[<&>]]> é\u{1f600} <plain u:b='\"&lt;' a=\"&#10;'\"><u:x xmlns:u=\"urn:v\"/></plain><";
        for signed in [Signed::Assertion, Signed::Response] {
            let xml = swap(&swap(&lab.message(Signed::Nothing), "<saml:Assertion ", odd), ">staff<", inner);
            let id = if signed == Signed::Assertion { ASSERTION_ID } else { RESPONSE_ID };
            let plain = SignOptions::new(&idp.key, &idp.certificate);
            for options in [
                plain,
                SignOptions { prefixes: "u #default", ..plain },
                SignOptions { canonicalization: Canonicalization::Inclusive10, ..plain },
                SignOptions { canonicalization: Canonicalization::Inclusive11, ..plain },
            ] {
                let xml = sign_enveloped(&xml, id, &options).unwrap();
                lab.accepts(&xml);
                assert_eq!(xmlsec_accepts(&xml, idp), Some(true), "{xml}");
                let broken = swap(&xml, USER, EVIL);
                assert_eq!(xmlsec_accepts(&broken, idp), Some(false), "{broken}");
            }
        }
    }
}
