//! Blobs.

use mainstay_repo::{Row, Sql, Statement};

use super::sql::{octets, sql};
use super::{digest, size};
use crate::blob::{Blob, BlobKind, BlobState};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{BlobId, Incarnation};

const LOOK: Sql = sql![
    "SELECT id, digest, kind, media_type, size, state, inc, created_at, verified_at FROM images_blobs \
     WHERE digest = $1" for_share
];
const FIND: Sql = Sql::new(
    "SELECT id, digest, kind, media_type, size, state, inc, created_at, verified_at FROM images_blobs \
     WHERE digest = $1",
);
/// Keeps the file of a row that is good; takes over a row whose file is going, damaged or the one found bad (`$6`).
const LAND: Sql = sql![
    "INSERT INTO images_blobs (digest, kind, media_type, size, state, inc, first_inc, created_at, verified_at) \
     VALUES ($1, $2, $3, $4, 0, $5, $5, " now ", " now ") ON CONFLICT (digest) DO UPDATE SET \
     inc = CASE WHEN images_blobs.state <> 0 OR images_blobs.inc = $6 THEN excluded.inc ELSE images_blobs.inc END, \
     verified_at = CASE WHEN images_blobs.state <> 0 OR images_blobs.inc = $6 THEN excluded.verified_at \
     ELSE images_blobs.verified_at END, \
     kind = CASE WHEN images_blobs.kind = 3 AND excluded.kind = 2 THEN 2 ELSE images_blobs.kind END, state = 0 \
     RETURNING id, digest, kind, media_type, size, state, inc, first_inc, created_at, verified_at"
];
const COUNT_OWN: Sql =
    Sql::new("SELECT COUNT(*) AS known FROM images_blobs WHERE digest = $1 AND first_inc = $2");
/// What was only attached so far may become a layer; nothing that is in a chain changes.
const PROMOTE: Sql = Sql::new("UPDATE images_blobs SET kind = 2 WHERE digest = $1 AND kind = 3");
const PRESENT: Sql = sql!["SELECT id, kind FROM images_blobs WHERE digest = $1 AND state = 0" for_share];
const TOMBSTONE_LOCK: Sql = sql![
    "SELECT id FROM images_blobs WHERE id IN " any "$1" " AND state <> 1 ORDER BY id" for_update
];
/// In a statement of its own behind the lock, so that it sees every use that was committed before.
const TOMBSTONE: Sql = sql![
    "UPDATE images_blobs SET state = 1 WHERE id IN " any "$1" " AND state <> 1 \
     AND NOT EXISTS (SELECT 1 FROM images_layers l WHERE l.blob_id = images_blobs.id) \
     AND NOT EXISTS (SELECT 1 FROM images_attachments a WHERE a.blob_id = images_blobs.id) \
     AND NOT EXISTS (SELECT 1 FROM images_intents i WHERE i.digest = images_blobs.digest) \
     RETURNING id, digest, inc, size"
];
const DELETING: Sql = Sql::new(
    "SELECT id, digest, inc, size FROM images_blobs WHERE state <> 0 AND state = 1 AND id > $1 ORDER BY id LIMIT $2",
);
/// Behind it, statements see who took a marked row over before, and nobody takes one over until the commit.
const FORGET_LOCK: Sql = sql![
    "SELECT id FROM images_blobs WHERE id IN " any "$1" " AND inc IN " any "$2" " AND state = 1 ORDER BY id" for_update
];
const FORGET: Sql = sql![
    "DELETE FROM images_blobs WHERE id IN " any "$1" " AND inc IN " any "$2" " AND state = 1 RETURNING id, size"
];
const DAMAGE: Sql = Sql::new("UPDATE images_blobs SET state = 2 WHERE id = $1 AND inc = $2 AND state = 0");
const VERIFIED: Sql =
    sql!["UPDATE images_blobs SET verified_at = " now " WHERE id IN " any "$1" " AND state = 0"];
const PAGE: Sql = Sql::new(
    "SELECT id, digest, inc, state, size FROM images_blobs WHERE digest > $1 AND digest <= $2 ORDER BY digest LIMIT $3",
);
const LAST: Sql = Sql::new("SELECT COALESCE(MAX(id), 0) AS id FROM images_blobs");
const MARKED: Sql = Sql::new("SELECT COUNT(*) AS marked FROM images_blobs WHERE state <> 0 AND state = 1");
const DAMAGED: Sql = Sql::new(
    "SELECT id, digest, kind, media_type, size, state, inc, created_at, verified_at FROM images_blobs \
     WHERE state <> 0 AND state = 2 ORDER BY id LIMIT $1",
);
const DAMAGED_COUNT: Sql =
    Sql::new("SELECT COUNT(*) AS damaged FROM images_blobs WHERE state <> 0 AND state = 2");
/// Of so many numbers at once: over a large store without garbage it would look at every row before it answers.
const UNUSED: Sql = sql![
    "SELECT b.id, b.digest, b.inc, b.size FROM images_blobs b WHERE b.id > $1 AND b.id <= $3 AND b.state <> 1 \
     AND NOT EXISTS (SELECT 1 FROM images_layers l WHERE l.blob_id = b.id) \
     AND NOT EXISTS (SELECT 1 FROM images_attachments a WHERE a.blob_id = b.id) \
     AND NOT EXISTS (SELECT 1 FROM images_intents i WHERE i.digest = b.digest AND i.holder_id NOT IN " any "$4" ") \
     ORDER BY b.id LIMIT $2"
];

