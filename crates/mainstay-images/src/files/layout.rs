//! Where things lie in a store's directory.

use crate::digest::Digest;

/// Holds the store's id: proof that the directory is the store's and is mounted.
pub(crate) const MARKER: &str = "mainstay-images";
/// Room that collecting gives back to a full disk before it begins.
pub(crate) const RESERVE: &str = "reserve";
/// Files that are being written.
pub(crate) const STAGING: &str = "tmp";
/// Files whose octets were found to be wrong.
pub(crate) const QUARANTINE: &str = "quarantine";
/// Files of blobs, in a directory for each first octet of the digest.
pub(crate) const BLOBS: &str = "blobs";

/// The marker while one process writes it.
pub(crate) fn marker_staged(nonce: &str) -> String {
    format!("{MARKER}.{nonce}")
}

/// Whether a name is one of [`marker_staged`].
pub(crate) fn is_marker_staged(name: &str) -> bool {
    name.strip_prefix(MARKER).is_some_and(|nonce| nonce.starts_with('.'))
}

/// The directory of a shard.
pub(crate) fn shard(shard: u8) -> String {
    format!("{BLOBS}/{shard:02x}")
}

/// A blob's file. No two publications share a name, so a late removal never hits another's file.
pub(crate) fn blob(digest: &Digest, incarnation: i64) -> String {
    format!("{BLOBS}/{:02x}/{digest}.{incarnation}", digest.shard())
}

/// The file of a publication that is not finished.
pub(crate) fn staged(incarnation: i64) -> String {
    format!("{STAGING}/{incarnation}")
}

/// The file of a publication that is not finished and whose beginning may serve another: the name says what it begins.
pub(crate) fn partial(digest: &Digest, incarnation: i64) -> String {
    format!("{STAGING}/{digest}.{incarnation}")
}

/// Where a damaged file is kept.
pub(crate) fn quarantined(digest: &Digest, incarnation: i64) -> String {
    format!("{QUARANTINE}/{digest}.{incarnation}")
}

/// What a name in a shard says, or that of a beginning among the unfinished; none for a name that this crate never gives.
pub(crate) fn parse_blob(name: &str) -> Option<(Digest, i64)> {
    let (digest, incarnation) = name.split_once('.')?;
    Some((digest.parse().ok()?, parse_incarnation(incarnation)?))
}

/// What a name among the unfinished says; none for a name that this crate never gives.
pub(crate) fn parse_staged(name: &str) -> Option<i64> {
    parse_incarnation(name)
}

/// Only the canonical spelling: `+1` and `01` are not ours.
fn parse_incarnation(text: &str) -> Option<i64> {
    let first = text.bytes().next()?;
    let canonical = (b'1'..=b'9').contains(&first) && text.bytes().all(|letter| letter.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_foreign_names_are_not_ours() {
        let digest = Digest::of(b"x");
        let path = blob(&digest, 7);
        let name = path.rsplit('/').next().unwrap();
        assert_eq!(parse_blob(name), Some((digest, 7)));
        assert!(path.starts_with(&shard(digest.shard())));
        assert_eq!(parse_staged("12"), Some(12));
        for name in ["", "0", "01", "+1", "-1", "1 ", "9223372036854775808", "x"] {
            assert_eq!(parse_staged(name), None, "{name}");
            assert_eq!(parse_blob(&format!("{digest}.{name}")), None, "{name}");
        }
        assert_eq!(parse_blob(&digest.to_string()), None);
    }
}
