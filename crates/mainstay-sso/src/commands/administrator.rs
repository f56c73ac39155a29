//! Administrators: who may use these commands after signing in through a connection.

use mainstay_repo::Expect;
use serde_json::json;

use super::change::Change;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ConnectionId;
use crate::scope::{Cause, Role, Scope, checked_text};
use crate::session::Administrator;
use crate::sso::Sso;
use crate::store::administrators;

/// Longest NameID, in characters.
const MAX_NAME_ID_CHARS: usize = 512;

impl Sso {
    /// Appoints whoever signs in through a connection under a NameID, or changes what they may do. It holds from their next
    /// request on. `global` gives them all organizations, which only somebody who has them may.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`] when the connection has no organization and
    /// `global` is not asked for.
    pub async fn administrator_grant(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        name_id: &str,
        role: Role,
        global: bool,
    ) -> Result<Administrator> {
        let (connection, _) = self.connection_in(scope, Role::Admin, id).await?;
        if global {
            scope.require_global(Role::Admin)?;
        } else if connection.organization.is_none() {
            let message = "the connection has no organization to which the role could be confined";
            return Err(Error::invalid("global", message).with_help(
                "grant the role globally (--global), or add the connection with an organization",
            ));
        }
        let administrator = Administrator {
            connection: id,
            name_id: checked_text("name_id", name_id.to_owned(), MAX_NAME_ID_CHARS)?,
            role,
            organization: connection.organization.clone().filter(|_| !global),
            granted_at: self.now(),
        };
        let change = Change::new(self, "administrator.grant", scope, cause)
            .about(id, connection.organization.as_ref())
            .details(&json!({ "name_id": &administrator.name_id, "role": role, "global": global }))
            .step(administrators::grant(&administrator));
        self.apply(change).await?;
        Ok(administrator)
    }

    /// Dismisses an administrator, from their next request on.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`].
    pub async fn administrator_revoke(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        name_id: &str,
    ) -> Result<()> {
        let (connection, _) = self.connection_in(scope, Role::Admin, id).await?;
        let change = Change::new(self, "administrator.revoke", scope, cause)
            .about(id, connection.organization.as_ref())
            .details(&json!({ "name_id": crate::trace::shown(name_id) }))
            .guarded(
                Expect::ONE,
                administrators::revoke(id, name_id),
                ErrorKind::NotFound,
                "nobody with this name was appointed",
            );
        self.apply(change).await.map(drop)
    }

    /// Everybody who was appointed and is in view; at most a thousand.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`].
    pub async fn administrator_list(&self, scope: &Scope) -> Result<Vec<Administrator>> {
        scope.require(Role::Read)?;
        Ok(self.repo().read_all(administrators::list(scope.organization.as_ref())).await?)
    }
}
