//! An instant in UTC, to the microsecond.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC, counted in microseconds since 1970-01-01T00:00:00Z.
///
/// The range is that of both databases' calendars that people use: years 1 to 9999 (less the last two days). Displayed as RFC 3339 with
/// microseconds only where there are any (`2026-11-21T09:03:00Z`, `2026-11-21T09:03:00.25Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "i64", try_from = "i64")]
pub struct Timestamp(i64);

/// Why a value is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimestampError {
    /// The instant is before year 1 or after year 9999.
    OutOfRange,
    /// The text is not an RFC 3339 instant with a zone.
    Malformed(String),
}

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("the instant is outside the years 1 to 9999"),
            Self::Malformed(text) => {
                write!(f, "{text:?} is not an instant; write it as 2026-11-21T09:03:00Z")
            }
        }
    }
}

impl std::error::Error for TimestampError {}

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Timestamp {
    /// The earliest instant: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The latest instant that the calendar library can write in every time zone: 9999-12-29T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_127_999_999_999);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The instant `micros` microseconds after the Unix epoch.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] outside [`Timestamp::MIN`]..=[`Timestamp::MAX`].
    pub const fn from_unix_micros(micros: i64) -> Result<Self, TimestampError> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return Err(TimestampError::OutOfRange);
        }
        Ok(Self(micros))
    }

    /// The instant `seconds` seconds after the Unix epoch.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] outside [`Timestamp::MIN`]..=[`Timestamp::MAX`].
    pub const fn from_unix_seconds(seconds: i64) -> Result<Self, TimestampError> {
        match seconds.checked_mul(MICROS_PER_SECOND) {
            Some(micros) => Self::from_unix_micros(micros),
            None => Err(TimestampError::OutOfRange),
        }
    }

    /// Microseconds since the Unix epoch; negative before it.
    #[must_use]
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// This instant moved into the future, held at [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// This instant moved into the past, held at [`Timestamp::MIN`].
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(Self::MIN.0))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_micros)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{instant}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| TimestampError::Malformed(text.to_owned()))?;
        Self::from_unix_micros(instant.as_microsecond())
    }
}

impl From<Timestamp> for i64 {
    fn from(value: Timestamp) -> Self {
        value.0
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = TimestampError;

    fn try_from(micros: i64) -> Result<Self, Self::Error> {
        Self::from_unix_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_at_the_limits() {
        for (instant, text) in [
            (Timestamp::UNIX_EPOCH, "1970-01-01T00:00:00Z"),
            (Timestamp::MIN, "0001-01-01T00:00:00Z"),
            (Timestamp::MAX, "9999-12-29T23:59:59.999999Z"),
        ] {
            assert_eq!(instant.to_string(), text);
            assert_eq!(text.parse::<Timestamp>(), Ok(instant));
        }
    }

    #[test]
    fn out_of_range_and_malformed_are_told_apart() {
        assert_eq!(Timestamp::from_unix_micros(Timestamp::MAX.0 + 1), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::from_unix_micros(Timestamp::MIN.0 - 1), Err(TimestampError::OutOfRange));
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), Err(TimestampError::OutOfRange));
        assert!(matches!("yesterday".parse::<Timestamp>(), Err(TimestampError::Malformed(_))));
        assert!(matches!("2026-01-01T00:00:00".parse::<Timestamp>(), Err(TimestampError::Malformed(_))));
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let year = Duration::from_secs(366 * 86_400);
        assert_eq!(Timestamp::MAX.saturating_add(year), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(year), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.saturating_since(Timestamp::MAX), Duration::ZERO);
        let later = Timestamp::UNIX_EPOCH.saturating_add(Duration::from_micros(3));
        assert_eq!(later.saturating_since(Timestamp::UNIX_EPOCH), Duration::from_micros(3));
    }
}
