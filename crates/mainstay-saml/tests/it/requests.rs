//! Requests: written here, read by the identity provider.

use aws_lc_rs::signature as raw;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_saml::idp::IncomingRequestError;
use mainstay_saml::{
    AuthnRequestOptions, KeyError, MAX_INFLATED_BYTES, MAX_RELAY_STATE_BYTES, MAX_SSO_URL_BYTES,
    OutgoingRequest, PercentEncoding, Policy, Refusal, RequestError, ServiceProvider, authn_request,
    check_sso_url,
};

use crate::support::*;

fn send(options: &AuthnRequestOptions<'_>) -> OutgoingRequest {
    let lab = Lab::new();
    authn_request(&lab.sp, &lab.trust, options, &[0xab; 20], lab.now).unwrap()
}

fn query(url: &str) -> &str {
    url.split_once('?').unwrap().1
}

#[test]
fn a_request_arrives_as_it_was_meant() {
    let out = send(&AuthnRequestOptions {
        relay_state: Some("rs_1 &="),
        name_id_format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"),
        force_authn: true,
        is_passive: true,
        authn_contexts: &["urn:mfa", "urn:<other>"],
        ..AuthnRequestOptions::default()
    });
    assert_eq!(out.request_id, format!("_{}", "ab".repeat(20)));
    assert!(out.xml.contains("IsPassive=\"true\"") && out.xml.contains("urn:&lt;other&gt;"));
    let read = ecdsa().parse_request(query(&out.redirect_url)).unwrap();
    assert_eq!((read.id.as_str(), read.issuer.as_str()), (out.request_id.as_str(), "https://sp.test/entity"));
    assert_eq!(read.acs_url.as_deref(), Some("https://sp.test/acs"));
    assert_eq!(read.relay_state.as_deref(), Some("rs_1 &="));
    assert_eq!(read.name_id_format.as_deref(), Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"));
    assert!(read.force_authn);
    let plain = ecdsa().parse_request(query(&send(&AuthnRequestOptions::default()).redirect_url)).unwrap();
    assert_eq!((plain.relay_state, plain.name_id_format, plain.force_authn), (None, None, false));
}

#[test]
fn names_cannot_break_out_of_the_request() {
    let lab = Lab::new();
    let sp =
        ServiceProvider::new("https://sp.test/</saml:Issuer><x a=\"'\">&", "https://sp.test/acs\"><evil/>");
    let out = authn_request(&sp, &lab.trust, &AuthnRequestOptions::default(), &[1; 20], lab.now).unwrap();
    let read = ecdsa().parse_request(query(&out.redirect_url)).unwrap();
    assert_eq!((read.issuer, read.acs_url), (sp.entity_id, Some(sp.acs_url)));
}

#[test]
fn the_query_joins_one_that_is_there() {
    let mut lab = Lab::new();
    for (url, start) in [
        ("https://idp.test/sso", "https://idp.test/sso?SAMLRequest="),
        ("https://idp.test/sso?", "https://idp.test/sso?SAMLRequest="),
        ("https://idp.test/sso?a=b", "https://idp.test/sso?a=b&SAMLRequest="),
        ("https://idp.test/sso?a=b&", "https://idp.test/sso?a=b&SAMLRequest="),
    ] {
        lab.trust.sso_url = url.to_owned();
        let out =
            authn_request(&lab.sp, &lab.trust, &AuthnRequestOptions::default(), &[1; 20], lab.now).unwrap();
        assert!(out.redirect_url.starts_with(start), "{}", out.redirect_url);
    }
}

#[test]
fn signatures_are_over_the_query_as_sent() {
    let rsa_key =
        raw::UnparsedPublicKey::new(&raw::RSA_PKCS1_2048_8192_SHA256, public_key(&rsa().certificate));
    let ecdsa_key =
        raw::UnparsedPublicKey::new(&raw::ECDSA_P256_SHA256_FIXED, public_key(&ecdsa().certificate));
    for encoding in [PercentEncoding::Upper, PercentEncoding::Lower] {
        for (signing_key, public, name) in
            [(&rsa().key, &rsa_key, "rsa-sha256"), (&ecdsa().key, &ecdsa_key, "ecdsa-sha256")]
        {
            let relay_state = Some("rs_/+é");
            let out = send(&AuthnRequestOptions {
                relay_state,
                signing_key: Some(signing_key),
                percent_encoding: encoding,
                ..AuthnRequestOptions::default()
            });
            let (signed, value) = query(&out.redirect_url).split_once("&Signature=").unwrap();
            assert!(signed.contains("&RelayState=") && signed.ends_with(name));
            let value = value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
            let value = value.replace("%2b", "+").replace("%2f", "/").replace("%3d", "=");
            public.verify(signed.as_bytes(), &STANDARD.decode(value).unwrap()).unwrap();
            let escapes: String = signed.split('%').skip(1).map(|part| &part[..2]).collect();
            assert_eq!(
                escapes.contains(|c: char| c.is_ascii_uppercase()),
                encoding == PercentEncoding::Upper
            );
        }
    }
}

/// The key bits, which are the end of the SubjectPublicKeyInfo.
fn public_key(certificate: &mainstay_saml::Certificate) -> Vec<u8> {
    use der::{Decode as _, Encode as _};
    let parsed = x509_cert::Certificate::from_der(certificate.der()).unwrap();
    let bits = parsed.tbs_certificate.subject_public_key_info.subject_public_key;
    assert!(bits.to_der().is_ok());
    bits.as_bytes().unwrap().to_vec()
}

#[test]
fn single_sign_on_urls() {
    for fine in [
        "https://idp.test",
        "http://localhost:8080/sso?x=SAMLRequest",
        "https://[::1]/sso",
        "https://idp.test/a;b?tenant=%20",
    ] {
        assert_eq!(check_sso_url(fine), Ok(()));
    }
    for (wrong, error) in [
        ("", RequestError::SsoUrlNotHttp),
        ("ftp://idp.test", RequestError::SsoUrlNotHttp),
        ("javascript:alert(1)", RequestError::SsoUrlNotHttp),
        ("https://", RequestError::SsoUrlNotHttp),
        ("https:///x", RequestError::SsoUrlNotHttp),
        ("https://user@idp.test/", RequestError::SsoUrlNotHttp),
        ("//idp.test/", RequestError::SsoUrlNotHttp),
        ("https://idp.test/#x", RequestError::SsoUrlMalformed),
        ("https://idp.test/a b", RequestError::SsoUrlMalformed),
        ("https://idp.test/\r\nX: y", RequestError::SsoUrlMalformed),
    ] {
        assert_eq!(check_sso_url(wrong), Err(error), "{wrong}");
    }
    for name in mainstay_saml::RESERVED_PARAMETERS {
        let encoded = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
        for spelling in [name.to_owned(), name.to_lowercase(), encoded] {
            for url in
                [format!("https://idp.test/?{spelling}=x"), format!("https://idp.test/?a=b&{spelling}")]
            {
                assert_eq!(
                    check_sso_url(&url),
                    Err(RequestError::SsoUrlReservedParameter(name.to_owned())),
                    "{url}"
                );
            }
        }
    }
    let long = |bytes: usize| format!("https://idp.test/{}", "a".repeat(bytes - 17));
    assert_eq!(check_sso_url(&long(MAX_SSO_URL_BYTES)), Ok(()));
    assert_eq!(check_sso_url(&long(MAX_SSO_URL_BYTES + 1)), Err(RequestError::SsoUrlTooLong));
}

#[test]
fn relay_states_are_short() {
    let lab = Lab::new();
    let attempt = |bytes: usize| {
        let state = "a".repeat(bytes);
        let options = AuthnRequestOptions { relay_state: Some(&state), ..AuthnRequestOptions::default() };
        authn_request(&lab.sp, &lab.trust, &options, &[1; 20], lab.now).map(drop)
    };
    assert_eq!(attempt(MAX_RELAY_STATE_BYTES), Ok(()));
    assert_eq!(attempt(MAX_RELAY_STATE_BYTES + 1), Err(RequestError::RelayStateTooLong));
}

fn packed(xml: &[u8]) -> String {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(xml).unwrap();
    STANDARD.encode(encoder.finish().unwrap()).replace('+', "%2B")
}

#[test]
fn hostile_requests() {
    let read = |query: &str| ecdsa().parse_request(query).unwrap_err();
    assert_eq!(read(""), IncomingRequestError::NoRequest);
    assert_eq!(read("SAMLRequest=a&SAMLRequest=b"), IncomingRequestError::NoRequest);
    assert_eq!(read("SAMLRequest=%4"), IncomingRequestError::NoRequest);
    assert_eq!(read("SAMLRequest=***"), IncomingRequestError::Message(Refusal::NotBase64));
    assert_eq!(read("SAMLRequest=AAAA"), IncomingRequestError::Message(Refusal::NotBase64));
    let bomb = packed(&vec![b' '; 100 * 1024 * 1024]);
    assert_eq!(read(&format!("SAMLRequest={bomb}")), IncomingRequestError::Message(Refusal::MessageTooLarge));
    let at_limit = packed(&vec![b' '; MAX_INFLATED_BYTES]);
    assert_eq!(
        read(&format!("SAMLRequest={at_limit}")),
        IncomingRequestError::Message(Refusal::XmlMalformed)
    );
    assert_eq!(read(&format!("SAMLRequest={}", packed(b"<x/>"))), IncomingRequestError::NotAnAuthnRequest);
    let other = mainstay_saml::idp::IdentityProvider {
        sso_url: "https://other.test/sso".to_owned(),
        ..ecdsa().clone()
    };
    let lab = Lab { trust: other.trust(Policy::default()), ..Lab::new() };
    let out = authn_request(&lab.sp, &lab.trust, &AuthnRequestOptions::default(), &[1; 20], lab.now).unwrap();
    assert_eq!(read(query(&out.redirect_url)), IncomingRequestError::OtherDestination);
    assert_eq!(KeyError::NotPem, mainstay_saml::SigningKey::from_pkcs8_pem("").unwrap_err());
}
