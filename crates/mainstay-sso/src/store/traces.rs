//! Login traces.

use mainstay_core::{Cursor, PageSize};
use mainstay_repo::{FromRow, Json, Row, Sql, Statement};

use crate::error::Result;
use crate::ids::TraceId;
use crate::refusal::SignInRefusal;
use crate::scope::OrganizationId;
use crate::trace::{LoginTrace, TraceFilter};

const INSERT: Sql = Sql::new(
    "INSERT INTO sso_login_traces (id, at, connection_id, organization_id, flow, outcome, refusal, expected, actual, \
     correlation_id, name_id, issuer, checks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
);
const FIND: Sql = Sql::new("SELECT * FROM sso_login_traces WHERE id = $1");
const LIST: Sql = Sql::new(
    "SELECT * FROM sso_login_traces WHERE id < $1 \
     AND (CAST($2 AS text) IS NULL OR organization_id = CAST($2 AS text)) \
     AND (CAST($3 AS text) IS NULL OR connection_id = CAST($3 AS text)) \
     AND (CAST($4 AS text) IS NULL OR outcome = CAST($4 AS text)) ORDER BY id DESC LIMIT $5",
);

impl FromRow for LoginTrace {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        let refusal: Option<String> = row.get("refusal")?;
        Ok(Self {
            id: row.parse("id")?,
            at: row.get("at")?,
            connection: row.parse_optional("connection_id")?,
            organization: row.parse_optional("organization_id")?,
            flow: row.parse("flow")?,
            outcome: row.parse("outcome")?,
            refusal: refusal.as_deref().and_then(SignInRefusal::from_code),
            expected: row.get("expected")?,
            actual: row.get("actual")?,
            correlation_id: row.get("correlation_id")?,
            name_id: row.get("name_id")?,
            issuer: row.get("issuer")?,
            checks: row.get::<Json>("checks")?.to()?,
        })
    }
}

/// Adds a trace.
pub(crate) fn insert(trace: &LoginTrace) -> Result<Statement> {
    Ok(Statement::new(INSERT)
        .bind_text(trace.id)
        .bind(trace.at)
        .bind_optional_text(trace.connection)
        .bind_optional_text(trace.organization.as_ref())
        .bind_text(trace.flow)
        .bind_text(trace.outcome)
        .bind_optional_text(trace.refusal.map(SignInRefusal::code))
        .bind(trace.expected.clone())
        .bind(trace.actual.clone())
        .bind(trace.correlation_id.clone())
        .bind(trace.name_id.clone())
        .bind(trace.issuer.clone())
        .bind(Json::encode(&trace.checks)?)
        .named("sso.trace_insert"))
}

/// Finds a trace.
pub(crate) fn find(id: TraceId) -> Statement {
    Statement::new(FIND).bind_text(id).named("sso.trace_find")
}

/// One page of traces and one more, the newest first.
pub(crate) fn list(
    organization: Option<&OrganizationId>,
    filter: &TraceFilter,
    size: PageSize,
    after: Option<&Cursor>,
) -> Statement {
    Statement::new(LIST)
        .bind(after.map_or(super::AFTER_ALL, Cursor::as_str))
        .bind_optional_text(organization)
        .bind_optional_text(filter.connection)
        .bind_optional_text(filter.outcome)
        .bind(i64::from(size.get()) + 1)
        .named("sso.trace_list")
}
