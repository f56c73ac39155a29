//! Room on the store's disk: promised before anything is written, so that ingests beside each other do not count on the same octets.

use std::sync::PoisonError;

use crate::error::{Error, ErrorKind, Result};
use crate::images::Images;

/// Octets that are kept for a blob of this process until they are written. What is left of them is free for others when this is
/// dropped.
#[derive(Debug)]
pub(super) struct Promise {
    images: Images,
    octets: u64,
}

impl Promise {
    /// So many of them are written: the file system counts them now.
    pub(super) fn spend(&mut self, octets: u64) {
        let spent = octets.min(self.octets);
        self.octets -= spent;
        let mut promised = self.images.shared.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = promised.saturating_sub(spent);
    }

    /// So many of them as a promise of their own.
    pub(super) fn split(&mut self, octets: u64) -> Self {
        let split = octets.min(self.octets);
        self.octets -= split;
        Self { images: self.images.clone(), octets: split }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.spend(self.octets);
    }
}

impl Images {
    /// Has so many octets kept, and looks whether a file more can be made. What arrived of blobs that nobody is bringing any more makes
    /// way: it may be the beginning of the very one.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] when they would leave less than the policy's floors, with what others were promised; of the database and
    /// the medium.
    pub(super) async fn promise(&self, octets: u64) -> Result<Promise> {
        match self.try_promise(octets).await {
            Err(error) if matches!(error.kind(), ErrorKind::NoSpace) => {
                if self.drop_partials().await? {
                    self.try_promise(octets).await
                } else {
                    Err(error)
                }
            }
            promised => promised,
        }
    }

    async fn try_promise(&self, octets: u64) -> Result<Promise> {
        let policy = self.options().policy;
        let before = *self.shared.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let space = self.recent_space(octets.saturating_add(before)).await?;
        if space.free_inodes <= policy.min_free_inodes {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!(
                    "only {} files more can be made, and {} stay free",
                    space.free_inodes, policy.min_free_inodes
                ),
            )
            .with_help("run a collection, or lower the floor"));
        }
        let floor = policy.min_free_bytes;
        let mut promised = self.shared.promised.lock().unwrap_or_else(PoisonError::into_inner);
        if space.free_bytes < floor.saturating_add(*promised).saturating_add(octets) {
            let (free, promised) = (space.free_bytes, *promised);
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!(
                    "{octets} octets would leave less than the floor of {floor}: {free} are free, and {promised} of them are promised \
                     to what is being brought"
                ),
            )
            .with_help("run a collection, wait until what is being brought is there, or lower the floor"));
        }
        *promised = promised.saturating_add(octets);
        Ok(Promise { images: self.clone(), octets })
    }
}
