//! Identity provider metadata in, ours out.

use mainstay_saml::idp::{SignOptions, sign_enveloped};
use mainstay_saml::{
    Certificate, IdpMetadata, Limits, MAX_METADATA_BYTES, MAX_SIGNING_CERTIFICATES, MetadataError,
    MetadataOptions, Policy, Refusal, RequestError, ServiceProvider, SpMetadata,
};

use crate::support::*;

fn parse_as(
    xml: &str,
    entity_id: Option<&str>,
    signers: &[Certificate],
) -> Result<IdpMetadata, MetadataError> {
    let policy = Policy::default();
    IdpMetadata::parse(xml.as_bytes(), &MetadataOptions { entity_id, signers, policy: &policy, now: at(NOW) })
}

fn parse(xml: &str) -> Result<IdpMetadata, MetadataError> {
    parse_as(xml, None, &[])
}

fn own() -> String {
    ecdsa().metadata()
}

fn entity() -> String {
    own().split_once("?>\n").unwrap().1.trim_end().to_owned()
}

fn aggregate(inner: &str) -> String {
    format!(
        "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{inner}</md:EntitiesDescriptor>"
    )
}

#[test]
fn what_the_identity_provider_writes_is_read() {
    let metadata = parse(&own()).unwrap();
    assert_eq!(metadata.entity_id, ecdsa().entity_id);
    assert_eq!(metadata.sso_redirect_url.as_deref(), Some(ecdsa().sso_url.as_str()));
    assert_eq!(metadata.signing_certificates, [ecdsa().certificate.clone()]);
    assert_eq!(metadata.to_trust(Policy::default()), ecdsa().trust(Policy::default()));
    assert!(!metadata.want_authn_requests_signed && metadata.signed_by.is_none());
}

#[test]
fn several_certificates_and_uses() {
    let key = slice(&own(), "<md:KeyDescriptor", "</md:KeyDescriptor>").to_owned();
    let other = key.replace(&ecdsa().certificate.to_base64(), &rsa().certificate.to_base64());
    let xml = swap(&own(), &key, &format!("{key}{}{other}", key.replace(" use=\"signing\"", "")));
    assert_eq!(
        parse(&xml).unwrap().signing_certificates,
        [ecdsa().certificate.clone(), rsa().certificate.clone()]
    );
    let encryption = other.replace("use=\"signing\"", "use=\"encryption\"");
    assert_eq!(
        parse(&swap(&own(), &key, &format!("{encryption}{key}"))).unwrap().signing_certificates.len(),
        1
    );
    assert_eq!(parse(&swap(&own(), &key, &encryption)), Err(MetadataError::NoSigningCertificate(Vec::new())));
    let broken = key.replace(&ecdsa().certificate.to_base64(), "AAAA");
    let metadata = parse(&swap(&own(), &key, &format!("{broken}{key}"))).unwrap();
    assert_eq!((metadata.signing_certificates.len(), metadata.unusable_certificates.len()), (1, 1));
    assert!(
        matches!(parse(&swap(&own(), &key, &broken)), Err(MetadataError::NoSigningCertificate(why)) if why.len() == 1)
    );
    assert!(parse(&swap(&own(), &key, &key.repeat(MAX_SIGNING_CERTIFICATES))).is_ok());
    assert_eq!(
        parse(&swap(&own(), &key, &key.repeat(MAX_SIGNING_CERTIFICATES + 1))),
        Err(MetadataError::TooManyCertificates)
    );
}

#[test]
fn aggregates() {
    let other = entity().replace("https://idp.test/entity", "https://other.test");
    let both = aggregate(&format!("{}{}", entity(), aggregate(&other)));
    assert!(matches!(parse(&both), Err(MetadataError::EntityAmbiguous(ids)) if ids.len() == 2));
    assert_eq!(parse_as(&both, Some("https://other.test"), &[]).unwrap().entity_id, "https://other.test");
    assert_eq!(parse_as(&both, Some("https://none.test"), &[]), Err(MetadataError::EntityNotFound));
    assert_eq!(parse(&aggregate("")), Err(MetadataError::EntityNotFound));
    // An entity inside another element is not an entity.
    let hidden = swap(
        &entity(),
        "<md:IDPSSODescriptor",
        &format!("<md:Extensions>{other}</md:Extensions><md:IDPSSODescriptor"),
    );
    assert_eq!(parse(&hidden).unwrap().entity_id, "https://idp.test/entity");
    assert_eq!(parse_as(&hidden, Some("https://other.test"), &[]), Err(MetadataError::EntityNotFound));
}

#[test]
fn refusals() {
    let bent = |from: &str, to: &str| parse(&swap(&own(), from, to)).unwrap_err();
    assert_eq!(parse("<x/>").unwrap_err(), MetadataError::NotMetadata);
    assert_eq!(parse("<x>").unwrap_err(), MetadataError::Xml(Refusal::XmlMalformed));
    assert_eq!(parse("<!DOCTYPE x><x/>").unwrap_err(), MetadataError::Xml(Refusal::DoctypeForbidden));
    assert_eq!(bent("SAML:2.0:protocol", "SAML:1.1:protocol"), MetadataError::NotAnIdentityProvider);
    assert_eq!(bent("bindings:HTTP-Redirect", "bindings:SOAP"), MetadataError::NoSingleSignOnService);
    assert_eq!(
        bent("https://idp.test/sso", "javascript:alert(1)"),
        MetadataError::SingleSignOnUrl(RequestError::SsoUrlNotHttp)
    );
    let reserved = RequestError::SsoUrlReservedParameter("RelayState".to_owned());
    assert_eq!(
        bent("https://idp.test/sso", "https://idp.test/sso?RelayState=x"),
        MetadataError::SingleSignOnUrl(reserved)
    );
    let until = |instant: &str| format!("<md:IDPSSODescriptor validUntil=\"{instant}\"");
    assert_eq!(bent("<md:IDPSSODescriptor", &until(NOW)), MetadataError::Expired(at(NOW)));
    assert_eq!(bent("<md:IDPSSODescriptor", &until("soon")), MetadataError::Xml(Refusal::TimeMalformed));
    let later = swap(&own(), "<md:IDPSSODescriptor", &until("2026-11-21T09:03:01Z"));
    assert_eq!(parse(&later).unwrap().valid_until, Some(at("2026-11-21T09:03:01Z")));
}

