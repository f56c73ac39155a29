//! The Web Browser SSO profile: one bend for each rule, on signed content.

use mainstay_saml::Refusal as R;
use mainstay_saml::idp::Signed;

use crate::support::*;

/// Signs after bending, as an identity provider would that really says this.
#[track_caller]
fn says(from: &str, to: &str, refusal: R) {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        lab.refuses(&lab.bent(signed, |xml| bend(&xml, from, to)), refusal);
    }
}

/// Replaces inside the assertion only.
fn bend(xml: &str, from: &str, to: &str) -> String {
    let (head, tail) = xml.split_at(xml.find("<saml:Assertion").unwrap());
    format!("{head}{}", swap(tail, from, to))
}

#[track_caller]
fn cut(xml: &str, start: &str, end: &str) -> String {
    let from = xml.find(start).unwrap();
    let to = xml[from..].find(end).unwrap() + from + end.len();
    format!("{}{}", &xml[..from], &xml[to..])
}

#[track_caller]
fn lacks(start: &str, end: &str, refusal: R) {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        let xml = lab.bent(signed, |xml| {
            let (head, tail) = xml.split_at(xml.find("<saml:Assertion").unwrap());
            format!("{head}{}", cut(tail, start, end))
        });
        lab.refuses(&xml, refusal);
    }
}

/// Bends the outside: unsigned when only the assertion is signed, signed otherwise. Refused either way.
#[track_caller]
fn outside(from: &str, to: &str, refusal: R) {
    let lab = Lab::new();
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        lab.refuses(&lab.bent(signed, |xml| swap(&xml, from, to)), refusal);
    }
    let xml = lab.message(Signed::Assertion);
    lab.refuses(&swap(&xml, from, to), refusal);
}

#[test]
fn the_outside() {
    outside("Version=\"2.0\"", "Version=\"1.1\"", R::VersionUnsupported);
    outside(" Version=\"2.0\"", "", R::VersionUnsupported);
    outside("status:Success", "status:Requester", R::StatusNotSuccess);
    outside("status:Success", "status:success", R::StatusNotSuccess);
    outside("<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>", "", R::StatusMissing);
    outside("<samlp:Status>", "<samlp:Status/><samlp:Status>", R::StatusMissing);
    outside(
        "<samlp:StatusCode ",
        "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/><samlp:StatusCode ",
        R::StatusMissing,
    );
    outside(" Destination=\"https://sp.test/acs\"", "", R::DestinationMissing);
    for wrong in
        ["", "https://sp.test/ACS", "https://sp.test/acs/", "https://evil.test/acs", "https://sp.test/acs "]
    {
        outside(
            "Destination=\"https://sp.test/acs\"",
            &format!("Destination=\"{wrong}\""),
            R::DestinationMismatch,
        );
    }
    outside(&format!(" InResponseTo=\"{REQUEST}\""), "", R::InResponseToMissing);
    outside(&format!("InResponseTo=\"{REQUEST}\""), "InResponseTo=\"_other\"", R::InResponseToMismatch);
    outside(
        "IssueInstant=\"2026-11-21T09:03:00Z\"",
        "IssueInstant=\"2026-11-21T09:06:00Z\"",
        R::IssuedInFuture,
    );
    for wrong in ["yesterday", "2026-11-21T09:03:00", "2026-11-21T09:03:60Z"] {
        outside(
            "IssueInstant=\"2026-11-21T09:03:00Z\"",
            &format!("IssueInstant=\"{wrong}\""),
            R::TimeMalformed,
        );
    }
    outside(" IssueInstant=\"2026-11-21T09:03:00Z\"", "", R::TimeMalformed);
    outside(
        "<saml:Issuer>https://idp.test/entity</saml:Issuer><samlp:Status>",
        "<saml:Issuer>https://other.test</saml:Issuer><samlp:Status>",
        R::IssuerMismatch,
    );
    outside(
        "<saml:Issuer>",
        "<saml:Issuer Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">",
        R::IssuerMismatch,
    );
}

