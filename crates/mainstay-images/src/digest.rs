//! SHA-256 digests: what names a blob, a chain and an image.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};

/// Octets of a digest.
const OCTETS: usize = 32;

/// A SHA-256 digest. Written as 64 lowercase hexadecimal digits, without an algorithm's name before them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; OCTETS]);

/// Why a text or some octets are no [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DigestError {
    /// The beginning of what was given.
    pub given: String,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a SHA-256 digest; write it as 64 lowercase hexadecimal digits", self.given)
    }
}

impl std::error::Error for DigestError {}

impl Digest {
    /// The digest of some octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(octets);
        hasher.finish()
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(octets: [u8; OCTETS]) -> Self {
        Self(octets)
    }

    /// The digest in some stored octets.
    ///
    /// # Errors
    /// [`DigestError`] unless there are 32.
    pub fn from_slice(octets: &[u8]) -> Result<Self, DigestError> {
        let refused = |_| DigestError { given: format!("{} octets", octets.len()) };
        octets.try_into().map(Self).map_err(refused)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; OCTETS] {
        &self.0
    }

    /// The shard of the store in which its file lies: its first octet.
    #[must_use]
    pub const fn shard(&self) -> u8 {
        self.0[0]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 2 * OCTETS];
        for (pair, octet) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = digit(DIGITS, octet >> 4);
                *low = digit(DIGITS, octet & 15);
            }
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

fn digit(digits: &[u8; 16], value: u8) -> u8 {
    digits.get(usize::from(value)).copied().unwrap_or(b'0')
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || DigestError { given: text.chars().take(80).collect() };
        if text.len() != 2 * OCTETS {
            return Err(refused());
        }
        let mut octets = [0; OCTETS];
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(refused()) };
            *octet =
                nibble(*high).zip(nibble(*low)).map(|(high, low)| high << 4 | low).ok_or_else(refused)?;
        }
        Ok(Self(octets))
    }
}

/// Only lowercase, so that equal digests are equal texts and equal file names.
const fn nibble(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a [`Digest`] of octets as they come.
#[derive(Clone)]
pub struct Hasher(Context);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The digest of all octets.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut octets = [0; OCTETS];
        octets.iter_mut().zip(self.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Digest(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_text_is_the_standard_one_and_round_trips() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        assert_eq!(Digest::of(b"").shard(), 0xe3);
        let mut pieces = Hasher::new();
        pieces.update(b"ab");
        pieces.update(b"c");
        assert_eq!(pieces.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "",
            "sha256:",
            &EMPTY.to_uppercase(),
            &EMPTY[1..],
            &format!("{EMPTY}0"),
            &EMPTY.replace('e', "g"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        assert!(Digest::from_slice(&[0; 31]).is_err() && Digest::from_slice(&[0; 33]).is_err());
    }
}
