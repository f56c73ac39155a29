//! The exact reasons why content from outside is refused.

use std::fmt;

use super::limits;
use crate::digest::Digest;

/// Why an image, an archive or a registry's answer was refused. Nothing of it stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A digest is not `sha256:` and 64 lowercase hexadecimal digits.
    DigestSyntax {
        /// What stood there, shortened.
        found: String,
    },
    /// Content does not have the digest by which it was asked for.
    DigestMismatch {
        /// The digest that was promised.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// Content does not have the digest by which it was asked for; the store that hashed it says which one it has.
    WrongContent {
        /// The digest that was promised.
        expected: Digest,
    },
    /// Content is shorter or longer than its descriptor says.
    SizeMismatch {
        /// The content.
        digest: Digest,
        /// The size that was promised, in octets.
        expected: u64,
        /// What came; when it is more than promised, reading ended there.
        found: u64,
    },
    /// Two descriptors give one digest two sizes.
    ContradictingSizes {
        /// The content.
        digest: Digest,
    },
    /// A JSON document does not parse, or lacks what it must have.
    Document {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A media type whose content cannot be carried, such as manifests of the first schema.
    MediaType {
        /// The media type, shortened.
        found: String,
    },
    /// A directory or archive is not an OCI image layout.
    NotALayout {
        /// What is missing or wrong.
        why: String,
    },
    /// A layout lists more than one image, or none, by the name that was asked for, or at all when none was.
    Ambiguous {
        /// The name, shortened.
        name: Option<String>,
        /// How many are meant.
        found: usize,
        /// Names that the layout has, shortened, a few of many.
        listed: Vec<String>,
    },
    /// A limit was reached.
    Limit {
        /// Which one.
        what: Limit,
        /// Its value.
        limit: u64,
    },
    /// An image has more than [`limits::MAX_LAYERS`] layers.
    TooManyLayers {
        /// How many.
        found: usize,
    },
    /// The configuration names other layers than the manifest.
    LayerCount {
        /// Layers in the manifest.
        manifest: usize,
        /// Layers in the configuration.
        config: usize,
    },
    /// A layer does not decompress to what the configuration promises.
    DiffId {
        /// The digest that the configuration has.
        expected: Digest,
        /// The digest of the decompressed layer.
        found: Digest,
    },
    /// Compressed data is broken, or cut off.
    Compression {
        /// What the decoder says.
        why: String,
    },
    /// An entry of an archive.
    Entry {
        /// Its path, shortened and with escapes.
        path: String,
        /// What is wrong with it.
        why: EntryRefusal,
    },
    /// An archive is cut off, or not one.
    Archive {
        /// What is wrong with it.
        why: ArchiveRefusal,
    },
}

/// A limit on what one image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Octets of one document.
    Document,
    /// Octets of all documents.
    DocumentsTotal,
    /// Number of documents.
    Documents,
    /// Descriptors in one index.
    IndexEntries,
    /// Indexes inside indexes.
    IndexDepth,
    /// What the images name, each counted for each image that names it.
    References,
    /// Octets of one blob.
    Blob,
    /// Octets of all blobs.
    Total,
    /// Decompressed octets of one layer.
    Layer,
    /// Decompressed octets for each compressed one.
    Ratio,
    /// Entries of a layer or archive.
    Entries,
    /// Octets of extended headers.
    ExtendedHeader,
    /// Octets of memory for the tree of an image.
    Tree,
    /// Symbolic links on the way to one entry.
    LinkHops,
}

/// Why an entry of an archive is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryRefusal {
    /// The path is empty.
    Empty,
    /// The path starts at the root.
    Absolute,
    /// The path goes up.
    Traversal,
    /// The path holds a zero octet.
    Nul,
    /// The path is longer than [`limits::MAX_PATH`].
    PathTooLong,
    /// A name is longer than [`limits::MAX_NAME`].
    NameTooLong,
    /// The path is deeper than [`limits::MAX_PATH_DEPTH`].
    TooDeep,
    /// A device, which an image may not bring.
    Device,
    /// A sparse file, in a format of one program.
    Sparse,
    /// A type of entry that the format does not know.
    UnknownType,
    /// The entry was there before.
    Duplicate,
    /// A link in an archive of a layout, where only files and directories may be.
    Link,
    /// A hard link to what is not a file below the root.
    LinkTarget,
    /// A directory on its way is a file.
    ParentNotDirectory,
    /// A whiteout without a name, or one that is not an empty file.
    Whiteout,
    /// The entry has a size that its type cannot have.
    Size,
}

