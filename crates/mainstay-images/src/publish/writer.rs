//! One blob on its way to the disk: hashed while it is written, durable before it has its name.

use std::io::{Read, Write as _};
use std::sync::Arc;

use super::session::{Claim, Ingest, Judged, Session, Staged, adopted};
use crate::blob::BlobKind;
use crate::digest::{Digest, Hasher};
use crate::disk;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, StagedFile, layout};
use crate::image::check_text;
use crate::step::Step;

/// Octets that are read from a reader at once.
const CHUNK: usize = 1024 * 1024;
/// A blob whose size was not said is held against the free-space floor after so many octets.
const SPACE_EVERY: u64 = 64 * 1024 * 1024;
/// The largest blob: what both databases can count.
const MAX_BLOB_BYTES: u64 = i64::MAX.unsigned_abs();

/// What is known of a blob before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSpec {
    /// Its digest, if known; other octets are refused.
    pub digest: Option<Digest>,
    /// Its length in octets, if known; more or less are refused.
    pub size_bytes: Option<u64>,
    /// Where in a chain it may lie.
    pub kind: BlobKind,
    /// What it is.
    pub media_type: String,
}

impl WriterSpec {
    /// A blob of which nothing is known yet.
    #[must_use]
    pub fn new(kind: BlobKind, media_type: impl Into<String>) -> Self {
        Self { digest: None, size_bytes: None, kind, media_type: media_type.into() }
    }

    /// A blob whose digest and length are known.
    #[must_use]
    pub fn known(digest: Digest, size_bytes: u64, kind: BlobKind, media_type: impl Into<String>) -> Self {
        Self { digest: Some(digest), size_bytes: Some(size_bytes), kind, media_type: media_type.into() }
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    session: Arc<Session>,
    spec: WriterSpec,
    inc: i64,
    replaces: Option<i64>,
    open: Option<Open>,
    measured: u64,
}

/// The file and what went into it.
struct Open {
    file: Box<dyn StagedFile>,
    hasher: Hasher,
    size: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Open {
    fn take(&mut self, octets: &[u8], most: Option<u64>, path: &str) -> Result<()> {
        let size = self.size.saturating_add(octets.len() as u64);
        let most = most.unwrap_or(MAX_BLOB_BYTES);
        if size > most {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("more than the {most} octets that were told"),
            ));
        }
        self.hasher.update(octets);
        self.file.write_all(octets).map_err(|error| Error::medium("cannot write", path, error))?;
        self.size = size;
        Ok(())
    }
}

impl Ingest {
    /// Begins to write a blob.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`]; [`ErrorKind::Stale`]; [`ErrorKind::Conflict`] when this session has it or writes it already;
    /// of the database and the medium.
    pub async fn writer(&self, spec: WriterSpec) -> Result<BlobWriter> {
        check_text("media_type", &spec.media_type)?;
        let session = Arc::clone(&self.shared);
        let pending = match &spec.digest {
            None => None,
            Some(digest) => {
                let mut state = session.state();
                if state.claims.contains_key(digest) {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("this ingest has sha256:{digest} already"),
                    ));
                }
                state.pending.remove(digest)
            }
        };
        let (inc, replaces) = match pending {
            Some(pending) => {
                session.state().spare.push(pending.inc);
                (pending.inc, pending.replaces)
            }
            None => {
                let (inc, found) = session.intend(spec.digest.as_ref(), spec.size_bytes.unwrap_or(0)).await?;
                let judged = session.judge(found.as_ref(), spec.size_bytes).await?;
                let replaces = if let Judged::Write { replaces } = judged { replaces } else { None };
                (inc, replaces)
            }
        };
        // The number is spare until the blob has its name: so long the file lies in the staging directory under it.
        session.before(Step::PublishWrite).await?;
        let path = layout::staged(inc);
        let file = session
            .disk()
            .run(move |files| files.create(&path).map_err(|error| Error::medium("cannot make", &path, error)))
            .await?;
        let open = Some(Open { file, hasher: Hasher::new(), size: 0 });
        Ok(BlobWriter { session, spec, inc, replaces, open, measured: 0 })
    }

    /// Writes all that a reader gives, on a thread that may block, in one pass.
    ///
    /// # Errors
    /// As [`Ingest::writer`] and [`BlobWriter::finish`]; [`ErrorKind::Medium`] when the reader fails.
    pub async fn put(&self, spec: WriterSpec, reader: impl Read + Send + 'static) -> Result<Staged> {
        let mut writer = self.writer(spec).await?;
        writer.fill(reader).await?;
        writer.finish().await
    }
}

impl BlobWriter {
    /// Writes the next octets.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when they are more than was told; [`ErrorKind::NoSpace`]; of the medium.
    pub async fn write(&mut self, octets: impl AsRef<[u8]> + Send + 'static) -> Result<()> {
        let mut open = self.take_open()?;
        let (most, path) = (self.spec.size_bytes, layout::staged(self.inc));
        let open =
            self.session.disk().run(move |_| open.take(octets.as_ref(), most, &path).map(|()| open)).await?;
        let size = open.size;
        self.open = Some(open);
        if self.spec.size_bytes.is_none() && size - self.measured > SPACE_EVERY {
            self.measured = size;
            self.session.check_space(0).await?;
        }
        Ok(())
    }

