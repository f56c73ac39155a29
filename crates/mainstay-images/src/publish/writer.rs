//! One blob on its way to the disk: hashed while it is written, durable before it has its name.

use std::io::{Read, Write as _};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::session::{Claim, InUse, Ingest, Judged, Session, Staged, adopted};
use crate::blob::BlobKind;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, StagedFile, layout};
use crate::image::check_media_type;
use crate::step::Step;

/// Octets that are read from a reader at once.
const CHUNK: usize = 1024 * 1024;
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
    /// What it is, as a media type without parameters (RFC 6838).
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

    fn check(&self, digest: &Digest, size: u64) -> Result<()> {
        let wrong = |message: String| {
            Err(Error::new(ErrorKind::Corrupt, message).with_help("fetch it again; nothing of it was kept"))
        };
        if let Some(wanted) = self.size_bytes.filter(|wanted| *wanted != size) {
            return wrong(format!("{size} octets came where {wanted} were told"));
        }
        if let Some(wanted) = self.digest.filter(|wanted| wanted != digest) {
            return wrong(format!("the octets have the digest sha256:{digest}, not sha256:{wanted}"));
        }
        Ok(())
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    session: Arc<Session>,
    spec: WriterSpec,
    inc: i64,
    /// Where its file lies until it has its name.
    staged: String,
    replaces: Option<i64>,
    open: Option<Open>,
    /// Its number is its own until it is settled.
    _intent: InUse,
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

/// What was done to a file.
enum Done {
    /// It holds other octets than were told.
    Wrong(Error),
    /// Another file has its number.
    Taken,
    /// It is durable; its digest was not known before.
    Synced(Digest, u64),
    /// It is durable and has its name, which is not durable yet: so many calls to make names there durable had failed before.
    Named(Digest, u64, u64),
}

/// Announces steps from a thread that may block.
struct InPlace {
    session: Arc<Session>,
    runtime: Handle,
}

impl InPlace {
    fn before(&self, step: Step) -> Result<()> {
        self.runtime.block_on(self.session.before(step))
    }
}

impl Open {
    /// The file of a publication; none if another file has its number.
    fn create(files: &dyn Files, steps: &InPlace, staged: &str) -> Result<Option<Self>> {
        steps.before(Step::PublishWrite)?;
        match files.create(staged) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(Error::medium("cannot make", staged, error)),
            Ok(file) => Ok(Some(Self { file, hasher: Hasher::new(), size: 0 })),
        }
    }

    fn fill(
        &mut self,
        files: &dyn Files,
        mut reader: impl Read,
        most: Option<u64>,
        path: &str,
        steps: &InPlace,
        inc: i64,
    ) -> Result<()> {
        // A small blob needs no large buffer; one octet more shows that there is none.
        let chunk =
            most.map_or(CHUNK, |most| usize::try_from(most).unwrap_or(CHUNK).saturating_add(1).min(CHUNK));
        let mut chunk = vec![0; chunk];
        loop {
            let read = match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::medium("cannot read the source of", path, error)),
            };
            self.take(chunk.get(..read).unwrap_or_default(), most, path)?;
            steps.session.state().spend(inc, read as u64);
            steps.session.images().has_written(files, read as u64, most.is_some())?;
        }
    }

    /// Makes the octets durable, if they are those that were told, and gives them their name, if it is known.
    fn seal(
        self,
        files: &dyn Files,
        steps: &InPlace,
        spec: &WriterSpec,
        inc: i64,
        staged: &str,
    ) -> Result<Done> {
        let Self { mut file, hasher, size } = self;
        let digest = hasher.finish();
        if let Err(error) = spec.check(&digest, size) {
            return Ok(Done::Wrong(error));
        }
        steps.before(Step::PublishSyncFile)?;
        let synced = file.flush().and_then(|()| file.sync());
        synced.map_err(|error| Error::medium("cannot write", staged, error))?;
        if spec.digest.is_none() {
            return Ok(Done::Synced(digest, size));
        }
        let named = name(files, steps, &digest, inc, staged)?;
        Ok(named.map_or(Done::Taken, |failures| Done::Named(digest, size, failures)))
    }
}

