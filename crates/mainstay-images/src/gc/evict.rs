//! Which images the policy lets go. Facts in, a plan out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use mainstay_core::Timestamp;
use serde::Serialize;

use super::{ImageFacts, Uses};
use crate::digest::Digest;
use crate::ids::ImageId;
use crate::options::Policy;

/// Why an image is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Nothing claims it, and it was not used for as long as the policy says.
    Age,
    /// Room is needed, and no image that nothing claims was used longer ago.
    Room,
}

/// An image that is let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Eviction {
    /// The image.
    pub image: ImageId,
    /// Its name.
    pub digest: Digest,
    /// What a person called it.
    pub label: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Octets that no other image uses, once those before it in the plan are gone.
    pub frees_bytes: u64,
    /// When it was last used, as the plan saw it. One that was used since stays.
    pub last_used_at: Timestamp,
}

/// How much room there is and should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Octets of all blobs.
    pub used_bytes: u64,
    /// Octets that the file system has free.
    pub free_bytes: u64,
    /// Octets that somebody wants to bring.
    pub wanted_bytes: u64,
}

impl Room {
    /// As it is once so many octets of blobs are gone, and so many of files that no blob has.
    #[must_use]
    pub const fn without(self, blob_bytes: u64, file_bytes: u64) -> Self {
        let used_bytes = self.used_bytes.saturating_sub(blob_bytes);
        let free_bytes = self.free_bytes.saturating_add(blob_bytes).saturating_add(file_bytes);
        Self { used_bytes, free_bytes, ..self }
    }

    /// Whether the file system wants room, and not the quota alone.
    #[must_use]
    pub const fn is_short(&self, policy: &Policy) -> bool {
        policy.min_free_bytes.saturating_add(self.wanted_bytes) > self.free_bytes
    }

    /// So many octets must go.
    #[must_use]
    pub fn needed(&self, policy: &Policy) -> u64 {
        let quota = policy
            .max_bytes
            .map_or(0, |most| (self.used_bytes.saturating_add(self.wanted_bytes)).saturating_sub(most));
        let floor = policy.min_free_bytes.saturating_add(self.wanted_bytes).saturating_sub(self.free_bytes);
        let over = quota.max(floor);
        if over == 0 { 0 } else { over.saturating_add(policy.headroom_bytes) }
    }
}

/// Chooses images that nothing claims: first all that are too old, then the least recently used until there is room. An image
/// goes only after all that were derived from it and all that list it. What no image uses makes room before any image goes.
#[must_use]
pub fn plan(
    images: &[ImageFacts],
    uses: &Uses,
    policy: &Policy,
    room: &Room,
    now: Timestamp,
) -> Vec<Eviction> {
    let mut left = Left::new(images, uses);
    let mut plan = Vec::new();
    if let Some(keep) = policy.keep_unclaimed {
        let last = now.saturating_sub(keep);
        left.take(&mut plan, Reason::Age, |image, _| image.last_used_at < last);
    }
    let freed: u64 = plan.iter().map(|eviction: &Eviction| eviction.frees_bytes).sum();
    let needed = room.without(uses.unused(), 0).needed(policy).saturating_sub(freed);
    left.take(&mut plan, Reason::Room, |_, freed| freed < needed);
    plan
}

/// What is not let go yet.
struct Left<'a> {
    images: HashMap<ImageId, (&'a ImageFacts, u64)>,
    uses: &'a Uses,
    users: HashMap<i64, u64>,
    /// How many of those that are left list an image.
    listed: HashMap<ImageId, u64>,
}

impl<'a> Left<'a> {
    fn new(images: &'a [ImageFacts], uses: &'a Uses) -> Self {
        let mut users = HashMap::new();
        for blob in uses.edges.values().flatten() {
            *users.entry(*blob).or_insert(0) += 1;
        }
        let mut listed = HashMap::new();
        for image in images.iter().flat_map(|image| uses.lists(image.id)) {
            *listed.entry(image).or_insert(0) += 1;
        }
        let images = images.iter().map(|image| (image.id, (image, image.children))).collect();
        Self { images, uses, users, listed }
    }

