//! A layer that is about to be kept: all of it is read once, and refused before anything refers to it.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::BufRead;

use super::decode;
use super::entry::{Item, What};
use crate::digest::Digest;
use crate::oci::error::Result;
use crate::oci::limits::Limits;
use crate::oci::media::Compression;
use crate::oci::refusal::{EntryRefusal, Refusal, shown_path};

/// What a layer turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The digest of the decompressed layer.
    pub(crate) diff_id: Digest,
    /// Its decompressed octets.
    pub(crate) octets: u64,
    /// Its entries.
    pub(crate) entries: u64,
}

/// Reads a whole layer; `size` is that of the stored form.
///
/// # Errors
/// The first refusal.
pub(crate) fn check<R: BufRead>(
    stored: R,
    compression: Compression,
    size: u64,
    limits: &Limits,
) -> Result<Checked> {
    let mut archive = decode::open(stored, compression, size, limits)?;
    let mut seen = Seen::default();
    let mut entries = 0;
    while let Some(entry) = archive.next()? {
        entries += 1;
        let path = shown_path(&entry.path);
        if let Some(item) = Item::of(entry)? {
            seen.take(&item).map_err(|why| Refusal::Entry { path, why })?;
        }
    }
    archive.drain()?;
    let (diff_id, octets) = archive.into_inner().into_inner().finish();
    Ok(Checked { diff_id, octets, entries })
}

/// Which paths a layer has had. A path's hash stands for it, keyed at random so that nobody can make two meet.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    key: RandomState,
    paths: HashSet<u64>,
}

impl Seen {
    /// Refuses what was there before. Directories may come again: every program agrees on what that means.
    pub(crate) fn take(&mut self, item: &Item) -> Result<(), EntryRefusal> {
        let class = matches!(item.what, What::Whiteout | What::Opaque);
        let new = self.paths.insert(self.key.hash_one((class, &item.names)));
        if new || matches!(item.what, What::Directory(_) | What::Opaque) {
            Ok(())
        } else {
            Err(EntryRefusal::Duplicate)
        }
    }
}
