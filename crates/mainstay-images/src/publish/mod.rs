//! Bytes into the store. One [`Ingest`] brings the blobs of one or more images and makes them in one transaction.
//!
//! ```text
//! publish.intent → (adopt: publish.check) | (publish.write → publish.sync_file → [publish.name] → publish.rename → publish.sync_dir)
//!                → [publish.land] → publish.commit → [publish.discard]
//! ```
//!
//! An intent names its digest before the file has its name, and its number is in the file's name; no collector touches what an
//! intent names. The commit deletes the intents and fails if one is gone: that is the fence.

mod commit;
mod names;
mod partial;
mod room;
mod session;
mod writer;

pub(crate) use names::Names;
pub(crate) use room::RoomLeft;

pub use commit::{CommitSet, Committed, NewImage, RefExpect, RefUpdate};
pub use partial::{Beginnings, MAX_PARTIAL_AGE, MAX_PARTIAL_BYTES};
pub use session::{Ingest, Staged};
pub use writer::{BlobWriter, WriterSpec};
