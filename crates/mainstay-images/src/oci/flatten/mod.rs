//! All layers of an image as one read-only disk: an EROFS file system that is the same, octet for octet, wherever and whenever it
//! is made from the same layers by the same `mkfs.erofs`.
//!
//! The final tree is worked out from the layers' headers first; then only those files are unpacked that are in it, into a private
//! directory in which every path was made by us. No link of the image is ever followed on the disk.

mod disk;
mod erofs;
mod tree;
mod unpack;

pub use disk::{Flatten, Flattened, Ownership};
