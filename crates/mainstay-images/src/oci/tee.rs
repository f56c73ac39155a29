//! Checks a layer while it is copied: a thread of its own decompresses what passes, so that nothing is read twice.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

use super::error::{Error, ErrorKind, Result};
use super::graph::LayerForm;
use super::layer::{self, Checked};
use super::limits::Limits;
use super::refusal::Refusal;
use super::thread::Beside;
use crate::digest::Digest;

/// Pieces that may wait for the thread.
const QUEUE: usize = 8;

/// A layer's check that runs beside its copy.
#[derive(Debug)]
pub(crate) struct LayerTee {
    feed: Option<mpsc::Sender<Bytes>>,
    check: Option<Beside<Checked>>,
    diff_id: Option<Digest>,
    /// The check has asked for more than there was.
    ended: Arc<AtomicBool>,
}

impl LayerTee {
    /// Starts a check; `size` is that of the stored form.
    pub(crate) fn start(form: LayerForm, size: u64, limits: Limits) -> Self {
        let (feed, queue) = mpsc::channel(QUEUE);
        let ended = Arc::new(AtomicBool::new(false));
        let pieces = Pieces { queue, current: Bytes::new(), ended: Arc::clone(&ended) };
        let check =
            Beside::run("images-layer", move || layer::check(pieces, form.compression, size, &limits));
        Self { feed: Some(feed), check: Some(check), diff_id: form.diff_id, ended }
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

    /// What is wrong with a layer of which not all came, beside that: a refusal of what came before its end. The thread is beside
    /// the copy, so whoever reports that something is missing asks here first, or chance decides which of two reasons is told.
    pub(crate) async fn refused_before_end(mut self) -> Option<Error> {
        let refused = self.outcome().await.err()?;
        (!self.ended.load(Ordering::SeqCst)).then_some(refused)
    }

    async fn outcome(&mut self) -> Result<Checked> {
        self.feed = None;
        match self.check.take() {
            Some(check) => check.outcome().await,
            None => Err(ended()),
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Io(io::ErrorKind::Other), "the check of a layer ended without a result")
}

/// The pieces as one reader, for a thread that may block.
struct Pieces {
    queue: mpsc::Receiver<Bytes>,
    current: Bytes,
    ended: Arc<AtomicBool>,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.queue.blocking_recv() {
                Some(piece) => self.current = piece,
                None => {
                    self.ended.store(true, Ordering::SeqCst);
                    break;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media::Compression;
    use crate::oci::refusal::ArchiveRefusal;

    async fn told(pieces: &[&[u8]]) -> Option<Error> {
        let form = LayerForm { compression: Compression::None, diff_id: None };
        let mut tee = LayerTee::start(form, 4096, Limits::default());
        for piece in pieces {
            if let Err(error) = tee.feed(Bytes::copy_from_slice(piece)).await {
                return Some(error);
            }
        }
        tee.refused_before_end().await
    }

    #[tokio::test]
    async fn of_a_layer_that_is_cut_off_only_what_came_is_judged() {
        let mut header = tar::Header::new_gnu();
        header.set_path("file").unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(1000);
        header.set_cksum();
        let whole: &[u8] = header.as_bytes();
        // Cut off in the content, in a header, before any: that something is missing is the only fault.
        for pieces in [&[whole, &[1; 400]][..], &[&whole[..100]], &[], &[&whole[..10], &whole[10..]]] {
            assert!(told(pieces).await.is_none());
        }
        // What came is wrong in itself, however it is cut into pieces.
        let mut wrong = whole.to_vec();
        wrong[0] ^= 1;
        for pieces in [&[&wrong[..]][..], &[&wrong[..200], &wrong[200..]], &[&wrong, &[0; 100]]] {
            let error = told(pieces).await.unwrap();
            assert_eq!(error.refusal(), Some(&Refusal::Archive { why: ArchiveRefusal::Checksum }));
        }
    }
}
