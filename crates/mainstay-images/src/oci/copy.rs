//! Carries what a plan names from one place to another, several blobs at once, verified on the way.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;

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

/// How an attempt to carry a blob ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it is there.
    Whole,
    /// Another blob failed, so nobody wants this one any more.
    Unwanted,
}

/// What ends the blobs beside the one that failed.
struct Failure {
    told: watch::Sender<bool>,
    first: Mutex<Option<Error>>,
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
        let failure = Failure { told: watch::channel(false).0, first: Mutex::new(None) };
        let blobs = stream::iter(plan.blobs.iter().map(Ok));
        blobs.try_for_each_concurrent(parallel, |blob| self.beside(blob, &failure)).await?;
        if let Some(error) = failure.first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
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

    /// Carries a blob beside others. After a failure the others end where they are, but not in the middle of a write: a thread that
    /// gives a file its name cannot be stopped, and would give it after what was there has been cleared away.
    async fn beside(&self, blob: &Blob, failure: &Failure) -> Result<()> {
        match self.blob(blob, failure.told.subscribe()).await {
            Err(error) if self.target.must_end_writes() => {
                failure.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                failure.told.send_replace(true);
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn blob(&self, blob: &Blob, mut failed: watch::Receiver<bool>) -> Result<()> {
        if *failed.borrow() {
            return Ok(());
        }
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
            match self.attempt(blob, beginning, &mut failed).await {
                // Whether it was the beginning or the rest, or the source knows no rests, all of it is fetched now. It would go
                // wrong again each time that somebody goes on.
                Err(error) if began_before && is_of_going_on(&error) => {
                    tracing::warn!(%digest, %error, "a blob cannot be gone on with, and is fetched anew");
                    trusts = false;
                    if matches!(error.kind(), ErrorKind::Refused(_)) {
                        self.target.forget_beginnings(&blob.descriptor).await?;
                    }
                    self.progress.on(Event::Restarted { digest });
                }
                Err(error) if error.is_transient() && restarts < MAX_RESTARTS => {
                    tracing::debug!(%digest, %error, "a blob starts again");
                    restarts += 1;
                    self.progress.on(Event::Restarted { digest });
                }
                outcome => {
                    let end = outcome.map_err(|error| error.about(blob.descriptor.digest))?;
                    if end == End::Unwanted {
                        return Ok(());
                    }
                    if began_before && let Err(error) = self.target.forget_beginnings(&blob.descriptor).await
                    {
                        tracing::warn!(%digest, %error, "what was there of a blob before is left to a collection");
                    }
                    self.progress.on(Event::Finished { digest });
                    return Ok(());
                }
            }
        }
    }

    /// Carries a blob once: its beginning from where it is at hand, the rest from the source.
    async fn attempt(
        &self,
        blob: &Blob,
        beginning: Option<Beginning>,
        failed: &mut watch::Receiver<bool>,
    ) -> Result<End> {
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
        loop {
            let octets = tokio::select! {
                biased;
                _ = failed.wait_for(|failed| *failed) => return Ok(End::Unwanted),
                octets = next(&mut begun, &mut *reader) => octets?,
            };
            let Some(octets) = octets else { break };
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
        writer.finish().await?;
        Ok(End::Whole)
    }
}

/// Whether a failure may have come of going on in the middle, and not from the first octet.
fn is_of_going_on(error: &Error) -> bool {
    !error.is_transient()
        && !matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Proxy | ErrorKind::Store)
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
