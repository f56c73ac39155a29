//! Who did what with images.

use mainstay_repo::{BackReference, Row, Sql, Statement};

use super::digest_optional;
use super::sql::sql;
use crate::command::Act;
use crate::digest::Digest;
use crate::error::Result;

/// The most acts that are remembered.
pub(crate) const MAX_ACTS: i64 = 10_000;

const RECORD: Sql = sql![
    "INSERT INTO images_acts (at, actor, action, image, subject) VALUES (" now ", $1, $2, $3, $4) RETURNING id"
];
const TRIM: Sql = Sql::new("DELETE FROM images_acts WHERE id <= CAST($1 AS bigint) - $2");
const LIST: Sql = Sql::new(
    "SELECT id, at, actor, action, image, subject FROM images_acts WHERE id < $1 ORDER BY id DESC LIMIT $2",
);
const OF_IMAGE: Sql = Sql::new(
    "SELECT id, at, actor, action, image, subject FROM images_acts WHERE image = $1 ORDER BY id DESC LIMIT $2",
);

pub(crate) fn read(row: &Row) -> Result<Act> {
    Ok(Act {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        image: digest_optional(row, "image")?,
        subject: row.get("subject")?,
    })
}

/// Remembers an act.
pub(crate) fn record(actor: &str, action: &str, image: Option<&Digest>, subject: Option<&str>) -> Statement {
    Statement::new(RECORD)
        .bind(actor)
        .bind(action)
        .bind(image.map(|digest| digest.as_bytes().to_vec()))
        .bind(subject.map(str::to_owned))
        .named("images.act_record")
}

/// Forgets the oldest, so that the table does not grow for ever; behind [`record`].
pub(crate) fn trim(newest: BackReference) -> Statement {
    Statement::new(TRIM).bind(newest).bind(MAX_ACTS).named("images.act_trim")
}

/// Acts before one, the newest first.
pub(crate) fn list(before: i64, limit: u32) -> Statement {
    Statement::new(LIST).bind(before).bind(limit).named("images.act_list")
}

/// The newest acts on an image.
pub(crate) fn of_image(image: &Digest, limit: u32) -> Statement {
    Statement::new(OF_IMAGE).bind(image.as_bytes().as_slice()).bind(limit).named("images.act_of_image")
}
