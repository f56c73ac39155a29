//! What belongs to an image: the walk from an index or a manifest down to its layers, within limits.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::content::{Source, Verifier};
use super::document::{
    Config, Descriptor, Index, Manifest, OciDigest, check_is_no_image, check_size, check_unambiguous,
};
use super::error::{Error, Result};
use super::limits::{
    Limits, MAX_DOCUMENT, MAX_DOCUMENTS, MAX_DOCUMENTS_TOTAL, MAX_INDEX_DEPTH, MAX_REFERENCES,
};
use super::media::{self, Compression, Kind};
use super::progress::Silent;
use super::refusal::{Limit, Refusal, shown};
use crate::digest::Digest;

/// Everything that one copy carries.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes and manifests, each after what it names.
    pub(crate) manifests: Vec<Document>,
    /// Configurations, which are at hand because they were read.
    pub(crate) configs: Vec<Document>,
    /// Everything else, in the order of the images.
    pub(crate) blobs: Vec<Blob>,
    /// The images, each after those that it names.
    pub(crate) images: Vec<Image>,
}

/// A document and its octets.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) descriptor: Descriptor,
    pub(crate) octets: Bytes,
}

/// Content that is copied without being held.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    /// What a layer must decompress to.
    pub(crate) layer: Option<LayerForm>,
}

/// How a layer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerForm {
    pub(crate) compression: Compression,
    pub(crate) diff_id: Option<Digest>,
}

/// What a manifest or index turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// An image that can be mounted: layers, lowest first.
    Image(Vec<Descriptor>),
    /// Several images.
    Index,
    /// Anything else that lies in a registry.
    Artifact,
}

/// One manifest or index with all that has to stay so that it can be given out again.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) descriptor: Descriptor,
    pub(crate) form: Form,
    /// All it names, itself first, layers too; each digest once.
    pub(crate) content: Vec<Part>,
}

/// What an image names, as far as it is kept for each that names it. Descriptors carry texts of megabytes, and many indexes may list one
/// image: what is held must not grow with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) digest: OciDigest,
    pub(crate) kind: Kind,
}

impl Part {
    fn of(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest, kind: media::kind(&descriptor.media_type) }
    }
}

/// Reads the documents below some roots; each root's octets are fetched too.
pub(crate) async fn plan(source: &dyn Source, roots: &[Descriptor], limits: &Limits) -> Result<Plan> {
    let (plan, seen) = (Plan::default(), HashMap::new());
    let mut walk = Walk { source, limits, plan, seen, held: 0, total: 0, references: 0 };
    for root in roots {
        walk.visit(root, 1).await?;
    }
    Ok(walk.plan)
}

struct Walk<'a> {
    source: &'a dyn Source,
    limits: &'a Limits,
    plan: Plan,
    /// The size of everything that was met, and which image it is if it is one.
    seen: HashMap<Digest, (u64, Option<usize>)>,
    held: u64,
    total: u64,
    /// Descriptors in the content of all images together: many indexes may list the same images.
    references: usize,
}

type Visit<'a> = Pin<Box<dyn Future<Output = Result<Vec<Part>>> + Send + 'a>>;

