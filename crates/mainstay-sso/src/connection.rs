//! A connection: one trust relation between a tenant's identity provider and this service.

use mainstay_core::Timestamp;
use mainstay_saml::Policy;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::ConnectionId;
use crate::scope::{MAX_NAME_CHARS, OrganizationId, checked_text};

/// Longest URL or entity id, in characters (SAML core 8.3.6 allows 1,024 for an entity id).
pub const MAX_URI_CHARS: usize = 1_024;
/// What stands for the connection's id in [`AcsUrl::Template`].
pub const CONNECTION_PLACEHOLDER: &str = "{connection}";

macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stored name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|one| one.as_str()).collect();
                    $crate::error::Error::invalid(
                        stringify!($name),
                        format!("{text:?} is none of {}", all.join(", ")),
                    )
                })
            }
        }
    };
}
pub(crate) use text_enum;

text_enum! {
    /// Whether people may sign in through a connection.
    Status {
        /// Being set up.
        Draft "draft",
        /// In use.
        Enabled "enabled",
        /// Switched off.
        Disabled "disabled",
    }
}

text_enum! {
    /// The vendor of the identity provider; decides names on the screens, never what is accepted.
    #[derive(Default)]
    Preset {
        /// Any SAML 2.0 identity provider.
        #[default]
        Generic "generic",
        /// Okta.
        Okta "okta",
        /// Microsoft Entra ID.
        Entra "entra",
        /// Google Workspace.
        GoogleWorkspace "google_workspace",
        /// Active Directory Federation Services.
        Adfs "adfs",
        /// Keycloak.
        Keycloak "keycloak",
    }
}

/// What a connection's AuthnRequests ask for. What is asked for is also checked in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestSettings {
    /// The NameID format to ask for. The answer may have another unless `policy.name_id_formats` says otherwise.
    pub name_id_format: Option<String>,
    /// Ask for a fresh authentication; one that is older than the request is then refused.
    pub force_authn: bool,
    /// Ask the identity provider not to interact with the user.
    pub is_passive: bool,
    /// The authentication contexts to ask for; others are then refused.
    pub authn_contexts: Vec<String>,
}

/// Where the identity provider posts its responses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcsUrl {
    /// Exactly this URL.
    Fixed(String),
    /// This URL, with `{connection}` in the place of the connection's id.
    Template(String),
}

impl Default for AcsUrl {
    fn default() -> Self {
        Self::Fixed(String::new())
    }
}

impl AcsUrl {
    pub(crate) fn for_connection(&self, id: ConnectionId) -> String {
        match self {
            Self::Fixed(url) => url.clone(),
            Self::Template(template) => template.replace(CONNECTION_PLACEHOLDER, &id.to_string()),
        }
    }
}

/// The identity provider's side, when it is typed in and not imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdpFields {
    /// Its entity id.
    pub entity_id: String,
    /// Where requests are sent.
    pub sso_url: String,
    /// Its signing certificates, PEM; they become active at once.
    pub certificates: Vec<String>,
}

/// What a new connection is made of; it begins as a draft, and a draft may lack what enabling asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewConnection {
    /// A name for people.
    pub display_name: String,
    /// The tenant; none when the application has no tenants.
    pub organization: Option<OrganizationId>,
    /// The vendor of the identity provider.
    pub preset: Preset,
    /// This service's entity id.
    pub sp_entity_id: String,
    /// Where responses are posted.
    pub acs_url: AcsUrl,
    /// The identity provider's side, unless metadata is imported later.
    pub idp: Option<IdpFields>,
    /// What is accepted.
    pub policy: Policy,
    /// What is asked for.
    pub request: RequestSettings,
}

/// What to change; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionUpdate {
    /// A name for people.
    pub display_name: Option<String>,
    /// The vendor of the identity provider.
    pub preset: Option<Preset>,
    /// This service's entity id.
    pub sp_entity_id: Option<String>,
    /// Where responses are posted.
    pub acs_url: Option<AcsUrl>,
    /// The identity provider's entity id.
    pub idp_entity_id: Option<String>,
    /// Where requests are sent.
    pub idp_sso_url: Option<String>,
    /// What is accepted.
    pub policy: Option<Policy>,
    /// What is asked for.
    pub request: Option<RequestSettings>,
}

/// A connection as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Connection {
    /// Its public name.
    pub id: ConnectionId,
    /// A name for people.
    pub display_name: String,
    /// The tenant.
    pub organization: Option<OrganizationId>,
    /// Whether people may sign in through it.
    pub status: Status,
    /// The vendor of the identity provider.
    pub preset: Preset,
    /// This service's entity id.
    pub sp_entity_id: String,
    /// Where responses are posted.
    pub acs_url: String,
    /// The identity provider's entity id.
    pub idp_entity_id: Option<String>,
    /// Where requests are sent.
    pub idp_sso_url: Option<String>,
    /// What is accepted.
    pub policy: Policy,
    /// What is asked for.
    pub request: RequestSettings,
    /// Counts the changes; every change names the version that it was made on.
    pub lock_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Which connections to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionFilter {
    /// Only those of this organization; a scope that is confined to one lists only its own in any case.
    pub organization: Option<OrganizationId>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those that go by this name: their organization's, exactly, or the display name, in whatever case and spacing.
    pub named: Option<String>,
}

