//! Sessions: kept in the database, named by a token of which only the hash is stored.

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::connection::text_enum;
use crate::ids::{ConnectionId, SessionId};
use crate::principal::Principal;
use crate::scope::{Actor, OrganizationId, Role, Scope};

text_enum! {
    /// How a session began.
    SessionKind {
        /// By a login through a connection.
        Saml "saml",
        /// By a setup token.
        Setup "setup",
    }
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// Its public name; it opens nothing.
    pub id: SessionId,
    /// How it began.
    pub kind: SessionKind,
    /// Whose it is.
    pub principal: Principal,
    /// What its owner may administrate; none for everybody else.
    pub role: Option<Role>,
    /// Where its owner may administrate; none for all organizations. Means something only with a role.
    pub role_organization: Option<OrganizationId>,
    /// The tenant of the connection.
    pub organization: Option<OrganizationId>,
    /// The connection through which it began.
    pub connection: Option<ConnectionId>,
    /// The session at the identity provider.
    pub session_index: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends in any case.
    pub absolute_expires_at: Timestamp,
}

impl Session {
    /// What its owner may do with this crate's commands; none unless they are an administrator.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        let kind = self.kind.as_str();
        let name: String = self.principal.name_id.chars().filter(|c| !c.is_control()).take(180).collect();
        let actor = Actor::new(format!("{kind}:{name}")).ok()?;
        Some(Scope::new(actor, self.role_organization.clone(), self.role?))
    }
}

/// Which sessions to list; only live ones are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// Only those of this connection.
    pub connection: Option<ConnectionId>,
}

/// Somebody who may administrate after signing in through a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Administrator {
    /// The connection.
    pub connection: ConnectionId,
    /// The identity provider's name for them.
    pub name_id: String,
    /// What they may do.
    pub role: Role,
    /// Where; none for all organizations.
    pub organization: Option<OrganizationId>,
    /// When they were appointed.
    pub granted_at: Timestamp,
}
