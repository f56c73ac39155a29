//! How far the present scrub has come.

use mainstay_core::Timestamp;
use mainstay_repo::{Sql, Statement};

use super::sql::sql;
use crate::digest::Digest;

const CREATE: Sql = Sql::new(
    "INSERT INTO images_scrub (id, checked, bytes, damaged) VALUES (1, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
);
const READ: Sql =
    Sql::new("SELECT cursor, started_at, ended_at, checked, bytes, damaged FROM images_scrub WHERE id = 1");
const BEGIN: Sql = sql![
    "UPDATE images_scrub SET cursor = NULL, started_at = " now ", ended_at = NULL, checked = 0, bytes = 0, \
     damaged = 0 WHERE id = 1 RETURNING started_at"
];
const ADVANCE: Sql = Sql::new(
    "UPDATE images_scrub SET cursor = $1, checked = checked + $2, bytes = bytes + $3 \
     WHERE id = 1 AND started_at = $4 AND ended_at IS NULL",
);
const COUNT_DAMAGED: Sql = Sql::new(
    "UPDATE images_scrub SET checked = checked + 1, bytes = bytes + $1, damaged = damaged + 1 \
     WHERE id = 1 AND started_at = $2 AND ended_at IS NULL",
);
const END: Sql = sql!["UPDATE images_scrub SET cursor = NULL, ended_at = " now " WHERE id = 1 AND started_at = $1 AND ended_at IS NULL"];
const RECORD: Sql = Sql::new(
    "INSERT INTO images_scrub_runs (started_at, ended_at, checked, bytes, damaged) \
     SELECT started_at, ended_at, checked, bytes, damaged FROM images_scrub WHERE id = 1 AND ended_at IS NOT NULL",
);
const TRIM: Sql =
    Sql::new("DELETE FROM images_scrub_runs WHERE id <= (SELECT MAX(id) FROM images_scrub_runs) - $1");
const RUNS: Sql = Sql::new(
    "SELECT started_at, ended_at, checked, bytes, damaged FROM images_scrub_runs ORDER BY id DESC LIMIT $1",
);
const FIND: Sql = sql![
    "INSERT INTO images_findings (found_at, digest, inc, size, what, unreadable) \
     SELECT " now ", digest, inc, size, $3, CAST($4 AS text) FROM images_blobs WHERE id = $1 AND inc = $2 AND state = 2"
];
const TRIM_FINDINGS: Sql =
    Sql::new("DELETE FROM images_findings WHERE id <= (SELECT MAX(id) FROM images_findings) - $1");
const FINDINGS: Sql = Sql::new(
    "SELECT f.id, f.found_at, f.digest, f.inc, f.size, f.what, f.unreadable, b.state AS state, b.inc AS present_inc \
     FROM images_findings f LEFT JOIN images_blobs b ON b.digest = f.digest WHERE f.id < $1 ORDER BY f.id DESC LIMIT $2",
);

/// The most passes that are remembered.
pub(crate) const MAX_RUNS: i64 = 200;
/// The most findings that are remembered.
pub(crate) const MAX_FINDINGS: i64 = 10_000;

/// Makes the row if it is not there.
pub(crate) fn create() -> Statement {
    Statement::new(CREATE).named("images.scrub_create")
}

/// The row.
pub(crate) fn read() -> Statement {
    Statement::new(READ).named("images.scrub_read")
}

/// Begins a pass, which is named by its beginning.
pub(crate) fn begin() -> Statement {
    Statement::new(BEGIN).named("images.scrub_begin")
}

/// Notes how far a pass came and what it read and found good; no row if it was ended, or another was begun.
pub(crate) fn advance(pass: Timestamp, cursor: &Digest, checked: i64, bytes: i64) -> Statement {
    Statement::new(ADVANCE)
        .bind(cursor.as_bytes().as_slice())
        .bind(checked)
        .bind(bytes)
        .bind(pass.as_unix_micros())
        .named("images.scrub_advance")
}

/// Counts a blob that a pass found missing or wrong, in the transaction that marks it: whoever goes on with the pass passes over what
/// is marked, and would not count it.
pub(crate) fn count_damaged(pass: Timestamp, bytes: i64) -> Statement {
    Statement::new(COUNT_DAMAGED).bind(bytes).bind(pass.as_unix_micros()).named("images.scrub_count_damaged")
}

/// Ends a pass; no row if it was ended, or another was begun.
pub(crate) fn end(pass: Timestamp) -> Statement {
    Statement::new(END).bind(pass.as_unix_micros()).named("images.scrub_end")
}

/// Remembers the pass that ended.
pub(crate) fn record() -> [Statement; 2] {
    [
        Statement::new(RECORD).named("images.scrub_record"),
        Statement::new(TRIM).bind(MAX_RUNS).named("images.scrub_trim"),
    ]
}

/// Past passes, the newest first.
pub(crate) fn runs(limit: u32) -> Statement {
    Statement::new(RUNS).bind(limit).named("images.scrub_runs")
}

/// Remembers why a blob was just marked as damaged, if it still is that; of a file that cannot be read, what the system said.
pub(crate) fn find(blob: i64, inc: i64, what: i64, unreadable: Option<String>) -> [Statement; 2] {
    [
        Statement::new(FIND).bind(blob).bind(inc).bind(what).bind(unreadable).named("images.scrub_find"),
        Statement::new(TRIM_FINDINGS).bind(MAX_FINDINGS).named("images.scrub_trim_findings"),
    ]
}

/// What was found before one finding, the newest first, and how its blob is now.
pub(crate) fn findings(before: i64, limit: u32) -> Statement {
    Statement::new(FINDINGS).bind(before).bind(limit).named("images.scrub_findings")
}

/// The last digest that was read.
pub(crate) fn cursor(row: &mainstay_repo::Row) -> crate::error::Result<Option<Digest>> {
    super::digest_optional(row, "cursor")
}
