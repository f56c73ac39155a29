//! Typed identifiers: a prefix that a person can read and a ULID that sorts by time.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use crate::Clock;

pub use ulid::Ulid;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdError {
    /// The prefix that was expected, without the underscore.
    pub prefix: &'static str,
    /// The text that was given.
    pub given: String,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an identifier of this kind; it reads {}_ followed by 26 characters",
            self.given, self.prefix
        )
    }
}

impl std::error::Error for IdError {}

/// A ULID stamped with the clock's time; for the code that [`typed_id!`](crate::typed_id) generates.
#[doc(hidden)]
pub fn new_ulid(clock: &dyn Clock) -> Ulid {
    let micros = u64::try_from(clock.now().as_unix_micros()).unwrap_or(0);
    Ulid::from_datetime(UNIX_EPOCH + Duration::from_micros(micros))
}

/// Reads `prefix_ULID`. Only the canonical spelling is taken, so equal identifiers are equal texts.
///
/// # Errors
/// [`IdError`] when the prefix differs or the rest is not a canonical ULID.
#[doc(hidden)]
pub fn parse_id(prefix: &'static str, text: &str) -> Result<Ulid, IdError> {
    let refused = || IdError { prefix, given: text.chars().take(64).collect() };
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or_else(refused)?;
    let ulid = Ulid::from_string(rest).map_err(|_| refused())?;
    if ulid.to_string() == rest { Ok(ulid) } else { Err(refused()) }
}

/// Declares an identifier type: `prefix_` and a ULID (26 characters, sorted by time of creation).
///
/// Gives it `generate`, `Display`, `FromStr`, ordering, hashing and serde as text. See the crate's first example.
#[macro_export]
macro_rules! typed_id {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($prefix:literal);) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name($crate::Ulid);

        impl $name {
            /// What the text form starts with, before the underscore.
            $vis const PREFIX: &'static str = $prefix;

            /// A new identifier, stamped with the clock's time and 80 random bits.
            #[must_use]
            $vis fn generate(clock: &dyn $crate::Clock) -> Self {
                Self($crate::new_ulid(clock))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::IdError;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                $crate::parse_id(Self::PREFIX, text).map(Self)
            }
        }

        impl $crate::__serde::Serialize for $name {
            fn serialize<S: $crate::__serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::__serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text = <::std::string::String as $crate::__serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err($crate::__serde::de::Error::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{FixedClock, Timestamp};

    crate::typed_id! {
        /// A thing.
        struct ThingId("thing");
    }

    #[test]
    fn text_round_trips_and_sorts_by_time() {
        let clock = FixedClock::at(Timestamp::UNIX_EPOCH);
        let first = ThingId::generate(&clock);
        clock.advance(std::time::Duration::from_millis(1));
        let second = ThingId::generate(&clock);
        assert!(first < second && first.to_string() < second.to_string());
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = ThingId::generate(&FixedClock::at(Timestamp::UNIX_EPOCH)).to_string();
        for wrong in ["", "thing_", "other_01ARZ3NDEKTSV4RRFFQ69G5FAV", &id.to_lowercase(), &format!("{id}0")]
        {
            assert!(wrong.parse::<ThingId>().is_err(), "{wrong}");
        }
    }
}
