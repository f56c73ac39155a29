//! Who uses how much of the disk.

use std::collections::BTreeMap;

use mainstay_images::gc::Usage;
use mainstay_images::{ImageId, Images, MAX_PAGE, Result};
use serde::Serialize;

use super::named;

/// What one image uses.
#[derive(Debug, Clone, Serialize)]
pub struct UsageLine {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// The names that point at it.
    pub names: Vec<String>,
    /// What a person called it.
    pub label: Option<String>,
    /// Octets of all its blobs.
    pub size_bytes: u64,
    /// Octets of those that other images use too.
    pub shared_bytes: u64,
    /// Octets of those that no other image uses.
    pub unique_bytes: u64,
    /// Octets that come back when it goes, with the images that only it keeps.
    pub reclaimable_bytes: u64,
}

/// What the store uses: `total = unique + shared + unused`.
#[derive(Debug, Clone, Serialize)]
pub struct UsageDocument {
    /// Octets of all blobs.
    pub total_bytes: u64,
    /// Octets of blobs that exactly one image uses.
    pub unique_bytes: u64,
    /// Octets of blobs that several images use, each counted once.
    pub shared_bytes: u64,
    /// Octets that a collection gives back.
    pub unused_bytes: u64,
    /// Octets that come back when everything goes that no name, pin or lease keeps.
    pub reclaimable_bytes: u64,
    /// Octets that the file system has free.
    pub free_bytes: u64,
    /// The most octets of all blobs; null for no limit.
    pub quota_bytes: Option<u64>,
    /// The images, the one with most of its own first.
    pub images: Vec<UsageLine>,
    /// How many there are, of which a server lists no more than the first.
    pub images_total: usize,
}

impl UsageDocument {
    /// Reads who uses how much.
    ///
    /// # Errors
    /// Of the database and the medium.
    pub async fn read(images: &Images) -> Result<Self> {
        let usage: Usage = images.usage().await?;
        let mut names = names(images).await?;
        let images_total = usage.images.len();
        let lines = usage.images.into_iter().map(|image| UsageLine {
            digest: named(&image.digest),
            names: names.remove(&image.image).unwrap_or_default(),
            label: image.label,
            size_bytes: image.size_bytes,
            shared_bytes: image.shared_bytes,
            unique_bytes: image.unique_bytes,
            reclaimable_bytes: image.reclaimable_bytes,
        });
        Ok(Self {
            total_bytes: usage.total_bytes,
            unique_bytes: usage.unique_bytes,
            shared_bytes: usage.shared_bytes,
            unused_bytes: usage.unused_bytes,
            reclaimable_bytes: usage.reclaimable_bytes,
            free_bytes: images.space().await?.free_bytes,
            quota_bytes: images.options().policy.max_bytes,
            images: lines.collect(),
            images_total,
        })
    }

    /// With so many images at most; the total tells how many there are.
    #[must_use]
    pub fn listing(mut self, most: usize) -> Self {
        self.images.truncate(most);
        self
    }
}

/// The names of all images, by image.
async fn names(images: &Images) -> Result<BTreeMap<ImageId, Vec<String>>> {
    let mut names: BTreeMap<ImageId, Vec<String>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = images.references(&after, MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(names) };
        after.clone_from(&last.name);
        for reference in page {
            names.entry(reference.image).or_default().push(reference.name);
        }
    }
}
