//! Reading blobs: where their files are, and whether they hold what they should.

use std::io::{self, Read, Seek, SeekFrom};

use mainstay_repo::{Expect, Statement};

use crate::blob::{Blob, BlobState};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, ReadFile, layout};
use crate::ids::{BlobId, ImageId, Incarnation};
use crate::images::{Images, no_image, rows};
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// Octets that are read at once.
const CHUNK: usize = 1024 * 1024;

/// Whether octets are compared with the digest when a blob is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verify {
    /// Only the file's length.
    #[default]
    Size,
    /// All of it, before the first octet is handed out.
    Content,
}

/// One layer's file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LayerFile {
    /// The blob.
    pub digest: Digest,
    /// Its length in octets.
    pub size_bytes: u64,
    /// Where it lies, relative to the store's directory.
    pub path: String,
}

/// An open blob. It blocks; read it where that may be.
pub struct BlobReader {
    file: Box<dyn ReadFile>,
    /// What it is.
    blob: Blob,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader").field("blob", &self.blob).finish_non_exhaustive()
    }
}

impl BlobReader {
    /// The blob's row.
    #[must_use]
    pub const fn blob(&self) -> &Blob {
        &self.blob
    }
}

impl Read for BlobReader {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.file.read(octets)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What a look at a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Good,
    Missing,
    /// Other octets than it should hold.
    Wrong,
    /// The medium says, while it answers to everything else, that it lost what it should hold.
    Unreadable(String),
}

impl Found {
    /// How a missing file is stored among the findings.
    pub(crate) const MISSING: i64 = 1;
    const WRONG: i64 = 2;

    /// As it is stored: what is wrong, and what the system said.
    fn to_stored(&self) -> (i64, Option<String>) {
        match self {
            Self::Missing => (Self::MISSING, None),
            Self::Unreadable(said) => (Self::WRONG, Some(said.clone())),
            Self::Good | Self::Wrong => (Self::WRONG, None),
        }
    }
}

impl Images {
    /// The files of an image's layers, the base first. Lease the image before, or they may go.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Incomplete`] when one cannot be had.
    pub async fn locate(&self, image: ImageId) -> Result<Vec<LayerFile>> {
        let found = self.repo().read(store::images::files(image.get())).await?;
        if found.is_empty() {
            self.find_image(&image.into()).await?.ok_or_else(|| no_image(&image.into()))?;
        }
        rows(found, |row| {
            let digest = store::blobs::read_digest(row)?;
            if BlobState::from_stored(row.get("state")?)? != BlobState::Present {
                return Err(incomplete(&digest));
            }
            Ok(LayerFile {
                digest,
                size_bytes: row.get("size")?,
                path: layout::blob(&digest, row.get("inc")?),
            })
        })
    }

    /// The blobs of an image that cannot be had.
    pub(crate) async fn missing(&self, image: ImageId) -> Result<Vec<Digest>> {
        rows(self.repo().read(store::uses::missing(image.get())).await?, store::blobs::read_digest)
    }

    /// Opens a blob. A file that is missing or wrong is written down as damaged, and set aside.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Incomplete`] when its file is missing; [`ErrorKind::Corrupt`] when it is wrong;
    /// [`ErrorKind::Medium`] when that cannot be told.
    pub async fn open_blob(&self, digest: &Digest, verify: Verify) -> Result<BlobReader> {
        // A repair may give the blob another file between the look at the row and at the disk.
        for _ in 0..3 {
            let blob = self.blob(digest).await?;
            if blob.state != BlobState::Present {
                return Err(incomplete(digest));
            }
            let path = layout::blob(digest, blob.incarnation.get());
            let (size, wanted) = (blob.size_bytes, *digest);
            let opened = self.shared.disk.run(move |files| open(files, &path, &wanted, size, verify)).await?;
            let found = match opened {
                Ok(file) => return Ok(BlobReader { file, blob }),
                Err(found) => found,
            };
            let is_wrong = found == Found::Wrong;
            let was_its_file = self.damaged(blob.id, digest, blob.incarnation, found).await?;
            if was_its_file && is_wrong {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("the file of sha256:{digest} is damaged"),
                )
                .with_help("it was set aside; publish or pull the same content again, that repairs it"));
            }
        }
        Err(incomplete(digest))
    }

    /// Writes down that a blob's file is missing or wrong, if it is still its file and the medium is there.
    pub(crate) async fn damaged(
        &self,
        id: BlobId,
        digest: &Digest,
        incarnation: Incarnation,
        found: Found,
    ) -> Result<bool> {
        self.mark_damaged(id, digest, incarnation, found, None).await
    }

    /// As [`Images::damaged`], and counts it in the same transaction.
    pub(crate) async fn mark_damaged(
        &self,
        id: BlobId,
        digest: &Digest,
        incarnation: Incarnation,
        found: Found,
        count: Option<Statement>,
    ) -> Result<bool> {
        self.shared.disk.prove().await?;
        self.before(Step::ScrubMark).await?;
        let (blob, inc) = (id.get(), incarnation.get());
        // Again: a medium may have come back between the look and the proof.
        if found == Found::Missing && self.shared.disk.size(layout::blob(digest, inc)).await?.is_some() {
            return Ok(false);
        }
        let mut batch = Guarded::new("images.blob_damage");
        batch.require(Expect::ONE, store::blobs::damage(blob, inc), || {
            Error::new(ErrorKind::Conflict, "another file is the blob's by now, or it is known to be damaged")
        });
        let (what, said) = found.to_stored();
        for statement in store::scrub::find(blob, inc, what, said).into_iter().chain(count) {
            batch.push(statement);
        }
        match batch.run(self.repo()).await {
            Err(error) if matches!(error.kind(), ErrorKind::Conflict) => return Ok(false),
            other => drop(other?),
        }
        tracing::error!(%digest, %incarnation, ?found, "a blob is damaged");
        // What cannot be read is no danger where it lies, and who leases its image has its path.
        if found == Found::Wrong {
            self.before(Step::ScrubSetAside).await?;
            let from = layout::blob(digest, incarnation.get());
            let to = layout::quarantined(digest, incarnation.get());
            let set_aside = self.shared.disk.run(move |files| match files.rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Error::medium("cannot set aside", &from, error))
                }
                _ => Ok(()),
            });
            // Its number is never given again: nobody takes it for the blob's, wherever it lies, and once that is repaired it is an orphan.
            if let Err(error) = set_aside.await {
                tracing::warn!(%digest, %error, "a damaged file stays where it is until its blob is repaired or goes");
            }
        }
        Ok(true)
    }
}

/// Opens a file and looks whether it is the one that it should be. What cannot be told is an error.
fn open(
    files: &dyn Files,
    path: &str,
    digest: &Digest,
    size: u64,
    verify: Verify,
) -> Result<std::result::Result<Box<dyn ReadFile>, Found>> {
    let failed = |error| Error::medium("cannot read", path, error);
    let mut file = match files.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Found::Missing)),
        other => other.map_err(failed)?,
    };
    if file.size().map_err(failed)? != size {
        return Ok(Err(Found::Wrong));
    }
    if verify == Verify::Content {
        if hash(&mut *file).map_err(failed)? != *digest {
            return Ok(Err(Found::Wrong));
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
    }
    Ok(Ok(file))
}

fn hash(file: &mut dyn ReadFile) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn incomplete(digest: &Digest) -> Error {
    Error::new(
        ErrorKind::Incomplete,
        format!("sha256:{digest} cannot be had: it is damaged or being deleted"),
    )
    .with_help("publish or pull the same content again; that repairs it")
}
