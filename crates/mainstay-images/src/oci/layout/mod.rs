//! OCI image layouts, as directories and as tar archives.

mod archive;
mod read;
mod write;

pub use read::Layout;
pub(crate) use read::blocking;
pub(crate) use write::{LayoutWriter, sync_directory};

/// The file that says that a directory is a layout.
pub(crate) const MARKER: &str = "oci-layout";
/// The marker's content. The field's programs write the same octets.
pub(crate) const MARKER_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the images.
pub(crate) const INDEX: &str = "index.json";
/// Where blobs lie; SHA-256 is the only algorithm that is accepted.
pub(crate) const BLOBS: &str = "blobs/sha256";

/// What a layout is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// A directory.
    Directory,
    /// A tar archive, as skopeo's `oci-archive:` and `docker save` write it.
    Archive,
}
