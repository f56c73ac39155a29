//! The shape of a signature: exactly one, and everything else is refused before any cryptography.

use mainstay_saml::Refusal;
use mainstay_saml::idp::Signed;

use crate::support::*;

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXC: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// Bends the signed message in text; both kinds of signature must be refused alike.
#[track_caller]
fn bent_after(bend: impl Fn(&str) -> String, refusal: Refusal) {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response] {
        lab.refuses(&bend(&lab.message(signed)), refusal);
    }
}

/// Bends `SignedInfo` and signs it again with the right key: the signature verifies, the shape must not.
#[track_caller]
fn bent_and_signed(bend: impl Fn(&str) -> String, refusal: Refusal) {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response] {
        lab.refuses(&resigned(&lab.idp, &lab.message(signed), &bend), refusal);
    }
}

fn element(xml: &str, name: &str) -> String {
    slice(&signature(xml), &format!("<ds:{name}"), &format!("</ds:{name}>")).to_owned()
}

#[test]
fn no_signature_at_all() {
    bent_after(|xml| xml.replace(&signature(xml), ""), Refusal::SignatureMissing);
}

#[test]
fn parts_are_missing_or_empty() {
    for name in [
        "SignatureValue",
        "SignedInfo",
        "CanonicalizationMethod",
        "SignatureMethod",
        "DigestMethod",
        "DigestValue",
        "Transforms",
    ] {
        bent_after(|xml| swap(xml, &element(xml, name), ""), Refusal::SignatureMalformed);
    }
    bent_after(|xml| swap(xml, &element(xml, "Reference"), ""), Refusal::ReferenceCount);
    for name in ["SignatureValue", "DigestValue"] {
        bent_after(
            |xml| swap(xml, &element(xml, name), &format!("<ds:{name}></ds:{name}>")),
            Refusal::SignatureMalformed,
        );
        bent_after(
            |xml| swap(xml, &element(xml, name), &format!("<ds:{name}> \n</ds:{name}>")),
            Refusal::SignatureMalformed,
        );
    }
}

#[test]
fn a_valid_signature_over_no_reference_or_two() {
    let reference = |info: &str| slice(info, "<ds:Reference", "</ds:Reference>").to_owned();
    bent_and_signed(|info| swap(info, &reference(info), ""), Refusal::ReferenceCount);
    bent_and_signed(|info| swap(info, &reference(info), &reference(info).repeat(2)), Refusal::ReferenceCount);
    bent_and_signed(
        |info| swap(info, &reference(info), &reference(info).repeat(300)),
        Refusal::ReferenceCount,
    );
}

#[test]
fn references_to_anything_else() {
    let uri = |info: &str| {
        slice(info, "URI=\"", "\"><ds:Transforms>").trim_end_matches("><ds:Transforms>").to_owned()
    };
    for target in [
        "",
        "#",
        "#other",
        "#xpointer(/)",
        "#xpointer(id('x'))",
        "file:///etc/passwd",
        "http://evil.test/x",
        "_x",
        " #_x",
    ] {
        bent_and_signed(
            |info| swap(info, &uri(info), &format!("URI=\"{target}\"")),
            Refusal::ReferenceMismatch,
        );
    }
    bent_and_signed(|info| swap(info, &format!(" {}", uri(info)), ""), Refusal::ReferenceMismatch);
    let manifest = "Type=\"http://www.w3.org/2000/09/xmldsig#Manifest\" ";
    bent_and_signed(|info| swap(info, "URI=\"", &format!("{manifest}URI=\"")), Refusal::SignatureMalformed);
}

