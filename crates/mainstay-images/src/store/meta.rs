//! The store's own row.

use mainstay_repo::{BackReference, Row, Sql, Statement};

use super::sql::{octets, sql};
use crate::digest::Digest;

const CREATE: Sql = sql![
    "INSERT INTO images_store (id, uuid, bytes, created_at) VALUES (1, $1, 0, " now ") \
     ON CONFLICT (id) DO UPDATE SET uuid = images_store.uuid RETURNING uuid, prepared"
];
const MADE: Sql = Sql::new(
    "SELECT s.uuid, s.prepared FROM images_store s, images_collector c, images_scrub r \
     WHERE s.id = 1 AND c.id = 1 AND r.id = 1",
);
const PREPARED: Sql = Sql::new("UPDATE images_store SET prepared = 1 WHERE id = 1 AND prepared = 0");
const READ: Sql = sql!["SELECT uuid, bytes, prepared, " now " AS now FROM images_store WHERE id = 1"];
const LOCK: Sql = sql!["SELECT bytes FROM images_store WHERE id = 1" for_update];
/// Reserved is what intents keep free, but for the one (`$4`) that it is asked for; a blob that is there already needs no room.
const FITS: Sql = sql![
    "SELECT bytes FROM images_store WHERE id = 1 AND bytes + (SELECT COALESCE(SUM(size), 0) FROM images_intents WHERE inc <> $4) \
     + CASE WHEN EXISTS (SELECT 1 FROM images_blobs WHERE digest = $1 AND state = 0) THEN 0 ELSE CAST($2 AS bigint) END <= CAST($3 AS bigint)"
];
const GROW: Sql = Sql::new(
    "UPDATE images_store SET bytes = bytes + $1 WHERE id = 1 \
     AND EXISTS (SELECT 1 FROM images_blobs WHERE digest = $2 AND first_inc = $3)",
);
const GROW_TOGETHER: Sql = Sql::new(
    "UPDATE images_store SET bytes = bytes + (SELECT COALESCE(SUM(size), 0) FROM images_blobs \
     WHERE (digest = $1 AND first_inc = $2) OR (digest = $3 AND first_inc = $4) OR (digest = $5 AND first_inc = $6) \
     OR (digest = $7 AND first_inc = $8) OR (digest = $9 AND first_inc = $10) OR (digest = $11 AND first_inc = $12) \
     OR (digest = $13 AND first_inc = $14) OR (digest = $15 AND first_inc = $16)) WHERE id = 1",
);
const GROW_ANEW: Sql = Sql::new(
    "UPDATE images_store SET bytes = bytes + $1 WHERE id = 1 AND CAST($4 AS bigint) = 0 \
     AND EXISTS (SELECT 1 FROM images_blobs WHERE digest = $2 AND first_inc = $3)",
);
/// In one statement, so that both are of one moment.
const COMPARE: Sql = Sql::new(
    "SELECT bytes, CAST((SELECT COALESCE(SUM(size), 0) FROM images_blobs) AS bigint) AS counted \
     FROM images_store WHERE id = 1",
);
const RECOUNT: Sql = Sql::new(
    "UPDATE images_store SET bytes = (SELECT COALESCE(SUM(size), 0) FROM images_blobs) WHERE id = 1 RETURNING bytes",
);
const PAY: Sql = sql![
    "UPDATE images_store SET bytes = bytes - (SELECT COALESCE(SUM(size), 0) FROM images_blobs \
     WHERE id IN " any "$1" " AND inc IN " any "$2" " AND state = 1) WHERE id = 1"
];

/// Makes the row, or returns the one that is there.
pub(crate) fn create(uuid: &str) -> Statement {
    Statement::new(CREATE).bind(uuid).named("images.store_create")
}

/// The row, if all rows are there that every store has.
pub(crate) fn made() -> Statement {
    Statement::new(MADE).named("images.store_made")
}

/// Writes down that the directory was made.
pub(crate) fn prepared() -> Statement {
    Statement::new(PREPARED).named("images.store_prepared")
}

/// The row and the database's time.
pub(crate) fn read() -> Statement {
    Statement::new(READ).named("images.store_read")
}

/// Keeps the row from changing until the commit; the statements behind it see what others committed before.
pub(crate) fn lock() -> Statement {
    Statement::new(LOCK).named("images.store_lock")
}

/// One row if so many octets stay within the quota beside what others announced; `own` is the number of the intent that has them, if
/// it is written.
pub(crate) fn fits(digest: Option<&[u8]>, size: u64, quota: u64, own: Option<i64>) -> Statement {
    Statement::new(FITS)
        .bind(digest.map(<[u8]>::to_vec))
        .bind(octets(size))
        .bind(octets(quota))
        .bind(own.unwrap_or(0))
        .named("images.store_fits")
}

/// Counts a blob, if this publication is the one that made its row.
pub(crate) fn grow(size: u64, digest: &Digest, inc: i64) -> Statement {
    counted(GROW, size, digest, inc).named("images.store_grow")
}

/// Blobs that one statement counts.
pub(crate) const TOGETHER: usize = 8;

/// As [`grow`], of at most [`TOGETHER`] blobs at once, each with its publication. Whoever changes the row keeps all others from it until
/// the commit, so this comes last.
pub(crate) fn grow_together(blobs: &[(u64, Digest, i64)]) -> Statement {
    let mut statement = Statement::new(GROW_TOGETHER);
    for (_, digest, inc) in blobs.iter().take(TOGETHER) {
        statement = statement.bind(digest.as_bytes().as_slice()).bind(*inc);
    }
    for _ in blobs.len()..TOGETHER {
        // No blob has this digest.
        statement = statement.bind(Vec::<u8>::new()).bind(0_i64);
    }
    statement.named("images.store_grow_together")
}

/// As [`grow`], of one whose row may be there already: so many rows it had made before.
pub(crate) fn grow_anew(size: u64, digest: &Digest, inc: i64, known: BackReference) -> Statement {
    counted(GROW_ANEW, size, digest, inc).bind(known).named("images.store_grow_anew")
}

fn counted(sql: Sql, size: u64, digest: &Digest, inc: i64) -> Statement {
    Statement::new(sql).bind(octets(size)).bind(digest.as_bytes().as_slice()).bind(inc)
}

/// The octets of all blobs as they are noted (`bytes`) and as they add up (`counted`).
pub(crate) fn compare() -> Statement {
    Statement::new(COMPARE).named("images.store_compare")
}

/// Takes blobs that are about to be forgotten off the count; behind [`lock`].
pub(crate) fn pay(ids: &[i64], incs: &[i64]) -> Statement {
    Statement::new(PAY).bind(ids.to_vec()).bind(incs.to_vec()).named("images.store_pay")
}

/// Counts all blobs again; behind [`lock`].
pub(crate) fn recount() -> Statement {
    Statement::new(RECOUNT).named("images.store_recount")
}

/// The octets of all blobs, in a row of [`read`].
pub(crate) fn bytes(row: &Row) -> mainstay_repo::Result<u64> {
    let counted: i64 = row.get("bytes")?;
    Ok(u64::try_from(counted).unwrap_or(0))
}
