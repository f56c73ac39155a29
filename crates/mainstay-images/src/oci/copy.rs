//! Carries what a plan names from one place to another, several blobs at once, verified on the way.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::content::{Beginning, BlobReader, Source, Target, Whole};
use super::document::Descriptor;
use super::error::{Error, ErrorKind, Result};
use super::graph::{Blob, Plan};
use super::limits::Limits;
use super::progress::{Event, Progress};
use super::refusal::Refusal;
use super::tee::LayerTee;

/// How often a blob starts again from its first octet, after what carries it could not resume.
const MAX_RESTARTS: u32 = 2;

/// The two ends of a copy, and what holds on the way.
#[derive(Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) target: &'a dyn Target,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a dyn Progress,
}

impl Copy<'_> {
    /// Carries all of a plan: blobs, then configurations, then manifests.
    pub(crate) async fn run(&self, plan: &Plan) -> Result<()> {
        let octets = plan.blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.descriptor.size));
        self.progress.on(Event::Planned { blobs: plan.blobs.len(), octets });
        let documents = plan.configs.iter().chain(&plan.manifests).map(|document| &document.descriptor);
        let all: Vec<&Descriptor> = plan.blobs.iter().map(|blob| &blob.descriptor).chain(documents).collect();
        self.target.expect(&all).await?;
        let parallel = self.source.parallel().min(self.target.parallel()).max(1);
        let blobs = stream::iter(plan.blobs.iter().map(Ok));
        blobs.try_for_each_concurrent(parallel, |blob| self.blob(blob)).await?;
        let configs = stream::iter(&plan.configs).then(async |config| {
            if self.target.has(&config.descriptor).await? {
                return Ok(());
            }
            let mut writer = self.target.create(&config.descriptor).await?;
            writer.write(config.octets.clone()).await?;
            writer.finish().await
        });
        configs.try_collect::<()>().await?;
        for manifest in &plan.manifests {
            self.target.put_manifest(&manifest.descriptor, manifest.octets.clone()).await?;
        }
        Ok(())
    }

    async fn blob(&self, blob: &Blob) -> Result<()> {
        let (digest, size) = (blob.descriptor.digest.0, blob.descriptor.size);
        if self.target.has(&blob.descriptor).await? {
            self.progress.on(Event::Present { digest, size });
            return Ok(());
        }
        let media_type = &blob.descriptor.media_type;
        self.progress.on(Event::Started { digest, size, media_type });
        let (mut restarts, mut trusts) = (0, self.source.resumes());
        loop {
            let beginning = if trusts { self.target.beginning(&blob.descriptor).await? } else { None };
            let began_before = beginning.is_some();
            match self.attempt(blob, beginning).await {
                // Whether it was the beginning or the rest that is wrong, all of it is fetched now.
                Err(error) if began_before && matches!(error.kind(), ErrorKind::Refused(_)) => {
                    tracing::warn!(%digest, %error, "what was there of a blob is thrown away, and it is fetched anew");
                    trusts = false;
                    self.target.forget_beginnings(&blob.descriptor).await?;
                    self.progress.on(Event::Restarted { digest });
                }
                Err(error) if error.is_transient() && restarts < MAX_RESTARTS => {
                    tracing::debug!(%digest, %error, "a blob starts again");
                    restarts += 1;
                    self.progress.on(Event::Restarted { digest });
                }
                outcome => {
                    outcome.map_err(|error| error.about(blob.descriptor.digest))?;
                    if began_before {
                        self.target.forget_beginnings(&blob.descriptor).await?;
                    }
                    self.progress.on(Event::Finished { digest });
                    return Ok(());
                }
            }
        }
    }

    /// Carries a blob once: its beginning from where it is at hand, the rest from the source.
    async fn attempt(&self, blob: &Blob, beginning: Option<Beginning>) -> Result<()> {
        let descriptor = &blob.descriptor;
        let digest = descriptor.digest.0;
        let (mut begun, at) = match beginning {
            None => (None, 0),
            Some(Beginning { reader, size }) => (Some(reader), size),
        };
        let mut reader: Box<dyn BlobReader + '_> = match descriptor.size {
            0 => Box::new(Whole(None)),
            _ if at > 0 => self.source.open_at(descriptor, at, self.progress).await?,
            _ => self.source.open(descriptor, self.progress).await?,
        };
        if at > 0 {
            self.progress.on(Event::Found { digest, octets: at });
        }
        let mut writer = self.target.create(descriptor).await?;
        let form = blob.layer.filter(|_| self.target.checks_layers());
        let mut tee = form.map(|form| LayerTee::start(form, descriptor.size, self.limits.clone()));
        let mut seen = 0_u64;
        while let Some(octets) = next(&mut begun, &mut *reader).await? {
            seen = seen.saturating_add(length(&octets));
            if seen > descriptor.size {
                return Err(wrong_size(tee, descriptor, seen).await);
            }
            if let Some(tee) = &mut tee {
                tee.feed(octets.clone()).await?;
            }
            self.progress.on(Event::Advanced { digest, octets: length(&octets) });
            writer.write(octets).await?;
        }
        if seen != descriptor.size {
            return Err(wrong_size(tee, descriptor, seen).await);
        }
        if let Some(tee) = tee {
            tee.finish().await?;
        }
        writer.finish().await
    }
}

/// The next octets: of a beginning while there is one, then of the rest.
async fn next(begun: &mut Option<Box<dyn BlobReader>>, rest: &mut dyn BlobReader) -> Result<Option<Bytes>> {
    if let Some(reader) = begun {
        if let Some(octets) = reader.chunk().await? {
            return Ok(Some(octets));
        }
        *begun = None;
    }
    rest.chunk().await
}

/// Of a layer that is cut off or goes on, the size tells more than what a decoder says at its end; what was wrong before comes
/// first.
async fn wrong_size(tee: Option<LayerTee>, descriptor: &Descriptor, found: u64) -> Error {
    let refused = match tee {
        Some(tee) => tee.refused_before_end().await,
        None => None,
    };
    let (digest, expected) = (descriptor.digest.0, descriptor.size);
    refused.unwrap_or_else(|| Refusal::SizeMismatch { digest, expected, found }.into())
}

fn length(octets: &Bytes) -> u64 {
    u64::try_from(octets.len()).unwrap_or(u64::MAX)
}
