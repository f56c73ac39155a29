//! The image store as a place that images come from and go to.

use std::io::Read as _;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::content::{self, BlobReader as _, Source, Target};
use super::document::Descriptor;
use super::error::{Error, Result};
use super::graph::{Form, Image, Plan};
use super::layout::blocking;
use super::limits::Limits;
use super::media::{self, Kind};
use super::plain;
use super::progress::Progress;
use crate::image::is_media_type;
use crate::{
    BlobKind, BlobReader, BlobWriter, CommitSet, Digest, ErrorKind as StoreErrorKind, ImageKind, Images,
    Ingest, NewImage, RefExpect, RefUpdate, Verify, WriterSpec,
};

/// Octets that are read, or gathered before they are written, at once.
const PIECE: usize = 512 * 1024;
/// Blobs that are read or written at once.
const PARALLEL: usize = 4;
/// A blob of this size from a registry is recorded as soon as it is there, so that a copy that dies need not fetch it again, and so is
/// the beginning of one that did not arrive.
const LAND_FROM: u64 = 1024 * 1024;
/// What content is whose own type is none.
pub(super) const OCTETS: &str = "application/octet-stream";

/// The attachment that is the image's own manifest or index.
pub(crate) const ROLE_MANIFEST: &str = "manifest";
/// The attachment that is the image's configuration.
pub(crate) const ROLE_CONFIG: &str = "config";

/// An ingest that takes what a plan carries.
#[derive(Debug)]
pub(crate) struct StoreTarget {
    ingest: Ingest,
    /// Of large blobs that do not arrive whole, what arrived is kept for the next copy: their source can go on in the middle.
    keeps_beginnings: bool,
}

impl StoreTarget {
    pub(crate) const fn new(ingest: Ingest, keeps_beginnings: bool) -> Self {
        Self { ingest, keeps_beginnings }
    }

    fn keeps_beginning_of(&self, descriptor: &Descriptor) -> bool {
        self.keeps_beginnings && descriptor.size >= LAND_FROM
    }

    /// Makes the images of a plan, and points names at some of them, in one step.
    pub(crate) async fn commit(
        &self,
        plan: &Plan,
        names: Vec<(String, Digest)>,
    ) -> Result<Vec<crate::Image>> {
        let images = plan.images.iter().map(new_image).collect();
        let update = |(name, image)| RefUpdate { name, image, expect: RefExpect::Any };
        let refs = names.into_iter().map(update).collect();
        let set = CommitSet { images, refs, guard: None };
        Ok(self.ingest.commit(set).await.map_err(Error::store)?.images)
    }

    /// Forgets everything. When what came was wrong, no beginning of a blob is left, and blobs that are there wait for nothing but the
    /// next collection.
    pub(crate) async fn abort(self, is_refused: bool) {
        if is_refused {
            self.ingest.is_refused();
        }
        if let Err(error) = self.ingest.abort().await {
            tracing::warn!(%error, "what a copy that failed left behind waits for a collection");
        }
    }
}

