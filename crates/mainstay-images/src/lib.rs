//! An image graph on `mainstay-repo`: blobs on a directory, images that are chains of them, leases that keep them, and a
//! collector that never removes what is in use.

#![deny(missing_docs)]

mod digest;
mod error;
pub mod files;
pub mod oci;
mod step;
mod store;

pub use digest::{Digest, DigestError, Hasher};
pub use error::{Error, ErrorKind, Result};
pub use step::{Step, Steps, Unobserved};
