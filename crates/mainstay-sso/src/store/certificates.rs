//! Certificates of connections.

use mainstay_repo::{FromRow, Row, Sql, Statement};

use crate::certificate::{CertificateRecord, CertificateState};
use crate::ids::ConnectionId;

const INSERT: Sql = Sql::new(
    "INSERT INTO sso_certificates (connection_id, fingerprint, pem, state, subject, not_before, not_after, source, \
     staged_at, activated_at, retired_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);
const MOVE: Sql = Sql::new(
    "UPDATE sso_certificates SET state = $4, activated_at = $5, retired_at = $6 \
     WHERE connection_id = $1 AND fingerprint = $2 AND state = $3",
);
const LIST: Sql =
    Sql::new("SELECT * FROM sso_certificates WHERE connection_id = $1 ORDER BY staged_at, fingerprint");

impl FromRow for CertificateRecord {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            fingerprint: row.get("fingerprint")?,
            pem: row.get("pem")?,
            state: row.parse("state")?,
            subject: row.get("subject")?,
            not_before: row.get("not_before")?,
            not_after: row.get("not_after")?,
            source: row.get("source")?,
            staged_at: row.get("staged_at")?,
            activated_at: row.get("activated_at")?,
            retired_at: row.get("retired_at")?,
        })
    }
}

/// Adds a certificate.
pub(crate) fn insert(connection: ConnectionId, record: &CertificateRecord) -> Statement {
    Statement::new(INSERT)
        .bind_text(connection)
        .bind(&record.fingerprint)
        .bind(&record.pem)
        .bind_text(record.state)
        .bind(&record.subject)
        .bind(record.not_before)
        .bind(record.not_after)
        .bind(&record.source)
        .bind(record.staged_at)
        .bind(record.activated_at)
        .bind(record.retired_at)
        .named("sso.certificate_insert")
}

/// Moves a certificate on from a state; one row unless it is not in that state.
pub(crate) fn move_on(connection: ConnectionId, from: CertificateState, to: &CertificateRecord) -> Statement {
    Statement::new(MOVE)
        .bind_text(connection)
        .bind(&to.fingerprint)
        .bind_text(from)
        .bind_text(to.state)
        .bind(to.activated_at)
        .bind(to.retired_at)
        .named("sso.certificate_move")
}

/// All certificates of a connection, the oldest first.
pub(crate) fn list(connection: ConnectionId) -> Statement {
    Statement::new(LIST).bind_text(connection).named("sso.certificate_list")
}
