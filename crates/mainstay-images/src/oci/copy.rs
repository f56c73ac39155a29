//! Carries what a plan names from one place to another, several blobs at once, verified on the way.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::content::{BlobReader, Source, Target, Whole};
use super::document::Descriptor;
use super::error::{Error, Result};
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
        let mut restarts = 0;
        loop {
            match self.attempt(blob).await {
                Err(error) if error.is_transient() && restarts < MAX_RESTARTS => {
                    tracing::debug!(%digest, %error, "a blob starts again");
                    restarts += 1;
                    self.progress.on(Event::Restarted { digest });
                }
                outcome => {
                    outcome.map_err(|error| error.about(blob.descriptor.digest))?;
                    self.progress.on(Event::Finished { digest });
                    return Ok(());
                }
            }
        }
    }

    async fn attempt(&self, blob: &Blob) -> Result<()> {
        let descriptor = &blob.descriptor;
        let digest = descriptor.digest.0;
        let mut reader: Box<dyn BlobReader + '_> = match descriptor.size {
            0 => Box::new(Whole(None)),
            _ => self.source.open(descriptor, self.progress).await?,
        };
        let mut writer = self.target.create(descriptor).await?;
        let form = blob.layer.filter(|_| self.target.checks_layers());
        let mut tee = form.map(|form| LayerTee::start(form, descriptor.size, self.limits.clone()));
        let mut seen = 0_u64;
        while let Some(octets) = reader.chunk().await? {
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
