//! Rest between pieces of work, in proportion to what they took: a slow disk is spared more than a fast one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The longest rest between two pieces of work.
pub const MAX_REST: Duration = Duration::from_secs(10);

/// How much rest follows each piece of work: so many hundredths of the time that it took. Zero is full speed, 200 a third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Tranquility(pub u32);

impl Tranquility {
    /// How long to rest after work that took so long; at most [`MAX_REST`].
    #[must_use]
    pub fn rest(self, worked: Duration) -> Duration {
        (worked.saturating_mul(self.0) / 100).min(MAX_REST)
    }

    /// Rests for the work since `began`, and returns when the next piece begins.
    pub(crate) async fn pause(self, began: Instant) -> Instant {
        let rest = self.rest(began.elapsed());
        if !rest.is_zero() {
            sleep(rest).await;
        }
        Instant::now()
    }
}

/// Rest by the octets that were read: a piece of work is never longer than so many, whatever the size of what is read.
#[derive(Debug)]
pub(crate) struct Pace {
    tranquility: Tranquility,
    began: Instant,
    read: u64,
}

impl Pace {
    /// So many octets are one piece of work.
    pub(crate) const PIECE: u64 = 64 * 1024 * 1024;

    pub(crate) fn new(tranquility: Tranquility) -> Self {
        Self { tranquility, began: Instant::now(), read: 0 }
    }

    /// So many octets more may be read before the next rest.
    pub(crate) const fn left(&self) -> u64 {
        Self::PIECE.saturating_sub(self.read)
    }

    /// So many octets were read; rests when they make a piece of work.
    pub(crate) async fn read(&mut self, octets: u64) {
        self.read = self.read.saturating_add(octets);
        if self.left() == 0 {
            self.rest().await;
        }
    }

    /// Rests for what was read since the last rest.
    pub(crate) async fn rest(&mut self) {
        self.began = self.tranquility.pause(self.began).await;
        self.read = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_in_proportion_and_bounded() {
        let second = Duration::from_secs(1);
        assert_eq!(Tranquility(0).rest(second), Duration::ZERO);
        assert_eq!(Tranquility(200).rest(second), 2 * second);
        assert_eq!(Tranquility(1_000).rest(second), MAX_REST);
        assert_eq!(Tranquility(u32::MAX).rest(Duration::MAX), MAX_REST);
    }
}
