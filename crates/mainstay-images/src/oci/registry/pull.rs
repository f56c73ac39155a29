//! Reads from a registry: documents, and blobs that go on where a connection broke.

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::client::{Ask, Registry, jittered};
use crate::oci::content::{BlobReader, Source};
use crate::oci::document::{Descriptor, OciDigest, own_media_type};
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::limits::MAX_DOCUMENT;
use crate::oci::media::{self, Kind};
use crate::oci::progress::{Event, Progress};
use crate::oci::refusal::Refusal;

/// Blobs that are fetched at once.
const PARALLEL: usize = 4;
/// The header in which a registry says which content it sends.
const CONTENT_DIGEST: &str = "docker-content-digest";

impl Registry {
    /// What the reference stands for now.
    pub(crate) async fn resolve(&self) -> Result<Descriptor> {
        let reference = self.reference();
        let url = self.url(&format!("manifests/{}", reference.target()))?;
        let (headers, octets) =
            self.document(&Ask::new(Method::GET, url).header(ACCEPT, media::ACCEPT)?).await?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        let media_type = match media::kind(content_type) {
            Kind::Unknown => own_media_type(&octets)?,
            _ => content_type.to_owned(),
        };
        let descriptor = Descriptor::of(&media_type, &octets);
        let found = descriptor.digest;
        let said = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let said = said.and_then(|text| text.parse::<OciDigest>().ok());
        for expected in [reference.digest, said].into_iter().flatten() {
            if expected != found {
                return Err(Refusal::DigestMismatch { expected: expected.0, found: found.0 }.into());
            }
        }
        *self.root.lock().await = Some((found.0, octets));
        Ok(descriptor)
    }

    /// A document, fetched again when the connection breaks on the way.
    async fn document(&self, ask: &Ask) -> Result<(HeaderMap, Bytes)> {
        let limit = usize::try_from(MAX_DOCUMENT).unwrap_or(usize::MAX);
        let mut failures = 0;
        loop {
            let response = self.ask(ask).await?;
            if response.status() != StatusCode::OK {
                return Err(self.problem(response).await);
            }
            let headers = response.headers().clone();
            match self.body(response, limit).await {
                Err(error) if error.is_transient() => {
                    failures += 1;
                    let wait = self.options().retry.wait(failures, None).ok_or(error)?;
                    tokio::time::sleep(jittered(wait)).await;
                }
                outcome => return outcome.map(|octets| (headers, octets)),
            }
        }
    }
}

#[async_trait]
impl Source for Registry {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        if let Some((digest, octets)) = &*self.root.lock().await
            && *digest == descriptor.digest.0
        {
            return Ok(octets.clone());
        }
        let ask = Ask::new(Method::GET, self.url(&format!("manifests/{}", descriptor.digest))?);
        let accept = if descriptor.media_type.is_empty() { media::ACCEPT } else { &descriptor.media_type };
        Ok(self.document(&ask.header(ACCEPT, accept)?).await?.1)
    }

    async fn open<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>> {
        self.open_at(descriptor, 0, progress).await
    }

    fn resumes(&self) -> bool {
        true
    }

    async fn open_at<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        at: u64,
        progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>> {
        Ok(Box::new(Download {
            registry: self,
            descriptor,
            progress,
            body: None,
            at,
            skip: 0,
            failures: 0,
            breaks: 0,
            brought: false,
            is_all: false,
        }))
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }
}

/// A blob that is being fetched.
struct Download<'a> {
    registry: &'a Registry,
    descriptor: &'a Descriptor,
    progress: &'a dyn Progress,
    body: Option<Incoming>,
    /// What was given out, or was there before.
    at: u64,
    /// What is passed over, because the registry began again from the start.
    skip: u64,
    /// Breaks in a row without one octet more.
    failures: u32,
    /// Breaks in all.
    breaks: u32,
    /// Whether this answer, or the one before that ended, brought an octet that was not there.
    brought: bool,
    /// Whether the registry has no more than what came, however much was promised.
    is_all: bool,
}

