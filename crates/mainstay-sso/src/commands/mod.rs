//! The commands: each asks the scope, decides purely, and commits its change together with its audit event.

mod administrator;
mod audit;
mod certificate;
mod change;
mod connection;
mod metadata;
mod probe;
mod prune;
mod session;
mod setup;
mod trace;

pub use self::prune::Pruned;

use std::sync::PoisonError;

use mainstay_repo::FromRow as _;

use crate::certificate::CertificateRecord;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ConnectionId;
use crate::scope::{Role, Scope};
use crate::sso::Sso;
use crate::store::{certificates, connections};

impl Sso {
    /// A connection and its certificates as of one moment, for somebody who may.
    pub(crate) async fn connection_in(
        &self,
        scope: &Scope,
        role: Role,
        id: ConnectionId,
    ) -> Result<(Connection, Vec<CertificateRecord>)> {
        let rows = self.repo().read_many(vec![connections::find(id), certificates::list(id)]).await?;
        let mut results = rows.iter();
        let row = results.next().and_then(|rows| rows.first());
        let row = row.ok_or_else(|| Error::not_found("there is no such connection in this scope"))?;
        let connection = Connection::from_row(row)?;
        scope.require_in(role, connection.organization.as_ref())?;
        let records = results.next().into_iter().flatten().map(CertificateRecord::from_row);
        Ok((connection, records.collect::<mainstay_repo::Result<_>>()?))
    }

    /// The same, for a change on the version that the caller saw.
    pub(crate) async fn connection_to_change(
        &self,
        scope: &Scope,
        role: Role,
        id: ConnectionId,
        version: i64,
    ) -> Result<(Connection, Vec<CertificateRecord>)> {
        let (connection, records) = self.connection_in(scope, role, id).await?;
        if connection.lock_version != version {
            return Err(Error::new(
                ErrorKind::Stale { expected: version },
                format!(
                    "the connection is at version {} and the change was made on {version}",
                    connection.lock_version
                ),
            )
            .with_help("look at the connection again and repeat the change"));
        }
        Ok((connection, records))
    }

    pub(crate) fn forget_snapshot(&self, id: ConnectionId) {
        self.shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
