//! What comes back when an image goes: its own blobs, and those of the images that only it keeps.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::ImageFacts;
use super::usage::Uses;
use crate::ids::ImageId;

/// What keeps images, both ways.
pub(super) struct Claims<'a> {
    uses: &'a Uses,
    images: HashMap<ImageId, &'a ImageFacts>,
    children: HashMap<ImageId, Vec<ImageId>>,
    listers: HashMap<ImageId, Vec<ImageId>>,
    /// How many images use each blob.
    users: HashMap<i64, u64>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(images: &'a [ImageFacts], uses: &'a Uses) -> Self {
        let (mut children, mut listers) =
            (HashMap::<_, Vec<ImageId>>::new(), HashMap::<_, Vec<ImageId>>::new());
        for image in images {
            if let Some(parent) = image.parent {
                children.entry(parent).or_default().push(image.id);
            }
            for listed in uses.lists(image.id) {
                listers.entry(listed).or_default().push(image.id);
            }
        }
        let images = images.iter().map(|image| (image.id, image)).collect();
        Self { uses, images, children, listers, users: uses.users() }
    }

    /// The images that an image keeps: what it was derived from, and what it lists.
    fn keeps(&self, image: ImageId) -> impl Iterator<Item = ImageId> + '_ {
        let parent = self.images.get(&image).and_then(|image| image.parent);
        parent.into_iter().chain(self.uses.lists(image))
    }

    /// Whether something else than these images keeps an image.
    fn is_kept_beside(&self, image: ImageId, gone: &BTreeSet<ImageId>) -> bool {
        let by_others = |keepers: Option<&Vec<ImageId>>| {
            keepers.is_some_and(|all| all.iter().any(|one| !gone.contains(one)))
        };
        self.images.get(&image).is_none_or(|facts| is_claimed(facts))
            || by_others(self.children.get(&image))
            || by_others(self.listers.get(&image))
    }

    /// Octets that are free once an image has gone, and with it what nothing but it kept.
    pub(super) fn gives_back(&self, image: ImageId) -> u64 {
        let mut gone = BTreeSet::from([image]);
        // What was derived from it has the blobs of all that it was derived from, and stays.
        let is_last = !self.children.contains_key(&image);
        let mut looked_at: Vec<ImageId> = if is_last { self.keeps(image).collect() } else { Vec::new() };
        // What is kept by another of them is looked at again when that has gone.
        while let Some(next) = looked_at.pop() {
            if !gone.contains(&next) && !self.is_kept_beside(next, &gone) {
                gone.insert(next);
                looked_at.extend(self.keeps(next));
            }
        }
        let mut users = HashMap::<i64, u64>::new();
        for blob in gone.iter().filter_map(|image| self.uses.edges.get(image)).flatten() {
            *users.entry(*blob).or_default() += 1;
        }
        let is_free = |(blob, count): &(&i64, &u64)| {
            self.users.get(*blob) == Some(*count) && !self.uses.announced.contains(*blob)
        };
        users.iter().filter(is_free).map(|(blob, _)| self.uses.size(*blob)).sum()
    }

    /// Octets that are free once everything has gone that no name, pin or lease keeps, be it by another image.
    pub(super) fn unclaimed(&self) -> u64 {
        let mut kept: HashSet<ImageId> = HashSet::new();
        let mut looked_at: Vec<ImageId> =
            self.images.values().filter(|image| is_claimed(image)).map(|image| image.id).collect();
        while let Some(next) = looked_at.pop() {
            if kept.insert(next) {
                looked_at.extend(self.keeps(next));
            }
        }
        let unclaimed = self.images.keys().filter(|image| !kept.contains(image)).copied().collect();
        self.uses.reclaimable(&unclaimed)
    }
}

const fn is_claimed(image: &ImageFacts) -> bool {
    image.refs > 0 || image.leases > 0 || image.pinned
}

#[cfg(test)]
mod tests {
    use mainstay_core::Timestamp;

    use super::*;
    use crate::digest::Digest;
    use crate::image::ImageKind;

    fn image(id: i64, parent: Option<i64>, refs: u64) -> ImageFacts {
        ImageFacts {
            id: ImageId(id),
            digest: Digest::of(&id.to_le_bytes()),
            kind: ImageKind::Chain,
            parent: parent.map(ImageId),
            label: None,
            pinned: false,
            size_bytes: 0,
            last_used_at: Timestamp::UNIX_EPOCH,
            created_at: Timestamp::UNIX_EPOCH,
            refs,
            leases: 0,
            children: 0,
        }
    }

    /// Index 1 lists 2 and 3, whose documents are blobs 20 and 30 of one octet; both use layer 7 of a hundred, each a layer of ten.
    fn listed() -> Uses {
        Uses {
            edges: [(1, vec![10, 20, 30, 7, 8, 9]), (2, vec![20, 7, 8]), (3, vec![30, 7, 9])]
                .map(|(image, blobs)| (ImageId(image), blobs))
                .into(),
            sizes: [(10, 1), (20, 1), (30, 1), (7, 100), (8, 10), (9, 10)].into(),
            documents: [(20, ImageId(2)), (30, ImageId(3))].into(),
            indexes: [ImageId(1)].into(),
            announced: HashSet::new(),
        }
    }

    #[test]
    fn an_index_gives_back_what_it_lists() {
        let (images, uses) = ([image(1, None, 1), image(2, None, 0), image(3, None, 0)], listed());
        let claims = Claims::new(&images, &uses);
        assert_eq!(claims.gives_back(ImageId(1)), 123);
        assert_eq!(claims.gives_back(ImageId(2)), 0, "the index has its blobs too");
        assert_eq!(claims.unclaimed(), 0);
        // A name keeps one of them.
        let images = [image(1, None, 1), image(2, None, 1), image(3, None, 0)];
        assert_eq!(Claims::new(&images, &uses).gives_back(ImageId(1)), 12);
        // Something was derived from one of them.
        let images = [image(1, None, 1), image(2, None, 0), image(3, None, 0), image(4, Some(2), 1)];
        assert_eq!(Claims::new(&images, &uses).gives_back(ImageId(1)), 12);
        // Nothing keeps the index.
        let images = [image(1, None, 0), image(2, None, 0), image(3, None, 0)];
        assert_eq!(Claims::new(&images, &uses).unclaimed(), 123);
    }

    #[test]
    fn the_last_of_a_line_gives_back_the_line() {
        let uses = Uses {
            edges: [(1, vec![1]), (2, vec![1, 2]), (3, vec![1, 2, 3])]
                .map(|(image, blobs)| (ImageId(image), blobs))
                .into(),
            sizes: [(1, 100), (2, 10), (3, 1)].into(),
            ..Uses::default()
        };
        let images = [image(1, None, 0), image(2, Some(1), 0), image(3, Some(2), 1)];
        let claims = Claims::new(&images, &uses);
        assert_eq!(claims.gives_back(ImageId(3)), 111);
        assert_eq!(claims.gives_back(ImageId(2)), 0, "what was derived from it has its blobs");
        // Somebody is publishing what uses a blob of it again.
        let beside = Uses { announced: [1].into(), ..uses.clone() };
        assert_eq!(Claims::new(&images, &beside).gives_back(ImageId(3)), 11);
        let images = [image(1, None, 1), image(2, Some(1), 0), image(3, Some(2), 1)];
        let claims = Claims::new(&images, &uses);
        assert_eq!(claims.gives_back(ImageId(3)), 11);
        assert_eq!(claims.gives_back(ImageId(1)), 0, "what was derived from it has its blob too");
    }
}
