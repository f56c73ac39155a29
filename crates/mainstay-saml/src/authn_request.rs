//! Sending the browser to the identity provider (SAML core 3.4.1, bindings 3.4).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Timestamp;

use crate::binding::redirect::{PercentEncoding, deflate, push_percent};
use crate::response::{ServiceProvider, Trust};
use crate::signing_key::{KeyError, SigningKey};
use crate::time;
use crate::xml::escape::{push_attribute, push_element};
use crate::xml::names;

/// Longest RelayState (SAML bindings 3.4.3).
pub const MAX_RELAY_STATE_BYTES: usize = 80;
/// Longest single sign-on URL, and so the room that a redirect leaves.
pub const MAX_SSO_URL_BYTES: usize = 2048;
/// The parameters that the redirect binding claims for itself; a single sign-on URL must not have them.
pub const RESERVED_PARAMETERS: [&str; 6] =
    ["SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding"];

/// Why a request could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The single sign-on URL is not an absolute http or https URL.
    SsoUrlNotHttp,
    /// The single sign-on URL has a fragment, white space or a control character.
    SsoUrlMalformed,
    /// The single sign-on URL is longer than [`MAX_SSO_URL_BYTES`].
    SsoUrlTooLong,
    /// The single sign-on URL already has one of the [`RESERVED_PARAMETERS`].
    SsoUrlReservedParameter(String),
    /// The RelayState is longer than [`MAX_RELAY_STATE_BYTES`].
    RelayStateTooLong,
    /// The request could not be signed.
    Key(KeyError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SsoUrlNotHttp => {
                f.write_str("the single sign-on URL must start with https:// or http:// and name a host")
            }
            Self::SsoUrlMalformed => {
                f.write_str("the single sign-on URL must have no fragment, white space or control character")
            }
            Self::SsoUrlTooLong => {
                write!(f, "the single sign-on URL is longer than {MAX_SSO_URL_BYTES} bytes")
            }
            Self::SsoUrlReservedParameter(name) => {
                write!(
                    f,
                    "the single sign-on URL must not have the parameter {name}, which the binding uses itself"
                )
            }
            Self::RelayStateTooLong => {
                write!(f, "the RelayState is longer than {MAX_RELAY_STATE_BYTES} bytes")
            }
            Self::Key(error) => write!(f, "the request could not be signed: {error}"),
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

/// What a request asks for beyond a login.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthnRequestOptions<'a> {
    /// The opaque handle that comes back with the response.
    pub relay_state: Option<&'a str>,
    /// The NameID format to ask for; none asks for nothing.
    pub name_id_format: Option<&'a str>,
    /// Asks for a fresh authentication.
    pub force_authn: bool,
    /// Asks for no interaction.
    pub is_passive: bool,
    /// Authentication context classes, any of which will do ("exact"); empty asks for nothing.
    pub authn_contexts: &'a [&'a str],
    /// Signs the query with this key.
    pub signing_key: Option<&'a SigningKey>,
    /// How the query is percent-encoded; lower case for ADFS.
    pub percent_encoding: PercentEncoding,
}

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingRequest {
    /// The ID that the response must answer.
    pub request_id: String,
    /// Where to redirect the browser (status 302 or 303).
    pub redirect_url: String,
    /// The message itself, for traces.
    pub xml: String,
}

/// Checks a single sign-on URL before it is stored or used.
///
/// # Errors
/// The `SsoUrl` kinds of [`RequestError`].
pub fn check_sso_url(url: &str) -> Result<(), RequestError> {
    if url.len() > MAX_SSO_URL_BYTES {
        return Err(RequestError::SsoUrlTooLong);
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_none_or(|host| host.is_empty() || host.contains(['@', '\\'])) {
        return Err(RequestError::SsoUrlNotHttp);
    }
    if url
        .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '#' | '\\' | '"' | '<' | '>'))
    {
        return Err(RequestError::SsoUrlMalformed);
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split(['&', ';']) {
        let name = pair.split('=').next().unwrap_or("");
        // An escape in the name could spell a reserved one, so the comparison is over the decoded bytes.
        let decoded = unescape(name);
        if let Some(reserved) = RESERVED_PARAMETERS.iter().find(|r| r.eq_ignore_ascii_case(&decoded)) {
            return Err(RequestError::SsoUrlReservedParameter((*reserved).to_owned()));
        }
    }
    Ok(())
}

