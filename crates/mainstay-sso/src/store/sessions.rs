//! Sessions.

use std::time::Duration;

use mainstay_core::{Cursor, PageSize, Timestamp};
use mainstay_repo::{FromRow, Json, Row, Sql, Statement};

use super::sql::{micros, sql};
use crate::error::Result;
use crate::ids::{ConnectionId, SessionId};
use crate::principal::Principal;
use crate::scope::{OrganizationId, Role};
use crate::session::{Session, SessionFilter, SessionKind};

/// A session that is about to begin.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) token_hash: Vec<u8>,
    pub(crate) id: SessionId,
    pub(crate) kind: SessionKind,
    pub(crate) principal: Principal,
    pub(crate) role: Option<Role>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) session_index: Option<String>,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    /// When the identity provider ends it.
    pub(crate) not_after: Timestamp,
}

/// Its idle and its absolute end are both held to what the identity provider says.
const INSERT: Sql = sql![
    "INSERT INTO sso_sessions (token_hash, id, kind, name_id, principal, role, connection_id, organization_id, \
     session_index, created_at, idle_expires_at, absolute_expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
    now ", " least "(" least "(" plus "$10" ", " plus "$11" "), $12), " least "(" plus "$11" ", $12))"
];

const FIND: Sql = sql![
    "SELECT s.id, s.kind, s.principal, s.connection_id, s.organization_id, s.session_index, s.created_at, \
     s.idle_expires_at, s.absolute_expires_at, COALESCE(s.role, a.role) AS role, \
     a.organization_id AS role_organization, \
     s.idle_expires_at < " least "(" plus "$2" ", s.absolute_expires_at) AS touch_due \
     FROM sso_sessions s LEFT JOIN sso_administrators a \
     ON a.connection_id = s.connection_id AND a.name_id = s.name_id \
     WHERE s.token_hash = $1 AND s.revoked_at IS NULL AND s.idle_expires_at > " now
];

const TOUCH: Sql = sql![
    "UPDATE sso_sessions SET idle_expires_at = " least "(" plus "$2" ", absolute_expires_at) \
     WHERE token_hash = $1 AND revoked_at IS NULL AND idle_expires_at > " now
    " AND idle_expires_at < " least "(" plus "$3" ", absolute_expires_at)"
];

const REVOKE: Sql = sql![
    "UPDATE sso_sessions SET revoked_at = " now " WHERE token_hash = $1 AND revoked_at IS NULL"
];
const REVOKE_ID: Sql =
    sql!["UPDATE sso_sessions SET revoked_at = " now " WHERE id = $1 AND revoked_at IS NULL"];
const REVOKE_INDEX: Sql = sql![
    "UPDATE sso_sessions SET revoked_at = " now
    " WHERE connection_id = $1 AND session_index = $2 AND revoked_at IS NULL"
];
const REVOKE_CONNECTION: Sql = sql![
    "UPDATE sso_sessions SET revoked_at = " now " WHERE connection_id = $1 AND revoked_at IS NULL"
];

const LIST: Sql = sql![
    "SELECT s.id, s.kind, s.principal, s.connection_id, s.organization_id, s.session_index, s.created_at, \
     s.idle_expires_at, s.absolute_expires_at, COALESCE(s.role, a.role) AS role, \
     a.organization_id AS role_organization, 0 AS touch_due \
     FROM sso_sessions s LEFT JOIN sso_administrators a \
     ON a.connection_id = s.connection_id AND a.name_id = s.name_id \
     WHERE s.id < $1 AND s.revoked_at IS NULL AND s.idle_expires_at > " now
    " AND (CAST($2 AS text) IS NULL OR s.organization_id = CAST($2 AS text)) \
     AND (CAST($3 AS text) IS NULL OR s.connection_id = CAST($3 AS text)) ORDER BY s.id DESC LIMIT $4"
];
const ORGANIZATION: Sql = Sql::new("SELECT organization_id FROM sso_sessions WHERE id = $1");

impl FromRow for Session {
    fn from_row(row: &Row) -> mainstay_repo::Result<Self> {
        Ok(Self {
            id: row.parse("id")?,
            kind: row.parse("kind")?,
            principal: row.get::<Json>("principal")?.to()?,
            role: row.parse_optional("role")?,
            role_organization: row.parse_optional("role_organization")?,
            organization: row.parse_optional("organization_id")?,
            connection: row.parse_optional("connection_id")?,
            session_index: row.get("session_index")?,
            created_at: row.get("created_at")?,
            idle_expires_at: row.get("idle_expires_at")?,
            absolute_expires_at: row.get("absolute_expires_at")?,
        })
    }
}

/// Begins a session.
pub(crate) fn insert(session: &NewSession) -> Result<Statement> {
    Ok(Statement::new(INSERT)
        .bind(session.token_hash.as_slice())
        .bind_text(session.id)
        .bind_text(session.kind)
        .bind(&session.principal.name_id)
        .bind(Json::encode(&session.principal)?)
        .bind_optional_text(session.role)
        .bind_optional_text(session.connection)
        .bind_optional_text(session.organization.as_ref())
        .bind(session.session_index.clone())
        .bind(micros(session.idle))
        .bind(micros(session.absolute))
        .bind(session.not_after)
        .named("sso.session_insert"))
}

/// A session with less than this left is due to be written. A use never goes unwritten for more than half the idle time.
fn due_before(idle: Duration, touch: Duration) -> i64 {
    micros(idle.saturating_sub(touch.min(idle / 2)))
}

/// Finds a live session, and whether its idle end is due to be moved.
pub(crate) fn find(token_hash: &[u8], idle: Duration, touch: Duration) -> Statement {
    Statement::new(FIND).bind(token_hash).bind(due_before(idle, touch)).named("sso.session_find")
}

/// Moves a live session's idle end, unless somebody just did.
pub(crate) fn touch(token_hash: &[u8], idle: Duration, touch: Duration) -> Statement {
    Statement::new(TOUCH)
        .bind(token_hash)
        .bind(micros(idle))
        .bind(due_before(idle, touch))
        .named("sso.session_touch")
}

/// Ends the session of a token.
pub(crate) fn revoke(token_hash: &[u8]) -> Statement {
    Statement::new(REVOKE).bind(token_hash).named("sso.session_revoke")
}

/// Ends the session of a name.
pub(crate) fn revoke_id(id: SessionId) -> Statement {
    Statement::new(REVOKE_ID).bind_text(id).named("sso.session_revoke_id")
}

/// Ends the sessions that belong to one session at the identity provider.
pub(crate) fn revoke_index(connection: ConnectionId, index: &str) -> Statement {
    Statement::new(REVOKE_INDEX).bind_text(connection).bind(index).named("sso.session_revoke_index")
}

/// Ends every session of a connection.
pub(crate) fn revoke_connection(connection: ConnectionId) -> Statement {
    Statement::new(REVOKE_CONNECTION).bind_text(connection).named("sso.session_revoke_connection")
}

/// One page of live sessions and one more, the newest first.
pub(crate) fn list(
    organization: Option<&OrganizationId>,
    filter: &SessionFilter,
    size: PageSize,
    after: Option<&Cursor>,
) -> Statement {
    Statement::new(LIST)
        .bind(after.map_or(super::AFTER_ALL, Cursor::as_str))
        .bind_optional_text(organization)
        .bind_optional_text(filter.connection)
        .bind(i64::from(size.get()) + 1)
        .named("sso.session_list")
}

/// The organization of a session.
pub(crate) fn organization(id: SessionId) -> Statement {
    Statement::new(ORGANIZATION).bind_text(id).named("sso.session_organization")
}
