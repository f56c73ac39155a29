//! How far the present scrub has come.

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
     damaged = 0 WHERE id = 1"
];
const ADVANCE: Sql = Sql::new(
    "UPDATE images_scrub SET cursor = $1, checked = checked + $2, bytes = bytes + $3, damaged = damaged + $4 WHERE id = 1",
);
const END: Sql = sql!["UPDATE images_scrub SET cursor = NULL, ended_at = " now " WHERE id = 1"];

/// Makes the row if it is not there.
pub(crate) fn create() -> Statement {
    Statement::new(CREATE).named("images.scrub_create")
}

/// The row.
pub(crate) fn read() -> Statement {
    Statement::new(READ).named("images.scrub_read")
}

/// Begins a pass.
pub(crate) fn begin() -> Statement {
    Statement::new(BEGIN).named("images.scrub_begin")
}

/// Notes what was read.
pub(crate) fn advance(cursor: &Digest, checked: i64, bytes: i64, damaged: i64) -> Statement {
    Statement::new(ADVANCE)
        .bind(cursor.as_bytes().as_slice())
        .bind(checked)
        .bind(bytes)
        .bind(damaged)
        .named("images.scrub_advance")
}

/// Ends a pass.
pub(crate) fn end() -> Statement {
    Statement::new(END).named("images.scrub_end")
}

/// The last digest that was read.
pub(crate) fn cursor(row: &mainstay_repo::Row) -> crate::error::Result<Option<Digest>> {
    super::digest_optional(row, "cursor")
}
