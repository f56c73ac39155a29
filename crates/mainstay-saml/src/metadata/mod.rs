//! Metadata (SAML metadata 2.0): read an identity provider's, write our own.

mod idp;
mod sp;

pub use idp::{IdpMetadata, MAX_SIGNING_CERTIFICATES, MetadataError, MetadataOptions};
pub use sp::SpMetadata;
#[cfg(feature = "idp")]
pub(crate) use sp::push_key;
