//! A layer on top of an image, as an image: what a container engine calls a commit.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use mainstay_core::Timestamp;
use tokio::sync::mpsc;

use super::derived::{self, Added, Below, History};
use super::document::{Descriptor, Manifest, Platform};
use super::error::{Error, ErrorKind, Result};
use super::graph::LayerForm;
use super::limits::MAX_DOCUMENT;
use super::media::{self, Compression, Kind};
use super::reference::Reference;
use super::select::{Select, select as selected};
use super::store::{ROLE_CONFIG, ROLE_MANIFEST, StoreSource};
use super::tee::LayerTee;
use super::thread::Beside;
use super::transfer::{Oci, not_found};
use super::{content::Source as _, tree};
use crate::{
    BlobKind, CommitSet, Digest, Image, ImageKind, ImageRef, Ingest, LeaseGuard, NewImage, RefExpect,
    RefUpdate, WriterSpec,
};

/// Octets of a layer that are passed on at once.
const PIECE: usize = 512 * 1024;
/// Pieces that wait to be written.
const QUEUE: usize = 4;
/// What begins a gzip file, and a zstd frame.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Where a layer's content comes from.
pub enum LayerContent {
    /// A tar archive, plain or compressed by gzip or zstd; it is kept octet for octet.
    Archive(Box<dyn Read + Send>),
    /// All below a directory, as a plain archive in which everything is sorted, belongs to root and has the commit's time (or
    /// 1970), so that the same tree is the same layer. Extended attributes are not carried; devices, pipes and sockets are
    /// refused.
    Directory(PathBuf),
}

impl std::fmt::Debug for LayerContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive(_) => f.write_str("Archive"),
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
        }
    }
}

#[derive(Debug)]
enum Parent {
    Image(ImageRef, Select),
    None(Platform),
}

/// A layer that is to be laid on an image, and what is said of it.
#[derive(Debug)]
pub struct Commit {
    parent: Parent,
    layer: LayerContent,
    name: Option<(String, RefExpect)>,
    label: Option<String>,
    base_name: Option<Reference>,
    created: Option<Timestamp>,
    history: History,
    guard: Option<LeaseGuard>,
}

impl Commit {
    /// A layer over an image that was imported, pulled or committed.
    #[must_use]
    pub fn over(parent: ImageRef, layer: LayerContent) -> Self {
        Self::new(Parent::Image(parent, Select::All), layer)
    }

    /// A layer over nothing: the first of an image for a platform.
    #[must_use]
    pub fn first(platform: Platform, layer: LayerContent) -> Self {
        Self::new(Parent::None(platform), layer)
    }

    fn new(parent: Parent, layer: LayerContent) -> Self {
        let history = History { created_by: Some("mainstay".to_owned()), ..History::default() };
        let (name, label, base_name, created, guard) = (None, None, None, None, None);
        Self { parent, layer, name, label, base_name, created, history, guard }
    }

    /// Of a parent for several platforms, that for one.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        match &mut self.parent {
            Parent::Image(_, select) => *select = Select::Platform(platform),
            Parent::None(own) => *own = platform,
        }
        self
    }

    /// A name that is moved to the image, and what it must be before.
    #[must_use]
    pub fn named(mut self, name: &str, expect: RefExpect) -> Self {
        self.name = Some((name.to_owned(), expect));
        self
    }

    /// What a person calls the image. It is no part of it.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Where the parent can be had; the image's annotations say so.
    #[must_use]
    pub fn base_name(mut self, reference: Reference) -> Self {
        self.base_name = Some(reference);
        self
    }

    /// When the layer was made. Without it the documents name no time, and the same layer over the same parent is the same
    /// image whenever it is committed.
    #[must_use]
    pub const fn created(mut self, at: Timestamp) -> Self {
        self.created = Some(at);
        self
    }

    /// What made the layer, for the image's history; `mainstay` if not said.
    #[must_use]
    pub fn created_by(mut self, command: &str) -> Self {
        self.history.created_by = Some(command.to_owned());
        self
    }

    /// Who made it.
    #[must_use]
    pub fn author(mut self, author: &str) -> Self {
        self.history.author = Some(author.to_owned());
        self
    }

    /// Why it was made.
    #[must_use]
    pub fn comment(mut self, comment: &str) -> Self {
        self.history.comment = Some(comment.to_owned());
        self
    }

    /// A lease that must be held.
    #[must_use]
    pub const fn guarded(mut self, guard: LeaseGuard) -> Self {
        self.guard = Some(guard);
        self
    }
}

