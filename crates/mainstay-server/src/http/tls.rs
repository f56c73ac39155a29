//! TLS without a reverse proxy: a certificate and a key in two files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why the two files do not serve.
#[derive(Debug)]
pub struct TlsFilesError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for TlsFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be used for TLS: {}; give a chain of certificates and its private key, both PEM",
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for TlsFilesError {}

/// Reads the files. They are read once: restart the server when the certificate is renewed.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsFilesError> {
    let failed =
        |path: &Path, why: &dyn fmt::Display| TlsFilesError { path: path.to_owned(), why: why.to_string() };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| failed(certificate, &error))?;
    if chain.is_empty() {
        return Err(failed(certificate, &"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| failed(certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (one, two) = (
            rcgen::generate_simple_self_signed(["a".to_owned()]),
            rcgen::generate_simple_self_signed(["b".to_owned()]),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        std::fs::write(path("one.pem"), one.cert.pem()).unwrap();
        std::fs::write(path("one.key"), one.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("two.key"), two.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("empty"), "").unwrap();
        assert!(acceptor(&path("one.pem"), &path("one.key")).is_ok());
        for (certificate, key, named) in [
            ("one.pem", "two.key", "one.pem"),
            ("empty", "one.key", "empty"),
            ("one.pem", "empty", "empty"),
            ("gone", "one.key", "gone"),
        ] {
            let Err(error) = acceptor(&path(certificate), &path(key)) else {
                panic!("{certificate} {key} was taken")
            };
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
