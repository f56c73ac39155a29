//! Leases. They hold no time: a holder's row says until when all of its leases last.

use mainstay_repo::{Param, Row, Sql, Statement};

use super::sql::sql;
use crate::error::Result;
use crate::ids::{HolderId, ImageId, LifeId, Token};
use crate::lease::Lease;

const DROP_KEY: Sql = Sql::new("DELETE FROM images_leases WHERE holder_id = $1 AND key = $2");
/// Only if the holder may act and every blob of the image can be had.
const ACQUIRE: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO images_leases (holder_id, key, image_id, since, mark) \
         SELECT h.id, $2, i.id, CAST(unixepoch('subsec') * 1000000 AS INTEGER), $5 FROM images i, images_holders h \
         WHERE i.id = $3 AND h.id = $1 AND h.nonce = $4 AND h.live = 1 \
         AND h.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
        " AND NOT EXISTS (SELECT 1 FROM images_layers l JOIN images_blobs b ON b.id = l.blob_id \
         WHERE l.image_id = i.id AND b.state <> 0) \
         AND NOT EXISTS (SELECT 1 FROM images_attachments a JOIN images_blobs b ON b.id = a.blob_id \
         WHERE a.image_id = i.id AND b.state <> 0) \
         RETURNING token, holder_id, key, image_id, since"
    ),
    concat!(
        "INSERT INTO images_leases (holder_id, key, image_id, since, mark) \
         SELECT h.id, $2, i.id, CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint), CAST($5 AS bigint) \
         FROM (SELECT id FROM images WHERE id = $3 FOR KEY SHARE) i, \
         (SELECT id FROM images_holders WHERE id = $1 AND nonce = $4 AND live = 1 \
         AND expires_at > CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint) FOR SHARE) h \
         WHERE true",
        " AND NOT EXISTS (SELECT 1 FROM images_layers l JOIN images_blobs b ON b.id = l.blob_id \
         WHERE l.image_id = i.id AND b.state <> 0) \
         AND NOT EXISTS (SELECT 1 FROM images_attachments a JOIN images_blobs b ON b.id = a.blob_id \
         WHERE a.image_id = i.id AND b.state <> 0) \
         RETURNING token, holder_id, key, image_id, since"
    ),
);
const USED: Sql = sql![
    "UPDATE images SET last_used_at = " now " WHERE id = $1 AND last_used_at < " now " - 60000000"
];
/// In the order of their numbers, so that holders that end together do not wait for one another; SQLite has one writer.
const USED_LOCK: Sql = Sql::per_dialect(
    "SELECT id FROM images WHERE id IN (SELECT image_id FROM images_leases WHERE holder_id = $1) ORDER BY id",
    "SELECT id FROM images WHERE id IN (SELECT image_id FROM images_leases WHERE holder_id = $1) ORDER BY id \
     FOR NO KEY UPDATE",
);
const USED_BY: Sql = sql![
    "UPDATE images SET last_used_at = " now " WHERE last_used_at < " now " - 60000000 \
     AND id IN (SELECT image_id FROM images_leases WHERE holder_id = $1)"
];
const USED_FOR: Sql = sql![
    "UPDATE images SET last_used_at = " now " WHERE last_used_at < " now " - 60000000 \
     AND id IN (SELECT image_id FROM images_leases WHERE holder_id = $1 AND key = $2)"
];
const RELEASE: Sql = Sql::new(
    "DELETE FROM images_leases WHERE token = $1 AND holder_id = $2 \
     AND EXISTS (SELECT 1 FROM images_holders WHERE id = $2 AND nonce = $3) RETURNING image_id",
);
const OF_HOLDER: Sql = Sql::new("DELETE FROM images_leases WHERE holder_id = $1");
const OF_MARKS: Sql = sql!["DELETE FROM images_leases WHERE holder_id = $1 AND mark IN " any "$2"];
const GUARD: Sql = sql![
    "SELECT l.token FROM images_leases l JOIN images_holders h ON h.id = l.holder_id \
     WHERE l.token = $1 AND l.holder_id = $2 AND h.nonce = $3 AND h.live = 1 AND h.expires_at > " now for_share
];
const CONFIRM: Sql = sql![
    "SELECT l.token FROM images_leases l JOIN images_holders h ON h.id = l.holder_id \
     WHERE l.token = $1 AND l.holder_id = $2 AND h.nonce = $3 AND h.live = 1 AND h.expires_at > " now
];
const OF_IMAGE: Sql = Sql::new(
    "SELECT l.token, l.holder_id, l.key, l.image_id, l.since, h.name, h.nonce, h.expires_at \
     FROM images_leases l JOIN images_holders h ON h.id = l.holder_id WHERE l.image_id = $1 ORDER BY l.token LIMIT $2",
);
const FIND: Sql = Sql::new(
    "SELECT l.token, l.holder_id, l.key, l.image_id, l.since, h.name, h.nonce, h.expires_at \
     FROM images_leases l JOIN images_holders h ON h.id = l.holder_id WHERE l.token = $1",
);
const LIST: Sql = Sql::new(
    "SELECT l.token, l.holder_id, l.key, l.image_id, l.since, h.name, h.nonce, h.expires_at \
     FROM images_leases l JOIN images_holders h ON h.id = l.holder_id WHERE l.token > $1 ORDER BY l.token LIMIT $2",
);

