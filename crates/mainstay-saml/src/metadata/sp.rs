//! Writing this service's own metadata.

use mainstay_core::Timestamp;

use crate::certificate::Certificate;
use crate::response::ServiceProvider;
use crate::time;
use crate::xml::escape::{push_attribute, push_element};
use crate::xml::names;

/// This service's metadata (SAML metadata 2.4.4). Everything is escaped; nothing is signed.
#[derive(Debug, Clone, Copy)]
pub struct SpMetadata<'a> {
    /// The service.
    pub sp: &'a ServiceProvider,
    /// The certificates of the keys that sign our requests, the current one and, before a rotation, the next.
    pub signing_certificates: &'a [Certificate],
    /// Whether our requests are signed.
    pub authn_requests_signed: bool,
    /// Whether assertions must be signed.
    pub want_assertions_signed: bool,
    /// The NameID formats that we ask for.
    pub name_id_formats: &'a [&'a str],
    /// Until when identity providers may keep this.
    pub valid_until: Option<Timestamp>,
}

impl<'a> SpMetadata<'a> {
    /// The least that an identity provider needs.
    #[must_use]
    pub const fn new(sp: &'a ServiceProvider) -> Self {
        Self {
            sp,
            signing_certificates: &[],
            authn_requests_signed: false,
            want_assertions_signed: true,
            name_id_formats: &[],
            valid_until: None,
        }
    }

    /// The document.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor");
        push_attribute(&mut xml, "xmlns:md", names::METADATA);
        push_attribute(&mut xml, "xmlns:ds", names::DSIG);
        push_attribute(&mut xml, "entityID", &self.sp.entity_id);
        if let Some(until) = self.valid_until {
            push_attribute(&mut xml, "validUntil", &time::format(until));
        }
        xml.push_str("><md:SPSSODescriptor");
        push_attribute(&mut xml, "protocolSupportEnumeration", names::PROTOCOL);
        push_attribute(&mut xml, "AuthnRequestsSigned", &self.authn_requests_signed.to_string());
        push_attribute(&mut xml, "WantAssertionsSigned", &self.want_assertions_signed.to_string());
        xml.push('>');
        for certificate in self.signing_certificates {
            push_key(&mut xml, certificate);
        }
        for format in self.name_id_formats {
            push_element(&mut xml, "md:NameIDFormat", format);
        }
        xml.push_str("<md:AssertionConsumerService");
        push_attribute(&mut xml, "Binding", names::BINDING_POST);
        push_attribute(&mut xml, "Location", &self.sp.acs_url);
        push_attribute(&mut xml, "index", "0");
        push_attribute(&mut xml, "isDefault", "true");
        xml.push_str("/></md:SPSSODescriptor></md:EntityDescriptor>\n");
        xml
    }
}

/// A `KeyDescriptor` for signing.
pub(crate) fn push_key(xml: &mut String, certificate: &Certificate) {
    xml.push_str("<md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data>");
    push_element(xml, "ds:X509Certificate", &certificate.to_base64());
    xml.push_str("</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>");
}