impl Walk<'_> {
    /// Takes a manifest or index in, and returns all that belongs to it.
    fn visit<'a>(&'a mut self, descriptor: &'a Descriptor, depth: usize) -> Visit<'a> {
        Box::pin(async move {
            if let Some((_, Some(image))) = self.seen.get(&descriptor.digest.0) {
                let known = self.plan.images.get(*image).map(|image| image.content.clone());
                self.meet(descriptor)?;
                return Ok(known.unwrap_or_default());
            }
            self.meet(descriptor)?;
            match media::kind(&descriptor.media_type) {
                Kind::Obsolete => Err(Refusal::MediaType { found: shown(&descriptor.media_type) }.into()),
                Kind::Index => self.index(descriptor, depth).await,
                Kind::Manifest => self.manifest(descriptor).await,
                // Kept as it is. What is small enough may be a manifest of a kind to come.
                _ if descriptor.size <= MAX_DOCUMENT => {
                    let octets = self.hold(descriptor).await?;
                    check_is_no_image(&octets, &descriptor.media_type)?;
                    self.keep(descriptor, octets, Form::Artifact, vec![Part::of(descriptor)])
                }
                _ => {
                    self.plan.blobs.push(Blob { descriptor: descriptor.clone(), layer: None });
                    Ok(vec![Part::of(descriptor)])
                }
            }
        })
    }

    async fn index(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Vec<Part>> {
        if depth > MAX_INDEX_DEPTH {
            return Err(too_deep());
        }
        let octets = self.hold(descriptor).await?;
        check_unambiguous(&octets, &descriptor.media_type)?;
        let index = Index::parse(&octets)?;
        let mut content = vec![Part::of(descriptor)];
        let mut once = HashSet::new();
        let mut listed = HashSet::new();
        for entry in &index.manifests {
            // Listed again it adds nothing, and all below it would be copied once more.
            if !listed.insert(entry.digest) {
                self.meet(entry)?;
                continue;
            }
            let below = self.visit(entry, depth + 1).await?;
            content.extend(below.into_iter().filter(|part| once.insert(part.digest)));
        }
        self.keep(descriptor, octets, Form::Index, content)
    }

    async fn manifest(&mut self, descriptor: &Descriptor) -> Result<Vec<Part>> {
        let octets = self.hold(descriptor).await?;
        check_unambiguous(&octets, &descriptor.media_type)?;
        let manifest = Manifest::parse(&octets)?;
        let diff_ids = self.config(&manifest).await?;
        let mut content = vec![Part::of(descriptor), Part::of(&manifest.config)];
        for (position, layer) in manifest.layers.iter().enumerate() {
            content.push(Part::of(layer));
            if !self.meet(layer)? {
                continue;
            }
            let diff_id = diff_ids.as_ref().and_then(|ids| ids.get(position).copied());
            let layer_form = match media::kind(&layer.media_type) {
                Kind::Layer(compression) => Some(LayerForm { compression, diff_id }),
                _ => None,
            };
            self.plan.blobs.push(Blob { descriptor: layer.clone(), layer: layer_form });
        }
        let form = match diff_ids {
            Some(_) if !manifest.layers.is_empty() => Form::Image(manifest.layers),
            // What an export made of a chain of other things than archives.
            None if manifest.is_chain() => Form::Image(manifest.layers),
            _ => Form::Artifact,
        };
        self.keep(descriptor, octets, form, content)
    }

    /// The digests of the decompressed layers, if this is the configuration of an image.
    async fn config(&mut self, manifest: &Manifest) -> Result<Option<Vec<Digest>>> {
        let descriptor = &manifest.config;
        let new = self.meet(descriptor)?;
        if media::kind(&descriptor.media_type) != Kind::Config {
            if new {
                self.plan.blobs.push(Blob { descriptor: descriptor.clone(), layer: None });
            }
            return Ok(None);
        }
        let known = self.plan.configs.iter().find(|config| config.descriptor.digest == descriptor.digest);
        let octets = match known {
            Some(config) => config.octets.clone(),
            None => {
                check_size(descriptor.size)?;
                self.account(descriptor.size)?;
                let octets = blob(self.source, descriptor).await?;
                self.plan.configs.push(Document { descriptor: descriptor.clone(), octets: octets.clone() });
                octets
            }
        };
        let ids = Config::parse(&octets)?.rootfs.diff_ids;
        if ids.len() != manifest.layers.len() {
            return Err(Refusal::LayerCount { manifest: manifest.layers.len(), config: ids.len() }.into());
        }
        Ok(Some(ids.into_iter().map(|id| id.0).collect()))
    }

    /// Whether it is new; refuses contradictions and what is too much.
    fn meet(&mut self, descriptor: &Descriptor) -> Result<bool> {
        if let Some((size, _)) = self.seen.get(&descriptor.digest.0) {
            if *size != descriptor.size {
                return Err(Refusal::ContradictingSizes { digest: descriptor.digest.0 }.into());
            }
            return Ok(false);
        }
        if descriptor.size > self.limits.blob {
            return Err(Refusal::Limit { what: Limit::Blob, limit: self.limits.blob }.into());
        }
        self.total = self.total.saturating_add(descriptor.size);
        if self.total > self.limits.total {
            return Err(Refusal::Limit { what: Limit::Total, limit: self.limits.total }.into());
        }
        self.seen.insert(descriptor.digest.0, (descriptor.size, None));
        Ok(true)
    }

    async fn hold(&mut self, descriptor: &Descriptor) -> Result<Bytes> {
        check_size(descriptor.size)?;
        self.account(descriptor.size)?;
        document(self.source, descriptor).await
    }

    /// Counts a document that will be held in memory.
    fn account(&mut self, size: u64) -> Result<()> {
        self.held = self.held.saturating_add(size);
        if self.held > MAX_DOCUMENTS_TOTAL {
            return Err(Refusal::Limit { what: Limit::DocumentsTotal, limit: MAX_DOCUMENTS_TOTAL }.into());
        }
        if self.plan.manifests.len() + self.plan.configs.len() >= MAX_DOCUMENTS {
            return Err(Refusal::Limit { what: Limit::Documents, limit: MAX_DOCUMENTS as u64 }.into());
        }
        Ok(())
    }

    fn keep(
        &mut self,
        descriptor: &Descriptor,
        octets: Bytes,
        form: Form,
        mut content: Vec<Part>,
    ) -> Result<Vec<Part>> {
        let mut once = HashSet::new();
        content.retain(|part| once.insert(part.digest));
        self.references = self.references.saturating_add(content.len());
        if self.references > MAX_REFERENCES {
            return Err(Refusal::Limit { what: Limit::References, limit: MAX_REFERENCES as u64 }.into());
        }
        if let Some((_, image)) = self.seen.get_mut(&descriptor.digest.0) {
            *image = Some(self.plan.images.len());
        }
        self.plan.manifests.push(Document { descriptor: descriptor.clone(), octets });
        let image = Image { descriptor: descriptor.clone(), form, content: content.clone() };
        self.plan.images.push(image);
        Ok(content)
    }
}

pub(super) fn too_deep() -> Error {
    Refusal::Limit { what: Limit::IndexDepth, limit: MAX_INDEX_DEPTH as u64 }.into()
}

/// An index or manifest, verified.
pub(super) async fn document(source: &dyn Source, descriptor: &Descriptor) -> Result<Bytes> {
    check_size(descriptor.size)?;
    let octets = source.manifest(descriptor).await?;
    Verifier::check(descriptor, &octets)?;
    Ok(octets)
}

/// A small blob in memory, verified.
pub(super) async fn blob(source: &dyn Source, descriptor: &Descriptor) -> Result<Bytes> {
    let mut reader = source.open(descriptor, &Silent).await?;
    let mut verifier = Verifier::new(descriptor);
    let mut octets = Vec::new();
    while let Some(chunk) = reader.chunk().await? {
        verifier.update(&chunk)?;
        octets.extend_from_slice(&chunk);
    }
    verifier.finish()?;
    Ok(octets.into())
}

#[cfg(test)]
pub(super) mod tests;
