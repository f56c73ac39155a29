//! The store's own row.

use mainstay_repo::{BackReference, Row, Sql, Statement};

use super::sql::{octets, sql};

const CREATE: Sql = sql![
    "INSERT INTO images_store (id, uuid, bytes, created_at) VALUES (1, $1, 0, " now ") \
     ON CONFLICT (id) DO UPDATE SET uuid = images_store.uuid RETURNING uuid, prepared"
];
const PREPARED: Sql = Sql::new("UPDATE images_store SET prepared = 1 WHERE id = 1 AND prepared = 0");
const READ: Sql = sql!["SELECT uuid, bytes, prepared, " now " AS now FROM images_store WHERE id = 1"];
const LOCK: Sql = sql!["SELECT bytes FROM images_store WHERE id = 1" for_update];
/// Reserved is what intents keep free; a blob that is there already needs no room.
const FITS: Sql = sql![
    "SELECT bytes FROM images_store WHERE id = 1 AND bytes + (SELECT COALESCE(SUM(size), 0) FROM images_intents) \
     + CASE WHEN EXISTS (SELECT 1 FROM images_blobs WHERE digest = $1 AND state = 0) THEN 0 ELSE CAST($2 AS bigint) END <= CAST($3 AS bigint)"
];
const GROW: Sql = Sql::new(
    "UPDATE images_store SET bytes = bytes + $1 WHERE id = 1 AND CAST($2 AS bigint) = CAST($3 AS bigint)",
);
/// One term of a sum: the size of a blob, if a publication is the one that made its row.
macro_rules! made {
    ($size:literal, $first:literal, $inc:literal) => {
        concat!(
            " + CASE WHEN CAST(",
            $first,
            " AS bigint) = CAST(",
            $inc,
            " AS bigint) THEN CAST(",
            $size,
            " AS bigint) ELSE 0 END"
        )
    };
}
const GROW_TOGETHER: Sql = Sql::new(concat!(
    "UPDATE images_store SET bytes = bytes",
    made!("$1", "$2", "$3"),
    made!("$4", "$5", "$6"),
    made!("$7", "$8", "$9"),
    made!("$10", "$11", "$12"),
    made!("$13", "$14", "$15"),
    made!("$16", "$17", "$18"),
    made!("$19", "$20", "$21"),
    made!("$22", "$23", "$24"),
    " WHERE id = 1"
));
const GROW_ANEW: Sql = Sql::new(
    "UPDATE images_store SET bytes = bytes + $1 WHERE id = 1 AND CAST($2 AS bigint) = CAST($3 AS bigint) \
     AND CAST($4 AS bigint) = 0",
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

/// One row if so many octets more stay within the quota.
pub(crate) fn fits(digest: Option<&[u8]>, size: u64, quota: u64) -> Statement {
    Statement::new(FITS)
        .bind(digest.map(<[u8]>::to_vec))
        .bind(octets(size))
        .bind(octets(quota))
        .named("images.store_fits")
}

/// Counts a blob, if this publication is the one that made its row.
pub(crate) fn grow(size: u64, first_inc: BackReference, inc: i64) -> Statement {
    Statement::new(GROW).bind(octets(size)).bind(first_inc).bind(inc).named("images.store_grow")
}

/// Blobs that one statement counts.
pub(crate) const TOGETHER: usize = 8;

/// As [`grow`], of at most [`TOGETHER`] blobs at once, each with its size, its row's `first_inc` and its publication. Whoever changes
/// the row keeps all others from it until the commit, so this comes last.
pub(crate) fn grow_together(blobs: &[(u64, BackReference, i64)]) -> Statement {
    let mut statement = Statement::new(GROW_TOGETHER);
    for (size, first_inc, inc) in blobs.iter().take(TOGETHER) {
        statement = statement.bind(octets(*size)).bind(first_inc.clone()).bind(*inc);
    }
    for _ in blobs.len()..TOGETHER {
        // No publication has the number zero.
        statement = statement.bind(0_i64).bind(0_i64).bind(1_i64);
    }
    statement.named("images.store_grow_together")
}

/// As [`grow`], of one whose row may be there already: so many rows it had made before.
pub(crate) fn grow_anew(size: u64, first_inc: BackReference, inc: i64, known: BackReference) -> Statement {
    Statement::new(GROW_ANEW)
        .bind(octets(size))
        .bind(first_inc)
        .bind(inc)
        .bind(known)
        .named("images.store_grow_anew")
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
