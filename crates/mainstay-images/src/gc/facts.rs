//! What the plans are made from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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

    /// All images and what claims them once these holders are forgotten, whose time is over.
    pub(super) async fn facts_without(
        &self,
        ended: &BTreeSet<i64>,
        now: Timestamp,
    ) -> Result<Vec<ImageFacts>> {
        let mut facts = self.facts().await?;
        if ended.is_empty() {
            return Ok(facts);
        }
        let holders: Vec<i64> = ended.iter().copied().collect();
        let mut leases: HashMap<i64, u64> = HashMap::new();
        for row in self.shared.slow.read(store::uses::leased_by(&holders)).await? {
            leases.insert(row.get("image_id")?, row.get("leases")?);
        }
        for image in &mut facts {
            if let Some(leased) = leases.get(&image.id.get()) {
                image.leases = image.leases.saturating_sub(*leased);
                // It counts as in use until it is seen that its holder ended.
                image.last_used_at = image.last_used_at.max(now);
            }
        }
        Ok(facts)
    }

    /// Which image uses which blobs, and how large those are.
    ///
    /// # Errors
    /// Of the database.
    pub async fn uses(&self, images: &[ImageFacts]) -> Result<Uses> {
        self.uses_without(images, &BTreeSet::new()).await
    }

    /// As [`Images::uses`], where what some holders announced is not announced.
    pub(super) async fn uses_without(&self, images: &[ImageFacts], but: &BTreeSet<i64>) -> Result<Uses> {
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
        let announced: HashSet<Digest> = store::intents::digests(&announced, but)?;
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
        let mut uses = self.uses(&images).await?;
        // An image that came between the two looks is on no line, so what only it has is in no sum.
        let known: HashSet<ImageId> = images.iter().map(|image| image.id).collect();
        let (known, later): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut uses.edges).into_iter().partition(|(image, _)| known.contains(image));
        let used: HashSet<i64> = known.values().flatten().copied().collect();
        for blob in later.values().flatten().filter(|blob| !used.contains(*blob)) {
            uses.sizes.remove(blob);
        }
        uses.edges = known;
        Ok(super::usage(&images, &uses))
    }
}
