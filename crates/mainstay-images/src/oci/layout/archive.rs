//! The table of contents of an archive: nothing is unpacked, content is read where it lies.

use std::collections::HashMap;
use std::fs::File;

use crate::oci::error::{Error, Result};
use crate::oci::limits::MAX_ARCHIVE_ENTRIES;
use crate::oci::refusal::EntryRefusal;
use crate::oci::tar::{EntryKind, Seeking, TarReader, clean_path};

/// Where in the archive a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// Reads every header, and none of the content.
///
/// # Errors
/// Refusals: links, devices, entries that are there twice, paths that lead out.
pub(super) fn contents(file: File) -> Result<HashMap<String, Place>> {
    let seeking = Seeking::new(file).map_err(|error| Error::io("reading the archive", error))?;
    let mut archive = TarReader::new(seeking, MAX_ARCHIVE_ENTRIES);
    let mut places = HashMap::new();
    while let Some(entry) = archive.next()? {
        let names = clean_path(&entry.path).map_err(|why| entry.refused(why))?;
        match entry.kind {
            EntryKind::Directory => continue,
            EntryKind::File => {}
            EntryKind::HardLink | EntryKind::Symlink => return Err(entry.refused(EntryRefusal::Link)),
            EntryKind::Device | EntryKind::Fifo => return Err(entry.refused(EntryRefusal::Device)),
        }
        if names.is_empty() {
            return Err(entry.refused(EntryRefusal::Empty));
        }
        // What has no Unicode name is no part of a layout, and is not looked at.
        if let Ok(path) = String::from_utf8(names.join(&b'/')) {
            let place = Place { offset: entry.offset, size: entry.size };
            if places.insert(path, place).is_some() {
                return Err(entry.refused(EntryRefusal::Duplicate));
            }
        }
    }
    Ok(places)
}
