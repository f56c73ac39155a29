//! Messages of real identity providers and of other libraries' suites, where they are at hand.
//!
//! They are looked for beside the repository; without them these tests pass without looking at anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Timestamp;
use mainstay_saml::{
    Certificate, IdpMetadata, LegacyOverride, MetadataOptions, Policy, Refusal, Refused, ResponseInput,
    ServiceProvider, Trust, peek_response, validate_response,
};

use crate::support::at;

fn corpus(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|dir| dir.join("../shared/corpora/saml").join(name)).find(|dir| dir.is_dir())
}

fn rows(dir: &Path) -> Vec<Vec<String>> {
    let index = fs::read_to_string(dir.join("index.tsv")).unwrap();
    index.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

struct Case<'a> {
    xml: &'a [u8],
    certificates: Vec<Certificate>,
    idp: &'a str,
    sp: &'a str,
    acs: &'a str,
    request: &'a str,
    now: Timestamp,
    policy: Policy,
}

fn run(case: Case<'_>) -> Result<mainstay_saml::Login, Refused> {
    let trust = Trust {
        entity_id: case.idp.to_owned(),
        sso_url: "https://idp.example.test/sso".to_owned(),
        certificates: case.certificates,
        policy: case.policy,
    };
    validate_response(&ResponseInput {
        saml_response: &STANDARD.encode(case.xml),
        sp: &ServiceProvider::new(case.sp, case.acs),
        trust: &trust,
        expected_request_id: Some(case.request).filter(|id| !id.is_empty()),
        now: case.now,
    })
}

#[test]
fn real_identity_providers() {
    let Some(dir) = corpus("real-idp") else { return };
    let mut accepted = 0;
    for row in rows(&dir) {
        let [file, kind, expected, note, certificate, idp, sp, acs, request, now, ..] = row.as_slice() else {
            continue;
        };
        if kind != "response" {
            continue;
        }
        let certificate = Certificate::from_pem(&fs::read_to_string(dir.join(certificate)).unwrap()).unwrap();
        let xml = fs::read(dir.join(file)).unwrap();
        let outcome = run(Case {
            xml: &xml,
            certificates: vec![certificate],
            idp,
            sp,
            acs,
            request,
            now: at(now).saturating_add(Duration::from_secs(1)),
            policy: Policy::default(),
        });
        let encrypted = note.contains("Encrypted");
        match outcome {
            Ok(login) => {
                assert_eq!(expected, "accept", "{file}");
                assert!(!encrypted && !login.name_id.value.is_empty(), "{file}");
                accepted += 1;
            }
            Err(refused) if encrypted => {
                let unread = [Refusal::EncryptedAssertionUnsupported, Refusal::EncryptedIdUnsupported];
                assert!(unread.contains(&refused.refusal), "{file}: {refused}");
            }
            Err(refused) => assert_eq!(expected, "reject", "{file}: {refused}"),
        }
    }
    assert!(accepted >= 7, "{accepted}");
}

#[test]
fn real_metadata_with_a_pinned_signer() {
    let Some(dir) = corpus("real-idp") else { return };
    let signer = Certificate::from_pem(&fs::read_to_string(dir.join("certs/idp.crt")).unwrap()).unwrap();
    let other = Certificate::from_pem(&fs::read_to_string(dir.join("certs/sp.crt")).unwrap()).unwrap();
    let xml = fs::read(dir.join("ssp_signed_metadata.xml")).unwrap();
    let policy = Policy::default();
    let now = at("2026-11-21T07:00:00Z");
    let parse = |signers: &[Certificate]| {
        IdpMetadata::parse(&xml, &MetadataOptions { entity_id: None, signers, policy: &policy, now })
    };
    let metadata = parse(&[signer]).unwrap();
    assert_eq!(metadata.entity_id, "https://ssp.example.test/idp");
    assert!(metadata.signed_by.is_some());
    assert!(parse(&[other]).is_err());
}