#[async_trait]
impl Target for StoreTarget {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.ingest.has(&descriptor.digest.0, descriptor.size).await.map_err(Error::store)
    }

    async fn expect(&self, descriptors: &[&Descriptor]) -> Result<()> {
        let blobs: Vec<(Digest, u64)> =
            descriptors.iter().map(|descriptor| (descriptor.digest.0, descriptor.size)).collect();
        self.ingest.expect(&blobs).await.map_err(Error::store)
    }

    async fn beginning(&self, descriptor: &Descriptor) -> Result<Option<content::Beginning>> {
        if !self.keeps_beginning_of(descriptor) {
            return Ok(None);
        }
        let found = self.ingest.images().partial(&descriptor.digest.0, descriptor.size).await;
        Ok(found.map_err(Error::store)?.map(|partial| {
            let size = partial.size;
            content::Beginning { reader: Box::new(Rest(Some(partial.file.take(size)))), size }
        }))
    }

    async fn forget_beginnings(&self, descriptor: &Descriptor) -> Result<()> {
        self.ingest.images().forget_partials(&descriptor.digest.0).await.map_err(Error::store)
    }

    async fn create<'a>(&'a self, descriptor: &'a Descriptor) -> Result<Box<dyn content::BlobWriter + 'a>> {
        let kind = match media::kind(&descriptor.media_type) {
            Kind::Layer(_) => BlobKind::Layer,
            _ => BlobKind::Document,
        };
        let spec = WriterSpec::known(descriptor.digest.0, descriptor.size, kind, stored_type(descriptor));
        let writer = match self.keeps_beginning_of(descriptor) {
            true => self.ingest.partial_writer(spec).await,
            false => self.ingest.writer(spec).await,
        };
        let writer = writer.map_err(Error::store)?;
        let verifier = content::Verifier::new(descriptor);
        // Of what lies beside the store nothing is spared, and a refusal must leave nothing behind.
        let land = self.keeps_beginning_of(descriptor);
        Ok(Box::new(StoreWriter { ingest: &self.ingest, writer, held: BytesMut::new(), verifier, land }))
    }

    async fn put_manifest(&self, descriptor: &Descriptor, octets: Bytes) -> Result<()> {
        if self.has(descriptor).await? {
            return Ok(());
        }
        let mut writer = self.create(descriptor).await?;
        writer.write(octets).await?;
        writer.finish().await
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    fn must_end_writes(&self) -> bool {
        true
    }

    fn checks_layers(&self) -> bool {
        true
    }
}

struct StoreWriter<'a> {
    ingest: &'a Ingest,
    writer: BlobWriter,
    held: BytesMut,
    verifier: content::Verifier,
    land: bool,
}

impl StoreWriter<'_> {
    async fn write_held(&mut self) -> Result<()> {
        let held = self.held.split().freeze();
        self.writer.write(held).await.map_err(Error::store)
    }
}

#[async_trait]
impl content::BlobWriter for StoreWriter<'_> {
    async fn write(&mut self, octets: Bytes) -> Result<()> {
        self.verifier.count(&octets)?;
        self.held.extend_from_slice(&octets);
        if self.held.len() >= PIECE { self.write_held().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.held.is_empty() {
            self.write_held().await?;
        }
        let expected = self.verifier.expected();
        self.verifier.finish_count()?;
        // The store hashes what it writes, so it is not hashed here too.
        self.writer.finish().await.map_err(|error| wrong_content(expected, error))?;
        if self.land {
            self.ingest.land().await.map_err(Error::store)?;
        }
        Ok(())
    }
}

/// The store found other octets than the descriptor names.
fn wrong_content(expected: Digest, error: crate::Error) -> Error {
    match error.kind() {
        StoreErrorKind::Corrupt => {
            let refusal = super::refusal::Refusal::WrongContent { expected };
            Error::from(refusal).with(error)
        }
        _ => Error::store(error),
    }
}

/// The store's images, given out again. Whoever reads holds a lease.
#[derive(Debug, Clone)]
pub(crate) struct StoreSource {
    images: Images,
    /// The documents of an image that has none in the store: they were worked out.
    made: Vec<(Digest, Bytes)>,
}

impl StoreSource {
    /// The source of an image, and the document with which it begins. An image that was derived without documents gets those
    /// that follow from its layers, the same each time.
    pub(crate) async fn of(
        images: Images,
        image: &crate::Image,
        limits: &Limits,
    ) -> Result<(Self, Descriptor)> {
        if let Some(own) = own_document(&images, image).await? {
            return Ok((Self { images, made: Vec::new() }, own));
        }
        let documents = plain::documents(&images, image, limits).await?;
        let made = vec![
            (documents.manifest.digest.0, documents.manifest_octets),
            (documents.config.digest.0, documents.config_octets),
        ];
        Ok((Self { images, made }, documents.manifest))
    }

