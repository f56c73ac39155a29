//! Sessions: looked up at every request, ended by their owner or by somebody who may.

use mainstay_core::{Cursor, Page, PageSize};
use mainstay_repo::{FromRow as _, Row};
use serde_json::json;

use super::change::Change;
use crate::error::{Error, Result};
use crate::ids::{ConnectionId, SessionId};
use crate::scope::{Cause, Role, Scope};
use crate::session::{Session, SessionFilter};
use crate::sso::Sso;
use crate::store::sessions;
use crate::token::SessionToken;

impl Sso {
    /// The live session that a token opens. Its idle end moves with its use, and is written at most once a minute.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the database cannot be asked.
    pub async fn session(&self, token: &SessionToken) -> Result<Option<Session>> {
        let lifetimes = &self.options().lifetimes;
        let (idle, touch) = (lifetimes.session_idle, lifetimes.session_touch);
        let hash = token.hash();
        let row: Option<Row> = self.repo().read_optional(sessions::find(&hash, idle, touch)).await?;
        let Some(row) = row else { return Ok(None) };
        let session = Session::from_row(&row)?;
        if row.get::<bool>("touch_due")? {
            // The session is live whether or not its use can be written down.
            if let Err(error) = self.repo().write(sessions::touch(&hash, idle, touch)).await {
                tracing::warn!(session = %session.id, %error, "the use of a session was not written");
            }
        }
        Ok(Some(session))
    }

    /// Ends the session that a token opens; false when there was none.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), [`ErrorKind::Unknown`](crate::ErrorKind::Unknown).
    pub async fn session_revoke(&self, token: &SessionToken) -> Result<bool> {
        let written = self.repo().write(sessions::revoke(&token.hash())).await?;
        Ok(written.rows_affected() > 0)
    }

    /// One page of live sessions, the newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn session_list(
        &self,
        scope: &Scope,
        filter: &SessionFilter,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<Session>> {
        scope.require(Role::Read)?;
        let statement = sessions::list(scope.organization.as_ref(), filter, size, after);
        let items = self.repo().read_all(statement).await?;
        Ok(Page::from_surplus(items, size, |last: &Session| Cursor::new(last.id.to_string())))
    }

    /// Ends a session; says how many were ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden).
    pub async fn session_revoke_by_id(&self, scope: &Scope, cause: &Cause, id: SessionId) -> Result<u64> {
        let missing = || Error::not_found("there is no such session in this scope");
        let row: Option<Row> = self.repo().read_optional(sessions::organization(id)).await?;
        let organization = row.ok_or_else(missing)?.parse_optional("organization_id")?;
        scope.require_in(Role::Write, organization.as_ref()).map_err(|error| match error.kind() {
            crate::ErrorKind::NotFound => missing(),
            _ => error,
        })?;
        let change = Change::new(self, "session.revoke", scope, cause)
            .details(&json!({ "session": id }))
            .step(sessions::revoke_id(id));
        Ok(self.apply(change).await?.iter().sum())
    }

    /// Ends the sessions that belong to one session at the identity provider; says how many.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden).
    pub async fn session_revoke_by_index(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        session_index: &str,
    ) -> Result<u64> {
        let (connection, _) = self.connection_in(scope, Role::Write, id).await?;
        let change = Change::new(self, "session.revoke", scope, cause)
            .about(id, connection.organization.as_ref())
            .details(&json!({ "session_index": crate::trace::shown(session_index) }))
            .step(sessions::revoke_index(id, session_index));
        Ok(self.apply(change).await?.iter().sum())
    }
}
