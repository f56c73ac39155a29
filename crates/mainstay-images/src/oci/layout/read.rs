//! Reads a layout, wherever it is kept.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::archive::{self, Place};
use super::{BLOBS, INDEX, MARKER};
use crate::oci::content::{BlobReader, Source};
use crate::oci::document::{Descriptor, Index, OciDigest, check_size};
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::media;
use crate::oci::progress::Progress;
use crate::oci::refusal::{Refusal, shown};

/// How many octets are read at once.
const PIECE: u64 = 256 * 1024;
/// Blobs that are read at once.
const PARALLEL: usize = 4;
/// The largest marker: a few words of JSON.
const MAX_MARKER: u64 = 4 * 1024;
/// How many names of a layout an error tells of.
const TAGS_TOLD: usize = 8;

/// An OCI image layout that can be read. Opening it reads its marker and its list of images.
#[derive(Debug)]
pub struct Layout {
    place: PathBuf,
    kept: Kept,
    index: Bytes,
    descriptor: Descriptor,
    roots: Vec<Descriptor>,
}

#[derive(Debug)]
enum Kept {
    Directory,
    Archive { file: Arc<File>, contents: HashMap<String, Place> },
}

impl Kept {
    fn of_archive(file: File, shown: &str) -> Result<Self> {
        let contents = file.try_clone().map_err(|error| Error::io(shown, error));
        let contents = contents.and_then(archive::contents).map_err(|error| error.about(shown))?;
        Ok(Self::Archive { file: Arc::new(file), contents })
    }
}

#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

impl Layout {
    /// Opens a directory or an archive.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Refused`] for what is not a layout, or breaks a limit.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        blocking(move || Self::open_blocking(path)).await
    }

    /// Opens an archive that is open already, such as one that was sent and has no name.
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub async fn of_archive(file: File) -> Result<Self> {
        blocking(move || {
            let kept = Kept::of_archive(file, "the archive")?;
            Self::read(PathBuf::from("the archive"), kept)
        })
        .await
    }

    fn open_blocking(place: PathBuf) -> Result<Self> {
        let shown = place.display().to_string();
        // Whoever names the layout may name it by a link; inside it, links are not followed.
        let place = std::fs::canonicalize(place).map_err(|error| missing(&shown, error))?;
        let metadata = std::fs::metadata(&place).map_err(|error| missing(&shown, error))?;
        let kept =
            if metadata.is_dir() { Kept::Directory } else { Kept::of_archive(open_plain(&place)?, &shown)? };
        Self::read(place, kept)
    }

    /// Reads the marker and the list.
    fn read(place: PathBuf, kept: Kept) -> Result<Self> {
        let mut layout = Self {
            place,
            kept,
            index: Bytes::new(),
            descriptor: Descriptor::of(media::INDEX, b""),
            roots: Vec::new(),
        };
        layout.read_marker()?;
        let not_there = |error| not_a_layout(error, INDEX);
        let range = layout.file(INDEX).map_err(not_there)?;
        check_size(range.left())?;
        layout.index = range.read_all()?.into();
        layout.descriptor = Descriptor::of(media::INDEX, &layout.index);
        layout.roots = Index::parse(&layout.index)?.manifests;
        Ok(layout)
    }

    /// The images that the layout lists, as it lists them.
    #[must_use]
    pub fn roots(&self) -> &[Descriptor] {
        &self.roots
    }

    /// The list itself, which is an image index.
    #[must_use]
    pub const fn index(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The one image with a name, or with a digest, or the only one when neither is given.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] when there are none or several.
    pub fn root(&self, name: Option<&str>) -> Result<Descriptor> {
        let digest = name.and_then(|name| name.parse::<OciDigest>().ok());
        let is_meant = |root: &&Descriptor| {
            name.is_none_or(|name| root.name() == Some(name)) || digest == Some(root.digest)
        };
        let meant: Vec<&Descriptor> = self.roots.iter().filter(is_meant).collect();
        // Listed under several names it is still one image.
        let digests: HashSet<OciDigest> = meant.iter().map(|root| root.digest).collect();
        match meant.as_slice() {
            [root, ..] if digests.len() == 1 => Ok((*root).clone()),
            _ => {
                let names = self.roots.iter().filter_map(|root| root.name());
                let listed = names.take(TAGS_TOLD).map(shown).collect();
                Err(Refusal::Ambiguous { name: name.map(shown), found: digests.len(), listed }.into())
            }
        }
    }

    fn read_marker(&self) -> Result<()> {
        let range = self.file(MARKER).map_err(|error| not_a_layout(error, MARKER))?;
        if range.left() > MAX_MARKER {
            return Err(refuse(format!("the file {MARKER} is too large")));
        }
        let marker: Marker = serde_json::from_slice(&range.read_all()?).map_err(|error| {
            refuse(format!("the file {MARKER} is malformed: {}", shown(&error.to_string())))
        })?;
        if marker.version == "1" || marker.version.starts_with("1.") {
            return Ok(());
        }
        Err(refuse(format!("its version is {:?}, and only version 1 is known", shown(&marker.version))))
    }

    fn file(&self, name: &str) -> Result<FileRange> {
        match &self.kept {
            Kept::Directory => {
                let file = open_plain(&self.place.join(name))?;
                let size = file.metadata().map_err(|error| Error::io(name, error))?.len();
                Ok(FileRange { file: Arc::new(file), at: 0, end: size })
            }
            Kept::Archive { file, contents } => {
                let place = contents.get(name).ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("the archive has no file {name}"))
                })?;
                let end = place.offset.saturating_add(place.size);
                Ok(FileRange { file: Arc::clone(file), at: place.offset, end })
            }
        }
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<FileRange> {
        let name = format!("{BLOBS}/{}", descriptor.digest.0);
        let range = match &self.kept {
            Kept::Archive { .. } => self.file(&name)?,
            Kept::Directory => {
                let path = self.place.join(&name);
                blocking(move || {
                    let file = open_plain(&path)?;
                    let size = file.metadata().map_err(|error| Error::io(path.display(), error))?.len();
                    Ok(FileRange { file: Arc::new(file), at: 0, end: size })
                })
                .await?
            }
        };
        let (digest, expected, found) = (descriptor.digest.0, descriptor.size, range.left());
        if expected != found {
            return Err(Refusal::SizeMismatch { digest, expected, found }.into());
        }
        Ok(range)
    }
}

