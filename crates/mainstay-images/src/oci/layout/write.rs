//! Writes a layout beside its place and moves it there when it is whole: a copy that fails leaves nothing.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::{TempDir, TempPath};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::read::blocking;
use super::{BLOBS, Container, INDEX, MARKER, MARKER_CONTENT};
use crate::digest::Digest;
use crate::oci::content::{BlobWriter, Target, Verifier};
use crate::oci::document::Descriptor;
use crate::oci::error::{Error, ErrorKind, Result};

/// Blobs that are written to a directory at once.
const PARALLEL: usize = 4;
/// A block of a tar archive.
const BLOCK: u64 = 512;

/// A layout that is being written.
#[derive(Debug)]
pub(crate) struct LayoutWriter {
    path: PathBuf,
    /// The index that becomes the layout's list, if it is one of those that are copied.
    list: Option<Digest>,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Directory { root: PathBuf, _staging: TempDir },
    Archive { staged: TempPath, archive: std::sync::Arc<Mutex<Archive>> },
}

/// The archive so far.
#[derive(Debug)]
struct Archive {
    file: File,
    /// Where the next octet goes.
    at: u64,
    /// Where the entry began that is being written; what was given up is written over.
    begun: Option<u64>,
    written: std::collections::HashSet<Digest>,
}

impl LayoutWriter {
    /// Begins a layout at a path where nothing is.
    pub(crate) async fn begin(path: &Path, container: Container, list: Option<Digest>) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| Error::io(path.display(), error))?;
        let at = path.clone();
        let kept = blocking(move || stage(&at, container)).await?;
        if let Kept::Archive { archive, .. } = &kept {
            let mut archive = archive.lock().await;
            archive.small(MARKER, MARKER_CONTENT.as_bytes()).await?;
        }
        Ok(Self { path, list, kept })
    }

    /// Writes the list, makes everything durable, and moves it to its place.
    pub(crate) async fn finish(self, index: Bytes) -> Result<()> {
        let path = self.path;
        match self.kept {
            Kept::Directory { root, _staging } => {
                blocking(move || {
                    write_new(&root.join(INDEX), &index)?;
                    for directory in [BLOBS, "blobs", ""] {
                        sync_directory(&root.join(directory))?;
                    }
                    std::fs::rename(&root, &path).map_err(|error| Error::io(path.display(), error))?;
                    sync_parent(&path)
                })
                .await
            }
            Kept::Archive { staged, archive } => {
                let mut archive = archive.lock().await;
                archive.small(INDEX, &index).await?;
                archive.end().await?;
                blocking(move || {
                    staged.persist_noclobber(&path).map_err(|error| taken(&path, error.error))?;
                    sync_parent(&path)
                })
                .await
            }
        }
    }

    async fn blob_writer(&self, descriptor: &Descriptor) -> Result<Box<dyn BlobWriter>> {
        let verifier = Verifier::new(descriptor);
        let name = blob_name(descriptor);
        match &self.kept {
            Kept::Directory { root, .. } => {
                let path = root.join(name);
                let file = File::create(&path).await.map_err(|error| Error::io(path.display(), error))?;
                Ok(Box::new(FileWriter { path, file, verifier }))
            }
            Kept::Archive { archive, .. } => {
                let mut archive = std::sync::Arc::clone(archive).lock_owned().await;
                archive.header(&name, descriptor.size).await?;
                let (digest, size) = (descriptor.digest.0, descriptor.size);
                Ok(Box::new(EntryWriter { archive, verifier, digest, size }))
            }
        }
    }
}

#[async_trait]
impl Target for LayoutWriter {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        match &self.kept {
            Kept::Directory { root, .. } => {
                Ok(tokio::fs::try_exists(root.join(blob_name(descriptor))).await.unwrap_or(false))
            }
            Kept::Archive { archive, .. } => Ok(archive.lock().await.written.contains(&descriptor.digest.0)),
        }
    }

    async fn create<'a>(&'a self, descriptor: &'a Descriptor) -> Result<Box<dyn BlobWriter + 'a>> {
        self.blob_writer(descriptor).await
    }

    async fn put_manifest(&self, descriptor: &Descriptor, octets: Bytes) -> Result<()> {
        if self.list == Some(descriptor.digest.0) || self.has(descriptor).await? {
            return Ok(());
        }
        let mut writer = self.blob_writer(descriptor).await?;
        writer.write(octets).await?;
        writer.finish().await
    }

    fn parallel(&self) -> usize {
        match self.kept {
            Kept::Directory { .. } => PARALLEL,
            // In the order of the plan, so that the same images make the same archive.
            Kept::Archive { .. } => 1,
        }
    }

    fn must_end_writes(&self) -> bool {
        true
    }

    fn checks_layers(&self) -> bool {
        false
    }
}