impl Download<'_> {
    /// Asks for what is not there yet.
    async fn open(&mut self) -> Result<()> {
        let url = self.registry.url(&format!("blobs/{}", self.descriptor.digest))?;
        let mut ask = Ask::new(Method::GET, url);
        if self.at > 0 {
            ask = ask.header(RANGE, &format!("bytes={}-", self.at))?;
        }
        let response = self.registry.ask(&ask).await?;
        self.skip = match response.status() {
            StatusCode::OK => {
                self.check_length(&response)?;
                self.at
            }
            StatusCode::PARTIAL_CONTENT if self.at > 0 && starts_at(response.headers()) == Some(self.at) => 0,
            // It ended before its time, and there is no rest.
            StatusCode::RANGE_NOT_SATISFIABLE if self.brought => {
                self.is_all = true;
                return Ok(());
            }
            StatusCode::PARTIAL_CONTENT => {
                return Err(self.registry.strange("it sends another part of a blob than it was asked for"));
            }
            _ => return Err(self.registry.problem(response).await),
        };
        self.brought = false;
        self.body = Some(response.into_body());
        Ok(())
    }

    /// A wrong size that is announced is refused before anything is fetched.
    fn check_length(&self, response: &Response<Incoming>) -> Result<()> {
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match length.and_then(|length| length.parse().ok()) {
            Some(found) if found != self.descriptor.size => {
                let (digest, expected) = (self.descriptor.digest.0, self.descriptor.size);
                Err(Refusal::SizeMismatch { digest, expected, found }.into())
            }
            _ => Ok(()),
        }
    }

    /// Waits until it is worth another try.
    async fn broken(&mut self, error: Error) -> Result<()> {
        self.body = None;
        self.failures += 1;
        self.breaks += 1;
        let retry = &self.registry.options().retry;
        let wait = retry.wait(self.failures, None).filter(|_| self.breaks <= retry.breaks);
        let Some(wait) = wait.filter(|_| error.is_transient()) else { return Err(error) };
        tokio::time::sleep(jittered(wait)).await;
        let digest = self.descriptor.digest.0;
        self.progress.on(Event::Resumed { digest, at: self.at, attempt: self.breaks });
        Ok(())
    }

    /// The part of a piece that was not there yet.
    fn fresh(&mut self, mut octets: Bytes) -> Bytes {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(octets.len());
        octets.advance(known);
        self.skip = self.skip.saturating_sub(u64::try_from(known).unwrap_or(0));
        self.at = self.at.saturating_add(u64::try_from(octets.len()).unwrap_or(0));
        octets
    }
}

#[async_trait]
impl BlobReader for Download<'_> {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(body) = &mut self.body else {
                // What is complete is not asked for again: there is no range after the end.
                if self.is_all || (self.at > 0 && self.at >= self.descriptor.size) {
                    return Ok(None);
                }
                // The request is repeated inside; what fails there has failed.
                self.open().await?;
                continue;
            };
            match self.registry.frame(body).await {
                Ok(Some(octets)) => {
                    let octets = self.fresh(octets);
                    if !octets.is_empty() {
                        self.brought = true;
                        self.failures = 0;
                        return Ok(Some(octets));
                    }
                }
                // A connection that is closed early looks like an end, and a part may be shorter than what was asked for. The rest is asked
                // for until an answer brings nothing: then there is no more, and the size is wrong.
                Ok(None) if self.brought && self.at < self.descriptor.size => {
                    let error = self.registry.strange("it ends a blob before its end");
                    self.broken(Error::new(ErrorKind::Unavailable, error.to_string())).await?;
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    // It did not end: that the registry refuses a range says nothing of how much there is.
                    self.brought = false;
                    self.broken(error).await?;
                }
            }
        }
    }
}

/// The first octet of a part.
fn starts_at(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
