//! Images, their layers and what is attached to them.

use mainstay_repo::{Param, Row, Sql, Statement};

use super::sql::{octets, sql};
use super::{digest, digest_optional, size};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::ImageId;
use crate::image::{Attachment, Chain, Image, ImageKind};

/// Makes an image or returns the one that is there; no row if that has other layers. A parent that goes at the same moment is
/// none.
///
/// What was kept as an artefact of which nothing was known becomes the image that it is: whoever named its digest first, by another type,
/// does not decide what it is for all others. One that has more than itself was understood.
const INSERT: Sql = sql![
    "INSERT INTO images (digest, chain_id, parent_id, kind, media_type, depth, chain, size, label, pinned, created_at, \
     last_used_at) VALUES ($1, $2, (SELECT p.id FROM images p WHERE p.digest = $3" for_share "), $4, $5, $6, $7, $8, $9, 0, " now ", " now ") \
     ON CONFLICT (digest) DO UPDATE SET last_used_at = excluded.last_used_at, kind = excluded.kind, chain = excluded.chain, \
     depth = excluded.depth, chain_id = excluded.chain_id, \
     media_type = CASE WHEN images.kind = excluded.kind THEN images.media_type ELSE excluded.media_type END, \
     size = CASE WHEN images.kind = excluded.kind THEN images.size ELSE excluded.size END \
     WHERE (images.chain = excluded.chain AND images.kind = excluded.kind) \
     OR (images.kind = 2 AND images.depth = 0 AND NOT EXISTS (SELECT 1 FROM images_attachments a \
     JOIN images_blobs b ON b.id = a.blob_id WHERE a.image_id = images.id AND b.digest <> images.digest)) \
     RETURNING id, digest, chain_id, parent_id, kind, media_type, chain, size, label, pinned, created_at, last_used_at"
];
const ADD_LAYER: Sql = Sql::new(
    "INSERT INTO images_layers (image_id, position, below, kind, blob_id) \
     SELECT i.id, CAST($2 AS smallint), CAST($3 AS smallint), b.kind, b.id FROM images i, images_blobs b \
     WHERE i.digest = $1 AND b.digest = $4 AND b.state = 0 ON CONFLICT (image_id, position) DO UPDATE SET blob_id = images_layers.blob_id",
);
/// No row where the role has another blob.
const ATTACH: Sql = Sql::new(
    "INSERT INTO images_attachments (image_id, role, blob_id) SELECT i.id, CAST($2 AS text), b.id \
     FROM images i, images_blobs b WHERE i.digest = $1 AND b.digest = $3 AND b.state = 0 \
     ON CONFLICT (image_id, role) DO UPDATE SET role = excluded.role WHERE images_attachments.blob_id = excluded.blob_id",
);
macro_rules! read {
    ($($rest:tt)*) => {
        sql![
            "SELECT i.id, i.digest, i.chain_id, i.parent_id, i.kind, i.media_type, i.chain, i.size, i.label, i.pinned, \
             i.created_at, i.last_used_at "
            $($rest)*
        ]
    };
}
const BY_ID: Sql = read!["FROM images i WHERE i.id = $1"];
const BY_DIGEST: Sql = read!["FROM images i WHERE i.digest = $1"];
const BY_NAME: Sql = read!["FROM images_refs r JOIN images i ON i.id = r.image_id WHERE r.name = $1"];
const LIST: Sql = read!["FROM images i WHERE i.id > $1 ORDER BY i.id LIMIT $2"];
const BETWEEN: Sql = read!["FROM images i WHERE i.digest > $1 AND i.digest <= $2 ORDER BY i.digest LIMIT $3"];
const CHILDREN: Sql = read!["FROM images i WHERE i.parent_id = $1 ORDER BY i.id LIMIT $2"];
const SHARE: Sql = sql!["SELECT id FROM images WHERE digest = $1" for_share];
const LOCK: Sql = read!["FROM images i WHERE i.id = $1" for_update];
const CHAIN: Sql = Sql::new("SELECT chain FROM images WHERE id = $1");
const CHAINS: Sql = sql!["SELECT id, chain FROM images WHERE id IN " any "$1"];
const FILES: Sql = Sql::new(
    "SELECT l.position, b.digest, b.inc, b.size, b.state, b.kind FROM images_layers l \
     JOIN images_blobs b ON b.id = l.blob_id WHERE l.image_id = $1 ORDER BY l.position",
);
const ATTACHED: Sql = Sql::new(
    "SELECT a.role, b.digest, b.size, b.media_type FROM images_attachments a JOIN images_blobs b ON b.id = a.blob_id \
     WHERE a.image_id = $1 ORDER BY a.role",
);
const BY_CHAIN_ID: Sql = Sql::new("SELECT id, digest FROM images WHERE chain_id = $1 ORDER BY id LIMIT 1");
const PIN: Sql = Sql::new(
    "UPDATE images SET pinned = $2 WHERE id = $1 \
     RETURNING id, digest, chain_id, parent_id, kind, media_type, chain, size, label, pinned, created_at, last_used_at",
);
const LABEL: Sql = Sql::new(
    "UPDATE images SET label = $2 WHERE id = $1 \
     RETURNING id, digest, chain_id, parent_id, kind, media_type, chain, size, label, pinned, created_at, last_used_at",
);
const HAS_REF: Sql = Sql::new("SELECT name FROM images_refs WHERE image_id = $1 LIMIT 1");
const HAS_LEASE: Sql = Sql::new("SELECT token FROM images_leases WHERE image_id = $1 LIMIT 1");
const HAS_CHILD: Sql = Sql::new("SELECT id FROM images WHERE parent_id = $1 LIMIT 1");
/// Indexes name images by their manifests, which they keep among their own blobs.
const LISTING: Sql = read![
    "FROM images m JOIN images_blobs b ON b.digest = m.digest JOIN images_attachments a ON a.blob_id = b.id \
     JOIN images i ON i.id = a.image_id WHERE m.id = $1 AND i.id <> m.id AND i.kind = 1 ORDER BY i.id LIMIT $2"
];
const IS_LISTED: Sql = Sql::new(
    "SELECT a.image_id FROM images m JOIN images_blobs b ON b.digest = m.digest \
     JOIN images_attachments a ON a.blob_id = b.id JOIN images i ON i.id = a.image_id \
     WHERE m.id = $1 AND i.id <> m.id AND i.kind = 1 LIMIT 1",
);
const IS_PINNED: Sql = Sql::new("SELECT id FROM images WHERE id = $1 AND pinned = 1");
const UNUSED_SINCE: Sql = Sql::new("SELECT id FROM images WHERE id = $1 AND last_used_at <= $2");
const DROP_LAYERS: Sql = Sql::new("DELETE FROM images_layers WHERE image_id = $1");
const DROP_ATTACHMENTS: Sql = Sql::new("DELETE FROM images_attachments WHERE image_id = $1");
const REMOVE: Sql = Sql::new("DELETE FROM images WHERE id = $1");