#[test]
fn issuers() {
    let lab = Lab::new();
    let without = swap(
        &lab.message(Signed::Assertion),
        "<saml:Issuer>https://idp.test/entity</saml:Issuer><samlp:Status>",
        "<samlp:Status>",
    );
    lab.refuses(&without, R::IssuerMissing);
    for wrong in ["https://other.test", "https://idp.test/entity/", "HTTPS://IDP.TEST/ENTITY", ""] {
        says(
            "https://idp.test/entity</saml:Issuer>",
            &format!("{wrong}</saml:Issuer>"),
            R::AssertionIssuerMismatch,
        );
    }
    says("<saml:Issuer>", "<saml:Issuer Format=\"urn:x\">", R::AssertionIssuerMissing);
    let twice = lab.bent(Signed::Response, |xml| {
        bend(&xml, "<saml:Subject>", "<saml:Issuer>https://idp.test/entity</saml:Issuer><saml:Subject>")
    });
    lab.refuses(&twice, R::AssertionIssuerMissing);
    let none = lab
        .bent(Signed::Response, |xml| bend(&xml, "<saml:Issuer>https://idp.test/entity</saml:Issuer>", ""));
    lab.refuses(&none, R::AssertionIssuerMissing);
}

#[test]
fn the_assertion_itself() {
    says("Version=\"2.0\"", "Version=\"1.1\"", R::VersionUnsupported);
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    lab.refuses(&xml.replace(&format!(" ID=\"{RESPONSE_ID}\""), ""), R::IdMissing);
    lab.refuses(&xml.replace(RESPONSE_ID, ""), R::IdMissing);
    let none = lab.bent(Signed::Response, |xml| xml.replace(&format!(" ID=\"{ASSERTION_ID}\""), ""));
    lab.refuses(&none, R::IdMissing);
    let gone = lab.bent(Signed::Response, |xml| swap(&xml, &assertion(&xml), ""));
    lab.refuses(&gone, R::AssertionMissing);
}

#[test]
fn subjects_and_name_ids() {
    lacks("<saml:Subject>", "</saml:Subject>", R::SubjectMissing);
    says("<saml:Conditions ", "<saml:Subject></saml:Subject><saml:Conditions ", R::SubjectMissing);
    lacks("<saml:NameID", "</saml:NameID>", R::NameIdMissing);
    says("<saml:NameID", "<saml:NameID>x</saml:NameID><saml:NameID", R::NameIdMultiple);
    says("<saml:NameID", "<saml:BaseID/><saml:NameID", R::NameIdMultiple);
    for wrong in ["", " ", " alice@example.test", "alice@example.test ", "alice\n", "&#9;alice", "a&#13;b"] {
        says(&format!("{USER}</saml:NameID>"), &format!("{wrong}</saml:NameID>"), R::NameIdInvalid);
    }
    says("<saml:NameID ", "<saml:NameID SPNameQualifier=\"https://other.test\" ", R::NameIdQualifierMismatch);
    let lab = Lab::new();
    let encrypted = lab.bent(Signed::Both, |xml| {
        let name_id = slice(&xml, "<saml:NameID", "</saml:NameID>").to_owned();
        swap(&xml, &name_id, "<saml:EncryptedID/>")
    });
    lab.refuses(&encrypted, R::EncryptedIdUnsupported);
    let base = lab.bent(Signed::Both, |xml| {
        let name_id = slice(&xml, "<saml:NameID", "</saml:NameID>").to_owned();
        swap(&xml, &name_id, "<saml:BaseID/>")
    });
    lab.refuses(&base, R::NameIdMissing);
    let ours = lab.bent(Signed::Both, |xml| {
        swap(
            &xml,
            "<saml:NameID ",
            "<saml:NameID SPNameQualifier=\"https://sp.test/entity\" NameQualifier=\"q\" SPProvidedID=\"p\" ",
        )
    });
    let name_id = lab.accepts(&ours).name_id;
    assert_eq!(name_id.sp_name_qualifier.as_deref(), Some("https://sp.test/entity"));
    assert_eq!(
        (name_id.name_qualifier.as_deref(), name_id.sp_provided_id.as_deref()),
        (Some("q"), Some("p"))
    );
    // Case and look-alikes are the identity provider's business: the octets are handed on as they are.
    for other in ["Alice@example.test", "\u{430}lice@example.test", "ａlice@example.test"] {
        let xml = lab.bent(Signed::Both, |xml| {
            swap(&xml, &format!("{USER}</saml:NameID>"), &format!("{other}</saml:NameID>"))
        });
        assert_eq!(lab.accepts(&xml).name_id.value, other);
    }
}

