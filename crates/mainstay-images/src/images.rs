//! The store: a database and a directory that belong together.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::SystemClock;
use mainstay_repo::{Priority, Repo, Row};

use crate::blob::Blob;
use crate::cache::Chains;
use crate::digest::Digest;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::files::{Files, Space};
use crate::ids::ImageId;
use crate::image::{Attachment, Chain, Image, ImageRef, Reference};
use crate::options::ImagesOptions;
use crate::publish::{Names, RoomLeft};
use crate::resolve::Resolving;
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

mainstay_core::typed_id! {
    /// Names one store; it stands in the database and in the directory's marker.
    pub struct StoreId("imgs");
}

/// The most rows of one page of a listing.
pub const MAX_PAGE: u32 = 1_000;

/// An image store. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct Images {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repo: Repo,
    /// For what nobody waits for.
    pub(crate) slow: Repo,
    pub(crate) disk: Disk,
    pub(crate) options: ImagesOptions,
    pub(crate) chains: Chains,
    pub(crate) resolving: Resolving,
    pub(crate) names: Arc<Names>,
    pub(crate) room: RoomLeft,
    id: String,
}

/// The longest that one statement of a collection may hold PostgreSQL.
const CAP: Duration = Duration::from_secs(5);

impl Images {
    /// Opens the store of a database, whose tables [`COMPONENT`](crate::COMPONENT) made, and of a directory. A new store
    /// makes its directory's contents; the directory itself must be there. Its files' names are listed once: when the database
    /// is older than they are, it was restored, and this does what [`Images::after_restore`] does.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for options out of their limits;
    /// [`ErrorKind::Medium`](crate::ErrorKind::Medium) when the directory belongs to another store, or has no marker
    /// although the database has blobs: it is not mounted.
    pub async fn open(repo: Repo, files: Arc<dyn Files>, options: ImagesOptions) -> Result<Self> {
        options.check()?;
        let repo = repo.for_component("images");
        let nonce = StoreId::generate(&SystemClock).to_string();
        let row = match made_before(&repo).await? {
            Some(row) => row,
            None => make(&repo, &nonce).await?,
        };
        let id: String = row.get("uuid")?;
        let disk = Disk::new(files, &id);
        if !row.get::<bool>("prepared")? {
            disk.prepare(nonce).await?;
            repo.write(store::meta::prepared()).await?;
        }
        let images = Self::unproved(repo, disk, options, id);
        // This proves the directory, too.
        images.notice_restore().await?;
        Ok(images)
    }

    /// The store without the proof that the directory is there: good for the database's side alone.
    pub(crate) fn unproved(repo: Repo, disk: Disk, options: ImagesOptions, id: String) -> Self {
        let slow = repo.clone().with_priority(Priority::Low { cap: CAP });
        let shared = Shared {
            repo,
            slow,
            disk,
            options,
            chains: Chains::default(),
            resolving: Resolving::default(),
            names: Names::of(&id),
            room: RoomLeft::default(),
            id,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Proves that the directory is mounted and is this store's, and nothing else; for probes.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`](crate::ErrorKind::Medium).
    pub async fn probe(&self) -> Result<()> {
        self.shared.disk.prove().await
    }

    /// The store's id, which is also in the directory's marker.
    #[must_use]
    pub fn store_id(&self) -> &str {
        &self.shared.id
    }

    /// The options that it was opened with.
    #[must_use]
    pub fn options(&self) -> &ImagesOptions {
        &self.shared.options
    }

    /// How much room the directory's file system has.
    ///
    /// # Errors
    /// [`ErrorKind::Medium`](crate::ErrorKind::Medium).
    pub async fn space(&self) -> Result<Space> {
        self.shared
            .disk
            .run(|files| files.space().map_err(|error| Error::medium("cannot measure", ".", error)))
            .await
    }

    /// One image.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn image(&self, image: &ImageRef) -> Result<Image> {
        self.find_image(image).await?.ok_or_else(|| no_image(image))
    }

    /// One image, if there is one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn find_image(&self, image: &ImageRef) -> Result<Option<Image>> {
        let statement = match image {
            ImageRef::Id(id) => store::images::by_id(id.get()),
            ImageRef::Digest(digest) => store::images::by_digest(digest),
            ImageRef::Name(name) => store::images::by_name(name),
        };
        self.repo().read(statement).await?.first().map(store::images::read).transpose()
    }

