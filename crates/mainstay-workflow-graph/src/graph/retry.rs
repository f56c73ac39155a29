//! How often a step is tried again, and how long after a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the pause between two attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backoff {
    /// Always the base.
    Constant,
    /// The base, twice the base, three times the base…
    Linear,
    /// The base, twice the base, four times the base…
    Exponential,
}

/// The retry policy of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts may fail, the first one included.
    pub max_attempts: u32,
    /// How many attempts may be lost with their worker. They are counted apart: a deployment is no fault of the step, but a step that
    /// takes its process down must not do so for ever.
    pub max_losses: u32,
    /// How the pause grows.
    pub backoff: Backoff,
    /// The first pause.
    pub base_ms: u64,
    /// The longest pause.
    pub max_ms: u64,
    /// How much of a pause may be taken off at random, in percent, so that runs that failed together do not come back together.
    pub jitter_percent: u8,
}

impl Default for Retry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Retry {
    /// How many losses are borne unless said: 100. The first attempt is lost with the node that had claimed it, whether it had begun or not;
    /// of those after a loss it is known. The bound is far above what nodes that die for other reasons come to; it ends a step that kills
    /// its worker.
    pub const MAX_LOSSES: u32 = 100;

    /// Five attempts with pauses of 1 s, 2 s, 4 s… up to a minute, of which up to a fifth is taken off at random; [`MAX_LOSSES`](Self::MAX_LOSSES).
    pub const DEFAULT: Self = Self {
        max_attempts: 5,
        max_losses: Self::MAX_LOSSES,
        backoff: Backoff::Exponential,
        base_ms: 1_000,
        max_ms: 60_000,
        jitter_percent: 20,
    };

    /// One attempt.
    #[must_use]
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// `max_attempts` attempts with the default pauses.
    #[must_use]
    pub fn attempts(max_attempts: u32) -> Self {
        Self { max_attempts, ..Self::default() }
    }

    /// The same number of attempts with these pauses and no jitter.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff, base: Duration, max: Duration) -> Self {
        Self { backoff, base_ms: millis(base), max_ms: millis(max), jitter_percent: 0, ..self }
    }

    /// How much of a pause may be taken off at random, in percent, so that runs that failed together do not come back together; at most 100.
    #[must_use]
    pub fn jitter(self, percent: u8) -> Self {
        Self { jitter_percent: percent.min(100), ..self }
    }

    /// How many attempts may be lost with their node before the step fails; see [`MAX_LOSSES`](Self::MAX_LOSSES).
    #[must_use]
    pub fn losses(self, max_losses: u32) -> Self {
        Self { max_losses, ..self }
    }

    /// The pause after the `failures`th failure (from 1). `noise` is any number; the same one gives the same pause.
    #[must_use]
    pub fn pause(&self, failures: u32, noise: u64) -> Duration {
        let nth = failures.max(1);
        let factor = match self.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => u64::from(nth),
            Backoff::Exponential => 1_u64.checked_shl(nth - 1).unwrap_or(u64::MAX),
        };
        let full = self.base_ms.saturating_mul(factor).min(self.max_ms);
        let span = u128::from(full) * u128::from(self.jitter_percent.min(100)) / 100;
        let off = u128::from(noise) % (span + 1);
        Duration::from_millis(full.saturating_sub(u64::try_from(off).unwrap_or(0)))
    }
}

/// A duration in whole milliseconds, held at the largest number.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Noise that depends on its inputs only, so that a replay pauses as the run did.
#[must_use]
pub fn noise(seed: u64, salt: &[u64]) -> u64 {
    salt.iter().fold(seed, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(backoff: Backoff, expected: [u64; 4]) {
        let retry =
            Retry::attempts(9).with_backoff(backoff, Duration::from_millis(100), Duration::from_millis(350));
        let pauses = [1, 2, 3, 80].map(|failures| millis(retry.pause(failures, 7)));
        assert_eq!(pauses, expected, "{backoff:?}");
    }

    #[test]
    fn pauses_grow_as_told_and_stop_at_the_longest() {
        check(Backoff::Constant, [100, 100, 100, 100]);
        check(Backoff::Linear, [100, 200, 300, 350]);
        check(Backoff::Exponential, [100, 200, 350, 350]);
    }

    #[test]
    fn jitter_only_takes_off_and_never_more_than_told() {
        let retry = Retry::default();
        for failures in 1..12 {
            let full = millis(Retry { jitter_percent: 0, ..retry.clone() }.pause(failures, 0));
            for n in 0..200 {
                let pause = millis(retry.pause(failures, noise(n, &[1, 2])));
                assert!(pause <= full && pause >= full - full / 5, "{pause} of {full}");
            }
        }
    }
}
