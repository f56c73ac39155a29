//! OCI images in and out: layouts as directories and archives, registries, and flattened disk images.
//!
//! One walk finds what belongs to an image, one copy carries it from a source to a target; import, export, pull and
//! push differ in the two ends alone. Everything is kept octet for octet, also what this crate does not understand. Whatever comes
//! from outside is refused by an exact [`refusal::Refusal`] before anything refers to it, within the [`limits`].
//!
//! | looking for | room |
//! |---|---|
//! | import, export, pull, push, commit | [`Oci`] |
//! | one read-only disk of all layers | [`flatten`] |
//! | why something was refused; what is too much | [`refusal`], [`limits`] |
//! | progress bars | [`progress`] |

mod commit;
mod content;
mod copy;
mod derived;
pub mod document;
pub mod error;
pub mod flatten;
mod graph;
mod layer;
pub mod layout;
pub mod limits;
pub mod media;
mod plain;
pub mod progress;
pub mod reference;
pub mod refusal;
pub mod registry;
mod select;
mod store;
mod tar;
mod tee;
mod thread;
mod transfer;
mod tree;

pub use commit::{Commit, LayerContent};
pub use document::Platform;
pub use error::{Error, ErrorKind, Result};
pub use layout::Container;
pub use limits::Limits;
pub use reference::Reference;
pub use refusal::Refusal;
pub use select::Select;
pub use transfer::{Import, Oci};