#[test]
fn signed_info_twice_or_elsewhere() {
    bent_after(
        |xml| swap(xml, &element(xml, "SignedInfo"), &element(xml, "SignedInfo").repeat(2)),
        Refusal::SignatureMalformed,
    );
    bent_after(
        |xml| {
            let info = element(xml, "SignedInfo");
            swap(
                xml,
                &info,
                &format!(
                    "{}{info}",
                    info.replace(USER, EVIL).replacen("<ds:SignedInfo", "<ds:SignedInfo Id=\"_e\"", 1)
                ),
            )
        },
        Refusal::SignatureMalformed,
    );
    bent_after(
        |xml| {
            swap(
                xml,
                &element(xml, "SignedInfo"),
                &format!("<ds:Object>{}</ds:Object>", element(xml, "SignedInfo")),
            )
        },
        Refusal::SignatureMalformed,
    );
}

#[test]
fn comments_and_elements_in_values() {
    for name in ["DigestValue", "SignatureValue"] {
        let open = format!("<ds:{name}>");
        for inner in ["<!---->", "<!-- x -->", "<x/>", "<!--x-->AAAA"] {
            bent_after(|xml| swap(xml, &open, &format!("{open}{inner}")), Refusal::SignatureMalformed);
            bent_after(
                |xml| swap(xml, &format!("</ds:{name}>"), &format!("{inner}</ds:{name}>")),
                Refusal::SignatureMalformed,
            );
        }
    }
    // The whole value in a comment, the attacker's beside it.
    bent_after(
        |xml| {
            let value = element(xml, "DigestValue");
            let inner = value.replace("<ds:DigestValue>", "").replace("</ds:DigestValue>", "");
            swap(xml, &value, &format!("<ds:DigestValue><!--{inner}-->AAAA</ds:DigestValue>"))
        },
        Refusal::SignatureMalformed,
    );
    bent_after(
        |xml| swap(xml, "<ds:SignatureMethod", "<!-- x --><ds:SignatureMethod"),
        Refusal::SignatureMalformed,
    );
    bent_after(
        |xml| swap(xml, "<ds:SignatureMethod", "text<ds:SignatureMethod"),
        Refusal::SignatureMalformed,
    );
    bent_after(
        |xml| swap(xml, &element(xml, "DigestValue"), &element(xml, "DigestValue").repeat(2)),
        Refusal::SignatureMalformed,
    );
}

#[test]
fn values_that_are_not_strict_base64() {
    for name in ["DigestValue", "SignatureValue"] {
        let open = format!("<ds:{name}>");
        for bad in ["*", "AA\u{a0}", "=", "-_", "A"] {
            bent_after(|xml| swap(xml, &open, &format!("{open}{bad}")), Refusal::SignatureMalformed);
        }
    }
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    lab.accepts(&swap(&xml, "<ds:SignatureValue>", "<ds:SignatureValue>\n\t "));
    let long = format!("<ds:SignatureValue>{}", "A".repeat(4100));
    bent_after(|xml| swap(xml, "<ds:SignatureValue>", &long), Refusal::SignatureMalformed);
}

#[test]
fn namespaces_of_the_signature() {
    // In a foreign namespace there is no signature at all.
    bent_after(
        |xml| swap(xml, &format!("xmlns:ds=\"{DSIG}\""), "xmlns:ds=\"urn:fake\""),
        Refusal::SignatureMissing,
    );
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let sig = signature(&xml);
    // A fake beside the real one is only an unknown element, and breaks the digest.
    let fake = sig.replacen(DSIG, "urn:fake", 2);
    lab.refuses(&swap(&xml, &sig, &format!("{sig}{fake}")), Refusal::DigestMismatch);
    // The default namespace instead of a prefix is fine: nothing depends on prefixes but the octets.
    let info = slice(&sig, "<ds:SignedInfo", "</ds:SignedInfo>");
    let plain = resigned(&lab.idp, &xml, |info| {
        info.replace("ds:", "").replacen("xmlns:ds", "xmlns", 1).replace("xmlns:ds", "xmlns")
    });
    let plain = plain.replace("<ds:", "<").replace("</ds:", "</").replacen("xmlns:ds=", "xmlns=", 1);
    assert!(info.contains("xmlns:ds"));
    lab.accepts(&plain);
}

