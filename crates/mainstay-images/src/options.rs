//! What a host may set.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::lease::{SystemUptime, Uptime};
use crate::step::{Steps, Unobserved};

/// The shortest life that a holder may ask for.
pub const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest life that a holder may ask for.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// What is kept, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// The most octets of all blobs; no limit when none. What does not fit is refused before it is written.
    pub max_bytes: Option<u64>,
    /// So many octets of the file system stay free.
    pub min_free_bytes: u64,
    /// So many files more can always be made.
    pub min_free_inodes: u64,
    /// An image that nothing claims is let go when it was not used for so long; never, when none.
    pub keep_unclaimed: Option<Duration>,
    /// A collection that makes room goes on until so many octets are below the limit that called for it.
    pub headroom_bytes: u64,
}

impl Policy {
    /// No quota, 256 MiB and 1,000 files free, unclaimed images kept for 30 days.
    pub const DEFAULT: Self = Self {
        max_bytes: None,
        min_free_bytes: 256 * 1024 * 1024,
        min_free_inodes: 1_000,
        keep_unclaimed: Some(Duration::from_secs(30 * 24 * 3600)),
        headroom_bytes: 0,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct ImagesOptions {
    /// How long claims last without renewal. A holder renews after a third of it.
    pub ttl: Duration,
    /// How much clocks may differ: a holder stops so long before the end, a collector waits so long after it.
    pub margin: Duration,
    /// How long a blob that lost its last use waits until a collection looks at it. Safety does not rest on it; it spares
    /// what is about to be used again.
    pub grace: Duration,
    /// What is kept.
    pub policy: Policy,
    /// Octets of a file that collecting gives back to a full disk; zero for none.
    pub reserve_bytes: u64,
    /// Is told every step before it happens.
    pub steps: Arc<dyn Steps>,
    /// The clock by which a holder stops before its claims end. It must go on while the machine sleeps, as [`SystemUptime`] does.
    pub uptime: Arc<dyn Uptime>,
}

impl Default for ImagesOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            margin: Duration::from_secs(5),
            grace: Duration::from_secs(600),
            policy: Policy::DEFAULT,
            reserve_bytes: 16 * 1024 * 1024,
            steps: Arc::new(Unobserved),
            uptime: Arc::new(SystemUptime),
        }
    }
}

impl ImagesOptions {
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |message: String| Err(Error::new(ErrorKind::Configuration, message));
        if !(MIN_TTL..=MAX_TTL).contains(&self.ttl) {
            return refused(format!("a ttl of {:?} is outside {MIN_TTL:?} to {MAX_TTL:?}", self.ttl));
        }
        if self.margin * 2 > self.ttl {
            return refused(format!(
                "a margin of {:?} leaves less than half of the ttl of {:?} to use",
                self.margin, self.ttl
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ttl: Duration, margin: Duration) -> bool {
        ImagesOptions { ttl, margin, ..ImagesOptions::default() }.check().is_ok()
    }

    #[test]
    fn times_are_held_to_their_limits() {
        let micro = Duration::from_micros(1);
        assert!(check(MIN_TTL, MIN_TTL / 2) && check(MAX_TTL, Duration::ZERO));
        assert!(!check(MIN_TTL - micro, Duration::ZERO) && !check(MAX_TTL + micro, Duration::ZERO));
        assert!(!check(MIN_TTL, MIN_TTL / 2 + micro));
    }
}