    /// A page of images in the order of their numbers, behind one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn images(&self, after: Option<ImageId>, limit: u32) -> Result<Vec<Image>> {
        let statement = store::images::list(after.map_or(0, ImageId::get), limit.min(MAX_PAGE));
        rows(self.repo().read(statement).await?, store::images::read)
    }

    /// The images that were derived from one, at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// Of the database.
    pub async fn children(&self, image: ImageId) -> Result<Vec<Image>> {
        rows(self.repo().read(store::images::children(image.get(), MAX_PAGE)).await?, store::images::read)
    }

    /// The images that list one among their members, as an index for several platforms does; at most [`MAX_PAGE`].
    ///
    /// # Errors
    /// Of the database.
    pub async fn listing(&self, image: ImageId) -> Result<Vec<Image>> {
        rows(self.repo().read(store::images::listing(image.get(), MAX_PAGE)).await?, store::images::read)
    }

    /// The images that one was derived from, the nearest first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn parents(&self, image: ImageId) -> Result<Vec<Image>> {
        let mut parents = Vec::new();
        let mut next = self.image(&image.into()).await?.parent;
        // Each parent's chain is shorter, so there is an end.
        while let Some(parent) = next {
            let found = self.image(&parent.into()).await?;
            next = found.parent;
            parents.push(found);
        }
        Ok(parents)
    }

    /// What belongs to an image without being a layer.
    ///
    /// # Errors
    /// Of the database.
    pub async fn attachments(&self, image: ImageId) -> Result<Vec<Attachment>> {
        rows(self.repo().read(store::images::attached(image.get())).await?, store::images::read_attachment)
    }

    /// The layers of an image, the base first. A chain never changes, so it is remembered; whether its files can be had is
    /// what [`Node::acquire`](crate::Node::acquire) tells. Many that ask at once for what is not remembered share statements.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn resolve_chain(&self, image: ImageId) -> Result<Arc<Chain>> {
        if let Some(chain) = self.shared.chains.get(image) {
            return Ok(chain);
        }
        self.read_chain(image).await
    }

    /// The layers of several images at once, in the order of the numbers; unknown numbers are left out.
    ///
    /// # Errors
    /// Of the database.
    pub async fn resolve_chains(&self, images: &[ImageId]) -> Result<Vec<(ImageId, Arc<Chain>)>> {
        let mut found = Vec::with_capacity(images.len());
        let mut missing = Vec::new();
        for image in images {
            match self.shared.chains.get(*image) {
                Some(chain) => found.push((*image, chain)),
                None => missing.push(image.get()),
            }
        }
        if !missing.is_empty() {
            for row in self.repo().read(store::images::chains(&missing)).await? {
                let image = ImageId(row.get("id")?);
                let chain = Arc::new(store::images::read_chain(&row)?);
                self.shared.chains.put(image, Arc::clone(&chain));
                found.push((image, chain));
            }
        }
        found.sort_unstable_by_key(|(image, _)| *image);
        found.dedup_by_key(|(image, _)| *image);
        Ok(found)
    }

    /// The sizes of an image's layers in octets, the base first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn chain_sizes(&self, image: ImageId) -> Result<Vec<u64>> {
        let chain = self.resolve_chain(image).await?;
        Ok(chain.layers().iter().map(|layer| layer.size_bytes).collect())
    }

    /// A blob's row.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn blob(&self, digest: &Digest) -> Result<Blob> {
        let found = self.repo().read(store::blobs::find(digest)).await?;
        found.first().map(store::blobs::read).transpose()?.ok_or_else(|| no_blob(digest))
    }

    /// A name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn reference(&self, name: &str) -> Result<Reference> {
        let found = self.repo().read(store::refs::find(name)).await?;
        found.first().map(store::refs::read).transpose()?.ok_or_else(|| no_name(name))
    }

    /// A page of names in order, behind one.
    ///
    /// # Errors
    /// Of the database.
    pub async fn references(&self, after: &str, limit: u32) -> Result<Vec<Reference>> {
        rows(self.repo().read(store::refs::list(after, limit.min(MAX_PAGE))).await?, store::refs::read)
    }

    /// The names of an image.
    ///
    /// # Errors
    /// Of the database.
    pub async fn references_of(&self, image: ImageId) -> Result<Vec<Reference>> {
        rows(self.repo().read(store::refs::of_image(image.get())).await?, store::refs::read)
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.shared.repo
    }

    pub(crate) async fn before(&self, step: Step) -> Result<()> {
        tracing::trace!(%step, "images");
        self.shared.options.steps.before(step).await
    }
}

/// The row of a store that was opened before: whoever only looks writes nothing.
async fn made_before(repo: &Repo) -> Result<Option<Row>> {
    Ok(repo.read(store::meta::made()).await?.into_iter().next())
}

/// Makes the rows that every store has, or returns the store's if another was faster.
async fn make(repo: &Repo, nonce: &str) -> Result<Row> {
    let mut batch = Guarded::new("images.open");
    let row = batch.push(store::meta::create(nonce));
    batch.push(store::collector::create());
    batch.push(store::scrub::create());
    let outcome = batch.run(repo).await?;
    let row = outcome.get(row).and_then(|written| written.rows().first()).cloned();
    row.ok_or_else(|| Error::internal("the store's row was neither made nor found"))
}

/// Rows as this crate's types.
pub(crate) fn rows<T>(found: Vec<Row>, read: impl Fn(&Row) -> Result<T>) -> Result<Vec<T>> {
    found.into_iter().map(|row| read(&row)).collect()
}

pub(crate) fn no_image(image: &ImageRef) -> Error {
    Error::not_found(format!("there is no image {image}"))
}

pub(crate) fn no_blob(digest: &Digest) -> Error {
    Error::not_found(format!("there is no blob sha256:{digest}"))
}

pub(crate) fn no_name(name: &str) -> Error {
    Error::not_found(format!("there is no name {name:?}"))
}
