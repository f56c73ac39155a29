//! Flattening an image of the store.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::oci::content::Source as _;
use crate::oci::document::{Config, Descriptor, Manifest};
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::layout::{blocking, sync_directory};
use crate::oci::media::{self, Kind};
use crate::oci::refusal::Refusal;
use crate::oci::store::StoreSource;
use crate::oci::thread::Beside;
use crate::oci::transfer::Oci;
use crate::{Hasher, ImageRef, Images, Verify};

use super::erofs;
use super::unpack::{self, Stored};

/// What stays free on the disk of the scratch directory, in octets: much in memory lies there too.
const SCRATCH_FLOOR: u64 = 64 * 1024 * 1024;

/// Whom the files belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// All to root: the same file system, whoever makes it.
    #[default]
    Root,
    /// To whom the layers say. Only root may make that.
    Keep,
}

/// How an image is flattened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flatten {
    /// Whom the files belong to.
    pub ownership: Ownership,
    /// The program that makes the file system.
    pub program: PathBuf,
    /// Where the tree is unpacked meanwhile; the system's temporary directory if not given. It needs as much room as the tree.
    pub scratch: Option<PathBuf>,
}

impl Default for Flatten {
    fn default() -> Self {
        Self { ownership: Ownership::Root, program: PathBuf::from("mkfs.erofs"), scratch: None }
    }
}

/// A disk that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flattened {
    /// The digest of the file: the same layers give the same.
    pub digest: Digest,
    /// Its size, in octets.
    pub size: u64,
}

impl Oci {
    /// Writes all layers of an image as one EROFS file system, where nothing is yet.
    ///
    /// # Errors
    /// [`ErrorKind::MissingTool`] without `mkfs.erofs`; [`ErrorKind::Invalid`] for what is not an image of tar layers, and for one with
    /// attributes where the scratch directory's file system adds some that nobody may take away; [`ErrorKind::NeedsPrivilege`] for owners,
    /// attributes and files that their owner may not read, when this process is not root's; [`ErrorKind::Refused`] for layers that are
    /// not what the configuration promises, or break a limit; [`ErrorKind::Exists`]; [`ErrorKind::Io`], of no room as well, which is
    /// looked for before anything is unpacked; [`ErrorKind::Store`].
    pub async fn flatten(
        &self,
        image: &ImageRef,
        file: impl AsRef<Path>,
        options: &Flatten,
    ) -> Result<Flattened> {
        let (source, root, lease) = self.outgoing(image).await?;
        self.under(lease, self.flatten_leased(&source, &root, file.as_ref(), options)).await
    }

    async fn flatten_leased(
        &self,
        source: &StoreSource,
        root: &Descriptor,
        file: &Path,
        options: &Flatten,
    ) -> Result<Flattened> {
        let (layers, identity) = self.layers(source, root).await?;
        let limits = self.limits().clone();
        let (scratch, ownership) = (options.scratch.clone(), options.ownership);
        let unpacked = Beside::run("images-flatten", move || {
            let tree = unpack::read_tree(&layers, &limits)?;
            let scratch = match scratch {
                Some(scratch) => tempfile::tempdir_in(scratch),
                None => tempfile::tempdir(),
            };
            let scratch = scratch.map_err(|error| Error::io("a scratch directory", error))?;
            let space = rustix::fs::statvfs(scratch.path());
            let space = space.map_err(|error| Error::io(scratch.path().display(), error.into()))?;
            check_room(scratch.path(), space.f_bavail.saturating_mul(space.f_frsize), tree.octets())?;
            let top = scratch.path().join("root");
            let scratch = Scratch { directory: Some(scratch), top };
            std::fs::create_dir(&scratch.top).map_err(|error| Error::io(scratch.top.display(), error))?;
            let attributes = unpack::unpack(&tree, &layers, &scratch.top, ownership, &limits)?;
            Ok((scratch, attributes))
        });
        let (unpacked, attributes) = unpacked.outcome().await?;
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".partial-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let staged = builder.tempfile_in(parent).map_err(|error| Error::io(parent.display(), error))?;
        let (program, top) = (&options.program, &unpacked.top);
        erofs::make(program, top, staged.path(), identity, ownership, attributes).await?;
        let (file, parent) = (file.to_owned(), parent.to_owned());
        blocking(move || {
            drop(unpacked);
            let flattened = measure(staged.path())?;
            staged.as_file().sync_all().map_err(|error| Error::io(file.display(), error))?;
            staged.persist_noclobber(&file).map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    let text = format!("{} is there already; name another file", file.display());
                    Error::new(ErrorKind::Exists, text)
                }
                _ => Error::io(file.display(), error.error),
            })?;
            sync_directory(&parent)?;
            Ok(flattened)
        })
        .await
    }

    /// The layers of an image, lowest first, and what makes them this image and no other.
    async fn layers(&self, source: &StoreSource, root: &Descriptor) -> Result<(Vec<Stored>, Digest)> {
        let not_an_image = |why: &str| {
            let text = format!("{} cannot be flattened: {why}", root.digest);
            Error::new(ErrorKind::Invalid, text)
        };
        if media::kind(&root.media_type) != Kind::Manifest {
            return Err(not_an_image("it is no single image; name one of those that it lists"));
        }
        let manifest = Manifest::parse(&source.manifest(root).await?)?;
        if media::kind(&manifest.config.media_type) != Kind::Config {
            return Err(not_an_image("it has no image configuration"));
        }
        let ids = Config::parse(&source.manifest(&manifest.config).await?)?.rootfs.diff_ids;
        if ids.len() != manifest.layers.len() {
            return Err(Refusal::LayerCount { manifest: manifest.layers.len(), config: ids.len() }.into());
        }
        let mut identity = Hasher::new();
        let mut layers = Vec::new();
        for (layer, id) in manifest.layers.iter().zip(ids) {
            let Kind::Layer(compression) = media::kind(&layer.media_type) else {
                return Err(not_an_image("one of its layers is no tar archive"));
            };
            identity.update(id.0.as_bytes());
            let open = opener(self.node().images().clone(), layer.digest.0);
            layers.push(Stored { compression, size: layer.size, diff_id: Some(id.0), open });
        }
        Ok((layers, identity.finish()))
    }
}

