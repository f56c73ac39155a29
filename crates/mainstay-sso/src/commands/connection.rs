//! Commands on connections.

use mainstay_core::{Cursor, Page, PageSize};
use mainstay_repo::Expect;
use serde_json::json;

use super::change::{Change, differences};
use crate::certificate::{self, CertificateRecord, CertificateState};
use crate::connection::{
    Connection, ConnectionFilter, ConnectionUpdate, NewConnection, SessionsOnDisable, Status,
};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ConnectionId;
use crate::readiness::{Missing, missing};
use crate::scope::{Cause, Role, Scope};
use crate::sso::Sso;
use crate::store::{certificates, connections, sessions as session_rows};

impl Sso {
    /// Makes a draft.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with the field; [`ErrorKind::Forbidden`] outside the scope's organization.
    pub async fn connection_create(
        &self,
        scope: &Scope,
        cause: &Cause,
        new: NewConnection,
    ) -> Result<Connection> {
        scope.require(Role::Write)?;
        if !scope.sees(new.organization.as_ref()) {
            return Err(Error::new(ErrorKind::Forbidden, "the scope is confined to another organization"));
        }
        let now = self.now();
        let connection = Connection::draft(ConnectionId::generate(&*self.options().clock), &new, now)?;
        let mut records: Vec<CertificateRecord> = Vec::new();
        for pem in new.idp.iter().flat_map(|idp| &idp.certificates) {
            let read = certificate::read_pem(pem, &connection.policy, now)?;
            let record = certificate::record(&read, CertificateState::Active, "manual".to_owned(), now);
            if !records.iter().any(|known| known.fingerprint == record.fingerprint) {
                records.push(record);
            }
        }
        let fingerprints: Vec<_> = records.iter().map(|record| &record.fingerprint).collect();
        let mut change = Change::new(self, "connection.create", scope, cause)
            .about(connection.id, connection.organization.as_ref())
            .details(&json!({ "after": &connection, "certificates": fingerprints }))
            .step(connections::insert(&connection)?);
        for record in &records {
            change = change.step(certificates::insert(connection.id, record));
        }
        self.apply(change).await?;
        Ok(connection)
    }

    /// Changes fields. A connection in use stays complete.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`], [`ErrorKind::Invalid`]; [`ErrorKind::NotReady`] when an enabled connection would become incomplete.
    pub async fn connection_update(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        update: ConnectionUpdate,
    ) -> Result<Connection> {
        let (before, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        let mut after = before.clone();
        after.apply(update)?;
        if after.status == Status::Enabled {
            self.require_ready(&after, &records)?;
        }
        self.replace(scope, cause, "connection.update", &before, after, None).await
    }

    /// Opens a connection to logins, if nothing is missing.
    ///
    /// # Errors
    /// [`ErrorKind::NotReady`] with everything that is missing; [`ErrorKind::Status`] when it is enabled; [`ErrorKind::Stale`].
    pub async fn connection_enable(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
    ) -> Result<Connection> {
        let (before, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        if before.status == Status::Enabled {
            return Err(Error::new(ErrorKind::Status, "the connection is enabled already"));
        }
        self.require_ready(&before, &records)?;
        let after = Connection { status: Status::Enabled, ..before.clone() };
        self.replace(scope, cause, "connection.enable", &before, after, None).await
    }

    /// Closes a connection to logins; logins that are under way are refused.
    ///
    /// # Errors
    /// [`ErrorKind::Status`] unless it is enabled; [`ErrorKind::Stale`].
    pub async fn connection_disable(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        sessions: SessionsOnDisable,
    ) -> Result<Connection> {
        let (before, _) = self.connection_to_change(scope, Role::Write, id, version).await?;
        if before.status != Status::Enabled {
            return Err(Error::new(ErrorKind::Status, "the connection is not enabled"));
        }
        let after = Connection { status: Status::Disabled, ..before.clone() };
        self.replace(scope, cause, "connection.disable", &before, after, Some(sessions)).await
    }

    /// Deletes a connection that is not enabled, with its certificates and administrators, and ends its sessions. Login
    /// traces, metadata revisions and audit events stay.
    ///
    /// # Errors
    /// [`ErrorKind::Status`] when it is enabled; [`ErrorKind::Stale`].
    pub async fn connection_delete(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
    ) -> Result<()> {
        let (before, records) = self.connection_to_change(scope, Role::Admin, id, version).await?;
        if before.status == Status::Enabled {
            return Err(
                Error::new(ErrorKind::Status, "the connection is enabled").with_help("disable it first")
            );
        }
        let fingerprints: Vec<_> = records.iter().map(|record| &record.fingerprint).collect();
        let change = Change::new(self, "connection.delete", scope, cause)
            .about(id, before.organization.as_ref())
            .details(&json!({ "before": &before, "certificates": fingerprints }))
            .guarded(
                Expect::ONE,
                connections::delete(id, version),
                ErrorKind::Stale { expected: version },
                "somebody else changed the connection at the same moment",
            )
            .step(session_rows::revoke_connection(id));
        self.apply(change).await.map(drop)
    }

    /// A connection.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn connection_show(&self, scope: &Scope, id: ConnectionId) -> Result<Connection> {
        self.connection_in(scope, Role::Read, id).await.map(|(connection, _)| connection)
    }

    /// One page of connections, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`].
    pub async fn connection_list(
        &self,
        scope: &Scope,
        filter: &ConnectionFilter,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<Connection>> {
        scope.require(Role::Read)?;
        let asked = filter.organization.as_ref();
        if asked.is_some_and(|organization| !scope.sees(Some(organization))) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let organization = scope.organization.as_ref().or(asked);
        let items = self.repo().read_all(connections::list(organization, filter, size, after)).await?;
        Ok(Page::from_surplus(items, size, |last: &Connection| Cursor::new(last.id.to_string())))
    }

    /// What a connection lacks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn connection_readiness(&self, scope: &Scope, id: ConnectionId) -> Result<Vec<Missing>> {
        let (connection, records) = self.connection_in(scope, Role::Read, id).await?;
        Ok(missing(&connection, &records, self.now()))
    }

    fn require_ready(&self, connection: &Connection, records: &[CertificateRecord]) -> Result<()> {
        let missing = missing(connection, records, self.now());
        if missing.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = missing.iter().map(|one| one.describe()).collect();
        let message = format!("the connection is not complete: {}", all.join("; "));
        Err(Error::new(ErrorKind::NotReady(missing), message))
    }

    async fn replace(
        &self,
        scope: &Scope,
        cause: &Cause,
        action: &'static str,
        before: &Connection,
        mut after: Connection,
        sessions: Option<SessionsOnDisable>,
    ) -> Result<Connection> {
        after.updated_at = self.now();
        let mut change = Change::new(self, action, scope, cause)
            .about(after.id, after.organization.as_ref())
            .details(&differences(before, &after))
            .write_connection(&after)?;
        if sessions == Some(SessionsOnDisable::Revoke) {
            change = change.step(session_rows::revoke_connection(after.id));
        }
        self.apply(change).await?;
        after.lock_version += 1;
        Ok(after)
    }
}
