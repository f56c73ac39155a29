//! Reading an identity provider's metadata, signed or not, alone or out of an aggregate.

use std::collections::HashSet;
use std::fmt;

use mainstay_core::Timestamp;

use crate::authn_request::{RequestError, check_sso_url};
use crate::certificate::{Certificate, CertificateError};
use crate::dsig::{self, SignedBy, SignedKind, Signers};
use crate::login::Warning;
use crate::policy::Policy;
use crate::refusal::{Fail, Refusal};
use crate::response::Trust;
use crate::response::structure::collect_ids;
use crate::time;
use crate::xml::{self, Limits, Node, attribute, children, is, names, text_of};

/// Most signing certificates that are taken from one identity provider.
pub const MAX_SIGNING_CERTIFICATES: usize = 32;

/// Why metadata was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// Too large, not XML, or XML that is refused on sight; holds the reason.
    Xml(Refusal),
    /// The document element is neither `EntityDescriptor` nor `EntitiesDescriptor`.
    NotMetadata,
    /// A signature was required and did not verify; holds the reason.
    Signature(Refusal),
    /// The metadata was only valid until then.
    Expired(Timestamp),
    /// The entity that was asked for is not there, or none is an identity provider.
    EntityNotFound,
    /// Several entities fit; ask for one by its entity id.
    EntityAmbiguous(Vec<String>),
    /// The entity is not a SAML 2.0 identity provider.
    NotAnIdentityProvider,
    /// There is no single sign-on service with the redirect or the POST binding.
    NoSingleSignOnService,
    /// A single sign-on URL is not usable.
    SingleSignOnUrl(RequestError),
    /// None of the signing certificates is usable; holds why, one for each.
    NoSigningCertificate(Vec<CertificateError>),
    /// More than [`MAX_SIGNING_CERTIFICATES`].
    TooManyCertificates,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xml(refusal) => write!(f, "the metadata cannot be read: {refusal}"),
            Self::NotMetadata => f.write_str("the document is not SAML 2.0 metadata"),
            Self::Signature(refusal) => write!(f, "the signature of the metadata does not hold: {refusal}"),
            Self::Expired(until) => write!(f, "the metadata was only valid until {until}"),
            Self::EntityNotFound => {
                f.write_str("the metadata does not have the identity provider that was asked for")
            }
            Self::EntityAmbiguous(ids) => {
                write!(f, "the metadata has several identity providers; choose one of {}", ids.join(", "))
            }
            Self::NotAnIdentityProvider => f.write_str("the entity is not a SAML 2.0 identity provider"),
            Self::NoSingleSignOnService => f.write_str(
                "the identity provider has no single sign-on URL for the redirect or POST binding",
            ),
            Self::SingleSignOnUrl(error) => write!(f, "{error}"),
            Self::NoSigningCertificate(why) => {
                f.write_str("the identity provider has no usable signing certificate")?;
                why.iter().try_for_each(|error| write!(f, "; {error}"))
            }
            Self::TooManyCertificates => {
                write!(
                    f,
                    "the identity provider has more than {MAX_SIGNING_CERTIFICATES} signing certificates"
                )
            }
        }
    }
}

impl std::error::Error for MetadataError {}

/// How metadata is read.
#[derive(Debug, Clone, Copy)]
pub struct MetadataOptions<'a> {
    /// The entity to read; `None` when the document has only one identity provider.
    pub entity_id: Option<&'a str>,
    /// The pinned certificates of the metadata's signer. When there are any, the document element must be signed by one of them,
    /// and nothing outside the signed octets is read. When there are none, a signature is not looked at.
    pub signers: &'a [Certificate],
    /// Algorithms and certificate validity for the signature.
    pub policy: &'a Policy,
    /// The present instant.
    pub now: Timestamp,
}

/// An identity provider, as its metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdpMetadata {
    /// The entity id.
    pub entity_id: String,
    /// The single sign-on URL of the HTTP-Redirect binding.
    pub sso_redirect_url: Option<String>,
    /// The single sign-on URL of the HTTP-POST binding.
    pub sso_post_url: Option<String>,
    /// The single logout URL of the HTTP-Redirect binding, where it is usable; logins do not depend on it.
    pub slo_redirect_url: Option<String>,
    /// Every usable signing certificate, in document order, each once.
    pub signing_certificates: Vec<Certificate>,
    /// Why other signing certificates were left out.
    pub unusable_certificates: Vec<CertificateError>,
    /// The earliest end of validity of the entity and what holds it.
    pub valid_until: Option<Timestamp>,
    /// Whether requests must be signed.
    pub want_authn_requests_signed: bool,
    /// The NameID formats on offer.
    pub name_id_formats: Vec<String>,
    /// Who signed the metadata; only when signers were pinned.
    pub signed_by: Option<SignedBy>,
}