/// Every signature of these verifies with libxmlsec1; whatever is refused must be refused for another reason.
#[test]
fn canonical_forms_agree_with_libxmlsec1() {
    let Some(dir) = corpus("c14n-fuzz") else { return };
    let (mut verified, mut count) = (0, 0);
    for row in rows(&dir) {
        let [file, _, certificate, ..] = row.as_slice() else { continue };
        let certificate = Certificate::from_pem(&fs::read_to_string(dir.join(certificate)).unwrap()).unwrap();
        let xml = fs::read(dir.join(file)).unwrap();
        let outcome = run(Case {
            xml: &xml,
            certificates: vec![certificate],
            idp: "https://idp.example.test/idp",
            sp: "https://sp.example.test/saml/metadata",
            acs: "https://sp.example.test/saml/acs",
            request: "_req-1234567890abcdef",
            now: at("2026-11-21T06:00:00Z"),
            policy: Policy { allow_inclusive_c14n: true, ..Policy::default() },
        });
        count += 1;
        match outcome {
            Ok(_) => verified += 1,
            Err(refused) => panic!("{file}: {refused}"),
        }
    }
    assert_eq!(verified, count);
}

/// SHA-1 and 1024-bit keys, so only under the dated override.
fn legacy() -> Policy {
    let legacy = LegacyOverride { until: at("2100-01-01T00:00:00Z"), sha1: true, short_rsa_keys: true };
    Policy { legacy: Some(legacy), ..Policy::default() }
}

/// Refused upstream by a setting or by a configured value that this run takes from the message itself.
fn ours_decides(file: &str) -> bool {
    ["duplicated_attributes", "invalid_audience", "invalid_issuer_message"]
        .iter()
        .any(|name| file.contains(name))
}

#[test]
fn fixtures_of_python3_saml() {
    let Some(dir) = corpus("python3-saml") else { return };
    let base = dir.parent().unwrap().to_path_buf();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for row in rows(&dir) {
        if row[3] != "response" {
            continue;
        }
        let (file, expected, verdicts) = (&row[0], row[4].as_str(), &row[6]);
        let certificates: Vec<_> = row[7]
            .split("; ")
            .filter_map(|path| {
                Certificate::from_legacy_pem(&fs::read_to_string(base.join(path)).unwrap()).ok()
            })
            .collect();
        let xml = fs::read(base.join(file)).unwrap();
        let hints = peek_response(&STANDARD.encode(&xml)).ok();
        let text = String::from_utf8_lossy(&xml).into_owned();
        let between = |start: &str, end: &str| {
            let (_, rest) = text.split_once(start)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        let outcome = run(Case {
            xml: &xml,
            certificates,
            idp: hints.as_ref().and_then(|h| h.issuer.as_deref()).unwrap_or("none"),
            sp: &between(":Audience>", "<")
                .unwrap_or_else(|| "http://stuff.com/endpoints/metadata.php".to_owned()),
            acs: hints.as_ref().and_then(|h| h.destination.as_deref()).unwrap_or("none"),
            request: hints.as_ref().and_then(|h| h.in_response_to.as_deref()).unwrap_or(""),
            now: between("IssueInstant=\"", "\"")
                .and_then(|t| t.parse().ok())
                .unwrap_or(at("2014-02-19T01:37:01Z")),
            policy: Policy { allow_idp_initiated: true, ..legacy() },
        });
        match (expected, outcome) {
            ("reject", Ok(login)) if !ours_decides(file) => panic!("{file}: accepted {:?}", login.name_id),
            ("reject", Err(_)) => *seen.entry("rejected").or_default() += 1,
            (_, Ok(login)) => {
                assert!(
                    !verdicts.contains(":bad:") && verdicts.contains(":ok:"),
                    "{file}: {:?}",
                    login.name_id
                );
                *seen.entry("accepted").or_default() += 1;
            }
            ("accept-signature", Err(refused)) => {
                let broken =
                    [Refusal::SignatureInvalid, Refusal::DigestMismatch, Refusal::SignatureMalformed];
                assert!(
                    !broken.contains(&refused.refusal) || verdicts.contains(":bad:"),
                    "{file}: {refused}"
                );
                *seen.entry(refused.refusal.code()).or_default() += 1;
            }
            _ => {}
        }
    }
    assert!(seen.get("accepted").is_some_and(|count| *count >= 3), "{seen:?}");
}
