//! Issuing a signed Response.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Timestamp;

use super::{Canonicalization, IdentityProvider, SignError, SignOptions, sign_enveloped};
use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::authn_request::id_from;
use crate::response::ServiceProvider;
use crate::time;
use crate::xml::escape::{push_attribute, push_element};
use crate::xml::names;

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signed {
    /// Nothing: for tests of what must be refused.
    Nothing,
    /// The Response.
    Response,
    /// The Assertion.
    #[default]
    Assertion,
    /// The Assertion, then the Response around it.
    Both,
}

/// Who is signed in, where, and how the message is signed.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The service's entity id.
    pub audience: String,
    /// The service's assertion consumer URL.
    pub acs_url: String,
    /// The request that is answered; none for a login that starts here.
    pub in_response_to: Option<String>,
    /// Who it is.
    pub name_id: String,
    /// The format of the NameID.
    pub name_id_format: String,
    /// Attributes with their values, in order.
    pub attributes: Vec<(String, Vec<String>)>,
    /// The session here.
    pub session_index: Option<String>,
    /// When the session here ends and the service's has to end with it; none leaves that to the service.
    pub session_not_on_or_after: Option<Timestamp>,
    /// How the user authenticated.
    pub authn_context: String,
    /// How long the assertion is valid.
    pub lifetime: Duration,
    /// What is signed.
    pub signed: Signed,
    /// The signature algorithm; none takes the key's own.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The digest algorithm.
    pub digest: DigestAlgorithm,
    /// How what is signed becomes octets.
    pub canonicalization: Canonicalization,
}

impl Grant {
    /// Signs `name_id` in at `sp` for five minutes, with a signed assertion.
    pub fn new(sp: &ServiceProvider, in_response_to: Option<&str>, name_id: impl Into<String>) -> Self {
        Self {
            audience: sp.entity_id.clone(),
            acs_url: sp.acs_url.clone(),
            in_response_to: in_response_to.map(str::to_owned),
            name_id: name_id.into(),
            name_id_format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress".to_owned(),
            attributes: Vec::new(),
            session_index: None,
            session_not_on_or_after: None,
            authn_context: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned(),
            lifetime: Duration::from_secs(300),
            signed: Signed::default(),
            algorithm: None,
            digest: DigestAlgorithm::Sha256,
            canonicalization: Canonicalization::default(),
        }
    }
}

impl IdentityProvider {
    /// The base64 of a signed Response, for the form field `SAMLResponse`. `random` is 32 fresh octets.
    ///
    /// # Errors
    /// [`SignError`] when the key and the algorithm do not fit.
    pub fn respond(&self, grant: &Grant, random: &[u8; 32], now: Timestamp) -> Result<String, SignError> {
        Ok(STANDARD.encode(self.response_xml(grant, random, now)?))
    }

    /// The signed Response as XML.
    ///
    /// # Errors
    /// [`SignError`] when the key and the algorithm do not fit.
    pub fn response_xml(
        &self,
        grant: &Grant,
        random: &[u8; 32],
        now: Timestamp,
    ) -> Result<String, SignError> {
        let (first, second) = random.split_at(16);
        // Two letters keep the IDs apart whatever the octets are.
        let response_id = id_from(first).replacen('_', "_r", 1);
        let assertion_id = id_from(second).replacen('_', "_a", 1);
        let mut xml = self.unsigned_xml(grant, &response_id, &assertion_id, now);
        let mut options = SignOptions::new(&self.key, &self.certificate);
        options.algorithm = grant.algorithm;
        options.digest = grant.digest;
        options.canonicalization = grant.canonicalization;
        if matches!(grant.signed, Signed::Assertion | Signed::Both) {
            xml = sign_enveloped(&xml, &assertion_id, &options)?;
        }
        if matches!(grant.signed, Signed::Response | Signed::Both) {
            xml = sign_enveloped(&xml, &response_id, &options)?;
        }
        Ok(xml)
    }

