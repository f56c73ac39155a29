//! Who signed in, as the application sees it.

use mainstay_core::Timestamp;
use mainstay_saml::Login;
use serde::{Deserialize, Serialize};

/// One attribute of a principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalAttribute {
    /// The name.
    pub name: String,
    /// A name for people; never a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    /// The values, in order.
    pub values: Vec<String>,
}

/// Who signed in. The identity is `name_id` in the namespace of `issuer` and of the qualifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Principal {
    /// The identity provider's name for the user; for a setup session the name that was typed in.
    pub name_id: String,
    /// The name's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_id_format: Option<String>,
    /// The domain that qualifies the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_qualifier: Option<String>,
    /// The service that qualifies the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sp_name_qualifier: Option<String>,
    /// The identity provider's entity id; `setup` for a setup session.
    pub issuer: String,
    /// When the user authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authn_instant: Option<Timestamp>,
    /// How the user authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authn_context: Option<String>,
    /// What else the identity provider says, in its order.
    #[serde(default)]
    pub attributes: Vec<PrincipalAttribute>,
}

impl Principal {
    /// The values of every attribute with this name.
    pub fn attribute<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.attributes
            .iter()
            .filter(move |a| a.name == name)
            .flat_map(|a| a.values.iter().map(String::as_str))
    }

    pub(crate) fn from_login(login: &Login) -> Self {
        let attribute = |a: &mainstay_saml::Attribute| PrincipalAttribute {
            name: a.name.clone(),
            friendly_name: a.friendly_name.clone(),
            values: a.values.clone(),
        };
        Self {
            name_id: login.name_id.value.clone(),
            name_id_format: login.name_id.format.clone(),
            name_qualifier: login.name_id.name_qualifier.clone(),
            sp_name_qualifier: login.name_id.sp_name_qualifier.clone(),
            issuer: login.issuer.clone(),
            authn_instant: login.authn_instant,
            authn_context: login.authn_context.clone(),
            attributes: login.attributes.iter().map(attribute).collect(),
        }
    }

    pub(crate) fn for_setup(name: &str, now: Timestamp) -> Self {
        Self {
            name_id: name.to_owned(),
            name_id_format: None,
            name_qualifier: None,
            sp_name_qualifier: None,
            issuer: "setup".to_owned(),
            authn_instant: Some(now),
            authn_context: None,
            attributes: Vec::new(),
        }
    }
}
