//! TLS for PostgreSQL: rustls with aws-lc, named explicitly so that no other crate's choice of a process-wide default
//! matters.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{PostgresConfig, Verify};
use crate::error::{Error, Result};

/// The connector for a configuration; it decides about certificates, the client about whether TLS is used.
pub(super) fn connector(config: &PostgresConfig) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match config.verify {
        Verify::Nothing => Arc::new(Checks { provider: Arc::clone(&provider), authority: None }),
        Verify::Authority => {
            let authority = Some(authority(config.root_cert.as_deref(), &provider)?);
            Arc::new(Checks { provider: Arc::clone(&provider), authority })
        }
        Verify::Host => authority(config.root_cert.as_deref(), &provider)?,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::configuration("TLS cannot be set up").with_source(source))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The usual check against a file's certificate authorities, or the system's.
fn authority(file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let unreadable = |source: rustls::pki_types::pem::Error| {
                Error::configuration(format!(
                    "sslrootcert {} holds no readable PEM certificate",
                    path.display()
                ))
                .with_source(source)
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(|source| {
                    Error::configuration(format!("sslrootcert {} holds a broken certificate", path.display()))
                        .with_source(source)
                })?;
            }
        }
        None => {
            // The system's store may hold certificates that rustls does not read; the others still count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::configuration(
            "there is no certificate authority to check the server's certificate with",
        )
        .with_help("name a PEM file with sslrootcert=, or install the system's certificates"));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(
        |source| Error::configuration("the certificate authorities cannot be used").with_source(source),
    )
}

/// The mend of a handshake that failed in a way without a name of its own.
pub(super) const HANDSHAKE_HELP: &str = "check the server's TLS settings; sslmode=disable does not encrypt";

/// Why there is no encrypted connection, and the mend, if it is one of the usual reasons.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<(String, &'static str)> {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    if causes().any(|cause| cause.to_string() == "server does not support TLS") {
        let help = "set ssl = on in its postgresql.conf, or do without encryption with sslmode=disable";
        return Some(("the server does not support TLS".to_owned(), help));
    }
    let TlsError::InvalidCertificate(problem) = causes().find_map(as_tls)? else { return None };
    let why = match problem {
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by no certificate authority that is trusted".to_owned()
        }
        other => format!("the server's {other}"),
    };
    Some((why, mend(problem)))
}

fn as_tls<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsError> {
    let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.downcast_ref().or_else(|| inner?.downcast_ref())
}

fn mend(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer => {
            "name its authority's PEM file with sslrootcert=PATH; sslmode=require without it encrypts and checks nothing"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "write the host as the certificate names it, or compare no name with sslmode=verify-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the server's certificate, and check this machine's clock; sslmode=require without sslrootcert= \
             encrypts and checks nothing"
        }
        _ => {
            "correct the server's certificate; sslmode=require without sslrootcert= encrypts and checks nothing"
        }
    }
}

/// What libpq does below `verify-full`: the host's name is not compared, and without an authority nothing is.
#[derive(Debug)]
struct Checks {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Checks {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is checked before the name, so this says that the chain holds.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_root_certificate_is_named() {
        let config =
            PostgresConfig::from_url("postgres://h/d?sslmode=verify-full&sslrootcert=/no/such.pem").unwrap();
        let Err(error) = connector(&config) else { panic!("there is no such file") };
        assert!(error.message().contains("/no/such.pem"));
    }

    #[test]
    fn modes_without_verification_need_no_certificates() {
        assert!(connector(&PostgresConfig::from_url("postgres://h/d?sslmode=require").unwrap()).is_ok());
    }
}
