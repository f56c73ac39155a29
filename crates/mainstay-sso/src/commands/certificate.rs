//! Commands on certificates. Each moves the connection's version on, so that two of them never pass each other unseen.

use mainstay_repo::Expect;
use serde_json::json;

use super::change::Change;
use crate::certificate::{self, CertificateRecord, CertificateState};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ConnectionId;
use crate::scope::{Cause, Role, Scope};
use crate::sso::Sso;
use crate::store::certificates;

impl Sso {
    /// Adds a certificate that is not trusted yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is none, or its key is too short; [`ErrorKind::Conflict`] when it is known;
    /// [`ErrorKind::Stale`].
    pub async fn certificate_stage(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        pem: &str,
    ) -> Result<CertificateRecord> {
        let (connection, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        let now = self.now();
        let read = certificate::read_pem(pem, &connection.policy, now)?;
        let record = certificate::record(&read, CertificateState::Next, "manual".to_owned(), now);
        if let Some(known) = records.iter().find(|known| known.fingerprint == record.fingerprint) {
            return Err(Error::new(
                ErrorKind::Conflict { what: "certificate" },
                format!("the connection has this certificate already; it is {}", known.state),
            ));
        }
        let change = self
            .certificate_change("certificate.stage", scope, cause, connection)?
            .details(&json!({ "fingerprint": &record.fingerprint, "subject": &record.subject }))
            .step(certificates::insert(id, &record));
        self.apply(change).await?;
        Ok(record)
    }

    /// Begins to trust a certificate, beside those that are active already.
    ///
    /// # Errors
    /// [`ErrorKind::Transition`], [`ErrorKind::NotFound`], [`ErrorKind::Stale`].
    pub async fn certificate_activate(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        fingerprint: &str,
    ) -> Result<CertificateRecord> {
        self.certificate_move(scope, cause, id, version, fingerprint, CertificateState::Active).await
    }

    /// Ends the trust in a certificate.
    ///
    /// # Errors
    /// [`ErrorKind::LastActiveCertificate`], [`ErrorKind::Transition`], [`ErrorKind::NotFound`], [`ErrorKind::Stale`].
    pub async fn certificate_retire(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        fingerprint: &str,
    ) -> Result<CertificateRecord> {
        self.certificate_move(scope, cause, id, version, fingerprint, CertificateState::Retired).await
    }

    /// Trusts one certificate again and another one no more, as one step.
    ///
    /// # Errors
    /// As [`Sso::certificate_activate`] and [`Sso::certificate_retire`].
    pub async fn certificate_rollback(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        restore: &str,
        retire: &str,
    ) -> Result<(CertificateRecord, CertificateRecord)> {
        let (connection, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        let (restored, retired) =
            certificate::rollback(&records, restore, retire, connection.status, self.now())?;
        let change = self
            .certificate_change("certificate.rollback", scope, cause, connection)?
            .details(&json!({ "restored": restore, "retired": retire }));
        let change = move_step(change, id, &records, &restored);
        self.apply(move_step(change, id, &records, &retired)).await?;
        Ok((restored, retired))
    }

    /// The certificates of a connection, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn certificate_list(&self, scope: &Scope, id: ConnectionId) -> Result<Vec<CertificateRecord>> {
        self.connection_in(scope, Role::Read, id).await.map(|(_, records)| records)
    }

    async fn certificate_move(
        &self,
        scope: &Scope,
        cause: &Cause,
        id: ConnectionId,
        version: i64,
        fingerprint: &str,
        to: CertificateState,
    ) -> Result<CertificateRecord> {
        let action = match to {
            CertificateState::Retired => "certificate.retire",
            CertificateState::Next | CertificateState::Active => "certificate.activate",
        };
        let (connection, records) = self.connection_to_change(scope, Role::Write, id, version).await?;
        let moved = certificate::transition(&records, fingerprint, to, connection.status, self.now())?;
        let change = self
            .certificate_change(action, scope, cause, connection)?
            .details(&json!({ "fingerprint": fingerprint, "subject": &moved.subject }));
        self.apply(move_step(change, id, &records, &moved)).await?;
        Ok(moved)
    }

    fn certificate_change(
        &self,
        action: &'static str,
        scope: &Scope,
        cause: &Cause,
        mut connection: Connection,
    ) -> Result<Change> {
        connection.updated_at = self.now();
        Change::new(self, action, scope, cause)
            .about(connection.id, connection.organization.as_ref())
            .write_connection(&connection)
    }
}

fn move_step(
    change: Change,
    id: ConnectionId,
    before: &[CertificateRecord],
    to: &CertificateRecord,
) -> Change {
    let from = before.iter().find(|record| record.fingerprint == to.fingerprint);
    let from = from.map_or(CertificateState::Next, |record| record.state);
    let missed = ErrorKind::Transition { from, to: to.state };
    let statement = certificates::move_on(id, from, to);
    change.guarded(Expect::ONE, statement, missed, "the certificate was moved at the same moment")
}