pub(crate) fn read(row: &Row) -> Result<Blob> {
    Ok(Blob {
        id: BlobId(row.get("id")?),
        digest: digest(row, "digest")?,
        kind: BlobKind::from_stored(row.get("kind")?)?,
        media_type: row.get("media_type")?,
        size_bytes: size(row, "size")?,
        state: BlobState::from_stored(row.get("state")?)?,
        incarnation: Incarnation(row.get("inc")?),
        created_at: row.get("created_at")?,
        verified_at: row.get("verified_at")?,
    })
}

/// The part of a row that collecting works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slim {
    pub(crate) id: i64,
    pub(crate) digest: Digest,
    pub(crate) inc: i64,
    pub(crate) size: u64,
}

pub(crate) fn read_slim(row: &Row) -> Result<Slim> {
    Ok(Slim {
        id: row.get("id")?,
        digest: digest(row, "digest")?,
        inc: row.get("inc")?,
        size: size(row, "size")?,
    })
}

/// The digest in a row.
pub(crate) fn read_digest(row: &Row) -> Result<Digest> {
    digest(row, "digest")
}

/// A blob's row; it stays as it is until the commit.
pub(crate) fn look(digest: &Digest) -> Statement {
    Statement::new(LOOK).bind(digest.as_bytes().as_slice()).named("images.blob_look")
}

/// A blob's row.
pub(crate) fn find(digest: &Digest) -> Statement {
    Statement::new(FIND).bind(digest.as_bytes().as_slice()).named("images.blob_find")
}

/// What a publication says of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landing<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) kind: BlobKind,
    pub(crate) media_type: &'a str,
    pub(crate) size: u64,
    pub(crate) inc: i64,
    /// The file that was found missing or wrong, if that is why there is a new one.
    pub(crate) replaces: Option<i64>,
}

/// Makes a row, or returns the one that is there.
pub(crate) fn land(landing: Landing<'_>) -> Statement {
    Statement::new(LAND)
        .bind(landing.digest.as_bytes().as_slice())
        .bind(landing.kind.to_stored())
        .bind(landing.media_type)
        .bind(octets(landing.size))
        .bind(landing.inc)
        .bind(landing.replaces.unwrap_or(0))
        .named("images.blob_land")
}

/// One row, of how many rows (`known`) a publication made of a blob.
pub(crate) fn count_own(digest: &Digest, inc: i64) -> Statement {
    Statement::new(COUNT_OWN).bind(digest.as_bytes().as_slice()).bind(inc).named("images.blob_count_own")
}

/// One row if the blob is present; it stays so until the commit.
pub(crate) fn present(digest: &Digest) -> Statement {
    Statement::new(PRESENT).bind(digest.as_bytes().as_slice()).named("images.blob_present")
}

/// Lets what was a document also be a layer.
pub(crate) fn promote(digest: &Digest) -> Statement {
    Statement::new(PROMOTE).bind(digest.as_bytes().as_slice()).named("images.blob_promote")
}

/// Keeps the use of blobs from changing until the commit.
pub(crate) fn tombstone_lock(ids: &[i64]) -> Statement {
    Statement::new(TOMBSTONE_LOCK).bind(ids.to_vec()).named("images.blob_tombstone_lock")
}

/// Marks those of the blobs that nothing uses; behind [`tombstone_lock`].
pub(crate) fn tombstone(ids: &[i64]) -> Statement {
    Statement::new(TOMBSTONE).bind(ids.to_vec()).named("images.blob_tombstone")
}

/// Blobs that are marked.
pub(crate) fn deleting(after: i64, limit: u32) -> Statement {
    Statement::new(DELETING).bind(after).bind(limit).named("images.blob_deleting")
}

/// Keeps marked rows from being taken over until the commit.
pub(crate) fn forget_lock(ids: &[i64], incs: &[i64]) -> Statement {
    Statement::new(FORGET_LOCK).bind(ids.to_vec()).bind(incs.to_vec()).named("images.blob_forget_lock")
}

/// Deletes marked rows, if they are still of these publications.
pub(crate) fn forget(ids: &[i64], incs: &[i64]) -> Statement {
    Statement::new(FORGET).bind(ids.to_vec()).bind(incs.to_vec()).named("images.blob_forget")
}

/// Marks a blob whose file is missing or wrong, if the file is still its.
pub(crate) fn damage(id: i64, inc: i64) -> Statement {
    Statement::new(DAMAGE).bind(id).bind(inc).named("images.blob_damage")
}

/// Writes down that files hold what they should.
pub(crate) fn verified(ids: &[i64]) -> Statement {
    Statement::new(VERIFIED).bind(ids.to_vec()).named("images.blob_verified")
}

/// Rows behind one digest up to another, in order.
pub(crate) fn page(after: &[u8], up_to: &[u8], limit: u32) -> Statement {
    Statement::new(PAGE).bind(after).bind(up_to).bind(limit).named("images.blob_page")
}

/// How many blobs a collector marked and has not forgotten yet.
pub(crate) fn marked() -> Statement {
    Statement::new(MARKED).named("images.blob_marked")
}

/// Blobs whose file is missing or wrong.
pub(crate) fn damaged(limit: u32) -> Statement {
    Statement::new(DAMAGED).bind(limit).named("images.blob_damaged")
}

/// How many blobs there are whose file is missing or wrong.
pub(crate) fn damaged_count() -> Statement {
    Statement::new(DAMAGED_COUNT).named("images.blob_damaged_count")
}

/// Blobs behind one number up to another that nothing uses, whether they were queued or not; what these holders announced is no use.
pub(crate) fn unused(after: i64, up_to: i64, limit: u32, but: &[i64]) -> Statement {
    Statement::new(UNUSED).bind(after).bind(limit).bind(up_to).bind(but.to_vec()).named("images.blob_unused")
}

/// The highest number of a blob's row; zero for none.
pub(crate) fn last() -> Statement {
    Statement::new(LAST).named("images.blob_last")
}
