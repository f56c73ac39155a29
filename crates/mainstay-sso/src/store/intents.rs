//! Request intents: what was asked, by which browser, and until when the answer is awaited.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{FromRow, Result, Sql, Statement};

use super::sql::{micros, sql};
use super::table::IntentTable;
use crate::ids::ConnectionId;

/// A request whose answer is awaited.
#[derive(Debug, Clone)]
pub(crate) struct NewIntent {
    pub(crate) relay_state: String,
    pub(crate) request_id: String,
    pub(crate) connection: ConnectionId,
    pub(crate) browser_hash: Vec<u8>,
    pub(crate) return_path: String,
    pub(crate) force_authn: bool,
}

/// An intent as it is stored. Its times are by the database's clock, and so is whether it has expired.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct StoredIntent {
    pub(crate) request_id: String,
    #[row(column = "connection_id", parse)]
    pub(crate) connection: ConnectionId,
    pub(crate) browser_hash: Vec<u8>,
    pub(crate) return_path: String,
    pub(crate) force_authn: bool,
    pub(crate) issued_at: Timestamp,
    pub(crate) consumed: bool,
    pub(crate) expired: bool,
}

/// Only while the connection is enabled and as it was when the request was built: one write, no read before it.
const INSERT: Sql = Sql::mergeable(
    "INSERT INTO sso_request_intents (relay_state, request_id, connection_id, browser_hash, return_path, force_authn, \
     issued_at, expires_at) SELECT $1, $2, $3, $4, $5, $6, t.now, t.now + $7 \
     FROM sso_connections c, (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now) t \
     WHERE c.id = $3 AND c.status = 'enabled' AND c.lock_version = $8",
    "INSERT INTO sso_request_intents (relay_state, request_id, connection_id, browser_hash, return_path, force_authn, \
     issued_at, expires_at) SELECT $1::text, $2::text, $3::text, $4::bytea, $5::text, $6::boolean, \
     statement_timestamp(), statement_timestamp() + $7::bigint * interval '1 microsecond' FROM sso_connections c \
     WHERE c.id = $3::text AND c.status = 'enabled' AND c.lock_version = $8::bigint",
    "INSERT INTO sso_request_intents (relay_state, request_id, connection_id, browser_hash, return_path, force_authn, \
     issued_at, expires_at) SELECT u.relay_state, u.request_id, u.connection_id, u.browser_hash, u.return_path, \
     u.force_authn, statement_timestamp(), statement_timestamp() + u.ttl * interval '1 microsecond' \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::boolean[], $7::bigint[], \
     $8::bigint[]) AS u (relay_state, request_id, connection_id, browser_hash, return_path, force_authn, ttl, version) \
     JOIN sso_connections c ON c.id = u.connection_id AND c.status = 'enabled' AND c.lock_version = u.version",
);

const FIND: Sql = sql![
    "SELECT request_id, connection_id, browser_hash, return_path, force_authn, issued_at, \
     consumed_at IS NOT NULL AS consumed, expires_at <= " now " AS expired \
     FROM sso_request_intents WHERE relay_state = $1"
];

const CONSUME: Sql = sql![
    "UPDATE sso_request_intents SET consumed_at = " now " WHERE relay_state = $1 AND request_id = $2 \
     AND connection_id = $3 AND browser_hash = $4 AND consumed_at IS NULL AND expires_at > " now
];

/// Stores an intent; one row unless the connection is not what it was.
pub(crate) fn insert(table: &IntentTable, intent: &NewIntent, ttl: Duration, version: i64) -> Statement {
    Statement::new(table.statement(INSERT))
        .bind(&intent.relay_state)
        .bind(&intent.request_id)
        .bind_text(intent.connection)
        .bind(intent.browser_hash.as_slice())
        .bind(&intent.return_path)
        .bind(intent.force_authn)
        .bind(micros(ttl))
        .bind(version)
        .named("sso.intent_insert")
}

/// Finds an intent, live or not.
pub(crate) fn find(table: &IntentTable, relay_state: &str) -> Statement {
    Statement::new(table.statement(FIND)).bind(relay_state).named("sso.intent_find")
}

/// Uses an intent up; one row only when every value fits and it is neither used nor expired.
pub(crate) fn consume(
    table: &IntentTable,
    relay_state: &str,
    intent: &StoredIntent,
    browser_hash: &[u8],
) -> Statement {
    Statement::new(table.statement(CONSUME))
        .bind(relay_state)
        .bind(&intent.request_id)
        .bind_text(intent.connection)
        .bind(browser_hash)
        .named("sso.intent_consume")
}

/// The row of [`find`], if there was one.
pub(crate) fn found(rows: &[mainstay_repo::Row]) -> Result<Option<StoredIntent>> {
    rows.first().map(StoredIntent::from_row).transpose()
}
