//! References: names that point at images.

use mainstay_repo::{Row, Sql, Statement};

use super::digest_optional;
use super::sql::sql;
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::ImageId;
use crate::image::Reference;

/// An image that somebody removes meanwhile is waited for, and is then not there: its row alone would be found, and the reference fail.
const POINT: Sql = sql![
    "INSERT INTO images_refs (name, image_id, forked_from, version, updated_at) \
     SELECT CAST($1 AS text), i.id, NULL, 1, " now " FROM (SELECT id FROM images WHERE digest = $2" for_key_share ") i WHERE true \
     ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id, version = images_refs.version + 1, \
     updated_at = excluded.updated_at RETURNING name, image_id, forked_from, version, updated_at"
];
const FORK: Sql = sql![
    "INSERT INTO images_refs (name, image_id, forked_from, version, updated_at) \
     SELECT CAST($1 AS text), i.id, i.digest, 1, " now " FROM (SELECT id, digest FROM images WHERE digest = $2" for_key_share ") i \
     WHERE true ON CONFLICT (name) DO NOTHING RETURNING name, image_id, forked_from, version, updated_at"
];
const MOVE: Sql = sql![
    "UPDATE images_refs SET image_id = i.id, version = version + 1, updated_at = " now
    " FROM (SELECT id FROM images WHERE digest = $2" for_key_share ") i WHERE name = $1 AND version = $3 RETURNING name, image_id, forked_from, version, updated_at"
];
const UNTAG: Sql = Sql::new(
    "DELETE FROM images_refs WHERE name = $1 RETURNING name, image_id, forked_from, version, updated_at",
);
const UNTAG_FROM: Sql = Sql::new(
    "DELETE FROM images_refs WHERE name = $1 AND image_id = $2 RETURNING name, image_id, forked_from, version, updated_at",
);
const FIND: Sql =
    Sql::new("SELECT name, image_id, forked_from, version, updated_at FROM images_refs WHERE name = $1");
const OF_IMAGE: Sql = Sql::new(
    "SELECT name, image_id, forked_from, version, updated_at FROM images_refs WHERE image_id = $1 ORDER BY name",
);
const OF_IMAGES: Sql = sql![
    "SELECT name, image_id, forked_from, version, updated_at FROM images_refs WHERE image_id IN " any "$1" " ORDER BY name"
];
const LIST: Sql = Sql::new(
    "SELECT name, image_id, forked_from, version, updated_at FROM images_refs WHERE name > $1 ORDER BY name LIMIT $2",
);

pub(crate) fn read(row: &Row) -> Result<Reference> {
    Ok(Reference {
        name: row.get("name")?,
        image: ImageId(row.get("image_id")?),
        forked_from: digest_optional(row, "forked_from")?,
        version: row.get("version")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Points a name at an image, whatever it pointed at before.
pub(crate) fn point(name: &str, image: &Digest) -> Statement {
    Statement::new(POINT).bind(name).bind(image.as_bytes().as_slice()).named("images.ref_point")
}

/// Makes a new name for an image; no row if the name exists.
pub(crate) fn fork(name: &str, image: &Digest) -> Statement {
    Statement::new(FORK).bind(name).bind(image.as_bytes().as_slice()).named("images.ref_fork")
}

/// Moves a name, if it is as it was when it was read.
pub(crate) fn advance(name: &str, image: &Digest, version: u64) -> Statement {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    Statement::new(MOVE).bind(name).bind(image.as_bytes().as_slice()).bind(version).named("images.ref_move")
}

/// Removes a name.
pub(crate) fn untag(name: &str) -> Statement {
    Statement::new(UNTAG).bind(name).named("images.ref_untag")
}

/// Removes a name, if it points at an image.
pub(crate) fn untag_from(name: &str, image: i64) -> Statement {
    Statement::new(UNTAG_FROM).bind(name).bind(image).named("images.ref_untag_from")
}

/// One name.
pub(crate) fn find(name: &str) -> Statement {
    Statement::new(FIND).bind(name).named("images.ref_find")
}

/// The names of images, in order.
pub(crate) fn of_images(images: &[i64]) -> Statement {
    Statement::new(OF_IMAGES).bind(images.to_vec()).named("images.ref_of_images")
}

/// The names of an image.
pub(crate) fn of_image(image: i64) -> Statement {
    Statement::new(OF_IMAGE).bind(image).named("images.ref_of_image")
}

/// Names in order, behind one.
pub(crate) fn list(after: &str, limit: u32) -> Statement {
    Statement::new(LIST).bind(after).bind(limit).named("images.ref_list")
}