impl IdpMetadata {
    /// Reads one identity provider out of a document of at most [`MAX_METADATA_BYTES`](crate::MAX_METADATA_BYTES).
    ///
    /// # Errors
    /// [`MetadataError`], with the exact reason.
    pub fn parse(document: &[u8], options: &MetadataOptions<'_>) -> Result<Self, MetadataError> {
        let unreadable = |fail: Fail| MetadataError::Xml(fail.refusal);
        let text = xml::decode(document, &Limits::METADATA).map_err(unreadable)?;
        let parsed = xml::parse(text, &Limits::METADATA).map_err(unreadable)?;
        let root = parsed.root_element();
        if !is_metadata(root) {
            return Err(MetadataError::NotMetadata);
        }
        if options.signers.is_empty() {
            return read(root, options, None);
        }
        let signed = verify(root, options).map_err(|fail| MetadataError::Signature(fail.refusal))?;
        let text = xml::decode(signed.octets(), &Limits::CANONICAL_METADATA).map_err(unreadable)?;
        let parsed = xml::parse(text, &Limits::CANONICAL_METADATA).map_err(unreadable)?;
        read(parsed.root_element(), options, Some(*signed.signed_by()))
    }
}

impl IdpMetadata {
    /// A trust in this identity provider: the redirect URL, or the POST URL where there is no other, and every certificate.
    #[must_use]
    pub fn to_trust(&self, policy: Policy) -> Trust {
        let url = self.sso_redirect_url.as_ref().or(self.sso_post_url.as_ref());
        Trust {
            entity_id: self.entity_id.clone(),
            sso_url: url.cloned().unwrap_or_default(),
            certificates: self.signing_certificates.clone(),
            policy,
        }
    }
}

fn is_metadata(node: Node<'_>) -> bool {
    is(node, names::METADATA, "EntityDescriptor") || is(node, names::METADATA, "EntitiesDescriptor")
}

/// Verifies the signature that is the first child of the document element (SAML metadata 3).
fn verify(root: Node<'_>, options: &MetadataOptions<'_>) -> Result<dsig::SignedOctets, Fail> {
    let mut ids = HashSet::new();
    for node in root.descendants().filter(Node::is_element) {
        collect_ids(node, &mut ids)?;
    }
    let id = attribute(root, "ID").filter(|id| !id.is_empty()).ok_or(Refusal::IdMissing)?;
    let mut signatures = children(root).filter(|node| is(*node, names::DSIG, "Signature"));
    let signature = signatures.next().ok_or(Refusal::SignatureMissing)?;
    if signatures.next().is_some() {
        return Err(Refusal::SignatureMultiple.into());
    }
    if children(root).next() != Some(signature) {
        return Err(Refusal::SignatureMisplaced.into());
    }
    let signers = Signers {
        certificates: options.signers,
        policy: options.policy,
        now: options.now,
        limit: Limits::CANONICAL_METADATA.bytes,
    };
    let mut warnings: Vec<Warning> = Vec::new();
    dsig::verify(root, signature, id, SignedKind::Metadata, &signers, &mut warnings)
}

