//! Intents: what is being published or pulled.

use std::collections::{BTreeSet, HashSet};

use mainstay_repo::{Row, Sql, Statement};

use super::sql::{octets, sql};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::LifeId;

/// A blob that is there already needs no room.
const INSERT: Sql = sql![
    "INSERT INTO images_intents (holder_id, digest, size, created_at, mark) VALUES ($1, $2, \
     CASE WHEN EXISTS (SELECT 1 FROM images_blobs WHERE digest = $2 AND state = 0) THEN 0 ELSE CAST($3 AS bigint) END, "
    now ", $4) RETURNING inc"
];
const NAME: Sql =
    Sql::new("UPDATE images_intents SET digest = $3, size = $4 WHERE inc = $1 AND holder_id = $2");
/// Numbers of intents and of holders may be given again after a restore; the nonce says whose they are.
const LAND: Sql = Sql::new(
    "UPDATE images_intents SET size = 0 WHERE inc = $1 AND holder_id = $2 \
     AND EXISTS (SELECT 1 FROM images_holders WHERE id = $2 AND nonce = $3)",
);
/// What is there needs no room, and what is not does.
const ADOPT: Sql = Sql::new(
    "UPDATE images_intents SET size = CASE WHEN EXISTS (SELECT 1 FROM images_blobs WHERE digest = $4 AND state = 0) \
     THEN 0 ELSE size END WHERE inc = $1 AND holder_id = $2 \
     AND EXISTS (SELECT 1 FROM images_holders WHERE id = $2 AND nonce = $3)",
);
const UNUSED: Sql =
    sql!["UPDATE images_intents SET size = 0 WHERE holder_id = $1 AND size > 0 AND inc IN " any "$2"];
const FINISH: Sql = sql![
    "DELETE FROM images_intents WHERE holder_id = $1 AND inc IN " any "$2"
    " AND EXISTS (SELECT 1 FROM images_holders WHERE id = $1 AND nonce = $3)"
];
const OF_HOLDER: Sql = Sql::new("DELETE FROM images_intents WHERE holder_id = $1");
const OF_MARKS: Sql = sql!["DELETE FROM images_intents WHERE holder_id = $1 AND mark IN " any "$2"];
const ALL: Sql = Sql::new("SELECT inc, digest, holder_id FROM images_intents");
const OF_DIGEST: Sql = Sql::new(
    "SELECT i.inc, h.name, h.expires_at FROM images_intents i JOIN images_holders h ON h.id = i.holder_id \
     WHERE i.digest = $1 ORDER BY i.inc",
);
const ANNOUNCED: Sql = sql![
    "SELECT CAST(COALESCE(SUM(i.size), 0) AS bigint) AS octets FROM images_intents i \
     JOIN images_holders h ON h.id = i.holder_id \
     WHERE i.size > 0 AND h.live = 1 AND h.expires_at > " now " AND i.inc < $2 AND i.holder_id NOT IN " any "$1"
];
const LARGEST_ANNOUNCED: Sql = sql![
    "SELECT i.inc, i.digest, i.size FROM images_intents i JOIN images_holders h ON h.id = i.holder_id \
     WHERE i.size > 0 AND h.live = 1 AND h.expires_at > " now " AND i.inc < $2 AND i.holder_id NOT IN " any "$1"
    " ORDER BY i.size DESC LIMIT $3"
];
const LAST: Sql = Sql::per_dialect(
    "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'images_intents'), 0) AS inc",
    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS inc FROM images_intents_inc_seq",
);
/// Writes an intent; its number is the publication's. Behind a [guard](super::holders::guard).
pub(crate) fn insert(holder: i64, digest: Option<&Digest>, size: u64, mark: i64) -> Statement {
    Statement::new(INSERT)
        .bind(holder)
        .bind(digest.map(|digest| digest.as_bytes().to_vec()))
        .bind(octets(size))
        .bind(mark)
        .named("images.intent_insert")
}

