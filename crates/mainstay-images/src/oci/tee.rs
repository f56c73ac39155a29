//! Checks a layer while it is copied: a thread of its own decompresses what passes, so that nothing is read twice.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::{Error, ErrorKind, Result};
use super::graph::LayerForm;
use super::layer::{self, Checked};
use super::limits::Limits;
use super::refusal::Refusal;
use crate::digest::Digest;

/// Pieces that may wait for the thread.
const QUEUE: usize = 8;

/// A layer's check that runs beside its copy.
#[derive(Debug)]
pub(crate) struct LayerTee {
    feed: Option<mpsc::Sender<Bytes>>,
    check: JoinHandle<Result<Checked>>,
    diff_id: Option<Digest>,
}

impl LayerTee {
    /// Starts a check; `size` is that of the stored form.
    pub(crate) fn start(form: LayerForm, size: u64, limits: Limits) -> Self {
        let (feed, queue) = mpsc::channel(QUEUE);
        let pieces = Pieces { queue, current: Bytes::new() };
        let check =
            tokio::task::spawn_blocking(move || layer::check(pieces, form.compression, size, &limits));
        Self { feed: Some(feed), check, diff_id: form.diff_id }
    }

    /// Gives it the next octets; the refusal comes as soon as there is one.
    pub(crate) async fn feed(&mut self, octets: Bytes) -> Result<()> {
        let sent = match &self.feed {
            Some(feed) => feed.send(octets).await.is_ok(),
            None => false,
        };
        // It stops listening before the end only when it refuses.
        if sent { Ok(()) } else { Err(self.outcome().await.err().unwrap_or_else(ended)) }
    }

    /// Waits for the end of the check.
    pub(crate) async fn finish(mut self) -> Result<Checked> {
        let checked = self.outcome().await?;
        match self.diff_id {
            Some(expected) if expected != checked.diff_id => {
                Err(Refusal::DiffId { expected, found: checked.diff_id }.into())
            }
            _ => Ok(checked),
        }
    }

    async fn outcome(&mut self) -> Result<Checked> {
        self.feed = None;
        (&mut self.check).await.map_err(|_| ended())?
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Io(io::ErrorKind::Other), "the check of a layer ended without a result")
}

/// The pieces as one reader, for a thread that may block.
struct Pieces {
    queue: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.queue.blocking_recv() {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, octets: usize) {
        self.current.advance(octets.min(self.current.len()));
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
