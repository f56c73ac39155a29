//! Writes to a registry: blobs mounted, whole or in pieces that go on where a connection broke; manifests by digest and by tag.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, RANGE};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::client::{Ask, Registry, jittered};
use super::retry;
use super::url::{escaped, with_query};
use crate::digest::Digest;
use crate::oci::content::{BlobWriter, Target, Verifier};
use crate::oci::document::Descriptor;
use crate::oci::error::{Error, ErrorKind, Result};

/// Blobs that are sent at once.
const PARALLEL: usize = 4;
/// The largest piece that a registry may ask for, in octets: it is held in memory.
const MAX_PIECE: usize = 64 * 1024 * 1024;
/// What content without a type of its own is.
const OCTETS: &str = "application/octet-stream";
/// The header in which a registry asks for larger pieces.
const MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// A repository that is pushed to.
#[derive(Debug)]
pub(crate) struct PushTarget {
    registry: Registry,
    /// Uploads that a registry began where it could not mount.
    begun: Mutex<HashMap<Digest, Began>>,
}

/// An upload: where its next piece goes, and how large that is.
#[derive(Debug)]
struct Began {
    location: Uri,
    piece: usize,
}

impl PushTarget {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, begun: Mutex::default() }
    }

    /// Gives a manifest its tag.
    pub(crate) async fn tag(&self, tag: &str, descriptor: &Descriptor, octets: Bytes) -> Result<()> {
        self.put(tag, descriptor, octets).await
    }

    async fn put(&self, name: &str, descriptor: &Descriptor, octets: Bytes) -> Result<()> {
        let url = self.registry.url(&format!("manifests/{name}"))?;
        let ask = Ask::new(Method::PUT, url).header(CONTENT_TYPE, &descriptor.media_type)?.body(octets);
        let response = self.registry.ask(&ask).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        Err(self.registry.problem(response).await)
    }

    async fn exists(&self, descriptor: &Descriptor) -> Result<bool> {
        let url = self.registry.url(&format!("blobs/{}", descriptor.digest))?;
        let response = self.registry.ask(&Ask::new(Method::HEAD, url)).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.registry.problem(response).await),
        }
    }

    /// Begins an upload, or mounts; none when it is mounted.
    async fn begin(&self, query: &str) -> Result<Option<Began>> {
        let url = self.registry.url(&format!("blobs/uploads/{query}"))?;
        let response = self.registry.ask(&Ask::new(Method::POST, url.clone())).await?;
        match response.status() {
            StatusCode::CREATED if !query.is_empty() => Ok(None),
            StatusCode::ACCEPTED => {
                let wanted = response.headers().get(MIN_LENGTH).and_then(|value| value.to_str().ok());
                let wanted = wanted.and_then(|value| value.parse().ok()).unwrap_or(0);
                if wanted > MAX_PIECE {
                    return Err(self.registry.strange("it asks for pieces that are too large to hold"));
                }
                let location = self.registry.location(&response, &url)?;
                Ok(Some(Began {
                    location,
                    piece: self.registry.options().piece.clamp(1, MAX_PIECE).max(wanted),
                }))
            }
            _ => Err(self.registry.problem(response).await),
        }
    }

    async fn began(&self, digest: Digest) -> Result<Began> {
        if let Some(began) = self.begun.lock().await.remove(&digest) {
            return Ok(began);
        }
        let nothing = || self.registry.strange("it begins no upload");
        self.begin("").await?.ok_or_else(nothing)
    }
}

#[async_trait]
impl Target for PushTarget {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        if self.exists(descriptor).await? {
            return Ok(true);
        }
        let Some(from) = self.registry.mount_from() else { return Ok(false) };
        let query = format!("?mount={}&from={}", escaped(&descriptor.digest.to_string()), escaped(from));
        match self.begin(&query).await? {
            None => Ok(true),
            Some(began) => {
                self.begun.lock().await.insert(descriptor.digest.0, began);
                Ok(false)
            }
        }
    }

    async fn create<'a>(&'a self, descriptor: &'a Descriptor) -> Result<Box<dyn BlobWriter + 'a>> {
        let began = self.began(descriptor.digest.0).await?;
        Ok(Box::new(Upload {
            target: self,
            descriptor,
            verifier: Verifier::new(descriptor),
            began,
            held: BytesMut::new(),
            sent: 0,
            broke: false,
        }))
    }

    async fn put_manifest(&self, descriptor: &Descriptor, octets: Bytes) -> Result<()> {
        self.put(&descriptor.digest.to_string(), descriptor, octets).await
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    fn must_end_writes(&self) -> bool {
        false
    }

    fn checks_layers(&self) -> bool {
        false
    }
}

/// A blob that is being sent.
struct Upload<'a> {
    target: &'a PushTarget,
    descriptor: &'a Descriptor,
    verifier: Verifier,
    began: Began,
    /// What was taken and is not known to have arrived.
    held: BytesMut,
    /// What has arrived.
    sent: u64,
    /// Whether the transfer broke before, so that the registry may hold something else than we think.
    broke: bool,
}

#[async_trait]
impl BlobWriter for Upload<'_> {
    async fn write(&mut self, octets: Bytes) -> Result<()> {
        self.verifier.update(&octets)?;
        self.held.extend_from_slice(&octets);
        while self.held.len() > self.began.piece {
            let piece = self.held.split_to(self.began.piece).freeze();
            self.send(piece).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let rest = self.held.split().freeze();
        std::mem::replace(&mut self.verifier, Verifier::new(self.descriptor)).finish()?;
        if self.sent == 0 {
            return self.whole(rest).await;
        }
        self.send(rest).await?;
        self.close().await
    }
}