#[test]
fn subject_confirmations() {
    let data = "<saml:SubjectConfirmationData ";
    lacks("<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>", R::SubjectConfirmationMissing);
    for method in ["holder-of-key", "sender-vouches", ""] {
        says("cm:bearer", &format!("cm:{method}"), R::SubjectConfirmationMissing);
    }
    lacks(data, "/>", R::SubjectConfirmationDataMissing);
    says(
        data,
        "<saml:SubjectConfirmationData/><saml:SubjectConfirmationData ",
        R::SubjectConfirmationDataMissing,
    );
    says(data, &format!("{data}NotBefore=\"2026-11-21T09:00:00Z\" "), R::ConfirmationNotBeforePresent);
    says(" Recipient=\"https://sp.test/acs\"", "", R::RecipientMissing);
    for wrong in ["", "https://sp.test/ACS", "https://evil.test/acs"] {
        says("Recipient=\"https://sp.test/acs\"", &format!("Recipient=\"{wrong}\""), R::RecipientMismatch);
    }
    says(
        &format!("InResponseTo=\"{REQUEST}\""),
        "InResponseTo=\"_other\"",
        R::ConfirmationInResponseToMismatch,
    );
    says(&format!(" InResponseTo=\"{REQUEST}\""), "", R::ConfirmationInResponseToMismatch);
    says(" NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient", " Recipient", R::ConfirmationExpiryMissing);
    says(
        "NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient",
        "NotOnOrAfter=\"2026-11-21T09:01:00Z\" Recipient",
        R::ConfirmationExpired,
    );
    says(
        "NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient",
        "NotOnOrAfter=\"later\" Recipient",
        R::TimeMalformed,
    );
    // One that holds is enough, in any order.
    let lab = Lab::new();
    let other = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"/>";
    for place in ["<saml:SubjectConfirmation ", "</saml:Subject>"] {
        lab.accepts(&lab.bent(Signed::Both, |xml| swap(&xml, place, &format!("{other}{place}"))));
    }
}

#[test]
fn conditions_and_audiences() {
    lacks("<saml:Conditions ", "</saml:Conditions>", R::ConditionsMissing);
    says("<saml:Conditions ", "<saml:Conditions/><saml:Conditions ", R::ConditionsMissing);
    says("<saml:AudienceRestriction>", "<saml:Condition/><saml:AudienceRestriction>", R::ConditionUnknown);
    says(
        "<saml:AudienceRestriction>",
        "<x:Geo xmlns:x=\"urn:x\"/><saml:AudienceRestriction>",
        R::ConditionUnknown,
    );
    lacks("<saml:AudienceRestriction>", "</saml:AudienceRestriction>", R::AudienceMissing);
    lacks("<saml:Audience>", "</saml:Audience>", R::AudienceMismatch);
    for wrong in
        ["https://sp.test/Entity", "https://sp.test/entity/", "https://sp.test", "https://other.test", ""]
    {
        says(
            "<saml:Audience>https://sp.test/entity<",
            &format!("<saml:Audience>{wrong}<"),
            R::AudienceMismatch,
        );
    }
    // All restrictions must hold; within one, any audience will do.
    let other = "<saml:AudienceRestriction><saml:Audience>https://other.test</saml:Audience></saml:AudienceRestriction>";
    says("<saml:AudienceRestriction>", &format!("{other}<saml:AudienceRestriction>"), R::AudienceMismatch);
    says("</saml:Conditions>", &format!("{other}</saml:Conditions>"), R::AudienceMismatch);
    let lab = Lab::new();
    for fine in [
        ("<saml:Audience>", "<saml:Audience>https://other.test</saml:Audience><saml:Audience>"),
        ("<saml:Audience>", "<saml:Audience>\n  "),
        ("</saml:Conditions>", "<saml:OneTimeUse/></saml:Conditions>"),
        ("</saml:Conditions>", "<saml:ProxyRestriction Count=\"0\"/></saml:Conditions>"),
    ] {
        lab.accepts(&lab.bent(Signed::Both, |xml| swap(&xml, fine.0, fine.1)));
    }
}

#[test]
fn times_at_their_bounds() {
    let mut lab = Lab::new();
    let long = lab.bent(Signed::Both, |xml| {
        swap(
            &xml,
            "NotOnOrAfter=\"2026-11-21T09:08:00Z\" Recipient",
            "NotOnOrAfter=\"2026-11-21T10:00:00Z\" Recipient",
        )
    });
    for (now, refusal) in [
        ("2026-11-21T09:00:59.999999Z", Some(R::IssuedInFuture)),
        ("2026-11-21T09:01:00Z", None),
        ("2026-11-21T09:09:59.999999Z", None),
        ("2026-11-21T09:10:00Z", Some(R::AssertionExpired)),
    ] {
        lab.now = at(now);
        match refusal {
            Some(refusal) => lab.refuses(&long, refusal),
            None => drop(lab.accepts(&long)),
        }
    }
    lab.now = at(NOW);
    says("NotBefore=\"2026-11-21T09:03:00Z\"", "NotBefore=\"2026-11-21T09:05:01Z\"", R::AssertionNotYetValid);
    says("NotBefore=\"2026-11-21T09:03:00Z\"", "NotBefore=\"2026-11-21\"", R::TimeMalformed);
    let offset = lab.bent(Signed::Both, |xml| {
        swap(&xml, "NotBefore=\"2026-11-21T09:03:00Z\"", "NotBefore=\"2026-11-21T10:03:00.5+01:00\"")
    });
    lab.accepts(&offset);
}