    async fn fill(&mut self, mut reader: impl Read + Send + 'static) -> Result<()> {
        let mut open = self.take_open()?;
        let (most, path) = (self.spec.size_bytes, layout::staged(self.inc));
        let floor = self.session.images().options().policy.min_free_bytes;
        let open = self
            .session
            .disk()
            .run(move |files| {
                let mut chunk = vec![0; CHUNK];
                let mut measured = 0;
                loop {
                    let read = match reader.read(&mut chunk) {
                        Ok(0) => return Ok(open),
                        Ok(read) => read,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                        Err(error) => return Err(Error::medium("cannot read the source of", &path, error)),
                    };
                    open.take(chunk.get(..read).unwrap_or_default(), most, &path)?;
                    if most.is_none() && open.size - measured > SPACE_EVERY {
                        measured = open.size;
                        keep_floor(files, floor)?;
                    }
                }
            })
            .await?;
        self.open = Some(open);
        Ok(())
    }

    fn take_open(&mut self) -> Result<Open> {
        self.open.take().ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a write of this blob failed or was cancelled; begin it again")
        })
    }

    /// How many octets were written.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.size)
    }

    /// Checks the digest and the length, makes the file durable and gives it its name. The session keeps it from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when digest or length are not what was told, and then nothing stays behind;
    /// [`ErrorKind::NoSpace`]; [`ErrorKind::Stale`]; of the database and the medium.
    pub async fn finish(mut self) -> Result<Staged> {
        let Open { mut file, hasher, size } = self.take_open()?;
        let digest = hasher.finish();
        if let Err(error) = self.check(&digest, size) {
            drop(file);
            self.forget().await?;
            return Err(error);
        }
        self.session.before(Step::PublishSyncFile).await?;
        let staged = layout::staged(self.inc);
        let path = staged.clone();
        self.session
            .disk()
            .run(move |_| {
                file.flush()
                    .and_then(|()| file.sync())
                    .map_err(|error| Error::medium("cannot write", &path, error))
            })
            .await?;
        if self.spec.digest.is_none() {
            if self.has_claim(&digest) {
                self.forget().await?;
                return Ok(Staged { digest, size_bytes: size, adopted: true });
            }
            let found = self.session.name(self.inc, &digest, size).await?;
            match self.session.judge(found.as_ref(), Some(size)).await? {
                Judged::Write { replaces } => self.replaces = replaces,
                Judged::Adopt => {
                    let Some(blob) = found else {
                        return Err(Error::internal("a blob without a row was adopted"));
                    };
                    self.keep(digest, adopted(self.inc, &blob));
                    self.session.discard(vec![staged]).await?;
                    return Ok(Staged { digest, size_bytes: size, adopted: true });
                }
            }
        }
        self.name(digest, staged).await?;
        let claim = Claim {
            inc: self.inc,
            size,
            kind: self.spec.kind,
            media_type: self.spec.media_type.clone(),
            own: true,
            landed: false,
            replaces: self.replaces,
        };
        self.keep(digest, claim);
        Ok(Staged { digest, size_bytes: size, adopted: false })
    }

    fn has_claim(&self, digest: &Digest) -> bool {
        self.session.state().claims.contains_key(digest)
    }

    /// Gives the file its name, durably.
    async fn name(&self, digest: Digest, staged: String) -> Result<()> {
        self.session.before(Step::PublishRename).await?;
        let path = layout::blob(&digest, self.inc);
        self.session
            .disk()
            .run(move |files| {
                files.rename(&staged, &path).map_err(|error| Error::medium("cannot name", &path, error))
            })
            .await?;
        self.session.before(Step::PublishSyncDir).await?;
        self.session.disk().run(move |files| disk::sync_dir(files, &layout::shard(digest.shard()))).await
    }

    fn check(&self, digest: &Digest, size: u64) -> Result<()> {
        let wrong = |message: String| {
            Err(Error::new(ErrorKind::Corrupt, message).with_help("fetch it again; nothing of it was kept"))
        };
        if let Some(wanted) = self.spec.size_bytes.filter(|wanted| *wanted != size) {
            return wrong(format!("{size} octets came where {wanted} were told"));
        }
        if let Some(wanted) = self.spec.digest.filter(|wanted| wanted != digest) {
            return wrong(format!("the octets have the digest sha256:{digest}, not sha256:{wanted}"));
        }
        Ok(())
    }

    fn keep(&self, digest: Digest, claim: Claim) {
        let mut state = self.session.state();
        state.use_intent(self.inc);
        // Two writers of one digest: the earlier file is not used, and a collection removes it.
        if let Some(earlier) = state.claims.insert(digest, claim) {
            state.spare.push(earlier.inc);
        }
    }

    /// Gives the number back. Until that is done the session knows it as spare, so that a caller may leave meanwhile.
    async fn forget(&self) -> Result<()> {
        self.session.drop_intents(vec![self.inc], vec![layout::staged(self.inc)]).await?;
        self.session.state().use_intent(self.inc);
        Ok(())
    }
}

fn keep_floor(files: &dyn Files, floor: u64) -> Result<()> {
    let space = files.space().map_err(|error| Error::medium("cannot measure", ".", error))?;
    if space.free_bytes >= floor {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NoSpace,
        format!("{} octets are free, and the floor is {floor}", space.free_bytes),
    )
    .with_help("run a collection, or lower the floor"))
}