/// Opens a blob from a thread of our own.
fn opener(images: Images, digest: Digest) -> Box<dyn Fn() -> Result<Box<dyn std::io::BufRead>> + Send> {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move || {
        let opened = runtime.block_on(images.open_blob(&digest, Verify::Size)).map_err(Error::store)?;
        Ok(Box::new(BufReader::with_capacity(256 * 1024, opened)))
    })
}

/// Refuses what would fill the disk of the scratch directory, which others use too.
fn check_room(scratch: &Path, free: u64, wanted: u64) -> Result<()> {
    if wanted.saturating_add(SCRATCH_FLOOR) <= free {
        return Ok(());
    }
    let text = format!(
        "the layers unpack to {wanted} octets and {} of them fit into {}; name a scratch directory on a larger disk",
        free.saturating_sub(SCRATCH_FLOOR),
        scratch.parent().unwrap_or(scratch).display()
    );
    Err(Error::new(ErrorKind::Io(std::io::ErrorKind::StorageFull), text))
}

/// An unpacked tree. Directories in it may forbid their owner to remove what is in them.
struct Scratch {
    directory: Option<tempfile::TempDir>,
    top: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(directory) = self.directory.take() else { return };
        if directory.close().is_err() {
            make_writable(&self.top);
            drop(std::fs::remove_dir_all(self.top.parent().unwrap_or(&self.top)));
        }
    }
}

/// Lets us remove what is in directories; links are not followed.
fn make_writable(directory: &Path) {
    drop(std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

fn measure(path: &Path) -> Result<Flattened> {
    let hash = || {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Hasher::new();
        let mut piece = vec![0; 256 * 1024];
        let mut size = 0_u64;
        loop {
            let read = std::io::Read::read(&mut file, &mut piece)?;
            if read == 0 {
                return Ok(Flattened { digest: hasher.finish(), size });
            }
            hasher.update(piece.get(..read).unwrap_or_default());
            size = size.saturating_add(u64::try_from(read).unwrap_or(0));
        }
    };
    hash().map_err(|error: std::io::Error| Error::io(path.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_the_scratch_disk_is_refused_before() {
        let scratch = Path::new("/scratch/x");
        assert!(check_room(scratch, 100 + SCRATCH_FLOOR, 100).is_ok());
        let error = check_room(scratch, 99 + SCRATCH_FLOOR, 100).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Io(std::io::ErrorKind::StorageFull));
        assert!(error.to_string().contains("to 100 octets and 99 of them fit into /scratch;"), "{error}");
        assert!(check_room(scratch, u64::MAX - 1, u64::MAX).is_err());
    }
}
