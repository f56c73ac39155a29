//! XML signatures, as far as SAML allows them (SAML core section 5.4): one shape, checked before any cryptography.

mod grammar;
mod verify;

pub use grammar::MAX_PREFIXES;

pub use verify::{SignedBy, SignedKind, SignedOctets};
pub(crate) use verify::{Signers, verify};
