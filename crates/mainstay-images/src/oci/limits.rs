//! What a single image may cost: every number that stands between a hostile archive or registry and this machine.

use super::refusal::{Limit, Refusal};

/// The largest index, manifest or image configuration, in octets; registries accept at least this much.
pub const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;
/// The octets of all documents of one copy together: they are held in memory.
pub const MAX_DOCUMENTS_TOTAL: u64 = 64 * 1024 * 1024;
/// Documents of one copy: indexes, manifests and configurations.
pub const MAX_DOCUMENTS: usize = 4_096;
/// Descriptors in one index.
pub const MAX_INDEX_ENTRIES: usize = 1_024;
/// Indexes inside indexes: the outermost one counts.
pub const MAX_INDEX_DEPTH: usize = 4;
/// What all images of one copy name, each counted for each image that names it.
pub const MAX_REFERENCES: usize = 65_536;
/// Layers of one image: what overlay mounts of the field take.
pub const MAX_LAYERS: usize = 127;
/// Entries of a layout's archive.
pub const MAX_ARCHIVE_ENTRIES: u64 = 100_000;
/// The extended headers of one entry together, in octets: long names, attributes.
pub const MAX_EXTENDED_HEADER: u64 = 1024 * 1024;
/// Extended attributes of one entry.
pub const MAX_XATTRS: usize = 512;
/// A path in an archive, in octets.
pub const MAX_PATH: usize = 4_095;
/// One name in a path, in octets.
pub const MAX_NAME: usize = 255;
/// Directories above an entry.
pub const MAX_PATH_DEPTH: usize = 256;
/// The memory for the tree of one image while it is flattened, in octets, as far as its entries decide it: the names on an entry's path
/// and where it links to, its attributes, and some 256 octets for itself.
pub const MAX_TREE: u64 = 512 * 1024 * 1024;
/// Symbolic links followed to find where an entry of an upper layer lies.
pub const MAX_LINK_HOPS: usize = 40;
/// A layer's decompressed octets may always reach this, however small it was compressed.
pub const RATIO_FLOOR: u64 = 64 * 1024 * 1024;
/// Above [`RATIO_FLOOR`], a layer may decompress to this many times its size. Deflate ends at 1,032; zstd goes far beyond.
pub const MAX_RATIO: u64 = 1_100;
/// The window that a zstd frame may ask for, as a power of two: 128 MiB, as the `zstd` program allows.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;
/// Entries of one layer.
pub const MAX_LAYER_ENTRIES: u64 = 1_000_000;
/// The decompressed octets of one layer.
pub const MAX_LAYER: u64 = 64 * 1024 * 1024 * 1024;
/// A registry's answer to a request for a token, or its account of an error, in octets.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The limits that whoever runs the store may set; the others are constants of [this module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest single blob, in octets, as it is stored.
    pub blob: u64,
    /// All blobs of one copy together, in octets.
    pub total: u64,
    /// The decompressed octets of one layer.
    pub layer: u64,
    /// How many times its size a layer may decompress to, above [`RATIO_FLOOR`].
    pub ratio: u64,
    /// Entries of one layer.
    pub layer_entries: u64,
    /// The memory for the tree of one image while it is flattened, in octets; see [`MAX_TREE`].
    pub tree: u64,
}

impl Limits {
    /// The most octets to which a layer of so many may decompress by its ratio.
    pub(crate) fn by_ratio(&self, size: u64) -> u64 {
        size.saturating_mul(self.ratio).max(RATIO_FLOOR)
    }

    /// Whether a layer decompressed to more than its ratio allows; for one whose size was not known before.
    pub(crate) fn check_ratio(&self, size: u64, octets: u64) -> Result<(), Refusal> {
        if octets <= self.by_ratio(size) {
            return Ok(());
        }
        Err(Refusal::Limit { what: Limit::Ratio, limit: self.ratio })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob: MAX_LAYER,
            total: 4 * MAX_LAYER,
            layer: MAX_LAYER,
            ratio: MAX_RATIO,
            layer_entries: MAX_LAYER_ENTRIES,
            tree: MAX_TREE,
        }
    }
}
