//! Genuine messages as the well-known identity providers write them: prefixes, declarations, line breaks and all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_saml::idp::{SignOptions, Signed, sign_enveloped};
use mainstay_saml::{IdpMetadata, MetadataOptions, Policy, SignatureRequirement, SignedKind};

use crate::oracle::xmlsec_accepts;
use crate::support::*;

/// Prefixes declared on the Response, `xsi:type` on values, a prefix list for what only values use (Okta, OneLogin, Shibboleth).
const OKTA: &str = r#"<?xml version="1.0" encoding="UTF-8"?><saml2p:Response Destination="https://sp.test/acs" ID="RESPONSE" InResponseTo="REQUEST" IssueInstant="2026-11-21T09:03:00.123Z" Version="2.0" xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion">https://idp.test/entity</saml2:Issuer><saml2p:Status xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol"><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status><saml2:Assertion ID="ASSERTION" IssueInstant="2026-11-21T09:03:00.123Z" Version="2.0" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion">https://idp.test/entity</saml2:Issuer><saml2:Subject xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">alice@example.test</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData InResponseTo="REQUEST" NotOnOrAfter="2026-11-21T09:08:00.123Z" Recipient="https://sp.test/acs"/></saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="2026-11-21T08:58:00.123Z" NotOnOrAfter="2026-11-21T09:08:00.123Z" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:AudienceRestriction><saml2:Audience>https://sp.test/entity</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions><saml2:AuthnStatement AuthnInstant="2026-11-21T09:00:00.000Z" SessionIndex="REQUEST" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:Attribute Name="groups" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">a</saml2:AttributeValue><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">b</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>"#;

/// The default namespace changes from element to element; seven digits of a second (Entra ID, ADFS).
const ENTRA: &str = r#"<samlp:Response ID="RESPONSE" Version="2.0" IssueInstant="2026-11-21T09:03:00.1234567Z" Destination="https://sp.test/acs" Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" InResponseTo="REQUEST" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">https://idp.test/entity</Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><Assertion ID="ASSERTION" IssueInstant="2026-11-21T09:03:00.1234567Z" Version="2.0" xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><Issuer>https://idp.test/entity</Issuer><Subject><NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">alice@example.test</NameID><SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><SubjectConfirmationData InResponseTo="REQUEST" NotOnOrAfter="2026-11-21T10:03:00.1234567Z" Recipient="https://sp.test/acs"/></SubjectConfirmation></Subject><Conditions NotBefore="2026-11-21T08:58:00.1234567Z" NotOnOrAfter="2026-11-21T10:03:00.1234567Z"><AudienceRestriction><Audience>https://sp.test/entity</Audience></AudienceRestriction></Conditions><AttributeStatement><Attribute Name="groups"><AttributeValue>a</AttributeValue><AttributeValue>b</AttributeValue></Attribute></AttributeStatement><AuthnStatement AuthnInstant="2026-11-21T08:00:00.1234567Z" SessionIndex="ASSERTION"><AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion></samlp:Response>"#;

/// Laid out for people, with line breaks everywhere but in the values that are compared exactly (Shibboleth, SimpleSAMLphp, Google).
const PRETTY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<saml2p:Response xmlns:saml2p=\"urn:oasis:names:tc:SAML:2.0:protocol\"\r\n    Destination=\"https://sp.test/acs\" ID=\"RESPONSE\" InResponseTo=\"REQUEST\"\r\n    IssueInstant=\"2026-11-21T09:03:00Z\" Version=\"2.0\">\r\n  <saml2:Issuer xmlns:saml2=\"urn:oasis:names:tc:SAML:2.0:assertion\">\r\n    https://idp.test/entity\r\n  </saml2:Issuer>\r\n  <saml2p:Status>\r\n    <saml2p:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>\r\n  </saml2p:Status>\r\n  <saml2:Assertion xmlns:saml2=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"ASSERTION\" IssueInstant=\"2026-11-21T09:03:00Z\" Version=\"2.0\">\r\n    <saml2:Issuer>\r\n https://idp.test/entity\r\n</saml2:Issuer>\r\n    <saml2:Subject>\r\n      <saml2:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:transient\" NameQualifier=\"https://idp.test/entity\" SPNameQualifier=\"https://sp.test/entity\">alice@example.test</saml2:NameID>\r\n      <saml2:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\r\n        <saml2:SubjectConfirmationData Address=\"192.0.2.1\" InResponseTo=\"REQUEST\" NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient=\"https://sp.test/acs\"/>\r\n      </saml2:SubjectConfirmation>\r\n    </saml2:Subject>\r\n    <saml2:Conditions NotBefore=\"2026-11-21T09:03:00Z\" NotOnOrAfter=\"2026-11-21T09:08:00Z\">\r\n      <saml2:AudienceRestriction>\r\n        <saml2:Audience>\r\n https://sp.test/entity\r\n</saml2:Audience>\r\n      </saml2:AudienceRestriction>\r\n    </saml2:Conditions>\r\n    <saml2:AuthnStatement AuthnInstant=\"2026-11-21T09:03:00Z\" SessionIndex=\"_s\">\r\n      <saml2:SubjectLocality Address=\"192.0.2.1\"/>\r\n      <saml2:AuthnContext>\r\n        <saml2:AuthnContextClassRef>\r\nurn:oasis:names:tc:SAML:2.0:ac:classes:Password\r\n</saml2:AuthnContextClassRef>\r\n      </saml2:AuthnContext>\r\n    </saml2:AuthnStatement>\r\n    <saml2:AttributeStatement>\r\n      <saml2:Attribute FriendlyName=\"groups\" Name=\"groups\" NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:uri\">\r\n        <saml2:AttributeValue xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xsd:string\">a</saml2:AttributeValue>\r\n        <saml2:AttributeValue>\r\n          <saml2:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">b</saml2:NameID>\r\n        </saml2:AttributeValue>\r\n      </saml2:Attribute>\r\n    </saml2:AttributeStatement>\r\n  </saml2:Assertion>\r\n</saml2p:Response>\r\n";