/// Gives a durable file its name; none if another file has it. The name becomes durable before a row tells of it; how many calls for
/// that had failed before it was given is returned.
fn name(files: &dyn Files, steps: &InPlace, digest: &Digest, inc: i64, staged: &str) -> Result<Option<u64>> {
    steps.before(Step::PublishRename)?;
    let path = layout::blob(digest, inc);
    let failures = steps.session.images().shared.names.failures(digest.shard());
    match files.rename_new(staged, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
        other => other.map_err(|error| Error::medium("cannot name", &path, error))?,
    }
    // Not before: what had the name is another's.
    steps.session.state().named.insert(inc, *digest);
    Ok(Some(failures))
}

impl Ingest {
    /// Begins to write a blob.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no media type; [`ErrorKind::NoSpace`]; [`ErrorKind::Stale`]; [`ErrorKind::Conflict`] when this session has it or writes it already;
    /// of the database and the medium.
    pub async fn writer(&self, spec: WriterSpec) -> Result<BlobWriter> {
        self.open(spec, false).await
    }

    /// As [`Ingest::writer`], of a blob whose digest is known. What arrives of it stays when the session ends before it is whole, so
    /// that another need not fetch it again.
    pub(crate) async fn partial_writer(&self, spec: WriterSpec) -> Result<BlobWriter> {
        self.open(spec, true).await
    }

    async fn open(&self, spec: WriterSpec, is_partial: bool) -> Result<BlobWriter> {
        let mut writer = self.begin(spec).await?;
        if let Some(digest) = writer.spec.digest.filter(|_| is_partial) {
            writer.staged = layout::partial(&digest, writer.inc);
            writer.session.state().partials.insert(writer.inc, digest);
        }
        let (steps, staged) = (writer.steps(), writer.staged.clone());
        let opened = writer.session.disk().run(move |files| Open::create(files, &steps, &staged)).await?;
        match opened {
            Some(open) => writer.open = Some(open),
            None => return Err(writer.taken().await),
        }
        Ok(writer)
    }