    fn unsigned_xml(&self, grant: &Grant, response_id: &str, assertion_id: &str, now: Timestamp) -> String {
        let mut xml = String::with_capacity(4096);
        xml.push_str("<samlp:Response");
        push_attribute(&mut xml, "xmlns:samlp", names::PROTOCOL);
        push_attribute(&mut xml, "xmlns:saml", names::ASSERTION);
        push_attribute(&mut xml, "ID", response_id);
        push_attribute(&mut xml, "Version", "2.0");
        push_attribute(&mut xml, "IssueInstant", &time::format(now));
        push_attribute(&mut xml, "Destination", &grant.acs_url);
        if let Some(id) = &grant.in_response_to {
            push_attribute(&mut xml, "InResponseTo", id);
        }
        xml.push('>');
        push_element(&mut xml, "saml:Issuer", &self.entity_id);
        xml.push_str("<samlp:Status><samlp:StatusCode");
        push_attribute(&mut xml, "Value", names::STATUS_SUCCESS);
        xml.push_str("/></samlp:Status>");
        self.push_assertion(&mut xml, grant, assertion_id, now);
        xml.push_str("</samlp:Response>");
        xml
    }

    fn push_assertion(&self, xml: &mut String, grant: &Grant, id: &str, now: Timestamp) {
        let end = time::format(now.saturating_add(grant.lifetime));
        xml.push_str("<saml:Assertion");
        push_attribute(xml, "ID", id);
        push_attribute(xml, "Version", "2.0");
        push_attribute(xml, "IssueInstant", &time::format(now));
        xml.push('>');
        push_element(xml, "saml:Issuer", &self.entity_id);
        xml.push_str("<saml:Subject><saml:NameID");
        push_attribute(xml, "Format", &grant.name_id_format);
        xml.push('>');
        crate::xml::escape::push_escaped(xml, &grant.name_id);
        xml.push_str("</saml:NameID><saml:SubjectConfirmation");
        push_attribute(xml, "Method", names::BEARER);
        xml.push_str("><saml:SubjectConfirmationData");
        if let Some(id) = &grant.in_response_to {
            push_attribute(xml, "InResponseTo", id);
        }
        push_attribute(xml, "NotOnOrAfter", &end);
        push_attribute(xml, "Recipient", &grant.acs_url);
        xml.push_str("/></saml:SubjectConfirmation></saml:Subject><saml:Conditions");
        push_attribute(xml, "NotBefore", &time::format(now));
        push_attribute(xml, "NotOnOrAfter", &end);
        xml.push_str("><saml:AudienceRestriction>");
        push_element(xml, "saml:Audience", &grant.audience);
        xml.push_str("</saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement");
        push_attribute(xml, "AuthnInstant", &time::format(now));
        if let Some(index) = &grant.session_index {
            push_attribute(xml, "SessionIndex", index);
        }
        if let Some(end) = grant.session_not_on_or_after {
            push_attribute(xml, "SessionNotOnOrAfter", &time::format(end));
        }
        xml.push_str("><saml:AuthnContext>");
        push_element(xml, "saml:AuthnContextClassRef", &grant.authn_context);
        xml.push_str("</saml:AuthnContext></saml:AuthnStatement>");
        push_attributes(xml, &grant.attributes);
        xml.push_str("</saml:Assertion>");
    }
}

fn push_attributes(xml: &mut String, attributes: &[(String, Vec<String>)]) {
    if attributes.is_empty() {
        return;
    }
    xml.push_str("<saml:AttributeStatement>");
    for (name, values) in attributes {
        xml.push_str("<saml:Attribute");
        push_attribute(xml, "Name", name);
        push_attribute(xml, "NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:basic");
        xml.push('>');
        for value in values {
            push_element(xml, "saml:AttributeValue", value);
        }
        xml.push_str("</saml:Attribute>");
    }
    xml.push_str("</saml:AttributeStatement>");
}
