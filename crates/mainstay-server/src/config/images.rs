//! The settings of the image store.

use std::path::PathBuf;
use std::time::Duration;

/// Where images are kept, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSettings {
    /// The directory of the blobs; it belongs to the database, so servers that share that share this too.
    pub directory: PathBuf,
    /// Whether the directory is the one in the data directory that nobody asked for by name. One that somebody asked for must be
    /// there: it may be a mount point.
    pub is_default: bool,
    /// The most octets of all blobs.
    pub quota_bytes: Option<u64>,
    /// How long an image is kept that nothing claims; for ever, if none.
    pub keep: Option<Duration>,
    /// How often the server collects; never, if none.
    pub collect_every: Option<Duration>,
}

/// The longest time that can be asked for.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50)];

/// Octets: a number, alone or with a unit; nothing at all is no limit.
pub(super) fn quota(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_size(text).map(Some)
}

/// Octets as people write them: `1048576`, `20GiB`.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 500MiB, 20GiB or a number of octets");
    let found = UNITS.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)));
    let (number, bits) = found.unwrap_or((text, 0));
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << bits).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_up_to_their_limit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("500 MiB", Some(500 << 20)),
            ("16383PiB", Some(16383 << 50)),
            ("16384PiB", None),
            ("20GB", None),
            ("-1", None),
            ("GiB", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
        assert_eq!(quota(""), Ok(None));
    }
}
