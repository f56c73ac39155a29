//! An image graph on `mainstay-repo`: blobs on a directory, images that are chains of them, leases that keep them, and a
//! collector that never removes what is in use.

#![deny(missing_docs)]

mod blob;
mod cache;
mod digest;
mod disk;
mod error;
mod explain;
pub mod files;
pub mod gc;
mod graph;
mod ids;
mod image;
mod images;
mod lease;
mod lineage;
pub mod oci;
mod options;
mod publish;
mod read;
mod scrub;
mod step;
mod store;

pub use blob::{Blob, BlobKind, BlobState};
pub use digest::{Digest, DigestError, Hasher};
pub use error::{Error, ErrorKind, Result};
pub use explain::Claim;
pub use gc::{CollectOptions, CollectReport, CollectRun, Tranquility};
pub use graph::Derive;
pub use ids::{BlobId, HolderId, ImageId, Incarnation, Token};
pub use image::{
    Attachment, Chain, Image, ImageKind, ImageRef, Layer, MAX_ATTACHMENTS, MAX_DEPTH, MAX_NAME_BYTES,
    MAX_TEXT_BYTES, Reference,
};
pub use images::{Images, MAX_PAGE, StoreId};
pub use lease::{Heartbeat, HeldLease, Holder, Lease, LeaseGuard, LeaseInfo, Node};
pub use lineage::{Lineage, LineageNode};
pub use options::{ImagesOptions, MAX_TTL, MIN_TTL, Policy};
pub use publish::{
    BlobWriter, CommitSet, Committed, Ingest, NewImage, RefExpect, RefUpdate, Staged, WriterSpec,
};
pub use read::{BlobReader, LayerFile, Verify};
pub use scrub::{ScrubOptions, ScrubReport};
pub use step::{Step, Steps, Unobserved};
pub use store::COMPONENT;
