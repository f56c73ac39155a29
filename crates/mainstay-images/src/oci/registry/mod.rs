//! Registries that speak the OCI distribution protocol: images are pulled from them and pushed to them.

mod auth;
mod client;
mod proxy;
mod pull;
mod push;
mod retry;
mod url;

pub use auth::Credentials;
pub(crate) use client::{Access, Registry};
pub use client::{RegistryOptions, Transport};
pub use proxy::Proxies;
pub(crate) use push::PushTarget;
pub use retry::Retry;