    fn free(&self, image: ImageId) -> Option<&'a ImageFacts> {
        let (facts, children) = self.images.get(&image)?;
        let is_listed = self.listed.get(&image).is_some_and(|listing| *listing > 0);
        let claimed = facts.pinned || facts.refs > 0 || facts.leases > 0 || *children > 0 || is_listed;
        (!claimed).then_some(*facts)
    }

    /// Takes images, the least recently used first, while `more` says so of the next one and of what was freed.
    fn take(&mut self, plan: &mut Vec<Eviction>, reason: Reason, more: impl Fn(&ImageFacts, u64) -> bool) {
        let key = |facts: &ImageFacts| Reverse((facts.last_used_at, facts.id));
        let mut queue: BinaryHeap<_> =
            self.images.keys().filter_map(|image| self.free(*image)).map(key).collect();
        let mut freed = 0_u64;
        while let Some(Reverse((_, image))) = queue.pop() {
            let Some(facts) = self.free(image) else { continue };
            if !more(facts, freed) {
                return;
            }
            let frees_bytes = self.remove(facts);
            freed = freed.saturating_add(frees_bytes);
            plan.push(Eviction {
                image,
                digest: facts.digest,
                label: facts.label.clone(),
                reason,
                frees_bytes,
                last_used_at: facts.last_used_at,
            });
            let below = facts.parent.into_iter().chain(self.uses.lists(image));
            queue.extend(below.filter_map(|below| self.free(below)).map(key));
        }
    }

    fn remove(&mut self, facts: &ImageFacts) -> u64 {
        self.images.remove(&facts.id);
        if let Some(parent) = facts.parent.and_then(|parent| self.images.get_mut(&parent)) {
            parent.1 = parent.1.saturating_sub(1);
        }
        for listed in self.uses.lists(facts.id) {
            let listing = self.listed.entry(listed).or_insert(0);
            *listing = listing.saturating_sub(1);
        }
        let mut freed = 0_u64;
        for blob in self.uses.edges.get(&facts.id).into_iter().flatten() {
            let users = self.users.entry(*blob).or_insert(0);
            *users = users.saturating_sub(1);
            if *users == 0 {
                freed = freed.saturating_add(self.uses.sizes.get(blob).copied().unwrap_or(0));
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageKind;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Where an image stands: numbers begin at one.
    fn place(image: ImageId) -> usize {
        usize::try_from(image.0 - 1).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(second).unwrap()
    }

    /// A forest of images: each may have an earlier one as its parent, whose blobs it shares.
    fn forest() -> impl Strategy<Value = (Vec<ImageFacts>, Uses)> {
        proptest::collection::vec((any::<u8>(), 0_i64..50, 0_u8..8, 1_u64..20), 1..14).prop_map(|seeds| {
            let number = |n: usize| i64::try_from(n).unwrap();
            let mut images: Vec<ImageFacts> = Vec::new();
            let mut uses = Uses::default();
            for (n, (parent, used, claim, size)) in seeds.into_iter().enumerate() {
                let id = ImageId(number(n) + 1);
                let parent = (parent % 3 != 0 && n > 0).then(|| ImageId(i64::from(parent) % number(n) + 1));
                let mut edges = parent.map_or_else(Vec::new, |parent| uses.edges[&parent].clone());
                edges.push(id.0);
                uses.edges.insert(id, edges);
                uses.sizes.insert(id.0, size);
                if let Some(parent) = parent {
                    images[place(parent)].children += 1;
                }
                images.push(ImageFacts {
                    id,
                    digest: Digest::of(&id.0.to_be_bytes()),
                    kind: ImageKind::Chain,
                    parent,
                    label: None,
                    pinned: claim == 0,
                    size_bytes: size,
                    last_used_at: at(used),
                    created_at: at(0),
                    refs: u64::from(claim == 1),
                    leases: u64::from(claim == 2),
                    children: 0,
                });
            }
            (images, uses)
        })
    }

    proptest! {
        #[test]
        fn nothing_claimed_goes_children_go_first_and_the_room_is_made_or_nothing_is_left(
            (images, uses) in forest(), wanted in 0_u64..100, keep in proptest::option::of(0_u64..50),
        ) {
            let total: u64 = uses.sizes.values().sum();
            let policy = Policy {
                max_bytes: Some(total),
                min_free_bytes: 0,
                keep_unclaimed: keep.map(Duration::from_secs),
                ..Policy::DEFAULT
            };
            let room = Room { used_bytes: total, free_bytes: u64::MAX, wanted_bytes: wanted };
            let plan = plan(&images, &uses, &policy, &room, at(50));
            let mut gone: Vec<ImageId> = Vec::new();
            for eviction in &plan {
                let facts = &images[place(eviction.image)];
                prop_assert!(!facts.pinned && facts.refs == 0 && facts.leases == 0);
                let children = images.iter().filter(|image| image.parent == Some(facts.id));
                prop_assert!(children.clone().all(|child| gone.contains(&child.id)));
                if eviction.reason == Reason::Age {
                    prop_assert!(facts.last_used_at < at(50).saturating_sub(Duration::from_secs(keep.unwrap())));
                }
                gone.push(facts.id);
            }
            // What the plan says it frees is what is free then.
            let freed: u64 = plan.iter().map(|eviction| eviction.frees_bytes).sum();
            let kept: std::collections::BTreeSet<i64> =
                uses.edges.iter().filter(|(image, _)| !gone.contains(image)).flat_map(|(_, blobs)| blobs.clone()).collect();
            let left: u64 = kept.iter().map(|blob| uses.sizes[blob]).sum();
            prop_assert_eq!(freed, total - left);
            let free = |image: &&ImageFacts| {
                let child = images.iter().any(|other| other.parent == Some(image.id) && !gone.contains(&other.id));
                !image.pinned && image.refs == 0 && image.leases == 0 && !child && !gone.contains(&image.id)
            };
            if freed < wanted {
                prop_assert_eq!(images.iter().filter(free).count(), 0);
            }
            // Not more than needed: without the last that made room there would not be enough.
            if let Some(last) = plan.last().filter(|eviction| eviction.reason == Reason::Room) {
                prop_assert!(freed - last.frees_bytes < wanted);
            }
            // Of two that could go, the one that was used later stays.
            if let Some(first) = plan.iter().find(|eviction| eviction.reason == Reason::Room) {
                let earlier: Vec<_> = plan.iter().take_while(|eviction| eviction.reason == Reason::Age).map(|e| e.image).collect();
                for image in images.iter().filter(|image| {
                    let child = images.iter().any(|o| o.parent == Some(image.id) && !earlier.contains(&o.id));
                    !image.pinned && image.refs == 0 && image.leases == 0 && !child && !earlier.contains(&image.id)
                }) {
                    prop_assert!(first.last_used_at <= image.last_used_at);
                }
            }
        }
    }

    fn image(id: i64, blobs: &[i64], used: i64, uses: &mut Uses) -> ImageFacts {
        uses.edges.insert(ImageId(id), blobs.to_vec());
        uses.sizes.extend(blobs.iter().map(|blob| (*blob, 10)));
        ImageFacts {
            id: ImageId(id),
            digest: Digest::of(&id.to_be_bytes()),
            kind: ImageKind::Chain,
            parent: None,
            label: None,
            pinned: false,
            size_bytes: 10,
            last_used_at: at(used),
            created_at: at(0),
            refs: 0,
            leases: 0,
            children: 0,
        }
    }

    fn chosen(images: &[ImageFacts], uses: &Uses, wanted: u64) -> Vec<i64> {
        let policy =
            Policy { max_bytes: Some(100), min_free_bytes: 0, keep_unclaimed: None, ..Policy::DEFAULT };
        let room = Room { used_bytes: 100, free_bytes: u64::MAX, wanted_bytes: wanted };
        plan(images, uses, &policy, &room, at(50)).iter().map(|eviction| eviction.image.0).collect()
    }

    #[test]
    fn what_nothing_uses_makes_room_before_any_image_goes() {
        let mut uses = Uses::default();
        let images = [image(1, &[1], 1, &mut uses), image(2, &[2], 2, &mut uses)];
        uses.sizes.insert(3, 30);
        assert!(chosen(&images, &uses, 30).is_empty());
        assert_eq!(chosen(&images, &uses, 31), [1]);
        // Unless somebody publishes it.
        uses.announced.insert(3);
        assert_eq!(chosen(&images, &uses, 10), [1]);
    }

    #[test]
    fn an_image_goes_after_those_that_list_it_and_not_for_nothing() {
        let mut uses = Uses::default();
        // An index of two, whose manifests are the blobs 1 and 2; the members were used before it, and another image after it.
        let mut images = vec![
            image(1, &[1, 11], 1, &mut uses),
            image(2, &[2, 12], 2, &mut uses),
            image(3, &[3, 1, 2], 3, &mut uses),
            image(4, &[4], 4, &mut uses),
        ];
        uses.documents.extend([(1, ImageId(1)), (2, ImageId(2)), (3, ImageId(3)), (4, ImageId(4))]);
        // What is no index lists nothing, whatever blobs it shares.
        assert_eq!(chosen(&images, &uses, 10), [1]);
        uses.indexes.insert(ImageId(3));
        assert_eq!(chosen(&images, &uses, 10), [3]);
        assert_eq!(chosen(&images, &uses, 30), [3, 1]);
        assert_eq!(chosen(&images, &uses, 50), [3, 1, 2]);
        // A name keeps the index and what it lists.
        if let Some(index) = images.get_mut(2) {
            index.refs = 1;
        }
        assert_eq!(chosen(&images, &uses, 50), [4]);
    }

    #[test]
    fn room_is_what_the_stricter_limit_asks_for() {
        let policy =
            Policy { max_bytes: Some(100), min_free_bytes: 10, headroom_bytes: 5, ..Policy::DEFAULT };
        let needed = |used, free, wanted| {
            Room { used_bytes: used, free_bytes: free, wanted_bytes: wanted }.needed(&policy)
        };
        assert_eq!(needed(100, 10, 0), 0);
        assert_eq!(needed(101, 10, 0), 1 + 5);
        assert_eq!(needed(50, 9, 0), 1 + 5);
        assert_eq!(needed(90, 15, 20), 15 + 5);
    }
}
