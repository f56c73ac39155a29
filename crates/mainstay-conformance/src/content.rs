//! The blobs and chains that the crash loop of the image store publishes: few, so that its processes meet.

/// Chains of blobs, by number; most share some.
pub const CHAINS: &[&[u8]] = &[&[0], &[0, 1], &[0, 1, 2], &[3], &[3, 1], &[4, 2, 5]];

/// A blob's octets: some are small, some are of several pages.
#[must_use]
pub fn blob(number: u8) -> Vec<u8> {
    let size = if number.is_multiple_of(2) { 100 } else { 70_000 };
    (0..size).map(|place: u32| number ^ place.to_le_bytes()[0]).collect()
}