/// What is known of the image below.
struct Base {
    image: Image,
    below: Below,
}

impl Oci {
    /// Lays a layer on an image: reads it once, checks all its entries, and makes a manifest, a configuration with one entry of
    /// history more, and an image of both in one step. The image is the parent's child in the graph, names the parent's
    /// manifest in its annotations, and is given out like one that was imported. Nothing is left when it fails.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with the exact reason, for a layer as an import would; [`ErrorKind::Invalid`] for a parent without
    /// an image configuration, or for several platforms when none is chosen; [`ErrorKind::NotFound`]; [`ErrorKind::Io`] of the
    /// layer's source; [`ErrorKind::Store`], also for a name that is not as expected.
    pub async fn commit(&self, commit: Commit) -> Result<Image> {
        let Parent::Image(parent, select) = &commit.parent else {
            return self.commit_over(commit, None).await;
        };
        let chosen = self.choose(parent, select).await?;
        let (source, root, lease) = self.outgoing(&chosen.id.into()).await?;
        // It is large, and waits inside of what keeps the lease.
        let committing = Box::pin(async {
            let mut below = below(&source, root).await?;
            below.name = commit.base_name.as_ref().map(ToString::to_string);
            self.commit_over(commit, Some(Base { image: chosen, below })).await
        });
        self.under(lease, committing).await
    }

    /// The image that is meant by one for several platforms and a choice; any other image is meant itself, if it is for that platform.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for no such image; [`ErrorKind::OtherPlatform`] for none that is for the platform.
    pub async fn choose(&self, image: &ImageRef, select: &Select) -> Result<Image> {
        let found = self.node().images().image(image).await.map_err(not_found)?;
        if *select == Select::All {
            return Ok(found);
        }
        let (source, root, lease) = self.outgoing(&found.id.into()).await?;
        let chosen = selected(&source, root, select).await;
        let chosen = self.give_back(lease, chosen).await?;
        self.node().images().image(&chosen.digest.0.into()).await.map_err(not_found)
    }

    async fn commit_over(&self, commit: Commit, base: Option<Base>) -> Result<Image> {
        let ingest = self.node().ingest();
        match self.lay(&ingest, commit, base).await {
            Ok(image) => Ok(image),
            Err(error) => {
                if let Err(error) = ingest.abort().await {
                    tracing::warn!(%error, "what a commit that failed left behind waits for a collection");
                }
                Err(error)
            }
        }
    }

    async fn lay(&self, ingest: &Ingest, commit: Commit, base: Option<Base>) -> Result<Image> {
        let time = commit.created.map_or(0, |at| u64::try_from(at.as_unix_micros() / 1_000_000).unwrap_or(0));
        let added = self.bring(ingest, commit.layer, time).await?;
        let history = History { created: commit.created.map(|at| at.to_string()), ..commit.history };
        let nothing = Platform::new("", "");
        let first = if let Parent::None(platform) = &commit.parent { platform } else { &nothing };
        let below = base.as_ref().map(|base| &base.below);
        let layer = added.descriptor.digest.0;
        let documents = derived::over(below, first, &[(added, history)])?;
        let mut layers: Vec<Digest> = Vec::new();
        if let Some(base) = &base {
            layers.extend(base.image.chain.layers().iter().map(|layer| layer.digest));
        }
        layers.push(layer);
        put(ingest, &documents.config, &documents.config_octets).await?;
        put(ingest, &documents.manifest, &documents.manifest_octets).await?;
        let digest = documents.manifest.digest.0;
        let image = NewImage {
            digest: Some(digest),
            kind: ImageKind::Chain,
            media_type: media::MANIFEST.to_owned(),
            layers,
            attachments: vec![
                (ROLE_MANIFEST.to_owned(), digest),
                (ROLE_CONFIG.to_owned(), documents.config.digest.0),
            ],
            parent: base.map(|base| base.image.id),
            label: commit.label,
        };
        let refs = commit.name.map(|(name, expect)| RefUpdate { name, image: digest, expect });
        let set = CommitSet { images: vec![image], refs: refs.into_iter().collect(), guard: commit.guard };
        let made = ingest.commit(set).await.map_err(Error::store)?.images.into_iter().next();
        made.ok_or_else(|| Error::new(ErrorKind::Store, "the image store: no image was returned"))
    }

