//! The only SQL of this crate: one room for each table.

pub(crate) mod acts;
pub(crate) mod blobs;
pub(crate) mod collector;
pub(crate) mod guarded;
pub(crate) mod holders;
pub(crate) mod images;
pub(crate) mod intents;
pub(crate) mod leases;
pub(crate) mod meta;
mod migrations;
pub(crate) mod numbers;
pub(crate) mod queue;
pub(crate) mod refs;
pub(crate) mod scrub;
pub(crate) mod sql;
pub(crate) mod uses;

pub use self::migrations::COMPONENT;

use mainstay_repo::Row;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// A digest column.
fn digest(row: &Row, column: &str) -> Result<Digest> {
    digest_optional(row, column)?.ok_or_else(|| Error::internal(format!("the stored {column} is null")))
}

/// A digest column that may be null.
fn digest_optional(row: &Row, column: &str) -> Result<Option<Digest>> {
    let octets: Option<Vec<u8>> = row.get(column)?;
    let parsed = octets.map(|octets| Digest::from_slice(&octets)).transpose();
    parsed.map_err(|error| Error::internal(format!("the stored {column} is no digest")).with_source(error))
}

/// A size column.
fn size(row: &Row, column: &str) -> Result<u64> {
    Ok(row.get(column)?)
}
