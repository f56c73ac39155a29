//! Who may do what, and why they did it. Every command asks here before it touches the database.

use std::fmt;
use std::str::FromStr;

pub use mainstay_core::{Actor, Role};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Longest name of an organization, a connection or a person, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// Longest cause, in characters.
pub const MAX_CAUSE_CHARS: usize = 500;

macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $field:literal, $max:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that is not blank, not too long, and free of control characters.
            ///
            /// # Errors
            /// [`ErrorKind::Invalid`] otherwise.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                checked_text($field, text.into(), $max).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text_type! {
    /// Why something is done: a ticket, a sentence. No command runs without.
    Cause, "cause", MAX_CAUSE_CHARS
}

text_type! {
    /// Names a tenant, in the host's own words.
    OrganizationId, "organization", MAX_NAME_CHARS
}

/// A text that is not blank, within its length and free of control characters; trimmed.
pub(crate) fn checked_text(field: &'static str, text: String, max: usize) -> Result<String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Error::invalid(field, format!("{field} is blank")));
    }
    if trimmed.chars().count() > max {
        return Err(Error::invalid(field, format!("{field} is longer than {max} characters")));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("{field} holds a control character")));
    }
    Ok(if trimmed.len() == text.len() { text } else { trimmed.to_owned() })
}

/// An actor, the organization they are confined to, and what they may do there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// Who acts.
    pub actor: Actor,
    /// The only organization they see; none for all of them.
    pub organization: Option<OrganizationId>,
    /// What they may do.
    pub role: Role,
}

impl Scope {
    /// A scope.
    #[must_use]
    pub const fn new(actor: Actor, organization: Option<OrganizationId>, role: Role) -> Self {
        Self { actor, organization, role }
    }

    /// The scope of the operator of the machine: all organizations, everything.
    #[must_use]
    pub const fn system(actor: Actor) -> Self {
        Self { actor, organization: None, role: Role::Admin }
    }

    /// Asks for a role.
    pub(crate) fn require(&self, role: Role) -> Result<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!("{:?} has the role {} and this needs {role}", self.actor.as_str(), self.role),
        )
        .with_help("ask an administrator of the organization to do it or to grant the role"))
    }

    /// Asks for a role over all organizations.
    pub(crate) fn require_global(&self, role: Role) -> Result<()> {
        self.require(role)?;
        if self.organization.is_none() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            "this concerns all organizations, and the scope is confined to one",
        ))
    }

    /// Asks for a role over one organization. Somebody who is confined to another one learns nothing of it.
    pub(crate) fn require_in(&self, role: Role, organization: Option<&OrganizationId>) -> Result<()> {
        if !self.sees(organization) {
            return Err(Error::not_found("there is no such connection in this scope"));
        }
        self.require(role)
    }

    /// Whether rows of the organization are in view.
    pub(crate) fn sees(&self, organization: Option<&OrganizationId>) -> bool {
        self.organization.is_none() || self.organization.as_ref() == organization
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(organization: Option<&str>, role: Role) -> Scope {
        Scope::new(Actor::new("a").unwrap(), organization.map(|o| OrganizationId::new(o).unwrap()), role)
    }

    #[test]
    fn roles_include_the_lesser_ones() {
        for (has, needs, ok) in [
            (Role::Read, Role::Read, true),
            (Role::Read, Role::Write, false),
            (Role::Write, Role::Admin, false),
            (Role::Admin, Role::Read, true),
        ] {
            assert_eq!(scope(None, has).require(needs).is_ok(), ok);
        }
    }

    #[test]
    fn another_organization_is_not_there() {
        let other = OrganizationId::new("other").unwrap();
        let error = scope(Some("mine"), Role::Admin).require_in(Role::Read, Some(&other)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        assert!(scope(None, Role::Read).require_in(Role::Read, Some(&other)).is_ok());
        assert!(scope(Some("other"), Role::Read).require_in(Role::Read, Some(&other)).is_ok());
        assert!(scope(Some("other"), Role::Admin).require_global(Role::Read).is_err());
    }

    #[test]
    fn blank_long_and_odd_texts_are_refused() {
        for text in ["", "  ", "a\nb", &"x".repeat(MAX_NAME_CHARS + 1)] {
            assert!(OrganizationId::new(text).is_err(), "{text:?}");
        }
        assert_eq!(OrganizationId::new(" a ").unwrap().as_str(), "a");
        assert!(Cause::new("x".repeat(MAX_CAUSE_CHARS)).is_ok());
    }
}
