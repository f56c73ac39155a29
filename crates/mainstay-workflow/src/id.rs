//! Identifiers: 64 bits each, because the hottest tables are keyed by them.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};

/// One run of a workflow. Written as `run_` and 13 characters (Crockford's base 32), whose order is the order of the starts, to the
/// millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(i64);

/// One content of one version of a workflow, as it is kept in one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionId(pub(crate) i64);

/// One life of one node: a process that starts again is another one. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) i64);

impl NodeId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// One letter in a run's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub(crate) i64);

/// A text that is not a run's identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdError {
    /// The text, cut to 64 characters.
    pub given: String,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a run's identifier; it reads run_ followed by 13 characters", self.given)
    }
}

impl std::error::Error for IdError {}

impl RunId {
    const PREFIX: &'static str = "run_";
    /// Crockford's base 32: no letters that look like digits.
    const DIGITS: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    /// Digits of five bits for 64 bits.
    const LENGTH: u32 = 13;
    /// Bits below the milliseconds.
    const LOW_BITS: u32 = 22;
    /// Milliseconds are counted from the beginning of 2025, so that 41 bits last until 2094.
    const EPOCH_MS: i64 = 1_735_689_600_000;

    /// The number that is stored.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// From a stored number.
    pub const fn from_stored(number: i64) -> Self {
        Self(number)
    }

    /// The first identifier of an instant: those of earlier starts are smaller.
    pub(crate) fn first_at(at: Timestamp) -> Self {
        let ms = at.as_unix_micros().div_euclid(1_000).saturating_sub(Self::EPOCH_MS);
        Self(ms.clamp(0, i64::MAX >> Self::LOW_BITS) << Self::LOW_BITS)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        for place in (0..Self::LENGTH).rev() {
            let digit = usize::try_from((self.0 >> (5 * place)) & 31).unwrap_or_default();
            let letter = Self::DIGITS.get(digit).copied().map_or('0', char::from);
            fmt::Write::write_char(f, letter)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError { given: text.chars().take(64).collect() };
        let digits = text.strip_prefix(Self::PREFIX).ok_or_else(refused)?;
        let mut number = 0_i64;
        for letter in digits.bytes() {
            let digit = Self::DIGITS.iter().position(|known| *known == letter).ok_or_else(refused)?;
            number = (number << 5) | i64::try_from(digit).map_err(|_| refused())?;
        }
        let id = Self(number);
        // Of too many digits the first ones would fall off, and each identifier has one spelling.
        if digits.len() == 13 && number >= 0 && id.to_string() == text { Ok(id) } else { Err(refused()) }
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Gives out identifiers of runs: milliseconds, then a random place within them, then one after the other.
///
/// Two nodes collide when they draw the same place in the same millisecond, about once in two million; the insert finds out and draws again.
#[derive(Debug, Default)]
pub(crate) struct RunIds(AtomicI64);

impl RunIds {
    /// The next one.
    pub(crate) fn next(&self, now: Timestamp, random: u64) -> RunId {
        // The highest of the low bits stays free, so that a busy millisecond has room.
        let place = i64::try_from(random & ((1 << (RunId::LOW_BITS - 1)) - 1)).unwrap_or_default();
        let fresh = RunId::first_at(now).0 | place;
        let next =
            |last: i64| if last >> RunId::LOW_BITS >= fresh >> RunId::LOW_BITS { last + 1 } else { fresh };
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        RunId(next(last.unwrap_or_else(|last| last)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn text_round_trips_and_sorts_like_the_number() {
        let ids = [0, 1, 31, 32, 1_234_567_890_123, i64::MAX].map(RunId);
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(serde_json::from_value::<RunId>(serde_json::to_value(id).unwrap()).unwrap(), id);
        }
        assert!(ids.windows(2).all(|pair| pair[0].to_string() < pair[1].to_string()));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = RunId(1_234_567_890_123).to_string();
        for bad in [
            "",
            "run_",
            "job_0000000000001",
            &good.to_lowercase(),
            &format!("{good}0"),
            "run_ZZZZZZZZZZZZZ",
            "run_00000000000I1",
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn they_never_repeat_and_follow_the_time() {
        let ids = RunIds::default();
        let now = Timestamp::from_unix_seconds(1_764_000_000).unwrap();
        let first = ids.next(now, u64::MAX);
        let second = ids.next(now, 0);
        let back = ids.next(now.saturating_sub(Duration::from_secs(5)), 0);
        let later = ids.next(now.saturating_add(Duration::from_millis(1)), 0);
        assert!(first < second && second < back && back < later);
        assert!(
            RunId::first_at(now) <= first
                && second < RunId::first_at(now.saturating_add(Duration::from_millis(1)))
        );
    }
}