#[test]
fn methods_with_parameters() {
    let length = "<ds:HMACOutputLength xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">8</ds:HMACOutputLength></ds:SignatureMethod>";
    bent_after(|xml| swap(xml, "</ds:SignatureMethod>", length), Refusal::SignatureMalformed);
    bent_after(|xml| swap(xml, "</ds:DigestMethod>", "<x/></ds:DigestMethod>"), Refusal::SignatureMalformed);
    bent_after(|xml| swap(xml, "<ds:SignedInfo", "<ds:SignedInfo x=\"1\""), Refusal::SignatureMalformed);
    bent_after(|xml| swap(xml, "<ds:Transforms>", "<ds:Transforms x=\"1\">"), Refusal::SignatureMalformed);
}

#[test]
fn transforms() {
    let all = |info: &str| slice(info, "<ds:Transforms>", "</ds:Transforms>").to_owned();
    let transform = |uri: &str| format!("<ds:Transform Algorithm=\"{uri}\"></ds:Transform>");
    let enveloped = transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature");
    let canonical = transform(EXC);
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::saml:Subject)</ds:XPath></ds:Transform>";
    for list in [
        String::new(),
        enveloped.clone(),
        canonical.clone(),
        format!("{canonical}{enveloped}"),
        format!("{enveloped}{enveloped}"),
        format!("{enveloped}{canonical}{canonical}"),
        format!("{enveloped}{xpath}"),
        format!("{xpath}{enveloped}{canonical}"),
        format!("{enveloped}{}", transform("http://www.w3.org/2002/06/xmldsig-filter2")),
        format!("{enveloped}{}", transform("http://www.w3.org/TR/1999/REC-xslt-19991116")),
        format!("{enveloped}{}", transform("http://www.w3.org/2000/09/xmldsig#base64")),
        format!("{enveloped}{}", transform("urn:unknown")),
        format!("{enveloped}{}", canonical.repeat(2000)),
    ] {
        bent_and_signed(
            |info| swap(info, &all(info), &format!("<ds:Transforms>{list}</ds:Transforms>")),
            Refusal::TransformUnsupported,
        );
    }
    bent_after(
        |xml| swap(xml, &enveloped, &enveloped.replace("></", "><x/></")),
        Refusal::SignatureMalformed,
    );
}

#[test]
fn canonicalization_methods() {
    let method =
        |info: &str| slice(info, "<ds:CanonicalizationMethod", "</ds:CanonicalizationMethod>").to_owned();
    for unknown in
        ["", "urn:unknown", "http://www.w3.org/TR/1999/REC-xslt-19991116", "http://www.w3.org/2010/xml-c14n2"]
    {
        bent_and_signed(
            |info| swap(info, &method(info), &method(info).replace(EXC, unknown)),
            Refusal::CanonicalizationUnsupported,
        );
    }
    for inclusive in
        ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11"]
    {
        bent_and_signed(
            |info| swap(info, &method(info), &method(info).replace(EXC, inclusive)),
            Refusal::InclusiveCanonicalizationNotAllowed,
        );
    }
    let list = |prefixes: &str| {
        format!(
            "<ec:InclusiveNamespaces xmlns:ec=\"{EXC}\" PrefixList=\"{prefixes}\"></ec:InclusiveNamespaces></ds:CanonicalizationMethod>"
        )
    };
    let many = vec!["p"; mainstay_saml::MAX_PREFIXES + 1].join(" ");
    bent_after(|xml| swap(xml, "</ds:CanonicalizationMethod>", &list(&many)), Refusal::SignatureMalformed);
    let lab = Lab::new();
    let most = vec!["p"; mainstay_saml::MAX_PREFIXES].join(" ");
    let xml = resigned(&lab.idp, &lab.message(Signed::Assertion), |info| {
        swap(info, "</ds:CanonicalizationMethod>", &list(&most))
    });
    lab.accepts(&xml);
}
