//! Images as the surface tells of them: opening the store that a configuration names, and the documents.

pub mod document;
mod error;
mod store;

pub use store::{ImageStore, open_images};
pub(crate) use store::{collect_for_ever, is_there};
