//! An image graph on `mainstay-repo`: blobs on a directory, images that are chains of them, leases that keep them, and a
//! collector that never removes what is in use.
//!
//! * [`Images`] is a database and a directory that belong together; [`Images::join`] begins the life of a [`Node`].
//! * [`Node::ingest`] brings blobs in and makes images of them in one transaction; [`Node::acquire`] and
//!   [`Node::with_image`] lease an image, so that nothing of it goes.
//! * [`Images::acting`] is the same for somebody with a role: who may do what is decided there, and who did it is written down.
//! * [`Images::collect`] removes what nothing uses; [`Images::plan`] tells what it would remove, [`Images::explain`] why
//!   something is kept, [`Images::usage`] who uses how much; [`Images::scrub`] reads everything again.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mainstay_images::files::DiskFiles;
//! use mainstay_images::{BlobKind, COMPONENT, CollectOptions, CommitSet, Images, ImagesOptions, NewImage, WriterSpec};
//! use mainstay_repo::{Repo, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let url = format!("sqlite://{}/app.db", directory.path().display());
//! # let options = ImagesOptions { reserve_bytes: 0, ..ImagesOptions::default() };
//! let repo = Repo::connect(&url).await?; // a file today, postgres://… tomorrow
//! repo.migrator().migrate(&COMPONENT, Target::Latest).await?;
//! let images = Images::open(repo, Arc::new(DiskFiles::new(directory.path())), options).await?;
//!
//! let node = images.join("node-1").await?; // one heartbeat keeps all that this node claims
//! let ingest = node.ingest();
//! let disk: &[u8] = b"the octets of a disk";
//! let base = ingest.put(WriterSpec::new(BlobKind::Base, "application/vnd.example.disk"), disk).await?;
//! let set = CommitSet { images: vec![NewImage::chain(vec![base.digest])], ..CommitSet::default() };
//! let image = ingest.commit(set).await?.images.remove(0); // durable now, file and row
//! images.tag(&image.id.into(), "debian:13").await?;
//!
//! let size = node.with_image("vm-7", image.id, async |lease| lease.is_live().then_some(disk.len())).await?;
//! assert_eq!(size, Some(20));
//! let report = images.collect("node-1", &CollectOptions::default()).await?;
//! assert_eq!(report.blobs_removed, 0); // a name points at it
//! node.leave().await?;
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

mod blob;
mod cache;
mod checkup;
mod command;
mod digest;
mod disk;
mod error;
mod examine;
mod explain;
pub mod files;
mod find;
pub mod gc;
mod graph;
mod ids;
mod image;
mod images;
mod lease;
mod lineage;
pub mod oci;
mod options;
mod overview;
mod publish;
mod read;
mod resolve;
mod scrub;
mod step;
mod store;

pub use blob::{Blob, BlobKind, BlobState};
pub use checkup::{Checkup, Marker, checkup};
pub use command::{Act, Action, Commands, MAX_PAUSE, Names, Removed, ShortLease};
pub use digest::{Digest, DigestError, Hasher};
pub use error::{Error, ErrorKind, Result};
pub use explain::Claim;
pub use find::MIN_DIGITS;
pub use gc::{CollectOptions, CollectReport, CollectRun, Collecting, Tranquility};
pub use graph::Derive;
pub use ids::{BlobId, HolderId, ImageId, Incarnation, Token};
pub use image::{
    Attachment, Chain, Image, ImageKind, ImageRef, Layer, MAX_ATTACHMENTS, MAX_DEPTH, MAX_MEDIA_NAME_BYTES,
    MAX_NAME_BYTES, MAX_TEXT_BYTES, Reference,
};
pub use images::{Images, MAX_PAGE, StoreId};
pub use lease::{Heartbeat, HeldLease, Holder, Lease, LeaseGuard, LeaseInfo, Node, SystemUptime, Uptime};
pub use lineage::{LINEAGE_STYLE, Lineage, LineageNode};
pub use options::{ImagesOptions, MAX_TTL, MIN_TTL, Policy};
pub use overview::Overview;
pub use publish::{
    Beginnings, BlobWriter, CommitSet, Committed, Ingest, MAX_PARTIAL_AGE, MAX_PARTIAL_BYTES, NewImage,
    RefExpect, RefUpdate, Staged, WriterSpec,
};
pub use read::{BlobReader, LayerFile, Verify};
pub use scrub::{Fault, Finding, FindingState, ScrubOptions, ScrubReport, Unread};
pub use step::{Step, Steps, Unobserved};
pub use store::COMPONENT;
