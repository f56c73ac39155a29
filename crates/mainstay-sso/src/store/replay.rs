//! Replay keys: the marks of assertions that were used.

use mainstay_core::Timestamp;
use mainstay_repo::{Row, Sql, Statement};

use super::table::ReplayTable;
use crate::ids::TraceId;

const INSERT: Sql = Sql::new(
    "INSERT INTO sso_replay_keys (replay_key, trace_id, expires_at) VALUES ($1, $2, $3) \
     ON CONFLICT (replay_key) DO NOTHING",
);
const HOLDER: Sql = Sql::new("SELECT trace_id FROM sso_replay_keys WHERE replay_key = $1");

/// Marks an assertion as used by a login; no row when it was used before.
pub(crate) fn insert(table: &ReplayTable, key: &str, trace: TraceId, until: Timestamp) -> Statement {
    Statement::new(table.statement(INSERT)).bind(key).bind_text(trace).bind(until).named("sso.replay_insert")
}

/// Asks which login used an assertion.
pub(crate) fn holder(table: &ReplayTable, key: &str) -> Statement {
    Statement::new(table.statement(HOLDER)).bind(key).named("sso.replay_holder")
}

/// The row of [`holder`], if there was one.
pub(crate) fn held_by(rows: &[Row]) -> mainstay_repo::Result<Option<TraceId>> {
    rows.first().map(|row| row.parse("trace_id")).transpose()
}
