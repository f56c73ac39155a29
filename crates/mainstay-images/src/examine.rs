//! Reading a blob's file to its end, a piece at a time, and telling a file that the medium lost from a medium that is away.

use std::io::{self, Read as _};

use mainstay_core::SystemClock;
use rustix::io::Errno;
use serde::Serialize;

use crate::digest::{Digest, Hasher};
use crate::disk::{unlink, write_whole};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{ReadFile, layout};
use crate::gc::Pace;
use crate::images::{Images, StoreId};
use crate::read::Found;

/// Octets that are read at once.
const CHUNK: usize = 1024 * 1024;

/// What reading a file came to.
#[derive(Debug)]
pub(crate) enum Seen {
    Found(Found),
    /// Nothing can be said of what it holds.
    Failed(io::Error),
}

/// A file that is read to its end.
struct Reading {
    file: Box<dyn ReadFile>,
    hasher: Hasher,
    chunk: Vec<u8>,
}

impl Reading {
    /// Reads so many octets more; whether that was the end, and how many there were.
    fn go_on(&mut self, most: u64) -> io::Result<(bool, u64)> {
        let mut read = 0;
        while read < most {
            let room = usize::try_from(most - read).unwrap_or(CHUNK).min(CHUNK);
            match self.file.read(self.chunk.get_mut(..room).unwrap_or_default()) {
                Ok(0) => return Ok((true, read)),
                Ok(octets) => {
                    self.hasher.update(self.chunk.get(..octets).unwrap_or_default());
                    read += octets as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((false, read))
    }
}

/// Whether an error of reading says that the medium lost what it should hold, and not that it is away or that somebody may not read.
pub(crate) fn is_lost(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::IO | Errno::BADMSG | Errno::UCLEAN | Errno::NODATA | Errno::ILSEQ))
}

impl Images {
    /// Looks at all octets of a file, with rests.
    pub(crate) async fn examine(
        &self,
        path: String,
        digest: &Digest,
        size: u64,
        pace: &mut Pace,
    ) -> Result<Seen> {
        let disk = &self.shared.disk;
        let opened = disk
            .run(move |files| {
                Ok(files.open(&path).and_then(|file| {
                    let length = file.size()?;
                    Ok((Reading { file, hasher: Hasher::new(), chunk: vec![0; CHUNK] }, length))
                }))
            })
            .await?;
        let mut reading = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::Found(Found::Missing)),
            Err(error) => return Ok(Seen::Failed(error)),
            Ok((_, length)) if length != size => return Ok(Seen::Found(Found::Wrong)),
            Ok((reading, _)) => reading,
        };
        loop {
            let most = pace.left();
            let (back, went) = disk
                .run(move |_| {
                    let went = reading.go_on(most);
                    Ok((reading, went))
                })
                .await?;
            reading = back;
            let (is_end, octets) = match went {
                Ok(went) => went,
                Err(error) => return Ok(Seen::Failed(error)),
            };
            if is_end {
                pace.read(octets).await;
                let found = if reading.hasher.finish() == *digest { Found::Good } else { Found::Wrong };
                return Ok(Seen::Found(found));
            }
            pace.read(octets).await;
        }
    }

    /// Proves that the medium is there and takes what is written to it: what it does not give back meanwhile is lost, and it is not away.
    /// A full disk is there. False when it takes nothing by somebody's will, and then nothing is known of it.
    pub(crate) async fn prove_alive(&self) -> Result<bool> {
        self.shared.disk.prove().await?;
        let path = layout::marker_staged(&StoreId::generate(&SystemClock).to_string());
        let written = self.shared.disk.run(move |files| {
            let written = write_whole(files, &path, b"\n");
            unlink(files, &path).and(written)
        });
        let is_alive = match written.await {
            Err(error) if is_read_only(&error) => false,
            Err(error) if !matches!(error.kind(), ErrorKind::NoSpace) => return Err(error),
            _ => true,
        };
        self.shared.disk.prove().await?;
        Ok(is_alive)
    }
}

fn is_read_only(error: &Error) -> bool {
    let system = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    system.is_some_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

/// Files of which a call of a scrub could say nothing: somebody may not read them, say. It went past them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// How many there were.
    pub files: u64,
    /// Where the first one lies, relative to the store's directory, and what the system said of it.
    pub first: String,
}

impl Unread {
    pub(crate) fn of(path: &str, error: &io::Error) -> Self {
        tracing::warn!(%path, %error, "a file could not be read, and the scrub goes past it");
        Self { files: 1, first: format!("{path}: {error}") }
    }

    /// These, and those of a later call.
    #[must_use]
    pub fn and(self, later: Option<Self>) -> Self {
        Self { files: self.files + later.map_or(0, |later| later.files), ..self }
    }

    /// What is to be told of them.
    #[must_use]
    pub fn error(&self) -> Error {
        let Self { files, first } = self;
        let message =
            format!("{files} file(s) could not be read, and the scrub went past them; the first was {first}");
        Error::new(ErrorKind::Medium, message)
            .with_help("let this user read them and scrub again; nothing was decided of what they hold")
    }
}
