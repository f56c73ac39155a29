//! Who uses how much, in numbers that add up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::ImageFacts;
use super::reclaim::Claims;
use crate::digest::Digest;
use crate::ids::ImageId;

/// Which image uses which blobs, each once, and how large they are.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    pub(crate) edges: BTreeMap<ImageId, Vec<i64>>,
    pub(crate) sizes: HashMap<i64, u64>,
    /// The images whose documents blobs are: an index that uses such a blob lists the image.
    pub(crate) documents: HashMap<i64, ImageId>,
    /// The images that are lists of others.
    pub(crate) indexes: HashSet<ImageId>,
    /// Blobs that are being published: nothing may use them yet, and they do not go.
    pub(crate) announced: HashSet<i64>,
}

/// What one image uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageUsage {
    /// The image.
    pub image: ImageId,
    /// Its name.
    pub digest: Digest,
    /// What a person calls it.
    pub label: Option<String>,
    /// Octets of all its blobs.
    pub size_bytes: u64,
    /// Octets of those that other images use too.
    pub shared_bytes: u64,
    /// Octets of those that no other image uses.
    pub unique_bytes: u64,
    /// Octets that come back when it goes, and with it what only it keeps: the images that it lists, and those that it was derived from.
    pub reclaimable_bytes: u64,
}

/// What the store uses. `total = unique + shared + unused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Octets of all blobs.
    pub total_bytes: u64,
    /// Octets of blobs that exactly one image uses: the sum over the images.
    pub unique_bytes: u64,
    /// Octets of blobs that several images use, each counted once.
    pub shared_bytes: u64,
    /// Octets of blobs that no image uses: what a collection gives back, but for what is being published.
    pub unused_bytes: u64,
    /// Octets that come back when all images go that no name, pin or lease keeps, not even by another image; what no image uses is among
    /// them.
    pub reclaimable_bytes: u64,
    /// The images, the one with most of its own first.
    pub images: Vec<ImageUsage>,
}

impl Uses {
    /// How many images use each blob.
    pub(super) fn users(&self) -> HashMap<i64, u64> {
        let mut users = HashMap::new();
        for blob in self.edges.values().flatten() {
            *users.entry(*blob).or_insert(0) += 1;
        }
        users
    }

    /// The images that an index lists: it has their documents among its blobs. Nothing, of what is no index.
    pub(crate) fn lists(&self, image: ImageId) -> impl Iterator<Item = ImageId> + '_ {
        let blobs = self.edges.get(&image).filter(|_| self.indexes.contains(&image));
        let blobs = blobs.map_or(&[][..], Vec::as_slice);
        blobs
            .iter()
            .filter_map(|blob| self.documents.get(blob))
            .copied()
            .filter(move |listed| *listed != image)
    }

    /// Octets of blobs that no image uses and nobody publishes.
    pub(crate) fn unused(&self) -> u64 {
        let users = self.users();
        let is_unused = |blob: &i64| !users.contains_key(blob) && !self.announced.contains(blob);
        self.sizes.iter().filter(|(blob, _)| is_unused(blob)).map(|(_, size)| size).sum()
    }

    pub(super) fn size(&self, blob: i64) -> u64 {
        self.sizes.get(&blob).copied().unwrap_or(0)
    }

    /// Octets that are free once these images and what nothing uses are gone. What is being published stays.
    #[must_use]
    pub fn reclaimable(&self, images: &BTreeSet<ImageId>) -> u64 {
        let kept: BTreeSet<i64> = self
            .edges
            .iter()
            .filter(|(image, _)| !images.contains(image))
            .flat_map(|(_, blobs)| blobs.iter().copied())
            .collect();
        let is_free = |blob: &i64| !kept.contains(blob) && !self.announced.contains(blob);
        self.sizes.iter().filter(|(blob, _)| is_free(blob)).map(|(_, size)| size).sum()
    }
}

/// Adds up.
#[must_use]
pub fn usage(images: &[ImageFacts], uses: &Uses) -> Usage {
    let users = uses.users();
    let claims = Claims::new(images, uses);
    let sum = |wanted: &dyn Fn(u64) -> bool| -> u64 {
        let of = |blob: &i64| users.get(blob).copied().unwrap_or(0);
        uses.sizes.iter().filter(|(blob, _)| wanted(of(blob))).map(|(_, size)| size).sum()
    };
    let mut of_images: Vec<ImageUsage> = images
        .iter()
        .map(|image| {
            let blobs = uses.edges.get(&image.id).map_or(&[][..], Vec::as_slice);
            let total: u64 = blobs.iter().map(|blob| uses.size(*blob)).sum();
            let own = blobs.iter().filter(|blob| users.get(*blob) == Some(&1));
            let unique: u64 = own.map(|blob| uses.size(*blob)).sum();
            ImageUsage {
                image: image.id,
                digest: image.digest,
                label: image.label.clone(),
                size_bytes: total,
                shared_bytes: total - unique,
                unique_bytes: unique,
                reclaimable_bytes: claims.gives_back(image.id),
            }
        })
        .collect();
    of_images.sort_by_key(|image| (std::cmp::Reverse(image.unique_bytes), image.image));
    Usage {
        total_bytes: uses.sizes.values().sum(),
        unique_bytes: sum(&|users| users == 1),
        shared_bytes: sum(&|users| users > 1),
        unused_bytes: sum(&|users| users == 0),
        reclaimable_bytes: claims.unclaimed(),
        images: of_images,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_numbers_add_up(
            sizes in proptest::collection::vec(0_u64..1_000, 1..12),
            chosen in proptest::collection::vec(proptest::collection::btree_set(0_usize..12, 0..6), 0..8),
        ) {
            let number = |n: usize| i64::try_from(n).unwrap();
            let known = sizes.iter().enumerate().map(|(n, size)| (number(n), *size)).collect();
            let mut uses = Uses { sizes: known, ..Uses::default() };
            let mut images = Vec::new();
            for (n, blobs) in chosen.iter().enumerate() {
                let id = ImageId(number(n));
                let edges = blobs.iter().filter(|blob| **blob < sizes.len()).map(|blob| number(*blob)).collect();
                uses.edges.insert(id, edges);
                images.push(ImageFacts {
                    id, digest: Digest::of(b""), kind: crate::image::ImageKind::Chain, parent: None, label: None, pinned: false, size_bytes: 0,
                    last_used_at: Timestamp::UNIX_EPOCH, created_at: Timestamp::UNIX_EPOCH, refs: 0, leases: 0, children: 0,
                });
            }
            let usage = usage(&images, &uses);
            prop_assert_eq!(usage.total_bytes, usage.unique_bytes + usage.shared_bytes + usage.unused_bytes);
            prop_assert_eq!(usage.unique_bytes, usage.images.iter().map(|image| image.unique_bytes).sum::<u64>());
            prop_assert!(usage.images.iter().all(|image| image.size_bytes == image.shared_bytes + image.unique_bytes));
            let all: BTreeSet<ImageId> = images.iter().map(|image| image.id).collect();
            prop_assert_eq!(uses.reclaimable(&all), usage.total_bytes);
            prop_assert_eq!(uses.reclaimable(&BTreeSet::new()), usage.unused_bytes);
            prop_assert_eq!(usage.reclaimable_bytes, usage.total_bytes, "nothing is claimed");
            for image in &usage.images {
                prop_assert_eq!(image.reclaimable_bytes, image.unique_bytes, "it keeps no other");
                let alone = BTreeSet::from([image.image]);
                prop_assert_eq!(uses.reclaimable(&alone), usage.unused_bytes + image.unique_bytes);
            }
        }
    }
}
