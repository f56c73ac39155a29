//! TLS without a reverse proxy: a certificate and a key in two files, which are read again when they change.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mainstay_core::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::limits;

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

/// The certificate that is served now. Connections that are open keep the one that they began with.
#[derive(Debug)]
pub(crate) struct ServedCertificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What the last look at the files found.
#[derive(Debug)]
struct Seen {
    stamps: Stamps,
    /// Whether the files could not be used, and the certificate of an earlier look is served.
    is_broken: bool,
    /// When the served certificate ends, if its end can be read.
    expires_at: Option<Timestamp>,
}

/// What changes when a file is written or put in another's place, for both files; none where there is none.
type Stamps = [Option<[i64; 4]>; 2];

impl ServedCertificate {
    /// Reads the files.
    pub(crate) fn read(files: &TlsFiles) -> Result<Arc<Self>, TlsFilesError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // Before they are read, so that a change in between is seen by the next look.
        let stamps = stamps(files);
        let certified = certified(files, &provider)?;
        let seen = Seen { stamps, is_broken: false, expires_at: expiry(&certified) };
        let served = Self {
            files: files.clone(),
            provider,
            current: RwLock::new(Arc::new(certified)),
            seen: Mutex::new(seen),
        };
        served.publish(&served.seen());
        Ok(Arc::new(served))
    }

    /// What a listener needs to serve it.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsFilesError> {
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&self.files.certificate, &error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files and serves what is new in them. Files that cannot be used are told, and the certificate before goes on.
    pub(crate) fn look(&self) {
        let mut seen = self.seen();
        let stamps = stamps(&self.files);
        let is_new = seen.stamps != stamps;
        // Of what could not be used it may be only the reading that failed: that is tried again.
        if !is_new && !seen.is_broken {
            return;
        }
        seen.stamps = stamps;
        match certified(&self.files, &self.provider) {
            Ok(certified) => {
                seen.is_broken = false;
                seen.expires_at = expiry(&certified);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                count("loaded");
                let expires_at = seen.expires_at.map(tracing::field::display);
                tracing::info!(expires_at, "the TLS certificate was read again and is served from now on");
            }
            Err(error) if is_new => {
                seen.is_broken = true;
                count("failed");
                tracing::warn!(%error, "the TLS files have changed; the certificate of before is served on");
            }
            Err(_known) => {}
        }
        self.publish(&seen);
    }

    /// What an operator must know of it, for the readiness probe: nothing when all is well.
    pub(crate) fn complaint(&self, now: Timestamp) -> Option<&'static str> {
        let seen = self.seen();
        if seen.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Some("the TLS certificate has expired: browsers refuse it; put a new one in its place");
        }
        seen.is_broken.then_some(
            "the new TLS certificate or its key cannot be used and the one before is served; the log says why",
        )
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, seen: &Seen) {
        if let Some(expires_at) = seen.expires_at {
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
            let seconds = (expires_at.as_unix_micros() / 1_000_000) as f64;
            metrics::gauge!("mainstay_tls_certificate_expires_seconds").set(seconds);
        }
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Looks at the files again and again, for ever.
pub(crate) async fn watch(served: Arc<ServedCertificate>) {
    loop {
        tokio::time::sleep(limits::TLS_LOOK).await;
        let served = Arc::clone(&served);
        // Files may lie on something slow.
        if let Err(error) = tokio::task::spawn_blocking(move || served.look()).await {
            tracing::error!(%error, "looking at the TLS files panicked; this is a defect");
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mainstay_tls_reloads_total", "outcome" => outcome).increment(1);
}

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificate, &files.key].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        let inode = i64::from_ne_bytes(found.ino().to_ne_bytes());
        let size = i64::from_ne_bytes(found.size().to_ne_bytes());
        Some([inode, size, found.mtime(), found.mtime_nsec()])
    })
}

fn failed(path: &Path, why: &dyn fmt::Display) -> TlsFilesError {
    TlsFilesError { path: path.to_owned(), why: why.to_string() }
}

/// The pair of the two files, which belong together.
fn certified(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsFilesError> {
    let TlsFiles { certificate, key } = files;
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| failed(certificate, &error))?;
    if chain.is_empty() {
        return Err(failed(certificate, &"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| failed(certificate, &error))
}

fn expiry(certified: &CertifiedKey) -> Option<Timestamp> {
    let certificate = mainstay_saml::Certificate::from_der(certified.cert.first()?).ok()?;
    Some(certificate.not_after())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_pair(directory: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let files = TlsFiles {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        key_pair(directory.path(), "one");
        key_pair(directory.path(), "two");
        std::fs::write(path("empty"), "").unwrap();
        let read = |certificate: &str, key: &str| {
            ServedCertificate::read(&TlsFiles { certificate: path(certificate), key: path(key) })
        };
        assert!(read("one.pem", "one.key").unwrap().acceptor().is_ok());
        for (certificate, key, named) in [
            ("one.pem", "two.key", "one.pem"),
            ("empty", "one.key", "empty"),
            ("one.pem", "empty", "empty"),
            ("gone", "one.key", "gone"),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (key_pair(directory.path(), "one"), key_pair(directory.path(), "two"));
        let served = ServedCertificate::read(&one).unwrap();
        let current = || served.current.read().unwrap().cert[0].clone();
        let (first, now) = (current(), Timestamp::UNIX_EPOCH);
        std::fs::copy(&two.certificate, &one.certificate).unwrap();
        served.look();
        assert_eq!((current(), served.complaint(now).is_some()), (first.clone(), true), "half of a renewal");
        std::fs::copy(&two.key, &one.key).unwrap();
        served.look();
        assert_eq!(served.complaint(now), None);
        assert_ne!(current(), first);
        std::fs::remove_file(&one.key).unwrap();
        served.look();
        assert!(served.complaint(now).unwrap().contains("the one before is served"));
        std::fs::copy(&two.key, &one.key).unwrap();
        served.look();
        assert_eq!(served.complaint(now), None);
        assert!(served.complaint(Timestamp::MAX).unwrap().contains("expired"));
    }
}