pub(crate) fn read(row: &Row) -> Result<Lease> {
    Ok(Lease {
        token: Token(row.get("token")?),
        holder: HolderId(row.get("holder_id")?),
        key: row.get("key")?,
        image: ImageId(row.get("image_id")?),
        since: row.get("since")?,
    })
}

/// Ends the lease of a key; a new one follows in the same batch, which proves whose it is.
pub(crate) fn drop_key(holder: i64, key: &str) -> Statement {
    Statement::new(DROP_KEY).bind(holder).bind(key).named("images.lease_drop_key")
}

/// Takes a lease; no row if it cannot be had.
pub(crate) fn acquire(life: LifeId, key: &str, image: i64, mark: i64) -> Statement {
    Statement::new(ACQUIRE)
        .bind(life.number.get())
        .bind(key)
        .bind(image)
        .bind(life.nonce)
        .bind(mark)
        .named("images.lease_acquire")
}

/// Notes that an image is in use, at most once a minute; also of the lease that a [release](release) ended.
pub(crate) fn used(image: impl Into<Param>) -> Statement {
    Statement::new(USED).bind(image).named("images.image_used")
}

/// Notes that all images were in use that a holder leases; before its leases end.
pub(crate) fn used_by(holder: i64) -> [Statement; 2] {
    [
        Statement::new(USED_LOCK).bind(holder).named("images.image_used_lock"),
        Statement::new(USED_BY).bind(holder).named("images.image_used_by"),
    ]
}

/// Notes that the image was in use that a key leases; before another takes its place.
pub(crate) fn used_for(holder: i64, key: &str) -> Statement {
    Statement::new(USED_FOR).bind(holder).bind(key).named("images.image_used_for")
}

/// Gives a lease back.
pub(crate) fn release(token: i64, life: LifeId) -> Statement {
    of_life(RELEASE, token, life).named("images.lease_release")
}

/// Ends all leases of a holder.
pub(crate) fn of_holder(holder: i64) -> Statement {
    Statement::new(OF_HOLDER).bind(holder).named("images.lease_of_holder")
}

/// Ends what some transactions of a holder took; behind [`own`](super::holders::own).
pub(crate) fn of_marks(holder: i64, marks: &[i64]) -> Statement {
    Statement::new(OF_MARKS).bind(holder).bind(marks.to_vec()).named("images.lease_of_marks")
}

/// One row if the lease is held; it stays so until the commit.
pub(crate) fn guard(token: i64, life: LifeId) -> Statement {
    of_life(GUARD, token, life).named("images.lease_guard")
}

/// The leases of an image, with their holders.
pub(crate) fn of_image(image: i64, limit: u32) -> Statement {
    Statement::new(OF_IMAGE).bind(image).bind(limit).named("images.lease_of_image")
}

/// One lease, with its holder.
pub(crate) fn find(token: i64) -> Statement {
    Statement::new(FIND).bind(token).named("images.lease_find")
}

/// All leases in order, behind one, with their holders.
pub(crate) fn list(after: i64, limit: u32) -> Statement {
    Statement::new(LIST).bind(after).bind(limit).named("images.lease_list")
}

/// One row if the lease is held.
pub(crate) fn confirm(token: i64, life: LifeId) -> Statement {
    of_life(CONFIRM, token, life).named("images.lease_confirm")
}

fn of_life(sql: Sql, token: i64, life: LifeId) -> Statement {
    Statement::new(sql).bind(token).bind(life.number.get()).bind(life.nonce)
}
