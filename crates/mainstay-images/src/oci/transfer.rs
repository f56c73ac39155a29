//! What a user does with OCI images: import, export, pull, push.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;

use super::content::{Source, Target};
use super::copy::Copy;
use super::document::Descriptor;
use super::error::{Error, ErrorKind, Result};
use super::graph::{self, Plan};
use super::layout::{Container, Layout, LayoutWriter};
use super::limits::Limits;
use super::media;
use super::progress::{Event, Progress, Silent};
use super::reference::{Reference, is_repository};
use super::refusal::shown;
use super::registry::{Access, PushTarget, Registry, RegistryOptions};
use super::select::{Select, select as selected};
use super::store::{StoreSource, StoreTarget};
use crate::lease::Lent;
use crate::{Digest, Image, ImageRef, Node};

/// Leases of this process for images on their way out, told apart.
static LEASES: AtomicU64 = AtomicU64::new(0);

/// OCI images in and out of a store, in the name of a node that holds the claims meanwhile.
///
/// ```no_run
/// # async fn example(node: mainstay_images::Node) -> Result<(), mainstay_images::oci::error::Error> {
/// use mainstay_images::oci::{Container, Import, Oci};
///
/// let oci = Oci::new(node);
/// let images = oci.import("layout.tar", &Import::only().named("team/app:1")).await?;
/// oci.export(&images[0].digest.into(), "copy", Container::Directory).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Oci {
    node: Node,
    limits: Limits,
    progress: Arc<dyn Progress>,
}

impl std::fmt::Debug for Oci {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oci").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Which images of a layout are imported, and what they are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    which: Which,
    select: Select,
    name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Which {
    #[default]
    Only,
    Tagged(String),
    All,
}

impl Import {
    /// The only image of the layout.
    #[must_use]
    pub fn only() -> Self {
        Self::default()
    }

    /// The image that the layout names so.
    #[must_use]
    pub fn tagged(tag: &str) -> Self {
        Self { which: Which::Tagged(tag.to_owned()), ..Self::default() }
    }

    /// All images, and the layout's list of them, so that an export of the list gives the layout back octet for octet.
    #[must_use]
    pub fn all() -> Self {
        Self { which: Which::All, ..Self::default() }
    }

    /// Of an image for several platforms, only that for one; an image for another platform is not taken.
    #[must_use]
    pub fn platform(mut self, select: Select) -> Self {
        self.select = select;
        self
    }

    /// What the store calls it. Of [all](Self::all) this is the list's name, and each image that has a tag in the layout is
    /// called `name:tag`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

/// The list of a layout that is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: [Descriptor; 1],
}

impl Oci {
    /// With the limits that hold unless others are set, and nobody who listens.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self { node, limits: Limits::default(), progress: Arc::new(Silent) }
    }

    /// Sets the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets who listens.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// The limits that hold.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// Brings images of a layout into the store: all of what was asked for, or nothing. The first image that is returned is the
    /// one that was asked for; an index is followed by what it names.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with the exact reason; [`ErrorKind::NotFound`]; [`ErrorKind::OtherPlatform`]; [`ErrorKind::Store`].
    pub async fn import(&self, layout: impl AsRef<Path>, import: &Import) -> Result<Vec<Image>> {
        self.import_layout(Layout::open(layout).await?, import).await
    }

    /// As [`Oci::import`], of an archive that is open already, such as one that was sent and has no name.
    ///
    /// # Errors
    /// As [`Oci::import`].
    pub async fn import_archive(&self, archive: std::fs::File, import: &Import) -> Result<Vec<Image>> {
        self.import_layout(Layout::of_archive(archive).await?, import).await
    }

    async fn import_layout(&self, layout: Layout, import: &Import) -> Result<Vec<Image>> {
        let root = match &import.which {
            Which::All => layout.index().clone(),
            Which::Only => layout.root(None)?,
            Which::Tagged(tag) => layout.root(Some(tag))?,
        };
        let root = selected(&layout, root, &import.select).await?;
        let mut names = Vec::new();
        if let Some(name) = &import.name {
            names.push((name.clone(), root.digest.0));
            let tagged = layout.roots().iter().filter(|_| import.which == Which::All);
            let tagged =
                tagged.filter_map(|image| Some((format!("{name}:{}", image.name()?), image.digest.0)));
            names.extend(tagged);
        }
        self.ingest(&layout, root, names).await
    }