pub(crate) fn read(row: &Row) -> Result<Image> {
    Ok(Image {
        id: ImageId(row.get("id")?),
        digest: digest(row, "digest")?,
        chain_id: digest_optional(row, "chain_id")?,
        parent: row.get::<Option<i64>>("parent_id")?.map(ImageId),
        kind: ImageKind::from_stored(row.get("kind")?)?,
        media_type: row.get("media_type")?,
        chain: read_chain(row)?,
        size_bytes: size(row, "size")?,
        label: row.get("label")?,
        pinned: row.get("pinned")?,
        created_at: row.get("created_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

pub(crate) fn read_chain(row: &Row) -> Result<Chain> {
    Chain::unpack(&row.get::<Vec<u8>>("chain")?)
}

pub(crate) fn read_attachment(row: &Row) -> Result<Attachment> {
    Ok(Attachment {
        role: row.get("role")?,
        digest: digest(row, "digest")?,
        size_bytes: size(row, "size")?,
        media_type: row.get("media_type")?,
    })
}

/// An image that is about to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insert<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) parent: Option<&'a Digest>,
    pub(crate) kind: ImageKind,
    pub(crate) media_type: &'a str,
    pub(crate) chain: &'a Chain,
    pub(crate) size: u64,
    pub(crate) label: Option<&'a str>,
}

/// Makes an image, or returns the one that is there.
pub(crate) fn insert(image: Insert<'_>) -> Statement {
    Statement::new(INSERT)
        .bind(image.digest.as_bytes().as_slice())
        .bind(image.chain.id().map(|id| id.as_bytes().to_vec()))
        .bind(image.parent.map(|parent| parent.as_bytes().to_vec()))
        .bind(image.kind.to_stored())
        .bind(image.media_type)
        .bind(i64::try_from(image.chain.depth()).unwrap_or(i64::MAX))
        .bind(image.chain.pack())
        .bind(octets(image.size))
        .bind(image.label.map(str::to_owned))
        .named("images.image_insert")
}

/// Puts a layer into a chain; no row if its blob cannot be had.
pub(crate) fn add_layer(image: &Digest, position: usize, blob: &Digest) -> Statement {
    let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    Statement::new(ADD_LAYER)
        .bind(image.as_bytes().as_slice())
        .bind(place(position))
        .bind(position.checked_sub(1).map(place))
        .bind(blob.as_bytes().as_slice())
        .named("images.layer_add")
}

/// Attaches a blob; no row if it cannot be had.
pub(crate) fn attach(image: &Digest, role: &str, blob: &Digest) -> Statement {
    Statement::new(ATTACH)
        .bind(image.as_bytes().as_slice())
        .bind(role)
        .bind(blob.as_bytes().as_slice())
        .named("images.attachment_add")
}

/// One image by number.
pub(crate) fn by_id(id: i64) -> Statement {
    Statement::new(BY_ID).bind(id).named("images.image_by_id")
}

/// One image by digest.
pub(crate) fn by_digest(digest: &Digest) -> Statement {
    Statement::new(BY_DIGEST).bind(digest.as_bytes().as_slice()).named("images.image_by_digest")
}

/// The image that a name points at.
pub(crate) fn by_name(name: &str) -> Statement {
    Statement::new(BY_NAME).bind(name).named("images.image_by_name")
}

/// Images in the order of their numbers, behind one.
pub(crate) fn list(after: i64, limit: u32) -> Statement {
    Statement::new(LIST).bind(after).bind(limit).named("images.image_list")
}

/// Images whose digests lie behind one up to another, in order.
pub(crate) fn between(after: &[u8], last: &Digest, limit: u32) -> Statement {
    Statement::new(BETWEEN)
        .bind(after)
        .bind(last.as_bytes().as_slice())
        .bind(limit)
        .named("images.image_between")
}

/// The images that were derived from one.
pub(crate) fn children(parent: i64, limit: u32) -> Statement {
    Statement::new(CHILDREN).bind(parent).bind(limit).named("images.image_children")
}

/// One image by number; it stays as it is until the commit, and gets no new claim.
pub(crate) fn lock(id: i64) -> Statement {
    Statement::new(LOCK).bind(id).named("images.image_lock")
}

/// One row if the image is there; it stays until the commit.
pub(crate) fn share(digest: &Digest) -> Statement {
    Statement::new(SHARE).bind(digest.as_bytes().as_slice()).named("images.image_share")
}

/// The layers of an image, from one row.
pub(crate) fn chain(id: i64) -> Statement {
    Statement::new(CHAIN).bind(id).named("images.chain")
}

/// The layers of images, one row each.
pub(crate) fn chains(ids: &[i64]) -> Statement {
    Statement::new(CHAINS).bind(ids.to_vec()).named("images.chains")
}

/// The files of an image's layers.
pub(crate) fn files(id: i64) -> Statement {
    Statement::new(FILES).bind(id).named("images.chain_files")
}

/// What is attached to an image.
pub(crate) fn attached(id: i64) -> Statement {
    Statement::new(ATTACHED).bind(id).named("images.attachments")
}

/// The first image with a chain id.
pub(crate) fn by_chain_id(id: &Digest) -> Statement {
    Statement::new(BY_CHAIN_ID).bind(id.as_bytes().as_slice()).named("images.image_by_chain_id")
}

/// Pins or unpins.
pub(crate) fn pin(id: i64, pinned: bool) -> Statement {
    Statement::new(PIN).bind(id).bind(i64::from(pinned)).named("images.image_pin")
}

/// Says what a person calls an image.
pub(crate) fn label(id: i64, label: Option<&str>) -> Statement {
    Statement::new(LABEL).bind(id).bind(label.map(str::to_owned)).named("images.image_label")
}

/// A name of the image, if it has one.
pub(crate) fn has_ref(id: i64) -> Statement {
    Statement::new(HAS_REF).bind(id).named("images.image_has_ref")
}

/// A lease of the image, if it has one.
pub(crate) fn has_lease(id: i64) -> Statement {
    Statement::new(HAS_LEASE).bind(id).named("images.image_has_lease")
}

/// A child of the image, if it has one.
pub(crate) fn has_child(id: i64) -> Statement {
    Statement::new(HAS_CHILD).bind(id).named("images.image_has_child")
}

/// An index that lists the image, if there is one.
pub(crate) fn is_listed(id: i64) -> Statement {
    Statement::new(IS_LISTED).bind(id).named("images.image_is_listed")
}

/// The images that list one, in order.
pub(crate) fn listing(id: i64, limit: u32) -> Statement {
    Statement::new(LISTING).bind(id).bind(limit).named("images.image_listing")
}

/// The image, if it is pinned.
pub(crate) fn is_pinned(id: i64) -> Statement {
    Statement::new(IS_PINNED).bind(id).named("images.image_is_pinned")
}

/// The image, if it was not used since.
pub(crate) fn unused_since(id: i64, at: i64) -> Statement {
    Statement::new(UNUSED_SINCE).bind(id).bind(at).named("images.image_unused_since")
}

/// Deletes an image with its layers and attachments; behind [`lock`] and the guards.
pub(crate) fn remove(id: impl Into<Param> + Clone) -> [Statement; 3] {
    [
        Statement::new(DROP_LAYERS).bind(id.clone()).named("images.layers_drop"),
        Statement::new(DROP_ATTACHMENTS).bind(id.clone()).named("images.attachments_drop"),
        Statement::new(REMOVE).bind(id).named("images.image_remove"),
    ]
}

/// The digest in a row of [`by_chain_id`].
pub(crate) fn read_digest(row: &Row) -> Result<Digest> {
    digest(row, "digest")
}
