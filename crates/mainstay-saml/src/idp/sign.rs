//! Enveloped signatures in the one shape that SAML allows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::c14n::{Family, Method, canonicalize, escape_attribute};
use crate::certificate::Certificate;
use crate::signing_key::{KeyError, SigningKey};
use crate::xml::{self, Limits, Node, attribute, is, names};

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

/// How what is signed becomes octets. Services refuse the inclusive ones unless their policy says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Canonicalization {
    /// Exclusive XML Canonicalization 1.0, which SAML asks for.
    #[default]
    Exclusive,
    /// Canonical XML 1.0, as old signers use it.
    Inclusive10,
    /// Canonical XML 1.1.
    Inclusive11,
}

impl Canonicalization {
    const fn family(self) -> Family {
        match self {
            Self::Exclusive => Family::Exclusive,
            Self::Inclusive10 => Family::Inclusive10,
            Self::Inclusive11 => Family::Inclusive11,
        }
    }
}

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
    /// The canonicalization of the content and of the signature's own `SignedInfo`.
    pub canonicalization: Canonicalization,
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
            canonicalization: Canonicalization::Exclusive,
            prefixes: "",
        }
    }
}

/// Signs the element with this ID and puts the signature right behind its Issuer.
///
/// # Errors
/// [`SignError`], with the exact reason.
pub fn sign_enveloped(document: &str, id: &str, options: &SignOptions<'_>) -> Result<String, SignError> {
    let text = xml::decode(document.as_bytes(), &LIMITS).map_err(|_| SignError::NotXml)?;
    let mut method = Method::plain(options.canonicalization.family());
    method.prefixes =
        options.prefixes.split_ascii_whitespace().map(|p| if p == "#default" { "" } else { p }).collect();
    let (place, content) = in_element(text, id, |element| {
        let issuer = xml::children(element).next().filter(|node| is(*node, names::ASSERTION, "Issuer"));
        let place = issuer.ok_or(SignError::NoSuchElement)?.range().end;
        Ok((place, octets(element, &method)?))
    })?;
    let (before, after) = text.split_at_checked(place).ok_or(SignError::NoSuchElement)?;
    let algorithm = options.algorithm.unwrap_or_else(|| options.key.default_algorithm());
    let info = signed_info(&content, id, algorithm, options);
    // `SignedInfo` is signed as it will be read, in its place: the inclusive methods take in what surrounds it.
    let unsigned = format!("{before}{}{after}", signature(&info, "", options.certificate));
    let signed = in_element(&unsigned, id, |element| {
        let mut found = element.descendants().filter(|node| is(*node, names::DSIG, "SignedInfo"));
        octets(found.next().ok_or(SignError::NotXml)?, &Method::plain(method.family))
    })?;
    let value = STANDARD.encode(options.key.sign(algorithm, &signed).map_err(SignError::Key)?);
    Ok(format!("{before}{}{after}", signature(&info, &value, options.certificate)))
}

/// Larger than any message that a service takes: metadata is signed as well.
const LIMITS: Limits = Limits { bytes: 4 * Limits::MESSAGE.bytes, ..Limits::MESSAGE };

/// Looks at the element with an ID.
fn in_element<T>(
    text: &str,
    id: &str,
    look: impl FnOnce(Node<'_>) -> Result<T, SignError>,
) -> Result<T, SignError> {
    let parsed = xml::parse(text, &LIMITS).map_err(|_| SignError::NotXml)?;
    let element = parsed.descendants().find(|node| attribute(*node, "ID") == Some(id));
    look(element.ok_or(SignError::NoSuchElement)?)
}

fn octets(node: Node<'_>, method: &Method<'_>) -> Result<Vec<u8>, SignError> {
    canonicalize(node, method, None, usize::MAX).map_err(|_| SignError::NotXml)
}

/// What is said of the content, and then signed.
fn signed_info(content: &[u8], id: &str, algorithm: SignatureAlgorithm, options: &SignOptions<'_>) -> String {
    let digest = STANDARD.encode(options.digest.digest(content).as_ref());
    let mut uri = Vec::from(*b"#");
    escape_attribute(&mut uri, id);
    let uri = String::from_utf8_lossy(&uri);
    let method = options.canonicalization.family().identifier();
    let transform = if options.prefixes.is_empty() {
        format!("<ds:Transform Algorithm=\"{method}\"></ds:Transform>")
    } else {
        format!(
            "<ds:Transform Algorithm=\"{method}\"><ec:InclusiveNamespaces xmlns:ec=\"{}\" PrefixList=\"{}\">\
             </ec:InclusiveNamespaces></ds:Transform>",
            names::EXC_C14N,
            options.prefixes,
        )
    };
    format!(
        "<ds:SignedInfo xmlns:ds=\"{}\"><ds:CanonicalizationMethod Algorithm=\"{method}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"{uri}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{}\"></ds:Transform>{transform}</ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        names::DSIG,
        algorithm.identifier(),
        names::ENVELOPED,
        options.digest.identifier(),
    )
}

fn signature(info: &str, value: &str, certificate: Option<&Certificate>) -> String {
    let key_info = certificate.map_or_else(String::new, |certificate| {
        let certificate = certificate.to_base64();
        format!("<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>")
    });
    format!(
        "<ds:Signature xmlns:ds=\"{}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>",
        names::DSIG
    )
}