    /// Writes an image, or the list of a whole layout, where nothing is yet: all of it, or nothing.
    ///
    /// A list that came from [`Import::all`] becomes the new layout's list, so that both layouts are the same. Any other image
    /// is listed alone, under the name by which it was asked for. An image that [`Ingest::derive`](crate::Ingest::derive) made,
    /// without documents, gets those that follow from its layers, the same each time: an image of its parent's configuration when
    /// both have archives for layers, else an artefact of which an import makes the same chain.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`]; [`ErrorKind::NotFound`]; [`ErrorKind::Store`].
    pub async fn export(&self, image: &ImageRef, path: impl AsRef<Path>, container: Container) -> Result<()> {
        let (source, root, lease) = self.outgoing(image).await?;
        let exporting = self.export_leased(image, &source, root, path.as_ref(), container);
        self.under(lease, exporting).await
    }

    async fn export_leased(
        &self,
        image: &ImageRef,
        source: &StoreSource,
        root: Descriptor,
        path: &Path,
        container: Container,
    ) -> Result<()> {
        let octets = source.manifest(&root).await?;
        let is_list = is_layout_list(&root, &octets);
        let list = is_list.then_some(root.digest.0);
        let target = LayoutWriter::begin(path, container, list).await?;
        let plan = graph::plan(source, std::slice::from_ref(&root), &self.limits).await?;
        self.copy(source, &target, &plan).await?;
        let index = if is_list { octets } else { single(root, image)? };
        target.finish(index).await?;
        self.progress.on(Event::Done);
        Ok(())
    }

    /// Brings an image of a registry into the store, and calls it `name` if one is given. What was fetched before is not fetched
    /// again, and a transfer that breaks goes on where it broke, also that of another process that is gone: of a blob of 1 MiB and more
    /// what arrived is kept for [a day](crate::MAX_PARTIAL_AGE) and checked with the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::NotFound`], [`ErrorKind::OtherPlatform`], [`ErrorKind::Proxy`],
    /// [`ErrorKind::Unavailable`], [`ErrorKind::Registry`] of the registry; [`ErrorKind::Refused`] with the exact reason; [`ErrorKind::Store`].
    pub async fn pull(
        &self,
        reference: &Reference,
        select: &Select,
        name: Option<&str>,
        options: &RegistryOptions,
    ) -> Result<Vec<Image>> {
        let registry = Registry::new(reference, Access::Pull, options)?;
        let pulled = async {
            let root = selected(&registry, registry.resolve().await?, select).await?;
            let names = name.map(|name| (name.to_owned(), root.digest.0)).into_iter().collect();
            self.ingest(&registry, root, names).await
        };
        pulled.await.map_err(|error| error.about(reference))
    }

    /// Sends an image to a registry and gives it the reference's tag. Blobs that the registry has are not sent; `mount_from` names
    /// another of its repositories that may have some.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a reference with a digest that is not the image's, or no repository in `mount_from`; [`ErrorKind::Unauthorized`],
    /// [`ErrorKind::Proxy`], [`ErrorKind::Unavailable`], [`ErrorKind::Registry`] of the registry; [`ErrorKind::Store`].
    pub async fn push(
        &self,
        image: &ImageRef,
        reference: &Reference,
        mount_from: Option<&str>,
        options: &RegistryOptions,
    ) -> Result<()> {
        let (source, root, lease) = self.outgoing(image).await?;
        self.under(lease, self.push_leased(&source, root, reference, mount_from, options)).await
    }

