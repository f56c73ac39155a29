//! Blobs: immutable octets that are named by their digest.

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::{BlobId, Incarnation};

/// Where in a chain a blob may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlobKind {
    /// A whole disk: only at the bottom.
    Base,
    /// Changes to what lies below: never at the bottom.
    Delta,
    /// A layer that stands for itself, as those of OCI images: anywhere.
    Layer,
    /// A manifest, a configuration, an index: in no chain, only attached.
    Document,
}

impl BlobKind {
    pub(crate) const fn to_stored(self) -> i64 {
        match self {
            Self::Base => 0,
            Self::Delta => 1,
            Self::Layer => 2,
            Self::Document => 3,
        }
    }

    pub(crate) fn from_stored(stored: i64) -> Result<Self> {
        match stored {
            0 => Ok(Self::Base),
            1 => Ok(Self::Delta),
            2 => Ok(Self::Layer),
            3 => Ok(Self::Document),
            other => Err(Error::internal(format!("a stored blob is of the unknown kind {other}"))),
        }
    }

    /// Whether it may lie at a place of a chain, from zero.
    #[must_use]
    pub const fn fits(self, position: usize) -> bool {
        match self {
            Self::Base => position == 0,
            Self::Delta => position > 0,
            Self::Layer => true,
            Self::Document => false,
        }
    }
}

/// Whether a blob's octets can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlobState {
    /// Its file is there.
    Present,
    /// A collector is removing it.
    Deleting,
    /// Its file is missing or holds other octets; publishing the content again repairs it.
    Damaged,
}

impl BlobState {
    pub(crate) fn from_stored(stored: i64) -> Result<Self> {
        match stored {
            0 => Ok(Self::Present),
            1 => Ok(Self::Deleting),
            2 => Ok(Self::Damaged),
            other => Err(Error::internal(format!("a stored blob is in the unknown state {other}"))),
        }
    }
}

/// A blob's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Blob {
    /// Its number.
    pub id: BlobId,
    /// Its name.
    pub digest: Digest,
    /// Where it may lie.
    pub kind: BlobKind,
    /// What its publisher said it is.
    pub media_type: String,
    /// Its length in octets.
    pub size_bytes: u64,
    /// Whether its octets can be had.
    pub state: BlobState,
    /// Which publication's file it is.
    pub incarnation: Incarnation,
    /// When it was first published.
    pub created_at: Timestamp,
    /// When its octets were last compared with its digest; never, if none.
    pub verified_at: Option<Timestamp>,
}