/// ASCII escapes only; anything else cannot spell a reserved name.
fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, tail)) = rest.split_once('%') {
        out.push_str(plain);
        match tail.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = tail.get(2..).unwrap_or("");
            }
            None => {
                out.push('%');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Builds an AuthnRequest and the URL of the HTTP-Redirect binding that carries it.
///
/// `random` is 20 fresh octets; the request's ID is `_` and their hexadecimal form.
///
/// # Errors
/// [`RequestError`], with the exact reason.
pub fn authn_request(
    sp: &ServiceProvider,
    trust: &Trust,
    options: &AuthnRequestOptions<'_>,
    random: &[u8; 20],
    now: Timestamp,
) -> Result<OutgoingRequest, RequestError> {
    check_sso_url(&trust.sso_url)?;
    if options.relay_state.is_some_and(|state| state.len() > MAX_RELAY_STATE_BYTES) {
        return Err(RequestError::RelayStateTooLong);
    }
    let request_id = id_from(random);
    let xml = request_xml(sp, trust, options, &request_id, now);
    let query = signed_query(&xml, options)?;
    let separator = match trust.sso_url.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let redirect_url = format!("{}{separator}{query}", trust.sso_url);
    Ok(OutgoingRequest { request_id, redirect_url, xml })
}

/// An `xs:ID` made of random octets.
pub(crate) fn id_from(random: &[u8]) -> String {
    let mut id = String::with_capacity(1 + 2 * random.len());
    id.push('_');
    for byte in random {
        for nibble in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    id
}

fn request_xml(
    sp: &ServiceProvider,
    trust: &Trust,
    options: &AuthnRequestOptions<'_>,
    id: &str,
    now: Timestamp,
) -> String {
    let mut xml = String::with_capacity(1024);
    xml.push_str("<samlp:AuthnRequest");
    push_attribute(&mut xml, "xmlns:samlp", names::PROTOCOL);
    push_attribute(&mut xml, "xmlns:saml", names::ASSERTION);
    push_attribute(&mut xml, "ID", id);
    push_attribute(&mut xml, "Version", "2.0");
    push_attribute(&mut xml, "IssueInstant", &time::format(now));
    push_attribute(&mut xml, "Destination", &trust.sso_url);
    push_attribute(&mut xml, "AssertionConsumerServiceURL", &sp.acs_url);
    push_attribute(&mut xml, "ProtocolBinding", names::BINDING_POST);
    if options.force_authn {
        push_attribute(&mut xml, "ForceAuthn", "true");
    }
    if options.is_passive {
        push_attribute(&mut xml, "IsPassive", "true");
    }
    xml.push('>');
    push_element(&mut xml, "saml:Issuer", &sp.entity_id);
    if let Some(format) = options.name_id_format {
        xml.push_str("<samlp:NameIDPolicy");
        push_attribute(&mut xml, "Format", format);
        push_attribute(&mut xml, "AllowCreate", "true");
        xml.push_str("/>");
    }
    if !options.authn_contexts.is_empty() {
        xml.push_str("<samlp:RequestedAuthnContext Comparison=\"exact\">");
        for context in options.authn_contexts {
            push_element(&mut xml, "saml:AuthnContextClassRef", context);
        }
        xml.push_str("</samlp:RequestedAuthnContext>");
    }
    xml.push_str("</samlp:AuthnRequest>");
    xml
}

/// `SAMLRequest=…[&RelayState=…][&SigAlg=…&Signature=…]`; the signature covers everything before it, as sent.
fn signed_query(xml: &str, options: &AuthnRequestOptions<'_>) -> Result<String, RequestError> {
    let encoding = options.percent_encoding;
    let mut query = String::with_capacity(1024);
    query.push_str("SAMLRequest=");
    push_percent(&mut query, &deflate(xml), encoding);
    if let Some(state) = options.relay_state {
        query.push_str("&RelayState=");
        push_percent(&mut query, state, encoding);
    }
    if let Some(key) = options.signing_key {
        let algorithm = key.default_algorithm();
        query.push_str("&SigAlg=");
        push_percent(&mut query, algorithm.identifier(), encoding);
        let value = key.sign(algorithm, query.as_bytes()).map_err(RequestError::Key)?;
        query.push_str("&Signature=");
        push_percent(&mut query, &STANDARD.encode(value), encoding);
    }
    Ok(query)
}