    /// The source of what has its documents in the store.
    pub(crate) const fn stored(images: Images) -> Self {
        Self { images, made: Vec::new() }
    }

    fn made(&self, descriptor: &Descriptor) -> Option<Bytes> {
        let found = self.made.iter().find(|(digest, _)| *digest == descriptor.digest.0);
        found.map(|(_, octets)| octets.clone())
    }

    async fn reader(&self, descriptor: &Descriptor) -> Result<Reading> {
        let opened = self.images.open_blob(&descriptor.digest.0, Verify::Size).await;
        Ok(Rest(Some(opened.map_err(Error::store)?)))
    }
}

/// The document with which an image begins, if it came with one.
pub(crate) async fn own_document(images: &Images, image: &crate::Image) -> Result<Option<Descriptor>> {
    let attachments = images.attachments(image.id).await.map_err(Error::store)?;
    let is_own = |own: &&crate::Attachment| own.digest == image.digest && own.role == ROLE_MANIFEST;
    let own = attachments.iter().find(is_own);
    Ok(own.map(|own| Descriptor::new(&image.media_type, own.digest, own.size_bytes)))
}

#[async_trait]
impl Source for StoreSource {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        if let Some(octets) = self.made(descriptor) {
            return Ok(octets);
        }
        let mut reading = self.reader(descriptor).await?;
        let mut whole = BytesMut::new();
        while let Some(octets) = reading.chunk().await? {
            whole.extend_from_slice(&octets);
        }
        Ok(whole.freeze())
    }

    async fn open<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _progress: &'a dyn Progress,
    ) -> Result<Box<dyn content::BlobReader + 'a>> {
        if let Some(octets) = self.made(descriptor) {
            return Ok(Box::new(content::Whole(Some(octets))));
        }
        Ok(Box::new(self.reader(descriptor).await?))
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }
}

/// What is left of a file of the store, read where that may block.
#[derive(Debug)]
pub(crate) struct Rest<R>(Option<R>);

/// A blob of the store.
type Reading = Rest<BlobReader>;

#[async_trait]
impl<R: std::io::Read + Send + 'static> content::BlobReader for Rest<R> {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(mut reader) = self.0.take() else { return Ok(None) };
        let (reader, octets) = blocking(move || {
            let mut octets = Vec::new();
            let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let read = reader.by_ref().take(piece).read_to_end(&mut octets);
            read.map_err(|error| Error::io("reading a blob of the store", error))?;
            Ok((reader, octets))
        })
        .await?;
        if octets.is_empty() {
            return Ok(None);
        }
        self.0 = Some(reader);
        Ok(Some(octets.into()))
    }
}

/// What the store keeps of an image of a plan.
fn new_image(image: &Image) -> NewImage {
    let (kind, layers) = match &image.form {
        Form::Image(layers) => (ImageKind::Chain, layers.as_slice()),
        Form::Index => (ImageKind::Index, [].as_slice()),
        Form::Artifact => (ImageKind::Artifact, [].as_slice()),
    };
    let layers: Vec<Digest> = layers.iter().map(|layer| layer.digest.0).collect();
    let rest = image.content.iter().filter(|part| !layers.contains(&part.digest.0));
    let attachments = rest.enumerate().map(|(at, part)| {
        let role = match part.kind {
            _ if part.digest == image.descriptor.digest => ROLE_MANIFEST.to_owned(),
            Kind::Config if kind == ImageKind::Chain => ROLE_CONFIG.to_owned(),
            _ => format!("content-{at:04}"),
        };
        (role, part.digest.0)
    });
    NewImage {
        digest: Some(image.descriptor.digest.0),
        kind,
        media_type: stored_type(&image.descriptor),
        attachments: attachments.collect(),
        layers,
        parent: None,
        label: None,
    }
}

/// The media type, if it is one; documents that name it are kept as they are in any case.
fn stored_type(descriptor: &Descriptor) -> String {
    let own = &descriptor.media_type;
    if is_media_type(own) { own.clone() } else { OCTETS.to_owned() }
}