/// Tells an intent what it publishes; behind a [guard](super::holders::guard).
pub(crate) fn name(inc: i64, holder: i64, digest: &Digest, size: u64) -> Statement {
    Statement::new(NAME)
        .bind(inc)
        .bind(holder)
        .bind(digest.as_bytes().as_slice())
        .bind(octets(size))
        .named("images.intent_name")
}

/// The intent's blob has a row: it needs no room of its own any more. One row if the intent is there.
pub(crate) fn land(inc: i64, life: LifeId) -> Statement {
    Statement::new(LAND).bind(inc).bind(life.number.get()).bind(life.nonce).named("images.intent_land")
}

/// The intent is to adopt its blob, if that is there. One row if the intent is there.
pub(crate) fn adopt(inc: i64, life: LifeId, digest: &Digest) -> Statement {
    Statement::new(ADOPT)
        .bind(inc)
        .bind(life.number.get())
        .bind(life.nonce)
        .bind(digest.as_bytes().as_slice())
        .named("images.intent_adopt")
}

/// Intents that nobody uses any more, and that need no room; behind a [guard](super::holders::guard).
pub(crate) fn unused(holder: i64, incs: &[i64]) -> Statement {
    Statement::new(UNUSED).bind(holder).bind(incs.to_vec()).named("images.intent_unused")
}

/// The fence: deletes intents, all of which must be there.
pub(crate) fn finish(life: LifeId, incs: &[i64]) -> Statement {
    Statement::new(FINISH)
        .bind(life.number.get())
        .bind(incs.to_vec())
        .bind(life.nonce)
        .named("images.intent_finish")
}

/// Deletes all intents of a holder.
pub(crate) fn of_holder(holder: i64) -> Statement {
    Statement::new(OF_HOLDER).bind(holder).named("images.intent_of_holder")
}

/// Deletes what some transactions of a holder wrote; behind [`own`](super::holders::own).
pub(crate) fn of_marks(holder: i64, marks: &[i64]) -> Statement {
    Statement::new(OF_MARKS).bind(holder).bind(marks.to_vec()).named("images.intent_of_marks")
}

/// All intents.
pub(crate) fn all() -> Statement {
    Statement::new(ALL).named("images.intent_all")
}

/// The numbers in rows of [`all`], but for those of some holders.
pub(crate) fn numbers(rows: &[Row], but: &BTreeSet<i64>) -> Result<BTreeSet<i64>> {
    let mut numbers = BTreeSet::new();
    for row in rows {
        if !but.contains(&row.get("holder_id")?) {
            numbers.insert(row.get("inc")?);
        }
    }
    Ok(numbers)
}

/// The digests in rows of [`all`] that are known yet, but for those of some holders.
pub(crate) fn digests(rows: &[Row], but: &BTreeSet<i64>) -> Result<HashSet<Digest>> {
    let mut digests = HashSet::new();
    for row in rows {
        if !but.contains(&row.get("holder_id")?) {
            digests.extend(read_digest(row)?);
        }
    }
    Ok(digests)
}

/// The digest in a row of [`all`], if it is known yet.
pub(crate) fn read_digest(row: &Row) -> Result<Option<Digest>> {
    super::digest_optional(row, "digest")
}

/// Who publishes a digest.
pub(crate) fn of_digest(digest: &Digest) -> Statement {
    Statement::new(OF_DIGEST).bind(digest.as_bytes().as_slice()).named("images.intent_of_digest")
}

/// Octets that holders announced before a number was given, but for these holders; not of those whose time is over or whose name was taken over, since nothing of
/// theirs will be committed.
pub(crate) fn announced(but: &[i64], before: i64) -> Statement {
    Statement::new(ANNOUNCED).bind(but.to_vec()).bind(before).named("images.intent_announced")
}

/// The largest of what [`announced`] sums up.
pub(crate) fn largest_announced(but: &[i64], before: i64, limit: u32) -> Statement {
    Statement::new(LARGEST_ANNOUNCED)
        .bind(but.to_vec())
        .bind(before)
        .bind(limit)
        .named("images.intent_largest_announced")
}

/// The number that was given last.
pub(crate) fn last() -> Statement {
    Statement::new(LAST).named("images.intent_last")
}
