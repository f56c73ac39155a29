//! Which image uses which blob, for reports and for eviction.

use mainstay_repo::{Row, Sql, Statement};

use super::sql::sql;
use super::{digest, size};
use crate::digest::Digest;
use crate::error::Result;
use crate::gc::ImageFacts;
use crate::ids::ImageId;
use crate::image::ImageKind;

const FACTS: Sql = Sql::new(
    "SELECT i.id, i.digest, i.kind, i.parent_id, i.label, i.pinned, i.size, i.last_used_at, i.created_at, \
     (SELECT COUNT(*) FROM images_refs r WHERE r.image_id = i.id) AS refs, \
     (SELECT COUNT(*) FROM images_leases l WHERE l.image_id = i.id) AS leases, \
     (SELECT COUNT(*) FROM images c WHERE c.parent_id = i.id) AS children \
     FROM images i WHERE i.id > $1 ORDER BY i.id LIMIT $2",
);
const EDGES: Sql = Sql::new(
    "SELECT image_id, blob_id FROM (SELECT image_id, blob_id FROM images_layers \
     WHERE image_id > $1 AND image_id <= $2 \
     UNION SELECT image_id, blob_id FROM images_attachments WHERE image_id > $1 AND image_id <= $2) u \
     ORDER BY image_id, blob_id",
);
const BLOBS: Sql = Sql::new("SELECT id, digest, size FROM images_blobs WHERE id > $1 ORDER BY id LIMIT $2");
const USERS: Sql = Sql::new(
    "SELECT DISTINCT u.image_id AS id FROM (SELECT image_id FROM images_layers WHERE blob_id = $1 \
     UNION SELECT image_id FROM images_attachments WHERE blob_id = $1) u ORDER BY 1 LIMIT $2",
);

const MISSING: Sql = Sql::new(
    "SELECT b.digest FROM images_blobs b WHERE b.state <> 0 AND b.id IN \
     (SELECT blob_id FROM images_layers WHERE image_id = $1 \
     UNION SELECT blob_id FROM images_attachments WHERE image_id = $1) ORDER BY b.digest",
);

/// Of the blobs that images use, those whose file is missing or wrong.
const DAMAGED: Sql = sql![
    "SELECT l.image_id, b.digest FROM images_blobs b JOIN images_layers l ON l.blob_id = b.id \
     WHERE b.state <> 0 AND b.state = 2 AND l.image_id IN " any "$1" " UNION \
     SELECT a.image_id, b.digest FROM images_blobs b JOIN images_attachments a ON a.blob_id = b.id \
     WHERE b.state <> 0 AND b.state = 2 AND a.image_id IN " any "$1" " ORDER BY 1, 2"
];

const LEASED: Sql = sql![
    "SELECT image_id, COUNT(*) AS leases FROM images_leases WHERE image_id IN " any "$1" " GROUP BY image_id"
];
const LEASED_BY: Sql = sql![
    "SELECT image_id, COUNT(*) AS leases FROM images_leases WHERE holder_id IN " any "$1" " GROUP BY image_id"
];
/// Looks at so many uses and no more: a base may be below a million images. An index uses the layers of what it lists, as attachments.
const LAYER_USERS: Sql = Sql::new(
    "SELECT b.digest, (SELECT COUNT(DISTINCT n.image_id) FROM (SELECT o.image_id FROM images_layers o \
     WHERE o.blob_id = u.blob_id UNION ALL SELECT a.image_id FROM images_attachments a WHERE a.blob_id = u.blob_id LIMIT $2) n) AS users \
     FROM (SELECT DISTINCT blob_id FROM images_layers WHERE image_id = $1) u JOIN images_blobs b ON b.id = u.blob_id",
);
const SOME: Sql = Sql::new("SELECT COUNT(*) AS images FROM (SELECT id FROM images LIMIT $1) i");

pub(crate) fn read_facts(row: &Row) -> Result<ImageFacts> {
    Ok(ImageFacts {
        id: ImageId(row.get("id")?),
        digest: digest(row, "digest")?,
        kind: ImageKind::from_stored(row.get("kind")?)?,
        parent: row.get::<Option<i64>>("parent_id")?.map(ImageId),
        label: row.get("label")?,
        pinned: row.get("pinned")?,
        size_bytes: size(row, "size")?,
        last_used_at: row.get("last_used_at")?,
        created_at: row.get("created_at")?,
        refs: row.get("refs")?,
        leases: row.get("leases")?,
        children: row.get("children")?,
    })
}

/// Images and what claims them, in order, behind one.
pub(crate) fn facts(after: i64, limit: u32) -> Statement {
    Statement::new(FACTS).bind(after).bind(limit).named("images.facts")
}

/// Which blobs the images behind one up to another use, each once.
pub(crate) fn edges(after: i64, up_to: i64) -> Statement {
    Statement::new(EDGES).bind(after).bind(up_to).named("images.edges")
}

/// All blobs in order, behind one.
pub(crate) fn blobs(after: i64, limit: u32) -> Statement {
    Statement::new(BLOBS).bind(after).bind(limit).named("images.blob_sizes")
}

/// A row of [`blobs`].
pub(crate) fn read_blob(row: &Row) -> Result<(i64, Digest, u64)> {
    Ok((row.get("id")?, digest(row, "digest")?, size(row, "size")?))
}

/// The images that use a blob.
pub(crate) fn users(blob: i64, limit: u32) -> Statement {
    Statement::new(USERS).bind(blob).bind(limit).named("images.blob_users")
}

/// How many leases images have; of those without one, no row.
pub(crate) fn leased(images: &[i64]) -> Statement {
    Statement::new(LEASED).bind(images.to_vec()).named("images.lease_counts")
}

/// How many leases of these holders images have; of those without one, no row.
pub(crate) fn leased_by(holders: &[i64]) -> Statement {
    Statement::new(LEASED_BY).bind(holders.to_vec()).named("images.lease_counts_by")
}

/// How many images use each layer of one, counted up to a number.
pub(crate) fn layer_users(image: i64, most: u32) -> Statement {
    Statement::new(LAYER_USERS).bind(image).bind(most).named("images.layer_users")
}

/// How many images there are, counted up to a number.
pub(crate) fn count(most: u32) -> Statement {
    Statement::new(SOME).bind(most).named("images.image_count")
}

/// The blobs of images that are missing or wrong, each with its image.
pub(crate) fn damaged(images: &[i64]) -> Statement {
    Statement::new(DAMAGED).bind(images.to_vec()).named("images.blob_damaged_of")
}

/// The blobs of an image that cannot be had.
pub(crate) fn missing(image: i64) -> Statement {
    Statement::new(MISSING).bind(image).named("images.missing")
}