struct FileWriter {
    path: PathBuf,
    file: File,
    verifier: Verifier,
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, octets: Bytes) -> Result<()> {
        self.verifier.update(&octets)?;
        self.file.write_all(&octets).await.map_err(|error| Error::io(self.path.display(), error))
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.verifier.finish()?;
        let flushed = self.file.flush().await;
        let synced = match flushed {
            Ok(()) => self.file.sync_all().await,
            failed => failed,
        };
        synced.map_err(|error| Error::io(self.path.display(), error))
    }
}

struct EntryWriter {
    archive: OwnedMutexGuard<Archive>,
    verifier: Verifier,
    digest: Digest,
    size: u64,
}

#[async_trait]
impl BlobWriter for EntryWriter {
    async fn write(&mut self, octets: Bytes) -> Result<()> {
        self.verifier.update(&octets)?;
        self.archive.write(&octets).await
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.verifier.finish()?;
        self.archive.pad(self.size).await?;
        self.archive.written.insert(self.digest);
        Ok(())
    }
}

impl Archive {
    async fn small(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.header(name, size).await?;
        self.write(content).await?;
        self.pad(size).await
    }

    /// A header with nothing in it that differs from machine to machine.
    async fn header(&mut self, name: &str, size: u64) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).map_err(|error| Error::io(name, error))?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        if let Some(start) = self.begun {
            let rewound = async {
                self.file.flush().await?;
                self.file.set_len(start).await?;
                self.file.seek(io::SeekFrom::Start(start)).await
            };
            self.at = rewound.await.map_err(|error| Error::io("the archive", error))?;
        }
        self.begun = Some(self.at);
        self.write(header.as_bytes()).await
    }

    async fn pad(&mut self, size: u64) -> Result<()> {
        let padding = usize::try_from((BLOCK - size % BLOCK) % BLOCK).unwrap_or(0);
        self.write(&vec![0; padding]).await?;
        self.begun = None;
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.write(&[0; 1024]).await?;
        let flushed = self.file.flush().await;
        let synced = match flushed {
            Ok(()) => self.file.sync_all().await,
            failed => failed,
        };
        synced.map_err(|error| Error::io("the archive", error))
    }

    async fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.file.write_all(octets).await.map_err(|error| Error::io("the archive", error))?;
        self.at = self.at.saturating_add(u64::try_from(octets.len()).unwrap_or(0));
        Ok(())
    }
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("{BLOBS}/{}", descriptor.digest.0)
}

fn stage(path: &Path, container: Container) -> Result<Kept> {
    let parent = path.parent().ok_or_else(|| exists(path))?;
    let failed = |error| Error::io(path.display(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A directory with nothing in it may be there.
        Ok(metadata) if metadata.is_dir() && container == Container::Directory => {
            if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
                return Err(exists(path));
            }
        }
        Ok(_) => return Err(exists(path)),
        Err(error) => return Err(failed(error)),
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    Ok(match container {
        Container::Directory => {
            let staging = builder.tempdir_in(parent).map_err(failed)?;
            // Inside the private directory, so that it has the permissions that a new directory has.
            let root = staging.path().join("layout");
            std::fs::create_dir_all(root.join(BLOBS)).map_err(failed)?;
            write_new(&root.join(MARKER), MARKER_CONTENT.as_bytes())?;
            Kept::Directory { root, _staging: staging }
        }
        Container::Archive => {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let (file, staged) = builder.tempfile_in(parent).map_err(failed)?.into_parts();
            let file = File::from_std(file);
            let archive = Archive { file, at: 0, begun: None, written: std::collections::HashSet::new() };
            Kept::Archive { staged, archive: std::sync::Arc::new(Mutex::new(archive)) }
        }
    })
}

fn exists(path: &Path) -> Error {
    let text = format!("{} is there already; nothing is written over, name another place", path.display());
    Error::new(ErrorKind::Exists, text)
}

fn taken(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io(path.display(), error),
    }
}

fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = std::fs::File::create_new(path)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io(path.display(), error))
}

pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let sync = || std::fs::File::open(path)?.sync_all();
    sync().map_err(|error| Error::io(path.display(), error))
}

fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}