    /// An intent, and what its file will replace; no file yet.
    async fn begin(&self, spec: WriterSpec) -> Result<BlobWriter> {
        check_media_type(&spec.media_type)?;
        let session = Arc::clone(&self.shared);
        let has = |digest: &Digest| session.state().claims.contains_key(digest);
        if let Some(digest) = spec.digest.filter(has) {
            let message = format!("this ingest has sha256:{digest} already");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let announced = spec.digest.as_ref().and_then(|digest| session.take_pending(digest));
        let (intent, replaces) = match announced {
            Some(announced) => announced,
            None => {
                let (intent, found) =
                    session.intend(spec.digest.as_ref(), spec.size_bytes.unwrap_or(0)).await?;
                let judged = session.judge(found.as_ref(), spec.size_bytes).await?;
                let replaces = if let Judged::Write { replaces } = judged { replaces } else { None };
                (intent, replaces)
            }
        };
        // The number is spare until the blob has its name: so long the file lies in the staging directory under it.
        let inc = intent.inc;
        Ok(BlobWriter {
            session,
            spec,
            inc,
            staged: layout::staged(inc),
            replaces,
            open: None,
            _intent: intent,
        })
    }

    /// Writes all that a reader gives, on a thread that may block, in one pass.
    ///
    /// # Errors
    /// As [`Ingest::writer`] and [`BlobWriter::finish`]; [`ErrorKind::Medium`] when the reader fails.
    pub async fn put(&self, spec: WriterSpec, reader: impl Read + Send + 'static) -> Result<Staged> {
        let writer = self.begin(spec).await?;
        let (steps, inc, spec) = (writer.steps(), writer.inc, writer.spec.clone());
        let staged = writer.staged.clone();
        // One visit to a thread that may block, for all that is done to the file.
        let done = self.shared.disk().run(move |files| {
            let Some(mut open) = Open::create(files, &steps, &staged)? else { return Ok(Done::Taken) };
            open.fill(files, reader, spec.size_bytes, &staged, &steps, inc)?;
            open.seal(files, &steps, &spec, inc, &staged)
        });
        writer.settle(done.await?).await
    }
}

impl BlobWriter {
    /// Writes the next octets.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when they are more than was told; [`ErrorKind::NoSpace`]; of the medium.
    pub async fn write(&mut self, octets: impl AsRef<[u8]> + Send + 'static) -> Result<()> {
        let mut open = self.take_open()?;
        let (most, path) = (self.spec.size_bytes, self.staged.clone());
        let (inc, session) = (self.inc, Arc::clone(&self.session));
        let open = self.session.disk().run(move |files| {
            open.take(octets.as_ref(), most, &path)?;
            let written = octets.as_ref().len() as u64;
            session.state().spend(inc, written);
            session.images().has_written(files, written, most.is_some())?;
            Ok(open)
        });
        self.open = Some(open.await?);
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

    /// Checks the digest and the length, makes the octets durable and gives the file its name. The session keeps it from now on;
    /// the name is made durable with those of the session's other blobs, before [`Ingest::land`] or [`Ingest::commit`] writes rows.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when digest or length are not what was told, and then nothing stays behind;
    /// [`ErrorKind::NoSpace`]; [`ErrorKind::Stale`]; of the database and the medium.
    pub async fn finish(mut self) -> Result<Staged> {
        let open = self.take_open()?;
        let (steps, inc, spec) = (self.steps(), self.inc, self.spec.clone());
        let staged = self.staged.clone();
        let done =
            self.session.disk().run(move |files| open.seal(files, &steps, &spec, inc, &staged)).await?;
        self.settle(done).await
    }

    /// What follows from what was done to the file.
    async fn settle(mut self, done: Done) -> Result<Staged> {
        let (digest, size, failures) = match done {
            Done::Wrong(error) => {
                self.forget().await?;
                return Err(error);
            }
            Done::Taken => return Err(self.taken().await),
            Done::Named(digest, size, failures) => (digest, size, failures),
            Done::Synced(digest, size) => {
                if let Some(adopted) = self.adopt(&digest, size).await? {
                    return Ok(adopted);
                }
                let (steps, inc, staged) = (self.steps(), self.inc, self.staged.clone());
                let named = self.session.disk().run(move |files| name(files, &steps, &digest, inc, &staged));
                let named = named.await?;
                let Some(failures) = named else { return Err(self.taken().await) };
                (digest, size, failures)
            }
        };
        let claim = Claim {
            inc: self.inc,
            size,
            kind: self.spec.kind,
            media_type: self.spec.media_type.clone(),
            own: true,
            is_named_durably: false,
            failures,
            landed: false,
            is_in_doubt: false,
            replaces: self.replaces,
        };
        self.keep(digest, claim);
        Ok(Staged { digest, size_bytes: size, adopted: false })
    }

    /// Tells the intent a digest that was not known before; gives the file up if the store has the blob.
    async fn adopt(&mut self, digest: &Digest, size: u64) -> Result<Option<Staged>> {
        let staged = Staged { digest: *digest, size_bytes: size, adopted: true };
        if self.has_claim(digest) {
            self.forget().await?;
            return Ok(Some(staged));
        }
        let found = self.session.name(self.inc, digest, size).await?;
        match (self.session.judge(found.as_ref(), Some(size)).await?, found) {
            (Judged::Write { replaces }, _) => {
                self.replaces = replaces;
                Ok(None)
            }
            (Judged::Adopt, Some(blob)) => {
                self.keep(*digest, adopted(self.inc, &blob));
                self.session.discard(vec![self.staged.clone()]).await?;
                Ok(Some(staged))
            }
            (Judged::Adopt, None) => Err(Error::internal("a blob without a row was adopted")),
        }
    }

    /// A file has the number already: the database gave it before, and forgot. Nothing was replaced.
    async fn taken(&self) -> Error {
        if let Err(error) = self.session.images().after_restore().await {
            return error;
        }
        Error::new(
            ErrorKind::Stale,
            format!(
                "number {} was given to a file before: the database was restored from a backup",
                self.inc
            ),
        )
        .with_help(
            "nothing was replaced and the numbers in use are passed over now; join anew and publish again",
        )
    }

    fn steps(&self) -> InPlace {
        InPlace { session: Arc::clone(&self.session), runtime: Handle::current() }
    }

    fn has_claim(&self, digest: &Digest) -> bool {
        self.session.state().claims.contains_key(digest)
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
        self.session.drop_intents(vec![self.inc], vec![self.staged.clone()]).await?;
        self.session.state().use_intent(self.inc);
        Ok(())
    }
}
