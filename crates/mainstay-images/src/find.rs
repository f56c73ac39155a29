//! Finding an image or a blob by what a person types: a name, a digest, or the first digits of one.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, ImageRef};
use crate::images::{Images, no_image, rows};
use crate::store;

/// The fewest digits that stand for a digest.
pub const MIN_DIGITS: usize = 6;
/// Enough to know that one is not the only one.
const TWO: u32 = 2;

/// The digests that begin with some digits: all behind `after`, up to `last`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Beginning {
    after: Vec<u8>,
    last: Digest,
}

impl Beginning {
    /// Of a text that reads as the beginning of a digest, and not as all of it.
    fn of(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hexadecimal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hexadecimal || !(MIN_DIGITS..64).contains(&digits.len()) {
            return None;
        }
        let filled =
            |with: &str| format!("{digits}{}", with.repeat(64 - digits.len())).parse::<Digest>().ok();
        let (first, last) = (filled("0")?, filled("f")?);
        // Shorter than a digest, so that it sorts before every one that begins so.
        let after = first.as_bytes().get(..digits.len().div_ceil(2))?.to_vec();
        Some(Self { after, last })
    }
}

impl Images {
    /// The image with a name, a digest, or the first digits of one (at least [`MIN_DIGITS`], `sha256:` before them or not), which must
    /// begin no other image's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`] for digits that begin several digests, and for what is neither name nor digest.
    pub async fn find(&self, text: &str) -> Result<Image> {
        let wanted: ImageRef = text.parse()?;
        if let Some(image) = self.find_image(&wanted).await? {
            return Ok(image);
        }
        let Some(Beginning { after, last }) = Beginning::of(text) else { return Err(no_image(&wanted)) };
        let found = self.repo().read(store::images::between(&after, &last, TWO)).await?;
        let found = rows(found, store::images::read)?;
        match found.as_slice() {
            [] => Err(no_image(&wanted)),
            [image] => Ok(image.clone()),
            [one, other, ..] => Err(several(text, &one.digest, &other.digest)),
        }
    }

    /// The digest of the blob that a text means, whole or by its first digits; none when there is no such blob.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for digits that begin several blobs' digests; of the database.
    pub async fn find_blob(&self, text: &str) -> Result<Option<Digest>> {
        if let Ok(digest) = text.strip_prefix("sha256:").unwrap_or(text).parse::<Digest>() {
            return match self.blob(&digest).await {
                Ok(_) => Ok(Some(digest)),
                Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        let Some(Beginning { after, last }) = Beginning::of(text) else { return Ok(None) };
        let found = self.repo().read(store::blobs::page(&after, last.as_bytes().as_slice(), TWO)).await?;
        let found = rows(found, store::blobs::read_digest)?;
        match found.as_slice() {
            [one, other, ..] => Err(several(text, one, other)),
            found => Ok(found.first().copied()),
        }
    }
}

fn several(text: &str, one: &Digest, other: &Digest) -> Error {
    Error::invalid("digest", format!("{text} begins several digests: sha256:{one}, sha256:{other}"))
        .with_help("give more of its digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_digest_is_told_from_a_name() {
        for (text, after) in [("sha256:0123ab", vec![1, 0x23, 0xab]), ("0123abc", vec![1, 0x23, 0xab, 0xc0])]
        {
            let beginning = Beginning::of(text).unwrap();
            assert_eq!(beginning.after, after);
            assert!(
                beginning.last.to_string().starts_with("0123ab") && beginning.last.to_string().ends_with('f')
            );
        }
        assert!(Beginning::of(&"a".repeat(63)).is_some());
        for name in ["0123a", "team/app:1", "0123AB", "sha256:", "latest", &"a".repeat(64)] {
            assert_eq!(Beginning::of(name), None, "{name}");
        }
    }
}