#[test]
fn statements() {
    lacks("<saml:AuthnStatement", "</saml:AuthnStatement>", R::AuthnStatementMissing);
    says(
        "AuthnInstant=\"2026-11-21T09:03:00Z\"",
        "AuthnInstant=\"2026-11-21T09:06:00Z\"",
        R::AuthnInstantInvalid,
    );
    says(
        "<saml:AuthnStatement ",
        "<saml:AuthnStatement SessionNotOnOrAfter=\"2026-11-21T09:00:00Z\" ",
        R::SessionExpired,
    );
    let second = "<saml:AuthnStatement AuthnInstant=\"2026-11-21T09:03:00Z\" SessionNotOnOrAfter=\"2026-11-21T09:00:00Z\"/></saml:Assertion>";
    says("</saml:Assertion>", second, R::SessionExpired);
    let lab = Lab::new();
    let xml = lab.bent(Signed::Both, |xml| {
        swap(
            &xml,
            "<saml:AuthnStatement ",
            "<saml:AuthnStatement SessionNotOnOrAfter=\"2026-11-21T17:00:00Z\" ",
        )
    });
    assert_eq!(lab.accepts(&xml).session_not_on_or_after, Some(at("2026-11-21T17:00:00Z")));
    let without = lab.bent(Signed::Both, |xml| swap(&xml, " AuthnInstant=\"2026-11-21T09:03:00Z\"", ""));
    assert_eq!(lab.accepts(&without).authn_instant, None);
}

#[test]
fn attributes() {
    says("<saml:Attribute Name=\"mail\"", "<saml:Attribute Name=\"\"", R::AttributeInvalid);
    says("<saml:Attribute Name=\"mail\"", "<saml:Attribute", R::AttributeInvalid);
    says("<saml:AttributeStatement>", "<saml:AttributeStatement><x/>", R::AttributeInvalid);
    says(
        "<saml:AttributeStatement>",
        "<saml:AttributeStatement><saml:EncryptedAttribute/>",
        R::EncryptedAttributeUnsupported,
    );
    let lab = Lab::new();
    // The same name twice, and a friendly name that claims another: nothing is lost, nothing is aliased.
    let more = "<saml:Attribute Name=\"mail\"><saml:AttributeValue>b@example.test</saml:AttributeValue></saml:Attribute><saml:Attribute Name=\"x\" FriendlyName=\"mail\"><saml:AttributeValue>c</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>";
    let login = lab.accepts(&lab.bent(Signed::Both, |xml| swap(&xml, "</saml:AttributeStatement>", more)));
    assert_eq!(login.attribute("mail").collect::<Vec<_>>(), [USER, "b@example.test"]);
    assert_eq!(login.attributes.len(), 4);
    let nested = "<saml:AttributeValue><saml:NameID>persistent</saml:NameID></saml:AttributeValue><saml:AttributeValue><x>1</x></saml:AttributeValue><saml:AttributeValue/>";
    let login =
        lab.accepts(&lab.bent(Signed::Both, |xml| {
            swap(&xml, "<saml:AttributeValue>staff</saml:AttributeValue>", nested)
        }));
    assert_eq!(login.attribute("groups").collect::<Vec<_>>(), ["persistent", "", "a & b <c>"]);
    assert_eq!(login.warnings, [mainstay_saml::Warning::StructuredValue("groups".to_owned())]);
}

#[test]
fn replay_keys_name_one_assertion() {
    let lab = Lab::new();
    let xml = lab.message(Signed::Assertion);
    let key = lab.accepts(&xml).replay_key;
    // Another Response around the same assertion changes nothing.
    assert_eq!(lab.accepts(&xml.replace(RESPONSE_ID, "_another")).replay_key, key);
    let other = lab.idp.response_xml(&lab.grant(Signed::Assertion), &[9; 32].map(|b| b), lab.now);
    assert!(other.is_ok());
    let mut random = random();
    random[31] = 0xff;
    let other = lab.idp.response_xml(&lab.grant(Signed::Assertion), &random, lab.now).unwrap();
    assert_ne!(lab.accepts(&other).replay_key, key);
}
