//! Blobs that lost a reference, or never had one: what a collection looks at.

use std::time::Duration;

use mainstay_repo::{Sql, Statement};

use super::sql::{micros, sql};
use crate::digest::Digest;

const PUT: Sql = sql![
    "INSERT INTO images_gc_queue (blob_id, review_after) SELECT id, " now " + $2 FROM images_blobs WHERE digest = $1 \
     ON CONFLICT (blob_id) DO UPDATE SET review_after = excluded.review_after"
];
const PUT_IMAGE: Sql = sql![
    "INSERT INTO images_gc_queue (blob_id, review_after) SELECT u.blob_id, " now " + $2 FROM \
     (SELECT blob_id FROM images_layers WHERE image_id = $1 \
     UNION SELECT blob_id FROM images_attachments WHERE image_id = $1) u WHERE true \
     ON CONFLICT (blob_id) DO UPDATE SET review_after = excluded.review_after"
];
const PUT_HOLDER: Sql = sql![
    "INSERT INTO images_gc_queue (blob_id, review_after) SELECT DISTINCT b.id, " now " + $2 \
     FROM images_intents i JOIN images_blobs b ON b.digest = i.digest WHERE i.holder_id = $1 \
     ON CONFLICT (blob_id) DO UPDATE SET review_after = excluded.review_after"
];
const DUE: Sql = sql![
    "SELECT q.blob_id AS id, b.digest, b.inc, b.size, q.review_after FROM images_gc_queue q \
     JOIN images_blobs b ON b.id = q.blob_id WHERE q.review_after <= " now " AND b.state <> 1 \
     AND (q.review_after > $1 OR (q.review_after = $1 AND q.blob_id > $2)) \
     ORDER BY q.review_after, q.blob_id LIMIT $3"
];
/// A later change of the entry, by who took the last reference away, keeps it.
const SETTLE: Sql = sql![
    "DELETE FROM images_gc_queue WHERE blob_id IN " any "$1" " AND review_after <= $2 \
     AND (EXISTS (SELECT 1 FROM images_layers l WHERE l.blob_id = images_gc_queue.blob_id) \
     OR EXISTS (SELECT 1 FROM images_attachments a WHERE a.blob_id = images_gc_queue.blob_id))"
];
const POSTPONE: Sql = sql![
    "UPDATE images_gc_queue SET review_after = " now " + $3, attempts = attempts + 1 \
     WHERE blob_id IN " any "$1" " AND review_after <= $2"
];
const HURRY: Sql = sql![
    "UPDATE images_gc_queue SET review_after = " now " WHERE review_after > " now " AND blob_id = \
     (SELECT id FROM images_blobs WHERE digest = $1 AND inc = $2)"
];
const FIND: Sql = Sql::new("SELECT review_after FROM images_gc_queue WHERE blob_id = $1");
/// Not those of blobs that are used: their entries are settled when their time comes, and nothing of them will go.
const COUNT: Sql = Sql::new(
    "SELECT COUNT(*) AS waiting FROM images_gc_queue q \
     WHERE NOT EXISTS (SELECT 1 FROM images_layers l WHERE l.blob_id = q.blob_id) \
     AND NOT EXISTS (SELECT 1 FROM images_attachments a WHERE a.blob_id = q.blob_id)",
);

/// A blob is to be looked at after so long.
pub(crate) fn put(blob: &Digest, after: Duration) -> Statement {
    Statement::new(PUT).bind(blob.as_bytes().as_slice()).bind(micros(after)).named("images.queue_put")
}

/// The blobs of an image are to be looked at after so long.
pub(crate) fn put_image(image: i64, after: Duration) -> Statement {
    Statement::new(PUT_IMAGE).bind(image).bind(micros(after)).named("images.queue_put_image")
}

/// The blobs that a holder was publishing are to be looked at after so long.
pub(crate) fn put_holder(holder: i64, after: Duration) -> Statement {
    Statement::new(PUT_HOLDER).bind(holder).bind(micros(after)).named("images.queue_put_holder")
}

/// Blobs whose time has come, in order, behind an entry.
pub(crate) fn due(after: (i64, i64), limit: u32) -> Statement {
    Statement::new(DUE).bind(after.0).bind(after.1).bind(limit).named("images.queue_due")
}

/// Forgets entries of blobs that are used again, unless they changed after `seen`.
pub(crate) fn settle(blobs: &[i64], seen: i64) -> Statement {
    Statement::new(SETTLE).bind(blobs.to_vec()).bind(seen).named("images.queue_settle")
}

/// Looks again later at what is left of the entries: something is publishing them, or their file would not go.
pub(crate) fn postpone(blobs: &[i64], seen: i64, after: Duration) -> Statement {
    Statement::new(POSTPONE)
        .bind(blobs.to_vec())
        .bind(seen)
        .bind(micros(after))
        .named("images.queue_postpone")
}

/// A publication's blob that waits for a collection waits no longer.
pub(crate) fn hurry(digest: &Digest, inc: i64) -> Statement {
    Statement::new(HURRY).bind(digest.as_bytes().as_slice()).bind(inc).named("images.queue_hurry")
}

/// How many entries there are of blobs that no image uses.
pub(crate) fn count() -> Statement {
    Statement::new(COUNT).named("images.queue_count")
}

/// A blob's entry.
pub(crate) fn find(blob: i64) -> Statement {
    Statement::new(FIND).bind(blob).named("images.queue_find")
}