/// A display name as it is searched for: people remember neither case nor spaces.
pub(crate) fn name_key(name: &str) -> String {
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// What becomes of the sessions of a connection that is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsOnDisable {
    /// They live on until they expire.
    Keep,
    /// They end at once.
    Revoke,
}

impl Connection {
    /// A draft made of `new`, with everything checked that can be wrong in it.
    pub(crate) fn draft(id: ConnectionId, new: &NewConnection, now: Timestamp) -> Result<Self> {
        let mut draft = Self {
            id,
            display_name: checked_text("display_name", new.display_name.clone(), MAX_NAME_CHARS)?,
            organization: new.organization.clone(),
            status: Status::Draft,
            preset: new.preset,
            sp_entity_id: String::new(),
            acs_url: String::new(),
            idp_entity_id: None,
            idp_sso_url: None,
            policy: new.policy.clone(),
            request: new.request.clone(),
            lock_version: 1,
            created_at: now,
            updated_at: now,
        };
        let idp = new.idp.clone().unwrap_or_default();
        draft.apply(ConnectionUpdate {
            sp_entity_id: Some(new.sp_entity_id.clone()),
            acs_url: Some(new.acs_url.clone()),
            idp_entity_id: Some(idp.entity_id),
            idp_sso_url: Some(idp.sso_url),
            ..ConnectionUpdate::default()
        })?;
        Ok(draft)
    }

    /// Changes fields. A blank text empties its field.
    pub(crate) fn apply(&mut self, update: ConnectionUpdate) -> Result<()> {
        if let Some(display_name) = update.display_name {
            self.display_name = checked_text("display_name", display_name, MAX_NAME_CHARS)?;
        }
        if let Some(sp_entity_id) = update.sp_entity_id {
            self.sp_entity_id = checked_uri("sp_entity_id", &sp_entity_id)?;
        }
        if let Some(acs_url) = update.acs_url {
            self.acs_url = checked_http_url("acs_url", &acs_url.for_connection(self.id))?;
        }
        if let Some(entity_id) = update.idp_entity_id {
            self.idp_entity_id =
                Some(checked_uri("idp_entity_id", &entity_id)?).filter(|text| !text.is_empty());
        }
        if let Some(sso_url) = update.idp_sso_url {
            self.idp_sso_url = Some(checked_sso_url(&sso_url)?).filter(|text| !text.is_empty());
        }
        self.preset = update.preset.unwrap_or(self.preset);
        self.policy = update.policy.unwrap_or_else(|| self.policy.clone());
        self.request = update.request.unwrap_or_else(|| self.request.clone());
        Ok(())
    }
}

/// An entity id: a URI that is not checked further, or nothing.
pub(crate) fn checked_uri(field: &'static str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > MAX_URI_CHARS {
        return Err(Error::invalid(field, format!("{field} is longer than {MAX_URI_CHARS} characters")));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::invalid(field, format!("{field} holds white space or a control character")));
    }
    Ok(text.to_owned())
}

/// An absolute http(s) URL, or nothing.
pub(crate) fn checked_http_url(field: &'static str, text: &str) -> Result<String> {
    let url = checked_uri(field, text)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if url.is_empty() || rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#'])) {
        return Ok(url);
    }
    Err(Error::invalid(field, format!("{field} is not an absolute http or https URL")))
}

/// The identity provider's sign-in URL, as far as a request can be sent to it, or nothing.
pub(crate) fn checked_sso_url(text: &str) -> Result<String> {
    let url = checked_http_url("idp_sso_url", text)?;
    if !url.is_empty() {
        mainstay_saml::check_sso_url(&url)
            .map_err(|problem| Error::invalid("idp_sso_url", format!("idp_sso_url: {problem}")))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::FixedClock;

    fn draft(new: &NewConnection) -> Result<Connection> {
        let now = Timestamp::UNIX_EPOCH;
        Connection::draft(ConnectionId::generate(&FixedClock::at(now)), new, now)
    }

    #[test]
    fn a_draft_may_lack_everything_but_a_name() {
        let new = NewConnection { display_name: "Example".into(), ..NewConnection::default() };
        let connection = draft(&new).unwrap();
        assert_eq!((connection.status, connection.lock_version), (Status::Draft, 1));
        assert_eq!((connection.idp_entity_id, connection.idp_sso_url), (None, None));
        assert!(draft(&NewConnection::default()).is_err());
    }

    #[test]
    fn a_template_takes_the_id() {
        let acs_url = AcsUrl::Template("https://app.example/sso/{connection}/acs".into());
        let new = NewConnection { display_name: "Example".into(), acs_url, ..NewConnection::default() };
        let connection = draft(&new).unwrap();
        assert_eq!(connection.acs_url, format!("https://app.example/sso/{}/acs", connection.id));
    }

    #[test]
    fn urls_that_are_none_are_refused() {
        for url in ["ftp://a", "https://", "https:///x", "javascript:alert(1)", "/acs", "https://a b"] {
            assert!(checked_http_url("acs_url", url).is_err(), "{url}");
        }
        assert!(checked_http_url("acs_url", "").is_ok());
        assert!(checked_uri("sp_entity_id", &"a".repeat(MAX_URI_CHARS + 1)).is_err());
    }

    #[test]
    fn stored_names_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().unwrap(), *status);
        }
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse::<Preset>().unwrap(), *preset);
        }
        assert!("on".parse::<Status>().is_err());
    }
}
