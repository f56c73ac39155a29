//! What the plans are made from.

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::digest::Digest;
use crate::ids::ImageId;

/// An image and what claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// Its number.
    pub id: ImageId,
    /// Its name.
    pub digest: Digest,
    /// What it was derived from.
    pub parent: Option<ImageId>,
    /// What a person calls it.
    pub label: Option<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its size, each blob counted once.
    pub size_bytes: u64,
    /// When it was last leased, to the minute.
    pub last_used_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many names point at it.
    pub refs: u64,
    /// How many leases it has.
    pub leases: u64,
    /// How many images were derived from it.
    pub children: u64,
}
