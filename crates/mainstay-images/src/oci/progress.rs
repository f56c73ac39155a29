//! What a copy tells while it runs, for progress bars and logs.

use crate::digest::Digest;

/// Listens to a copy. Calls come from several tasks, so an implementation is quick and does not block.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn on(&self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn on(&self, _event: Event<'_>) {}
}

/// One step of a copy. Octets are those of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The documents are read: this is what will be copied.
    Planned {
        /// Blobs, without the documents.
        blobs: usize,
        /// Their octets together.
        octets: u64,
    },
    /// A blob begins.
    Started {
        /// Which.
        digest: Digest,
        /// Its size.
        size: u64,
        /// Its media type.
        media_type: &'a str,
    },
    /// More of a blob arrived.
    Advanced {
        /// Which.
        digest: Digest,
        /// How many octets more.
        octets: u64,
    },
    /// The beginning of a blob is there from a copy that ended before it. What it has is told by `Advanced`, as it is read.
    Found {
        /// Which blob.
        digest: Digest,
        /// How many octets.
        octets: u64,
    },
    /// A transfer broke and goes on.
    Resumed {
        /// Which blob.
        digest: Digest,
        /// From which octet.
        at: u64,
        /// How many times it broke, from 1.
        attempt: u32,
    },
    /// The transfer of a blob starts again from its first octet.
    Restarted {
        /// Which.
        digest: Digest,
    },
    /// A blob was there already.
    Present {
        /// Which.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// A blob is complete and its digest is right.
    Finished {
        /// Which.
        digest: Digest,
    },
    /// Everything is there under its name.
    Done,
}
