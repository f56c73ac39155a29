//! XML signatures, as far as SAML allows them (SAML core section 5.4): one shape, checked before any cryptography.

mod grammar;
mod verify;

pub use grammar::MAX_PREFIXES;

pub(crate) use verify::{Signers, verify};
pub use verify::{SignedBy, SignedKind, SignedOctets};
