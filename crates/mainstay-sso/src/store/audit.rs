//! The audit's stream and its head.

use mainstay_core::{Cursor, PageSize};
use mainstay_repo::{FromRow, Row, Sql, Statement};

use crate::audit::{AuditEvent, AuditFilter, Head};
use crate::ids::AuditId;
use crate::scope::OrganizationId;

const HEAD: Sql = Sql::new("SELECT seq, hash FROM sso_audit_head WHERE id = 1");
const ADVANCE: Sql =
    Sql::new("UPDATE sso_audit_head SET seq = seq + 1, hash = $1 WHERE id = 1 AND seq = $2 AND hash = $3");
const INSERT: Sql = Sql::new(
    "INSERT INTO sso_audit_events (seq, id, at, action, connection_id, organization_id, actor, cause, details, \
     previous_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);
const EXISTS: Sql = Sql::new("SELECT 1 AS there FROM sso_audit_events WHERE id = $1");
const AFTER: Sql = Sql::new("SELECT * FROM sso_audit_events WHERE seq > $1 ORDER BY seq LIMIT $2");
const LIST: Sql = Sql::new(
    "SELECT * FROM sso_audit_events WHERE seq < $1 \
     AND (CAST($2 AS text) IS NULL OR organization_id = CAST($2 AS text)) \
     AND (CAST($3 AS text) IS NULL OR connection_id = CAST($3 AS text)) ORDER BY seq DESC LIMIT $4",
);

impl FromRow for Head {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self { seq: row.get("seq")?, hash: row.get("hash")? })
    }
}

impl FromRow for AuditEvent {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            id: row.parse("id")?,
            at: row.get("at")?,
            action: row.get("action")?,
            connection: row.parse_optional("connection_id")?,
            organization: row.parse_optional("organization_id")?,
            actor: row.get("actor")?,
            cause: row.get("cause")?,
            details: row.get("details")?,
            previous_hash: row.get("previous_hash")?,
            hash: row.get("hash")?,
        })
    }
}

/// The head of the stream.
pub(crate) fn head() -> Statement {
    Statement::new(HEAD).named("sso.audit_head")
}

/// Moves the head from where it was read to an event; one row unless somebody else was first.
pub(crate) fn advance(from: &Head, event: &AuditEvent) -> Statement {
    Statement::new(ADVANCE)
        .bind(event.hash.as_slice())
        .bind(from.seq)
        .bind(from.hash.as_slice())
        .named("sso.audit_advance")
}

/// Adds an event behind the head.
pub(crate) fn insert(event: &AuditEvent) -> Statement {
    Statement::new(INSERT)
        .bind(event.seq)
        .bind_text(event.id)
        .bind(event.at)
        .bind(&event.action)
        .bind_optional_text(event.connection)
        .bind_optional_text(event.organization.as_ref())
        .bind(&event.actor)
        .bind(&event.cause)
        .bind(&event.details)
        .bind(event.previous_hash.as_slice())
        .bind(event.hash.as_slice())
        .named("sso.audit_insert")
}

/// One row when the event is there.
pub(crate) fn exists(id: AuditId) -> Statement {
    Statement::new(EXISTS).bind_text(id).named("sso.audit_exists")
}

/// Events in the order of the chain.
pub(crate) fn after(seq: i64, limit: i64) -> Statement {
    Statement::new(AFTER).bind(seq).bind(limit).named("sso.audit_after")
}

/// One page of events and one more, the newest first.
pub(crate) fn list(
    organization: Option<&OrganizationId>,
    filter: &AuditFilter,
    size: PageSize,
    after: Option<&Cursor>,
) -> Statement {
    let before = after.and_then(|cursor| cursor.as_str().parse().ok()).unwrap_or(i64::MAX);
    Statement::new(LIST)
        .bind(before)
        .bind_optional_text(organization)
        .bind_optional_text(filter.connection)
        .bind(i64::from(size.get()) + 1)
        .named("sso.audit_list")
}
