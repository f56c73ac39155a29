//! How a principal is shown: the best name that its attributes have.

use mainstay_sso::Principal;

/// Attribute names for a whole name, the best first; the last are object identifiers of X.500 and claims of ADFS and Entra.
const NAMES: [&str; 6] = [
    "displayName",
    "name",
    "cn",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "urn:oid:2.5.4.3",
    "http://schemas.microsoft.com/identity/claims/displayname",
];
const EMAILS: [&str; 5] = [
    "email",
    "mail",
    "emailAddress",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
];

fn first<'a>(principal: &'a Principal, names: &[&str]) -> Option<&'a str> {
    let of_name = |name: &&str| {
        principal.attributes.iter().find(|attribute| {
            attribute.name.eq_ignore_ascii_case(name)
                || attribute
                    .friendly_name
                    .as_deref()
                    .is_some_and(|friendly| friendly.eq_ignore_ascii_case(name))
        })
    };
    names.iter().filter_map(of_name).find_map(|attribute| {
        attribute.values.iter().map(|value| value.trim()).find(|value| !value.is_empty())
    })
}

/// The name to call the user by; the NameID when nothing better came.
pub(crate) fn display_name(principal: &Principal) -> &str {
    first(principal, &NAMES).unwrap_or(&principal.name_id)
}

/// The user's e-mail address, if one came.
pub(crate) fn email(principal: &Principal) -> Option<&str> {
    first(principal, &EMAILS)
        .or_else(|| principal.name_id.contains('@').then_some(principal.name_id.as_str()))
}