fn read(
    root: Node<'_>,
    options: &MetadataOptions<'_>,
    signed_by: Option<SignedBy>,
) -> Result<IdpMetadata, MetadataError> {
    let entity = select(root, options.entity_id)?;
    let role = role(entity).ok_or(MetadataError::NotAnIdentityProvider)?;
    let valid_until = valid_until(role)?;
    if let Some(until) = valid_until.filter(|until| options.now >= *until) {
        return Err(MetadataError::Expired(until));
    }
    let endpoint = |service: &str, binding: &str| {
        children(role)
            .filter(|node| is(*node, names::METADATA, service))
            .find(|node| attribute(*node, "Binding") == Some(binding))
            .and_then(|node| attribute(node, "Location"))
            .map(str::to_owned)
    };
    let sso_redirect_url = endpoint("SingleSignOnService", names::BINDING_REDIRECT);
    let sso_post_url = endpoint("SingleSignOnService", names::BINDING_POST);
    if sso_redirect_url.is_none() && sso_post_url.is_none() {
        return Err(MetadataError::NoSingleSignOnService);
    }
    for url in [&sso_redirect_url, &sso_post_url].into_iter().flatten() {
        check_sso_url(url).map_err(MetadataError::SingleSignOnUrl)?;
    }
    let (signing_certificates, unusable_certificates) = certificates(role)?;
    let formats = children(role).filter(|node| is(*node, names::METADATA, "NameIDFormat"));
    Ok(IdpMetadata {
        entity_id: attribute(entity, "entityID").unwrap_or("").to_owned(),
        sso_redirect_url,
        sso_post_url,
        slo_redirect_url: endpoint("SingleLogoutService", names::BINDING_REDIRECT)
            .filter(|url| check_sso_url(url).is_ok()),
        signing_certificates,
        unusable_certificates,
        valid_until,
        want_authn_requests_signed: matches!(attribute(role, "WantAuthnRequestsSigned"), Some("true" | "1")),
        name_id_formats: formats.filter_map(text_of).map(|text| text.trim().to_owned()).collect(),
        signed_by,
    })
}

fn select<'a>(root: Node<'a>, wanted: Option<&str>) -> Result<Node<'a>, MetadataError> {
    let entities = root.descendants().filter(|node| {
        is(*node, names::METADATA, "EntityDescriptor")
            && node
                .ancestors()
                .skip(1)
                .filter(Node::is_element)
                .all(|a| is(a, names::METADATA, "EntitiesDescriptor"))
    });
    let named = entities.filter(|node| attribute(*node, "entityID").is_some_and(|id| !id.is_empty()));
    let fitting: Vec<_> = match wanted {
        Some(wanted) => named.filter(|node| attribute(*node, "entityID") == Some(wanted)).collect(),
        None => {
            let all: Vec<_> = named.collect();
            match all.as_slice() {
                [_] => all,
                many => many.iter().copied().filter(|node| role(*node).is_some()).collect(),
            }
        }
    };
    match fitting.as_slice() {
        [] => Err(MetadataError::EntityNotFound),
        [one] => Ok(*one),
        many => {
            let ids = many.iter().take(20).filter_map(|node| attribute(*node, "entityID"));
            Err(MetadataError::EntityAmbiguous(ids.map(str::to_owned).collect()))
        }
    }
}

/// The identity provider role for SAML 2.0.
fn role(entity: Node<'_>) -> Option<Node<'_>> {
    children(entity).find(|node| {
        is(*node, names::METADATA, "IDPSSODescriptor")
            && attribute(*node, "protocolSupportEnumeration")
                .is_some_and(|protocols| protocols.split_ascii_whitespace().any(|p| p == names::PROTOCOL))
    })
}

fn valid_until(role: Node<'_>) -> Result<Option<Timestamp>, MetadataError> {
    let mut earliest = None;
    for text in role.ancestors().filter_map(|node| attribute(node, "validUntil")) {
        let until = time::parse(text).map_err(|fail| MetadataError::Xml(fail.refusal))?;
        earliest = Some(earliest.map_or(until, |other: Timestamp| other.min(until)));
    }
    Ok(earliest)
}

/// The certificates of the keys that sign: `use="signing"`, or no use at all.
fn certificates(role: Node<'_>) -> Result<(Vec<Certificate>, Vec<CertificateError>), MetadataError> {
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    let keys = children(role).filter(|node| is(*node, names::METADATA, "KeyDescriptor"));
    let signing = keys.filter(|node| attribute(*node, "use").is_none_or(|usage| usage == "signing"));
    let holders = signing.flat_map(|key| key.descendants());
    for (count, node) in holders.filter(|node| is(*node, names::DSIG, "X509Certificate")).enumerate() {
        if count >= MAX_SIGNING_CERTIFICATES {
            return Err(MetadataError::TooManyCertificates);
        }
        match Certificate::from_base64(&text_of(node).unwrap_or_default()) {
            Ok(certificate) if usable.contains(&certificate) => {}
            Ok(certificate) => usable.push(certificate),
            Err(error) => unusable.push(error),
        }
    }
    if usable.is_empty() {
        Err(MetadataError::NoSigningCertificate(unusable))
    } else {
        Ok((usable, unusable))
    }
}
