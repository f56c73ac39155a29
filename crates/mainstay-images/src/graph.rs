//! Changes of the graph: names, pins, labels, derived images, removal.

use std::time::Duration;

use mainstay_repo::{Expect, Statement};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ImageId;
use crate::image::{Chain, Image, ImageRef, Layer, Reference, check_name, check_text};
use crate::images::{Images, no_image, no_name};
use crate::lease::LeaseGuard;
use crate::publish::{CommitSet, Committed, Ingest, NewImage, RefExpect, RefUpdate};
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

impl Images {
    /// Points a name at an image, whatever it pointed at before.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no name; [`ErrorKind::NotFound`].
    pub async fn tag(&self, image: &ImageRef, name: &str) -> Result<Reference> {
        self.point(image, name, RefExpect::Any).await
    }

    /// Begins a new name at an image, and remembers which. Commits to it move it on, and leave the other's names alone.
    ///
    /// # Errors
    /// As [`Images::tag`]; [`ErrorKind::Conflict`] when the name is taken.
    pub async fn fork(&self, image: &ImageRef, name: &str) -> Result<Reference> {
        self.point(image, name, RefExpect::Absent).await
    }

    /// Points a name at an image, if it is as expected.
    ///
    /// # Errors
    /// As [`Images::tag`]; [`ErrorKind::Conflict`] when it is not as expected.
    pub async fn point(&self, image: &ImageRef, name: &str, expect: RefExpect) -> Result<Reference> {
        check_name(name)?;
        let (wanted, image) = (image, self.image(image).await?);
        let statement = match expect {
            RefExpect::Any => store::refs::point(name, &image.digest),
            RefExpect::Absent => store::refs::fork(name, &image.digest),
            RefExpect::Version(version) => store::refs::advance(name, &image.digest, version),
        };
        let written = self.repo().write(statement).await?;
        let row = written.rows().first().ok_or_else(|| match expect {
            RefExpect::Any => no_image(wanted),
            _ => Error::new(
                ErrorKind::Conflict,
                format!("the name {name:?} is not as expected, or the image was removed"),
            )
            .with_help("read both again"),
        })?;
        store::refs::read(row)
    }

    /// Removes a name. The image stays until it is removed or the policy lets it go.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn untag(&self, name: &str) -> Result<Reference> {
        let written = self.repo().write(store::refs::untag(name)).await?;
        store::refs::read(written.rows().first().ok_or_else(|| no_name(name))?)
    }

    /// Keeps an image from being evicted or removed, or no more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn pin(&self, image: &ImageRef, pinned: bool) -> Result<Image> {
        let found = self.image(image).await?;
        self.change(image, store::images::pin(found.id.get(), pinned)).await
    }

    /// Says what a person calls an image.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`].
    pub async fn label(&self, image: &ImageRef, label: Option<&str>) -> Result<Image> {
        label.map_or(Ok(()), |label| check_text("label", label))?;
        let found = self.image(image).await?;
        self.change(image, store::images::label(found.id.get(), label)).await
    }

    async fn change(&self, image: &ImageRef, statement: Statement) -> Result<Image> {
        let written = self.repo().write(statement).await?;
        store::images::read(written.rows().first().ok_or_else(|| no_image(image))?)
    }

    /// Deletes an image that nothing claims. Its blobs wait for a collection.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] with what claims it: a name, a lease, a pin a child, or an index that lists it.
    pub async fn remove(&self, image: &ImageRef) -> Result<Image> {
        let found = self.image(image).await?;
        self.before(Step::ImageRemove).await?;
        self.remove_unclaimed(found.id, None, self.options().grace, |_| ()).await
    }

    /// Deletes an image, if nothing claims it in the same transaction, and it was not used since `unused_since`. What `also` adds
    /// comes before the look at what claims it, and is not done either when the image stays. Its blobs are looked at after `grace`.
    pub(crate) async fn remove_unclaimed(
        &self,
        image: ImageId,
        unused_since: Option<i64>,
        grace: Duration,
        also: impl FnOnce(&mut Guarded),
    ) -> Result<Image> {
        let id = image.get();
        let mut batch = Guarded::new("images.image_remove");
        let place = batch.require(Expect::ONE, store::images::lock(id), move || no_image(&image.into()));
        also(&mut batch);
        let guards: [(Statement, &str, &str); 5] = [
            (store::images::is_pinned(id), "it is pinned", "unpin it"),
            (store::images::has_ref(id), "a name points at it", "remove its names"),
            (
                store::images::has_lease(id),
                "it is leased",
                "wait until it is released, or its holder runs out",
            ),
            (store::images::has_child(id), "an image was derived from it", "remove that one before"),
            (
                store::images::is_listed(id),
                "an index lists it",
                "remove the index before; an explanation of the image names it",
            ),
        ];
        for (guard, why, help) in guards {
            batch.require(Expect::NONE, guard, move || {
                Error::new(ErrorKind::InUse, format!("image {id} is not removed: {why}")).with_help(help)
            });
        }
        if let Some(at) = unused_since {
            batch.require(Expect::ONE, store::images::unused_since(id, at), move || {
                Error::new(ErrorKind::InUse, format!("image {id} is not let go: it was used in the meantime"))
            });
        }
        batch.push(store::queue::put_image(id, grace));
        for statement in store::images::remove(id) {
            batch.push(statement);
        }
        let outcome = batch.run(self.repo()).await?;
        self.shared.chains.forget(image);
        let row = outcome.get(place).and_then(|written| written.rows().first());
        store::images::read(row.ok_or_else(|| Error::internal("a removed image was not returned"))?)
    }
}

/// An image that is to be derived from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derive {
    /// What it is derived from.
    pub parent: ImageId,
    /// The layer on top, which the ingest has at hand.
    pub delta: Digest,
    /// What a person calls it.
    pub label: Option<String>,
    /// A name to move to it, with the version at which it was read.
    pub name: Option<(String, RefExpect)>,
    /// A lease that must be held.
    pub guard: Option<LeaseGuard>,
}

impl Ingest {
    /// Makes an image of another's layers and one more. The same layer over the same parent is the same image.
    ///
    /// # Errors
    /// As [`Ingest::commit`].
    pub async fn derive(&self, derive: Derive) -> Result<Committed> {
        let parent = self.images().resolve_chain(derive.parent).await?;
        let mut layers: Vec<Digest> = parent.layers().iter().map(|layer| layer.digest).collect();
        layers.push(derive.delta);
        let mut image = NewImage::chain(layers);
        image.parent = Some(derive.parent);
        image.label = derive.label;
        let refs = match derive.name {
            None => Vec::new(),
            Some((name, expect)) => {
                let layers =
                    image.layers.iter().map(|digest| Layer { digest: *digest, size_bytes: 0 }).collect();
                let digest =
                    Chain::new(layers)?.id().ok_or_else(|| Error::internal("a derived chain is empty"))?;
                vec![RefUpdate { name, image: digest, expect }]
            }
        };
        self.commit(CommitSet { images: vec![image], refs, guard: derive.guard }).await
    }
}