/// Signed metadata of ours: an Issuer is not part of metadata, so the signer's place is made by hand.
fn signed() -> String {
    let names = "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_md\" ";
    let marker = "<saml:Issuer></saml:Issuer>";
    let xml = swap(&entity(), "<md:EntityDescriptor ", &format!("<md:EntityDescriptor {names}"));
    let xml = swap(&xml, "<md:IDPSSODescriptor", &format!("{marker}<md:IDPSSODescriptor"));
    let signed = sign_enveloped(&xml, "_md", &SignOptions::new(&rsa().key, &rsa().certificate)).unwrap();
    let sig = signature(&signed);
    // The marker stays signed content; the signature moves in front of it.
    swap(&swap(&signed, &sig, ""), marker, &format!("{sig}{marker}"))
}

#[test]
fn pinned_signers() {
    let pinned = [rsa().certificate.clone()];
    let metadata = parse_as(&signed(), None, &pinned).unwrap();
    assert_eq!(metadata.signed_by.unwrap().fingerprint, rsa().certificate.fingerprint());
    let refused = |xml: &str, signers: &[Certificate]| parse_as(xml, None, signers).unwrap_err();
    assert_eq!(refused(&own(), &pinned), MetadataError::Signature(Refusal::IdMissing));
    let unsigned = swap(&signed(), &signature(&signed()), "");
    assert_eq!(refused(&unsigned, &pinned), MetadataError::Signature(Refusal::SignatureMissing));
    let tampered = swap(&signed(), "https://idp.test/sso", "https://evil.test/sso");
    assert_eq!(refused(&tampered, &pinned), MetadataError::Signature(Refusal::DigestMismatch));
    assert_eq!(
        refused(&signed(), &[ecdsa().certificate.clone()]),
        MetadataError::Signature(Refusal::KeyTypeMismatch)
    );
    // A signed entity inside an unsigned aggregate, and behind another element.
    assert_eq!(refused(&aggregate(&signed()), &pinned), MetadataError::Signature(Refusal::IdMissing));
    let sig = signature(&signed());
    let moved =
        swap(&swap(&signed(), &sig, ""), "</md:EntityDescriptor>", &format!("{sig}</md:EntityDescriptor>"));
    assert_eq!(refused(&moved, &pinned), MetadataError::Signature(Refusal::SignatureMisplaced));
    assert_eq!(
        refused(&swap(&signed(), &sig, &sig.repeat(2)), &pinned),
        MetadataError::Signature(Refusal::SignatureMultiple)
    );
    let twice = swap(&signed(), "<md:IDPSSODescriptor", "<md:IDPSSODescriptor ID=\"_md\"");
    assert_eq!(refused(&twice, &pinned), MetadataError::Signature(Refusal::IdDuplicate));
}

#[test]
fn large_aggregates() {
    let pad = |bytes: usize| aggregate(&format!("{}<!--{}-->", entity(), "x".repeat(bytes)));
    let fixed = pad(0).len();
    assert!(parse(&pad(MAX_METADATA_BYTES - fixed)).is_ok());
    assert_eq!(
        parse(&pad(MAX_METADATA_BYTES - fixed + 1)).unwrap_err(),
        MetadataError::Xml(Refusal::MessageTooLarge)
    );
    let declared = entity().matches("xmlns").count();
    let many = |count: usize| aggregate(&format!("{}{}", entity(), "<a xmlns=\"u\"/>".repeat(count)));
    let room = Limits::METADATA.declarations - declared - 1;
    assert!(parse(&many(room)).is_ok());
    assert_eq!(parse(&many(room + 1)).unwrap_err(), MetadataError::Xml(Refusal::XmlLimitExceeded));
}

#[test]
fn our_own_metadata_is_escaped() {
    let sp = ServiceProvider::new("https://sp.test/\"><x/>&", "https://sp.test/acs?a=1&b=<2>");
    let mut metadata = SpMetadata::new(&sp);
    let certificates = [rsa().certificate.clone(), ecdsa().certificate.clone()];
    metadata.signing_certificates = &certificates;
    metadata.name_id_formats = &["urn:x<y>"];
    metadata.authn_requests_signed = true;
    metadata.valid_until = Some(at(NOW));
    let xml = metadata.to_xml();
    assert!(!xml.contains("<x/>") && !xml.contains("<2>") && !xml.contains("<y>"));
    assert!(xml.contains("entityID=\"https://sp.test/&quot;&gt;&lt;x/&gt;&amp;\""));
    assert_eq!(xml.matches("<md:KeyDescriptor use=\"signing\">").count(), 2);
    assert!(
        xml.contains("AuthnRequestsSigned=\"true\"") && xml.contains("validUntil=\"2026-11-21T09:03:00Z\"")
    );
    // It is metadata, only not an identity provider's.
    assert_eq!(parse(&xml), Err(MetadataError::NotAnIdentityProvider));
}