    /// Reads a layer once: into the store, and through the check of all its entries.
    async fn bring(&self, ingest: &Ingest, content: LayerContent, time: u64) -> Result<Added> {
        let (feed, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
        let producing = Beside::run("images-commit", move || produce(content, time, feed));
        // Nothing but the content tells how it is compressed; an empty one is refused as a plain archive.
        let mut next = pieces.recv().await;
        let compression = compression(next.as_deref().unwrap_or_default());
        let media_type = derived::layer_type(compression);
        let form = LayerForm { compression, diff_id: None };
        // The size is not known yet, so the limit of the layer holds, and the ratio is looked at in the end.
        let mut tee = LayerTee::start(form, u64::MAX, self.limits().clone());
        let writer = ingest.writer(WriterSpec::new(BlobKind::Layer, media_type)).await;
        let mut writer = writer.map_err(Error::store)?;
        let mut size = 0_u64;
        while let Some(piece) = next {
            size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if size > self.limits().blob {
                let limit = self.limits().blob;
                return Err(
                    super::refusal::Refusal::Limit { what: super::refusal::Limit::Blob, limit }.into()
                );
            }
            tee.feed(piece.clone()).await?;
            writer.write(piece).await.map_err(Error::store)?;
            next = pieces.recv().await;
        }
        // What the source says comes first: an archive that ends in the middle ends so because of it.
        producing.outcome().await?;
        let checked = tee.finish().await?;
        self.limits().check_ratio(size, checked.octets)?;
        let staged = writer.finish().await.map_err(Error::store)?;
        let descriptor = Descriptor::new(media_type, staged.digest, staged.size_bytes);
        Ok(Added { descriptor, diff_id: checked.diff_id })
    }
}

/// The documents of an image of the store that another is laid on.
pub(super) async fn below(source: &StoreSource, root: Descriptor) -> Result<Below> {
    let not_an_image = |why: &str| {
        let text = format!("{} cannot be a parent: {why}", root.digest);
        Error::new(ErrorKind::Invalid, text)
    };
    if media::kind(&root.media_type) != Kind::Manifest {
        return Err(not_an_image(
            "it is for several platforms; choose one, or name one of those that it lists",
        ));
    }
    let manifest_octets = source.manifest(&root).await?;
    let manifest = Manifest::parse(&manifest_octets)?;
    if media::kind(&manifest.config.media_type) != Kind::Config {
        return Err(not_an_image(
            "it has no image configuration; a layer of another kind is laid on it by Ingest::derive",
        ));
    }
    let config_octets = source.manifest(&manifest.config).await?;
    Ok(Below { manifest: root, manifest_octets, config_octets, name: None })
}

async fn put(ingest: &Ingest, descriptor: &Descriptor, octets: &Bytes) -> Result<()> {
    if descriptor.size > MAX_DOCUMENT {
        let limit = MAX_DOCUMENT;
        return Err(super::refusal::Refusal::Limit { what: super::refusal::Limit::Document, limit }.into());
    }
    let (digest, size) = (descriptor.digest.0, descriptor.size);
    if ingest.has(&digest, size).await.map_err(Error::store)? {
        return Ok(());
    }
    let spec = WriterSpec::known(digest, size, BlobKind::Document, descriptor.media_type.as_str());
    let put = ingest.put(spec, io::Cursor::new(octets.clone())).await;
    put.map(|_| ()).map_err(Error::store)
}

fn compression(begin: &[u8]) -> Compression {
    if begin.starts_with(&GZIP) {
        Compression::Gzip
    } else if begin.starts_with(&ZSTD) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// Reads a layer's content where that may block. Its receiver's end ends it: what was refused need not be read on.
fn produce(content: LayerContent, time: u64, feed: mpsc::Sender<Bytes>) -> Result<()> {
    let mut out = Pieces { feed, held: Vec::with_capacity(PIECE) };
    match content {
        LayerContent::Archive(reader) => {
            let mut reader = BufReader::with_capacity(PIECE, reader);
            loop {
                let read = match reader.fill_buf() {
                    Ok([]) => break,
                    Ok(octets) => out.write_all(octets).map(|()| octets.len()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Error::io("reading a layer", error)),
                };
                reader.consume(read.map_err(|error| Error::io("reading a layer", error))?);
            }
        }
        LayerContent::Directory(directory) => tree::write(&directory, time, &mut out)?,
    }
    out.flush().map_err(|error| Error::io("reading a layer", error))
}

/// Passes octets on in pieces.
struct Pieces {
    feed: mpsc::Sender<Bytes>,
    held: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(octets);
        if self.held.len() >= PIECE {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(PIECE));
        let sent = self.feed.blocking_send(piece.into());
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the layer is not wanted any more"))
    }
}
