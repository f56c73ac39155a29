//! Who collects, when collecting is off, and what past collections did.

use std::time::Duration;

use mainstay_repo::{Json, Sql, Statement};

use super::sql::{micros, sql};
use crate::gc::process::Process;

/// The most collections that are remembered.
pub(crate) const MAX_RUNS: i64 = 200;

const CREATE: Sql = Sql::new(
    "INSERT INTO images_collector (id, token, until, off_until) VALUES (1, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
);
const ELECT: Sql = sql![
    "UPDATE images_collector SET holder = $1, token = token + 1, until = " now " + $2, place = $3, process = $4, \
     process_token = token + 1 WHERE id = 1 AND (until < " now " OR holder IS NULL) AND off_until <= " now " RETURNING token"
];
/// From one that is known to be gone, if it is still the one that was looked at.
const TAKE_OVER: Sql = sql![
    "UPDATE images_collector SET holder = $1, token = token + 1, until = " now " + $2, place = $3, process = $4, \
     process_token = token + 1 WHERE id = 1 AND token = $5 AND off_until <= " now " RETURNING token"
];
const EXTEND: Sql = sql![
    "UPDATE images_collector SET until = " now " + $3 WHERE id = 1 AND holder = $1 AND token = $2 \
     AND off_until <= " now
];
const RESIGN: Sql = Sql::new(
    "UPDATE images_collector SET holder = NULL, until = 0, place = NULL, process = NULL, process_token = NULL \
     WHERE id = 1 AND holder = $1 AND token = $2",
);
const READ: Sql = sql![
    "SELECT holder, token, until, off_until, lineage, place, process, process_token, " now " AS now FROM images_collector WHERE id = 1"
];
const PAUSE: Sql = sql![
    "UPDATE images_collector SET off_until = CASE WHEN off_until > " now " + $1 THEN off_until ELSE " now " + $1 END \
     WHERE id = 1 RETURNING off_until"
];
const SET_LINEAGE: Sql = Sql::new("UPDATE images_collector SET lineage = $1 WHERE id = 1");
const RECORD: Sql = sql![
    "INSERT INTO images_gc_runs (holder, started_at, ended_at, report) VALUES ($1, $2, " now ", $3) RETURNING id, ended_at"
];
const TRIM: Sql =
    Sql::new("DELETE FROM images_gc_runs WHERE id <= (SELECT MAX(id) FROM images_gc_runs) - $1");
const RUNS: Sql =
    Sql::new("SELECT id, holder, started_at, ended_at, report FROM images_gc_runs ORDER BY id DESC LIMIT $1");

/// Makes the row if it is not there.
pub(crate) fn create() -> Statement {
    Statement::new(CREATE).named("images.collector_create")
}

/// Becomes the collector; no row if another is, or collecting is off.
pub(crate) fn elect(holder: &str, ttl: Duration, process: Option<&Process>) -> Statement {
    stand(ELECT, holder, ttl, process).named("images.collector_elect")
}

/// Becomes the collector in the place of one that is gone; no row if another was faster, or collecting is off.
pub(crate) fn take_over(holder: &str, ttl: Duration, process: Option<&Process>, token: i64) -> Statement {
    stand(TAKE_OVER, holder, ttl, process).bind(token).named("images.collector_take_over")
}

fn stand(sql: Sql, holder: &str, ttl: Duration, process: Option<&Process>) -> Statement {
    Statement::new(sql)
        .bind(holder)
        .bind(micros(ttl))
        .bind(process.map(|process| process.place.clone()))
        .bind(process.map(|process| process.process.clone()))
}

/// Stays the collector; no row if another is by now, or collecting was switched off.
pub(crate) fn extend(holder: &str, token: i64, ttl: Duration) -> Statement {
    Statement::new(EXTEND).bind(holder).bind(token).bind(micros(ttl)).named("images.collector_extend")
}

/// Stops being the collector.
pub(crate) fn resign(holder: &str, token: i64) -> Statement {
    Statement::new(RESIGN).bind(holder).bind(token).named("images.collector_resign")
}

/// The row and the database's time.
pub(crate) fn read() -> Statement {
    Statement::new(READ).named("images.collector_read")
}

/// Switches collecting off for so long.
pub(crate) fn pause(ttl: Duration) -> Statement {
    Statement::new(PAUSE).bind(micros(ttl)).named("images.collector_pause")
}

/// Remembers which history of the database was seen.
pub(crate) fn set_lineage(lineage: i64) -> Statement {
    Statement::new(SET_LINEAGE).bind(lineage).named("images.collector_set_lineage")
}

/// Remembers a collection.
pub(crate) fn record(holder: &str, started_at: i64, report: &Json) -> Vec<Statement> {
    let text = report.as_str().to_owned();
    vec![
        Statement::new(RECORD).bind(holder).bind(started_at).bind(text).named("images.collector_record"),
        Statement::new(TRIM).bind(MAX_RUNS).named("images.collector_trim"),
    ]
}

/// The last collections, the newest first.
pub(crate) fn runs(limit: u32) -> Statement {
    Statement::new(RUNS).bind(limit).named("images.collector_runs")
}
