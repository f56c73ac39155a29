//! Randomness that a failure report lets one repeat.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A small generator (SplitMix64). Its seed is printed, so it shows with a test that fails.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator with the seed in `MAINSTAY_SEED`, or a new one, which it prints.
    #[must_use]
    #[allow(clippy::print_stderr, reason = "the seed must show with a failure")]
    pub fn from_environment(test: &str) -> Self {
        let seed = crate::environment::seed().unwrap_or_else(|| RandomState::new().build_hasher().finish());
        eprintln!("{test}: MAINSTAY_SEED={seed} repeats this run's choices");
        Self(seed)
    }

    /// A generator with a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from zero up to and without `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % if end == 0 { 1 } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats() {
        let draw = |seed| {
            let mut random = Random::seeded(seed);
            [random.below(1_000), random.below(1_000), random.below(1_000)]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
