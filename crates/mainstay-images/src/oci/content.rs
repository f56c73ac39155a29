//! Where content comes from and where it goes: the two ends of every copy.

use async_trait::async_trait;
use bytes::Bytes;

use super::document::{Descriptor, OciDigest};
use super::error::Result;
use super::progress::Progress;
use super::refusal::Refusal;
use crate::digest::{Digest, Hasher};

/// A place that images come from: a layout, a registry, the store.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// An index or a manifest, whole. The caller has checked its size against the limit, and verifies it.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes>;

    /// A blob from its first octet. The reader may give too much, too little, or the wrong octets: the caller verifies.
    async fn open<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>>;

    /// Whether [`Source::open_at`] spares something.
    fn resumes(&self) -> bool {
        false
    }

    /// A blob from an octet in it, of a source that [resumes](Source::resumes).
    async fn open_at<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _at: u64,
        progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>> {
        self.open(descriptor, progress).await
    }

    /// How many blobs may be read at once.
    fn parallel(&self) -> usize;
}

/// A blob as it comes.
#[async_trait]
pub(crate) trait BlobReader: Send {
    /// The next octets; none at the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>>;
}

/// The beginning of a blob.
pub(crate) struct Beginning {
    pub(crate) reader: Box<dyn BlobReader>,
    /// How many octets it gives.
    pub(crate) size: u64,
}

/// A place that images go to.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// Whether the blob is there already, in its full size.
    async fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Says beforehand what will be asked for.
    async fn expect(&self, _descriptors: &[&Descriptor]) -> Result<()> {
        Ok(())
    }

    /// The beginning of a blob that another copy left behind, if there is one. Nothing is known of its octets.
    async fn beginning(&self, _descriptor: &Descriptor) -> Result<Option<Beginning>> {
        Ok(None)
    }

    /// Lets go of beginnings of a blob that are of no use any more.
    async fn forget_beginnings(&self, _descriptor: &Descriptor) -> Result<()> {
        Ok(())
    }

    /// Begins a blob. A writer that is dropped leaves nothing.
    async fn create<'a>(&'a self, descriptor: &'a Descriptor) -> Result<Box<dyn BlobWriter + 'a>>;

    /// Keeps an index or a manifest, whose blobs are there.
    async fn put_manifest(&self, descriptor: &Descriptor, octets: Bytes) -> Result<()>;

    /// How many blobs may be written at once.
    fn parallel(&self) -> usize;

    /// Whether a write that has begun must be waited for, also when nobody wants what is written any more.
    fn must_end_writes(&self) -> bool;

    /// Whether layers are read whole and checked before they are kept.
    fn checks_layers(&self) -> bool;
}

/// A blob as it goes.
#[async_trait]
pub(crate) trait BlobWriter: Send {
    /// Takes the next octets; refuses those beyond the promised size.
    async fn write(&mut self, octets: Bytes) -> Result<()>;

    /// Keeps the blob; refuses it when its size or digest is not the promised one.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Counts and hashes what passes, against a descriptor.
#[derive(Debug)]
pub(crate) struct Verifier {
    digest: OciDigest,
    size: u64,
    seen: u64,
    hasher: Hasher,
}

impl Verifier {
    pub(crate) fn new(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest, size: descriptor.size, seen: 0, hasher: Hasher::new() }
    }

    /// Takes the next octets.
    pub(crate) fn update(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        self.count(octets)?;
        self.hasher.update(octets);
        Ok(())
    }

    /// Takes the next octets, which somebody else hashes.
    pub(crate) fn count(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        self.seen = self.seen.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if self.seen > self.size { Err(self.wrong_size()) } else { Ok(()) }
    }

    /// Refuses what was too short.
    pub(crate) const fn finish_count(&self) -> Result<(), Refusal> {
        if self.seen == self.size { Ok(()) } else { Err(self.wrong_size()) }
    }

    /// The digest that was promised.
    pub(crate) const fn expected(&self) -> Digest {
        self.digest.0
    }

    /// Refuses what was too short or has another digest.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        self.finish_count()?;
        let (expected, found) = (self.digest.0, self.hasher.finish());
        if expected == found { Ok(()) } else { Err(Refusal::DigestMismatch { expected, found }) }
    }

    /// Checks content that is at hand.
    pub(crate) fn check(descriptor: &Descriptor, octets: &[u8]) -> Result<(), Refusal> {
        let mut verifier = Self::new(descriptor);
        verifier.update(octets)?;
        verifier.finish()
    }

    const fn wrong_size(&self) -> Refusal {
        Refusal::SizeMismatch { digest: self.digest.0, expected: self.size, found: self.seen }
    }
}

/// Content that is in memory.
#[derive(Debug)]
pub(crate) struct Whole(pub(crate) Option<Bytes>);

#[async_trait]
impl BlobReader for Whole {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take().filter(|octets| !octets.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_digests_are_held_to() {
        let descriptor = Descriptor::of("a", b"content");
        let digest = descriptor.digest.0;
        assert_eq!(Verifier::check(&descriptor, b"content"), Ok(()));
        let size = |found| Err(Refusal::SizeMismatch { digest, expected: 7, found });
        assert_eq!(Verifier::check(&descriptor, b"conten"), size(6));
        assert_eq!(Verifier::check(&descriptor, b"contents"), size(8));
        let found = Digest::of(b"c0ntent");
        let expected = Err(Refusal::DigestMismatch { expected: digest, found });
        assert_eq!(Verifier::check(&descriptor, b"c0ntent"), expected);
    }
}