fn filled(template: &str) -> String {
    template.replace("RESPONSE", RESPONSE_ID).replace("ASSERTION", ASSERTION_ID).replace("REQUEST", REQUEST)
}

fn sign(lab: &Lab, xml: &str, signed: Signed, prefixes: &str) -> String {
    let options = SignOptions { prefixes, ..SignOptions::new(&lab.idp.key, &lab.idp.certificate) };
    let mut xml = xml.to_owned();
    if matches!(signed, Signed::Assertion | Signed::Both) {
        xml = sign_enveloped(&xml, ASSERTION_ID, &options).unwrap();
    }
    if matches!(signed, Signed::Response | Signed::Both) {
        xml = sign_enveloped(&xml, RESPONSE_ID, &options).unwrap();
    }
    xml
}

#[test]
fn layouts_of_the_well_known_providers() {
    for idp in [rsa(), ecdsa()] {
        let lab = Lab::with(idp);
        for (template, prefixes) in
            [(OKTA, "xs"), (OKTA, ""), (ENTRA, ""), (ENTRA, "#default samlp"), (PRETTY, "xsd"), (PRETTY, "")]
        {
            for (signed, requirement, kinds) in [
                (Signed::Assertion, SignatureRequirement::Assertion, &[SignedKind::Assertion][..]),
                (Signed::Response, SignatureRequirement::Response, &[SignedKind::Response]),
                (Signed::Both, SignatureRequirement::Both, &[SignedKind::Response, SignedKind::Assertion]),
            ] {
                let xml = sign(&lab, &filled(template), signed, prefixes);
                let login = Lab::with(idp).policy(|policy| policy.signatures = requirement).accepts(&xml);
                assert_eq!(login.name_id.value, USER);
                assert_eq!(login.attribute("groups").collect::<Vec<_>>(), ["a", "b"]);
                assert_eq!(login.signatures.iter().map(|by| by.kind).collect::<Vec<_>>(), kinds);
                assert!(login.warnings.is_empty());
                assert_ne!(xmlsec_accepts(&xml, idp), Some(false), "{xml}");
                let wrapped: Vec<_> =
                    STANDARD.encode(&xml).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
                let field = String::from_utf8(wrapped.join(&b"\r\n"[..])).unwrap();
                assert_eq!(lab.validate_field(&field).unwrap().name_id.value, USER);
            }
        }
    }
}

/// Java breaks base64 after 76 digits with a carriage return, which its serializer writes as `&#13;`.
#[test]
fn broken_lines_in_the_signature() {
    let lab = Lab::with(rsa());
    for (signed, count) in [(Signed::Assertion, 1), (Signed::Response, 1), (Signed::Both, 1)] {
        let xml = lab.message(signed);
        let sig = signature(&xml);
        for line in ["&#13;\n", "\n", "\r\n", "&#xD;\n    ", "\t"] {
            let mut broken = sig.clone();
            for name in ["SignatureValue", "X509Certificate"] {
                let open = format!("<ds:{name}>");
                let value = slice(&sig, &open, &format!("</ds:{name}>"))
                    .replace(&open, "")
                    .replace(&format!("</ds:{name}>"), "");
                let lines: Vec<_> =
                    value.as_bytes().chunks(76).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
                broken = swap(&broken, &value, &format!("{line}{}{line}", lines.join(line)));
            }
            assert_eq!(
                lab.accepts(&swap(&xml, &sig, &broken)).signatures.len(),
                if signed == Signed::Both { 2 } else { count }
            );
        }
        // The same in what is signed: a broken digest value, and a laid out SignedInfo.
        let broken = resigned(&lab.idp, &xml, |info| {
            let info = swap(info, "<ds:DigestValue>", "<ds:DigestValue>&#xD;\n");
            info.replace("><ds:", ">\n  <ds:")
                .replace("</ds:Reference></ds:SignedInfo>", "</ds:Reference>\n</ds:SignedInfo>")
        });
        lab.accepts(&broken);
    }
}

