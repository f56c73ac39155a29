//! What every request passes before and after its handler.

pub(crate) mod extract;
pub(crate) mod guard;
pub(crate) mod layers;
pub(crate) mod listen;
pub(crate) mod peer;
pub(crate) mod rate;
pub(crate) mod tls;