#[async_trait]
impl Source for Layout {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        if descriptor.digest == self.descriptor.digest {
            return Ok(self.index.clone());
        }
        let range = self.blob(descriptor).await?;
        blocking(move || range.read_all().map(Into::into)).await
    }

    async fn open<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>> {
        Ok(Box::new(self.blob(descriptor).await?))
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }
}

/// A part of a file that is read from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct FileRange {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl FileRange {
    const fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    fn read_all(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece()? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn piece(&mut self) -> Result<Option<Bytes>> {
        let wanted = usize::try_from(self.left().min(PIECE)).unwrap_or(0);
        let mut piece = vec![0; wanted];
        let read = loop {
            match self.file.read_at(&mut piece, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| Error::io("reading the layout", error))?,
            }
        };
        piece.truncate(read);
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(Some(Bytes::from(piece)).filter(|piece| !piece.is_empty()))
    }
}

#[async_trait]
impl BlobReader for FileRange {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let mut range = self.clone();
        let (range, piece) = blocking(move || {
            let piece = range.piece()?;
            Ok((range, piece))
        })
        .await?;
        *self = range;
        Ok(piece)
    }
}

/// Opens a plain file: no link is followed, and nothing that could block or act is opened.
fn open_plain(path: &Path) -> Result<File> {
    let shown = path.display().to_string();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => {
            return Err(refuse(format!("{shown} is a link; a layout has only files and directories")));
        }
        Err(error) => return Err(missing(&shown, error.into())),
    };
    let metadata = file.metadata().map_err(|error| Error::io(&shown, error))?;
    if metadata.is_file() { Ok(file) } else { Err(refuse(format!("{shown} is not a plain file"))) }
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::io("a blocking task", io::Error::other(error))),
    }
}

fn missing(shown: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("{shown} does not exist")),
        _ => Error::io(shown, error),
    }
}

fn not_a_layout(error: Error, name: &str) -> Error {
    match error.kind() {
        ErrorKind::NotFound => refuse(format!("it has no file {name}")),
        _ => error,
    }
}

fn refuse(why: String) -> Error {
    Refusal::NotALayout { why }.into()
}