impl Upload<'_> {
    const fn registry(&self) -> &Registry {
        &self.target.registry
    }

    /// Sends one piece, and what is left of it after each break.
    async fn send(&mut self, piece: Bytes) -> Result<()> {
        let end = self.sent.saturating_add(length(&piece));
        let mut rest = piece;
        let mut failures = 0;
        while !rest.is_empty() {
            let last = end.saturating_sub(1);
            let ask = Ask::new(Method::PATCH, self.began.location.clone())
                .header(CONTENT_TYPE, OCTETS)?
                .header(CONTENT_RANGE, &format!("{}-{last}", self.sent))?
                .body(rest.clone());
            let arrived = match self.registry().ask_once(&ask).await {
                Ok(response) if response.status() == StatusCode::ACCEPTED => {
                    self.began.location = self.registry().location(&response, &self.began.location)?;
                    match arrived(response.headers()).unwrap_or(end) {
                        // It took nothing: that is a failure like a break, or the same piece would go out for ever.
                        arrived if arrived <= self.sent => self.ask_how_far(&mut failures).await?,
                        arrived => arrived,
                    }
                }
                Ok(response) if may_go_on(&response) => self.ask_how_far(&mut failures).await?,
                // It ran out, or holds more of a piece than the registry can go on from.
                Ok(response) if response.status() == StatusCode::NOT_FOUND => return Err(lost()),
                Ok(response) => return Err(self.registry().problem(response).await),
                Err(error) if error.is_transient() => self.ask_how_far(&mut failures).await?,
                Err(error) => return Err(error),
            };
            let new = arrived.checked_sub(self.sent).and_then(|new| usize::try_from(new).ok());
            let Some(new) = new.filter(|new| *new <= rest.len()) else {
                return Err(lost());
            };
            if new > 0 {
                failures = 0;
            }
            rest = rest.slice(new..);
            self.sent = arrived;
        }
        Ok(())
    }

    /// After a break: how many octets the registry has.
    async fn ask_how_far(&mut self, failures: &mut u32) -> Result<u64> {
        self.broke = true;
        *failures += 1;
        let wait = self.registry().options().retry.wait(*failures, None).ok_or_else(lost)?;
        tokio::time::sleep(jittered(wait)).await;
        let response = self.registry().ask(&Ask::new(Method::GET, self.began.location.clone())).await?;
        if response.status() != StatusCode::NO_CONTENT {
            return Err(lost());
        }
        if response.headers().contains_key(http::header::LOCATION) {
            self.began.location = self.registry().location(&response, &self.began.location)?;
        }
        // Before the first octet and after it a registry says the same; the first octet never arrives alone.
        Ok(arrived(response.headers()).filter(|arrived| *arrived > 1).unwrap_or(0))
    }

    /// Sends all of a small blob at once. After a break a new upload begins, unless it did arrive.
    async fn whole(&mut self, octets: Bytes) -> Result<()> {
        let mut failures = 0;
        loop {
            let url = with_query(&self.began.location, "digest", &self.descriptor.digest.to_string())?;
            let ask = Ask::new(Method::PUT, url).header(CONTENT_TYPE, OCTETS)?.body(octets.clone());
            if self.closed(self.registry().ask_once(&ask).await, &mut failures).await? {
                return Ok(());
            }
            self.began = self.target.began(self.descriptor.digest.0).await?;
        }
    }

    /// Ends an upload in pieces.
    async fn close(&mut self) -> Result<()> {
        let url = with_query(&self.began.location, "digest", &self.descriptor.digest.to_string())?;
        let ask = Ask::new(Method::PUT, url).header(CONTENT_TYPE, OCTETS)?;
        let mut failures = 0;
        while !self.closed(self.registry().ask_once(&ask).await, &mut failures).await? {}
        Ok(())
    }

    /// Whether the blob is there; after a failure that may pass, the caller tries again.
    async fn closed(&self, outcome: Result<Response<Incoming>>, failures: &mut u32) -> Result<bool> {
        let error = match outcome {
            Ok(response) if response.status() == StatusCode::CREATED => return Ok(true),
            Ok(response) => self.registry().problem(response).await,
            Err(error) => error,
        };
        if !error.is_transient() {
            // What broke may have arrived twice: the whole blob is sent once more.
            let again = self.broke && !matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Proxy);
            return Err(if again { Error::new(ErrorKind::Unavailable, error.to_string()) } else { error });
        }
        *failures += 1;
        let wait = self.registry().options().retry.wait(*failures, None).ok_or(error)?;
        tokio::time::sleep(jittered(wait)).await;
        // The answer may have been lost, not the blob.
        self.target.exists(self.descriptor).await
    }
}

/// The upload has to start again.
fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the registry lost track of an upload; push again")
}

/// Whether an answer to a piece leaves the upload alive.
fn may_go_on(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::RANGE_NOT_SATISFIABLE || retry::is_transient(response.status())
}

/// How many octets have arrived: the registry names the first and the last.
fn arrived(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let last: u64 = last.parse().ok().filter(|_| first == "0")?;
    last.checked_add(1)
}

fn length(octets: &Bytes) -> u64 {
    u64::try_from(octets.len()).unwrap_or(u64::MAX)
}
