//! The provider's key file: made once, readable by its owner only.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mainstay_saml::idp::IdentityProvider;
use mainstay_saml::{Certificate, SigningKey};
use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
const FILE: &str = "dev-idp.json";
/// Readable and writable by its owner only.
const OWNER_ONLY: u32 = 0o600;
/// How long the certificate is valid, in days: a development server is not to fail by a date.
const VALID_YEARS: i32 = 20;

/// Why the key file cannot be used.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the development provider's key file {} cannot be used: {}; remove it, and the next start makes another",
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for KeyFileError {}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    private_key: String,
    certificate: String,
}

/// The provider with the key of the data directory; makes the key when there is none.
pub(super) fn provider(
    data: &Path,
    entity_id: &str,
    sso_url: &str,
) -> Result<IdentityProvider, KeyFileError> {
    let path = data.join(FILE);
    let failed = |why: String| KeyFileError { path: path.clone(), why };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = generate().map_err(|error| failed(error.to_string()))?;
            write(&path, &text).map_err(|error| failed(error.to_string()))?;
            text
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    // The parser's own words could repeat a part of the key.
    let file: KeyFile = serde_json::from_str(&text).map_err(|_| failed("it is not a key file".to_owned()))?;
    let key = SigningKey::from_pkcs8_pem(&file.private_key).map_err(|error| failed(error.to_string()))?;
    let certificate = Certificate::from_pem(&file.certificate).map_err(|error| failed(error.to_string()))?;
    Ok(IdentityProvider { entity_id: entity_id.to_owned(), sso_url: sso_url.to_owned(), key, certificate })
}

fn generate() -> Result<String, rcgen::Error> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Mainstay development identity provider");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026 + VALID_YEARS, 1, 1);
    let certificate = params.self_signed(&pair)?;
    let file = KeyFile { private_key: pair.serialize_pem(), certificate: certificate.pem() };
    Ok(serde_json::to_string_pretty(&file).unwrap_or_default())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // Written whole and then named, so that a crash leaves no half of a key.
    let draft = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_survives_and_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let first = provider(directory.path(), "entity", "https://a.test/sso").unwrap();
        let second = provider(directory.path(), "entity", "https://a.test/sso").unwrap();
        assert_eq!(first.certificate.fingerprint(), second.certificate.fingerprint());
        let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
    }

    #[test]
    fn a_spoilt_file_is_named_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, "{\"private_key\": \"hunter2\"}").unwrap();
        let text = provider(directory.path(), "entity", "https://a.test/sso").unwrap_err().to_string();
        assert!(
            text.contains("dev-idp.json") && text.contains("remove it") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(std::fs::read_to_string(path).unwrap().contains("hunter2"));
    }
}