/// Everything that providers put into KeyInfo beside the certificate.
#[test]
fn key_infos_of_the_well_known_providers() {
    let lab = Lab::with(rsa());
    let xml = lab.message(Signed::Both);
    let key_info = slice(&signature(&xml), "<ds:KeyInfo>", "</ds:KeyInfo>").to_owned();
    let certificate = lab.idp.certificate.to_base64();
    for inner in [
        "<ds:KeyName>Abc_-123</ds:KeyName><ds:X509Data><ds:X509Certificate>CERT</ds:X509Certificate></ds:X509Data><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AA==</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>",
        "<X509Data xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509SubjectName>CN=idp</X509SubjectName><X509IssuerSerial><X509IssuerName>CN=idp</X509IssuerName><X509SerialNumber>1</X509SerialNumber></X509IssuerSerial><X509Certificate>CERT</X509Certificate></X509Data>",
        "<o:SecurityTokenReference xmlns:o=\"urn:oasis\"><ds:X509Data><ds:X509Certificate>CERT</ds:X509Certificate></ds:X509Data></o:SecurityTokenReference>",
        "",
    ] {
        let inner = format!("<ds:KeyInfo>{}</ds:KeyInfo>", inner.replace("CERT", &certificate));
        let assertion_only = lab.message(Signed::Assertion);
        lab.accepts(&swap(&assertion_only, &key_info, &inner));
    }
}

/// Federation metadata as ADFS writes it: signed, with roles of other protocols around the one that counts.
#[test]
fn metadata_with_other_roles() {
    let key = |usage: &str| {
        format!(
            "<KeyDescriptor{usage}><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509Certificate>\r\n{}\r\n</X509Certificate></X509Data></KeyInfo></KeyDescriptor>",
            rsa().certificate.to_base64()
        )
    };
    let xml = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<EntityDescriptor ID=\"_1\" entityID=\"http://adfs.test/adfs/services/trust\" validUntil=\"2026-11-28T09:03:00.1234567Z\" cacheDuration=\"PT1H\" xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\">\
         <RoleDescriptor xsi:type=\"fed:ApplicationServiceType\" protocolSupportEnumeration=\"http://docs.oasis-open.org/ws-sx/ws-trust/200512 http://schemas.xmlsoap.org/ws/2005/02/trust\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:fed=\"http://docs.oasis-open.org/wsfed/federation/200706\">{0}<fed:TargetScopes/></RoleDescriptor>\
         <SPSSODescriptor WantAssertionsSigned=\"true\" protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{1}<AssertionConsumerService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"https://adfs.test/adfs/ls/\" index=\"0\" isDefault=\"true\"/></SPSSODescriptor>\
         <IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:1.1:protocol\">{0}<SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://old.test/\"/></IDPSSODescriptor>\
         <IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{2}{0}{0}<SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://adfs.test/adfs/ls/\"/><NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</NameIDFormat><SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"https://adfs.test/adfs/ls/\"/><SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://adfs.test/adfs/ls/\"/></IDPSSODescriptor>\
         <ContactPerson contactType=\"support\"/></EntityDescriptor>",
        key(" use=\"signing\""),
        key(" use=\"encryption\""),
        key("").replace(&rsa().certificate.to_base64(), &ecdsa().certificate.to_base64()),
    );
    let policy = Policy::default();
    let parse = |xml: &str| {
        IdpMetadata::parse(
            xml.as_bytes(),
            &MetadataOptions { entity_id: None, signers: &[], policy: &policy, now: at(NOW) },
        )
    };
    let metadata = parse(&xml).unwrap();
    assert_eq!(metadata.entity_id, "http://adfs.test/adfs/services/trust");
    assert_eq!(metadata.signing_certificates, [ecdsa().certificate.clone(), rsa().certificate.clone()]);
    assert_eq!(metadata.sso_redirect_url.as_deref(), Some("https://adfs.test/adfs/ls/"));
    assert_eq!(metadata.slo_redirect_url.as_deref(), Some("https://adfs.test/adfs/ls/"));
    assert_eq!(metadata.valid_until, Some(at("2026-11-28T09:03:00.123456Z")));
    // A logout URL that must not be followed is left out; logins do not need it.
    for wrong in ["javascript:alert(1)", "//evil.test", "https://adfs.test/#x", "https://user@evil.test/"] {
        let bent = swap(
            &xml,
            "HTTP-Redirect\" Location=\"https://adfs.test/adfs/ls/\"/><NameIDFormat>",
            &format!("HTTP-Redirect\" Location=\"{wrong}\"/><NameIDFormat>"),
        );
        assert_eq!(parse(&bent).unwrap().slo_redirect_url, None);
    }
}
