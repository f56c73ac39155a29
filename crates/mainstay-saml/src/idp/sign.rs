//! Enveloped signatures in the one shape that SAML allows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::c14n::{Method, canonicalize, escape_attribute};
use crate::certificate::Certificate;
use crate::signing_key::{KeyError, SigningKey};
use crate::xml::{self, Limits, attribute, is, names};

/// Why a document was not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The document is not XML within the limits.
    NotXml,
    /// No element has that ID and an Issuer as its first child.
    NoSuchElement,
    /// The key does not sign with that algorithm.
    Key(KeyError),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotXml => f.write_str("the document is not XML within the limits"),
            Self::NoSuchElement => f.write_str("no element has this ID and an Issuer as its first child"),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SignError {}

/// How an element is signed.
#[derive(Debug, Clone, Copy)]
pub struct SignOptions<'a> {
    /// The key.
    pub key: &'a SigningKey,
    /// Its certificate, put into KeyInfo; none leaves KeyInfo out.
    pub certificate: Option<&'a Certificate>,
    /// The signature algorithm; none takes the key's own.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The digest algorithm.
    pub digest: DigestAlgorithm,
    /// The prefix list of the exclusive canonicalization of the content, separated by blanks; may be empty.
    pub prefixes: &'a str,
}

impl<'a> SignOptions<'a> {
    /// SHA-256, with the certificate in KeyInfo.
    #[must_use]
    pub const fn new(key: &'a SigningKey, certificate: &'a Certificate) -> Self {
        Self {
            key,
            certificate: Some(certificate),
            algorithm: None,
            digest: DigestAlgorithm::Sha256,
            prefixes: "",
        }
    }
}

/// Signs the element with this ID and puts the signature right behind its Issuer.
///
/// # Errors
/// [`SignError`], with the exact reason.
pub fn sign_enveloped(document: &str, id: &str, options: &SignOptions<'_>) -> Result<String, SignError> {
    let limits = Limits { bytes: 4 * Limits::MESSAGE.bytes, ..Limits::MESSAGE };
    let text = xml::decode(document.as_bytes(), &limits).map_err(|_| SignError::NotXml)?;
    let parsed = xml::parse(text, &limits).map_err(|_| SignError::NotXml)?;
    let element = parsed
        .descendants()
        .find(|node| attribute(*node, "ID") == Some(id))
        .ok_or(SignError::NoSuchElement)?;
    let place = match xml::children(element).next() {
        Some(issuer) if is(issuer, names::ASSERTION, "Issuer") => issuer.range().end,
        _ => return Err(SignError::NoSuchElement),
    };
    let mut method = Method::EXCLUSIVE;
    method.prefixes =
        options.prefixes.split_ascii_whitespace().map(|p| if p == "#default" { "" } else { p }).collect();
    let octets = canonicalize(element, &method, None, usize::MAX).map_err(|_| SignError::NotXml)?;
    let signature = signature_xml(&octets, id, options).map_err(SignError::Key)?;
    let (before, after) = text.split_at_checked(place).ok_or(SignError::NoSuchElement)?;
    Ok(format!("{before}{signature}{after}"))
}

/// The signature over canonical octets. `SignedInfo` is written in its own canonical form.
fn signature_xml(octets: &[u8], id: &str, options: &SignOptions<'_>) -> Result<String, KeyError> {
    let algorithm = options.algorithm.unwrap_or_else(|| options.key.default_algorithm());
    let digest = STANDARD.encode(options.digest.digest(octets).as_ref());
    let mut uri = Vec::from(*b"#");
    escape_attribute(&mut uri, id);
    let uri = String::from_utf8_lossy(&uri);
    let transform = if options.prefixes.is_empty() {
        format!("<ds:Transform Algorithm=\"{}\"></ds:Transform>", names::EXC_C14N)
    } else {
        format!(
            "<ds:Transform Algorithm=\"{c14n}\"><ec:InclusiveNamespaces xmlns:ec=\"{c14n}\" PrefixList=\"{}\">\
             </ec:InclusiveNamespaces></ds:Transform>",
            options.prefixes,
            c14n = names::EXC_C14N
        )
    };
    let info = format!(
        "<ds:SignedInfo xmlns:ds=\"{dsig}\"><ds:CanonicalizationMethod Algorithm=\"{c14n}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"{uri}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{}\"></ds:Transform>{transform}</ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        algorithm.identifier(),
        names::ENVELOPED,
        options.digest.identifier(),
        dsig = names::DSIG,
        c14n = names::EXC_C14N,
    );
    let value = STANDARD.encode(options.key.sign(algorithm, info.as_bytes())?);
    let key_info = options.certificate.map_or_else(String::new, |certificate| {
        let certificate = certificate.to_base64();
        format!("<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>")
    });
    Ok(format!(
        "<ds:Signature xmlns:ds=\"{}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>",
        names::DSIG
    ))
}