    async fn push_leased(
        &self,
        source: &StoreSource,
        root: Descriptor,
        reference: &Reference,
        mount_from: Option<&str>,
        options: &RegistryOptions,
    ) -> Result<()> {
        if reference.digest.is_some_and(|digest| digest != root.digest) {
            let text = format!("{reference} names another image than {}; leave the digest out", root.digest);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if let Some(from) = mount_from.filter(|from| !is_repository(from)) {
            let text = format!(
                "{:?} is no repository to mount blobs from; write it without host and tag",
                shown(from)
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let access = Access::Push { mount_from: mount_from.map(str::to_owned) };
        let target = PushTarget::new(Registry::new(reference, access, options)?);
        let plan = graph::plan(source, std::slice::from_ref(&root), &self.limits).await?;
        self.copy(source, &target, &plan).await.map_err(|error| error.about(reference))?;
        if let Some(tag) = &reference.tag {
            let octets = source.manifest(&root).await?;
            target.tag(tag, &root, octets).await?;
        }
        self.progress.on(Event::Done);
        Ok(())
    }

    /// Copies what is below a root into the store and makes it images there.
    async fn ingest(
        &self,
        source: &dyn Source,
        root: Descriptor,
        names: Vec<(String, Digest)>,
    ) -> Result<Vec<Image>> {
        let plan = graph::plan(source, std::slice::from_ref(&root), &self.limits).await?;
        let target = StoreTarget::new(self.node.ingest(), source.resumes());
        let copied = self.copy(source, &target, &plan).await;
        let committed = match copied {
            Ok(()) => target.commit(&plan, names).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(mut images) => {
                // Of a plan, the root comes last; of an answer, first.
                images.reverse();
                self.progress.on(Event::Done);
                Ok(images)
            }
            Err(error) => {
                target.abort(matches!(error.kind(), ErrorKind::Refused(_))).await;
                Err(error)
            }
        }
    }

    async fn copy(&self, source: &dyn Source, target: &dyn Target, plan: &Plan) -> Result<()> {
        Copy { source, target, limits: &self.limits, progress: &*self.progress }.run(plan).await
    }

    /// An image on its way out, and the lease that keeps it meanwhile, also of who leaves before it is given back.
    pub(super) async fn outgoing(&self, image: &ImageRef) -> Result<(StoreSource, Descriptor, Lent)> {
        let images = self.node.images();
        let found = images.image(image).await.map_err(not_found)?;
        let lease = self.lease(&found).await?;
        match StoreSource::of(images.clone(), &found, &self.limits).await {
            Ok((source, root)) => Ok((source, root, lease)),
            Err(error) => self.give_back(lease, Err(error)).await,
        }
    }

    /// Keeps an image while it is read.
    pub(super) async fn lease(&self, image: &Image) -> Result<Lent> {
        let key = format!("oci-{}", LEASES.fetch_add(1, Ordering::Relaxed));
        self.node.acquire(&key, image.id).await.map(Lent::new).map_err(Error::store)
    }

    /// Does something with an image while it is leased, and gives the lease back.
    pub(super) async fn under<T>(&self, lease: Lent, work: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = lease.hold(work).await.unwrap_or_else(|lost| Err(Error::store(lost)));
        self.give_back(lease, outcome).await
    }

    pub(super) async fn give_back<T>(&self, lease: Lent, outcome: Result<T>) -> Result<T> {
        if let Err(error) = lease.give_back().await {
            tracing::warn!(%error, "a lease was not given back; it ends with its node");
        }
        outcome
    }
}

/// Whether an index is the list of a layout: a layout's list names its images there, no other index does.
fn is_layout_list(root: &Descriptor, octets: &Bytes) -> bool {
    let index = media::kind(&root.media_type) == media::Kind::Index;
    let entries = super::document::Index::parse(octets).map(|index| index.manifests);
    index && entries.is_ok_and(|entries| entries.iter().any(|entry| entry.name().is_some()))
}

/// The list of a layout with one image.
fn single(mut root: Descriptor, image: &ImageRef) -> Result<Bytes> {
    if let ImageRef::Name(name) = image {
        // Programs take the part after the colon for the tag.
        let tag = name.rsplit_once(':').map_or(name.as_str(), |(_, tag)| tag);
        root = root.named(tag);
    }
    let list = List { schema_version: 2, media_type: media::INDEX, manifests: [root] };
    let octets = serde_json::to_vec(&list);
    octets.map(Bytes::from).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}

pub(super) fn not_found(error: crate::Error) -> Error {
    match error.kind() {
        crate::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, error.to_string()).with(error),
        _ => Error::store(error),
    }
}

impl From<Error> for crate::Error {
    /// The same in the store's words; the source is the whole story.
    fn from(error: Error) -> Self {
        use crate::ErrorKind as Store;
        let kind = match error.kind() {
            ErrorKind::Refused(_) => Store::Refused,
            ErrorKind::Invalid | ErrorKind::NeedsPrivilege | ErrorKind::Unauthorized | ErrorKind::Proxy => {
                Store::Invalid { field: "oci" }
            }
            ErrorKind::NotFound | ErrorKind::OtherPlatform => Store::NotFound,
            ErrorKind::Exists => Store::Conflict,
            ErrorKind::Unavailable | ErrorKind::Registry => Store::Unavailable,
            ErrorKind::Io(std::io::ErrorKind::StorageFull) => Store::NoSpace,
            ErrorKind::Io(_) => Store::Medium,
            ErrorKind::MissingTool | ErrorKind::Tool => Store::Configuration,
            ErrorKind::Store => error.store_kind().unwrap_or(Store::Internal),
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