/// Why an archive is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveRefusal {
    /// It ends in the middle of an entry.
    CutOff,
    /// The checksum of a header is wrong.
    Checksum,
    /// A field of a header is no number.
    Number,
    /// An extended header is malformed, doubled, or belongs to no entry.
    Extended,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DigestSyntax { found } => {
                write!(f, "{found:?} is no digest; only `sha256:` with 64 lowercase digits is accepted")
            }
            Self::DigestMismatch { expected, found } => write!(
                f,
                "the content of sha256:{expected} has the digest sha256:{found}: it was damaged or exchanged; fetch it again, \
                 or ask who made the image"
            ),
            Self::WrongContent { expected } => write!(
                f,
                "the content of sha256:{expected} has another digest: it was damaged or exchanged; fetch it again, or ask who \
                 made the image"
            ),
            Self::SizeMismatch { digest, expected, found } => write!(
                f,
                "sha256:{digest} should have {expected} octets and has {}{found}; the image is damaged or its descriptor lies",
                if found > expected { "at least " } else { "" }
            ),
            Self::ContradictingSizes { digest } => {
                write!(f, "the image gives sha256:{digest} two sizes; one of its descriptors lies")
            }
            Self::Document { what, why } => write!(f, "the {what} is malformed: {why}"),
            Self::MediaType { found } => {
                write!(f, "content of type {found:?} is not supported; convert the image to the OCI format")
            }
            Self::NotALayout { why } => write!(f, "this is not an OCI image layout: {why}"),
            Self::Ambiguous { name: None, found: 0, .. } => write!(f, "the layout lists no image"),
            Self::Ambiguous { name: None, found, listed } => {
                write!(
                    f,
                    "the layout has {found} images{}; say which one, by its tag or digest",
                    tags(listed)
                )
            }
            Self::Ambiguous { name: Some(name), found: 0, listed } => {
                write!(f, "no image in the layout has the tag {name:?}{}", tags(listed))
            }
            Self::Ambiguous { name: Some(name), found, .. } => {
                write!(f, "{found} images in the layout have the tag {name:?}; say by its digest which one")
            }
            Self::Limit { what, limit } => write!(f, "the image has more than {limit} {what}"),
            Self::TooManyLayers { found } => write!(
                f,
                "the image has {found} layers, of at most {}; flatten it where it is built",
                limits::MAX_LAYERS
            ),
            Self::LayerCount { manifest, config } => {
                write!(f, "the manifest has {manifest} layers and the configuration {config}")
            }
            Self::DiffId { expected, found } => write!(
                f,
                "a layer decompresses to sha256:{found} where the configuration promises sha256:{expected}; the image is \
                 inconsistent, ask who made it"
            ),
            Self::Compression { why } => write!(f, "compressed data is broken: {why}"),
            Self::Entry { path, why } => write!(f, "the entry \"{path}\" {why}"),
            Self::Archive { why } => write!(f, "the archive {why}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document => "octets in one document",
            Self::DocumentsTotal => "octets in its documents",
            Self::Documents => "documents",
            Self::IndexEntries => "entries in one index",
            Self::IndexDepth => "indexes inside each other",
            Self::References => "references from its indexes to content",
            Self::Blob => "octets in one blob",
            Self::Total => "octets in its blobs",
            Self::Layer => "octets in one decompressed layer",
            Self::Ratio => "decompressed octets for each stored one in a layer",
            Self::Entries => "entries in one archive",
            Self::ExtendedHeader => "octets of extended headers at one entry",
            Self::Tree => "octets of names and attributes",
            Self::LinkHops => "symbolic links on the way to one entry",
        })
    }
}

impl fmt::Display for EntryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "has no name",
            Self::Absolute => "starts at the root of the file system",
            Self::Traversal => "leads out of the archive",
            Self::Nul => "has a zero octet in its path",
            Self::PathTooLong => "has too long a path",
            Self::NameTooLong => "has too long a name in its path",
            Self::TooDeep => "lies in too many directories",
            Self::Device => "is a device; images may not bring devices",
            Self::Sparse => "is a sparse file in a format of one program; pack it as a plain file",
            Self::UnknownType => "is of an unknown type",
            Self::Duplicate => "is there twice; programs would disagree on which one counts",
            Self::Link => "is a link; an image layout has only files and directories",
            Self::LinkTarget => "is a hard link to what is not a file of the image",
            Self::ParentNotDirectory => "lies below something that is not a directory",
            Self::Whiteout => "is a whiteout that names nothing or has content",
            Self::Size => "has a size that its type cannot have",
        })
    }
}

impl fmt::Display for ArchiveRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutOff => "ends in the middle of an entry; fetch it again",
            Self::Checksum => {
                "has a header with a wrong checksum: it is damaged, compressed, or no tar archive"
            }
            Self::Number => "has a header with a field that is no number",
            Self::Extended => "has a malformed extended header",
        })
    }
}

/// The tags that a layout has, for a message.
fn tags(listed: &[String]) -> String {
    if listed.is_empty() { String::new() } else { format!(" (it has {})", listed.join(", ")) }
}

/// The beginning of a foreign text, fit for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}

/// The beginning of a foreign path, fit for a message.
pub(crate) fn shown_path(path: &[u8]) -> String {
    path.get(..path.len().min(200)).unwrap_or_default().escape_ascii().to_string()
}
