//! Where randomness comes from: a parameter, so that a test can repeat it.

use std::fmt;

/// Fills octets with randomness that nobody can guess. Tokens, handles and request ids are made of it.
pub trait Random: Send + Sync {
    /// Fills `out` wholly.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails; the octets must then not be used.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The source of randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RandomError;

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of randomness failed")
    }
}

impl std::error::Error for RandomError {}

/// The cryptographic library's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        aws_lc_rs::rand::fill(out).map_err(|_| RandomError)
    }
}

/// So many random octets.
pub(crate) fn octets<const N: usize>(random: &dyn Random) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
