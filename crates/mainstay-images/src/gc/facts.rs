//! What the plans are made from.

use std::collections::{HashMap, HashSet};

use mainstay_core::Timestamp;
use serde::Serialize;

use super::{Usage, Uses};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::ImageId;
use crate::image::ImageKind;
use crate::images::{Images, rows};
use crate::store;

/// An image and what claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// Its number.
    pub id: ImageId,
    /// Its name.
    pub digest: Digest,
    /// What it is.
    #[serde(skip)]
    pub kind: ImageKind,
    /// What it was derived from.
    pub parent: Option<ImageId>,
    /// What a person calls it.
    pub label: Option<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its size, each blob counted once.
    pub size_bytes: u64,
    /// When it was last leased, to the minute.
    pub last_used_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many names point at it.
    pub refs: u64,
    /// How many leases it has.
    pub leases: u64,
    /// How many images were derived from it.
    pub children: u64,
}

/// Rows that one statement reads.
const PAGE: u32 = 5_000;

impl Images {
    /// All images and what claims them.
    ///
    /// # Errors
    /// Of the database.
    pub async fn facts(&self) -> Result<Vec<ImageFacts>> {
        let mut facts: Vec<ImageFacts> = Vec::new();
        loop {
            let after = facts.last().map_or(0, |image| image.id.get());
            let page =
                rows(self.shared.slow.read(store::uses::facts(after, PAGE)).await?, store::uses::read_facts)?;
            let is_last = page.len() < PAGE as usize;
            facts.extend(page);
            if is_last {
                return Ok(facts);
            }
        }
    }

    /// Which image uses which blobs, and how large those are.
    ///
    /// # Errors
    /// Of the database.
    pub async fn uses(&self, images: &[ImageFacts]) -> Result<Uses> {
        let is_index = |image: &&ImageFacts| image.kind == ImageKind::Index;
        let mut uses = Uses::default();
        uses.indexes.extend(images.iter().filter(is_index).map(|image| image.id));
        let mut after = 0;
        for page in images.chunks(PAGE as usize) {
            let Some(last) = page.last() else { continue };
            for row in self.shared.slow.read(store::uses::edges(after, last.id.get())).await? {
                let image = ImageId(row.get("image_id")?);
                uses.edges.entry(image).or_default().push(row.get("blob_id")?);
            }
            after = last.id.get();
        }
        let of_digest: HashMap<Digest, ImageId> =
            images.iter().map(|image| (image.digest, image.id)).collect();
        let announced = self.shared.slow.read(store::intents::all()).await?;
        let announced = announced.iter().filter_map(|row| store::intents::read_digest(row).transpose());
        let announced: HashSet<Digest> = announced.collect::<Result<_>>()?;
        let mut after = 0;
        loop {
            let found = self.shared.slow.read(store::uses::blobs(after, PAGE)).await?;
            for row in &found {
                let (id, digest, size) = store::uses::read_blob(row)?;
                uses.sizes.insert(id, size);
                uses.documents.extend(of_digest.get(&digest).map(|image| (id, *image)));
                if announced.contains(&digest) {
                    uses.announced.insert(id);
                }
                after = id;
            }
            if found.len() < PAGE as usize {
                return Ok(uses);
            }
        }
    }

    /// Who uses how much, in numbers that add up.
    ///
    /// # Errors
    /// Of the database.
    pub async fn usage(&self) -> Result<Usage> {
        let images = self.facts().await?;
        let uses = self.uses(&images).await?;
        Ok(super::usage(&images, &uses))
    }
}
