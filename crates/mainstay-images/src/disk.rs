//! The store's directory, for async code: calls run on threads that may block.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, layout};

/// The longest marker that is read.
const MAX_MARKER_BYTES: u64 = 256;

/// A directory and the store whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    files: Arc<dyn Files>,
    store: Arc<str>,
}

impl Disk {
    pub(crate) fn new(files: Arc<dyn Files>, store: &str) -> Self {
        Self { files, store: store.into() }
    }

    /// Runs calls where they may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || work(&*files)).await;
        done.map_err(|error| {
            Error::internal("a thread that wrote to the store's directory ended").with_source(error)
        })?
    }

    /// A file's length in octets; none when it is not there, which means nothing without a [proof](Disk::prove).
    pub(crate) async fn size(&self, path: String) -> Result<Option<u64>> {
        self.run(move |files| match files.size(&path) {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::medium("cannot look at", &path, error)),
        })
        .await
    }

    /// Proves that the directory is there and is this store's. Without this proof no absence means anything.
    pub(crate) async fn prove(&self) -> Result<()> {
        let store = Arc::clone(&self.store);
        self.run(move |files| match marker(files)? {
            Some(found) if *found == *store => Ok(()),
            Some(found) => Err(foreign(files, &found, &store)),
            None => Err(unmounted(files, &store)),
        })
        .await
    }

    /// Makes what a store's directory holds, the marker last: whoever finds the marker finds the rest.
    pub(crate) async fn prepare(&self, nonce: String) -> Result<()> {
        let store = Arc::clone(&self.store);
        self.run(move |files| match marker(files)? {
            Some(found) if *found == *store => Ok(()),
            Some(found) => Err(foreign(files, &found, &store)),
            None => make(files, &store, &nonce),
        })
        .await
    }
}

/// What the marker says; none when it is not there.
pub(crate) fn marker(files: &dyn Files) -> Result<Option<String>> {
    let failed = |error| Error::medium("cannot read", &shown(files, layout::MARKER), error);
    let mut text = String::new();
    match files.open(layout::MARKER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        // One octet more shows that it is longer.
        Ok(file) => file.take(MAX_MARKER_BYTES + 1).read_to_string(&mut text).map_err(failed)?,
    };
    if text.len() as u64 > MAX_MARKER_BYTES {
        let message = format!(
            "{} is longer than {MAX_MARKER_BYTES} octets: no store wrote it",
            shown(files, layout::MARKER)
        );
        return Err(Error::new(ErrorKind::Medium, message).with_help(
            "name the directory of this database's images, or put the marker back as it was: the store's id and a line's end",
        ));
    }
    Ok(Some(text.trim_end().to_owned()))
}

fn make(files: &dyn Files, store: &str, nonce: &str) -> Result<()> {
    let create = |directory: &str| {
        files.create_dir(directory).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => absent(files, error),
            _ => Error::medium("cannot make", &shown(files, directory), error),
        })
    };
    for directory in [layout::STAGING, layout::QUARANTINE, layout::BLOBS] {
        create(directory)?;
    }
    for shard in 0..=u8::MAX {
        create(&layout::shard(shard))?;
    }
    sync_dir(files, layout::BLOBS)?;
    // Two that open a new store at once write the same, each in a file of its own.
    let staged = layout::marker_staged(nonce);
    write_whole(files, &staged, format!("{store}\n").as_bytes())?;
    sync_dir(files, ".")?;
    files
        .rename(&staged, layout::MARKER)
        .map_err(|error| Error::medium("cannot name", layout::MARKER, error))?;
    sync_dir(files, ".")
}

/// Writes a small file that must not be there, durably but for its name.
pub(crate) fn write_whole(files: &dyn Files, path: &str, octets: &[u8]) -> Result<()> {
    let failed = |error| Error::medium("cannot write", path, error);
    let mut file = files.create(path).map_err(failed)?;
    file.write_all(octets).and_then(|()| file.flush()).and_then(|()| file.sync()).map_err(failed)
}

pub(crate) fn sync_dir(files: &dyn Files, directory: &str) -> Result<()> {
    files.sync_dir(directory).map_err(|error| Error::medium("cannot make durable", directory, error))
}

/// Removes a file; that it was not there is well too.
pub(crate) fn unlink(files: &dyn Files, path: &str) -> Result<bool> {
    match files.unlink(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::medium("cannot remove", path, error)),
    }
}

/// A path as somebody finds it.
fn shown(files: &dyn Files, path: &str) -> String {
    files.place().join(path).display().to_string()
}

/// The directory itself is not there, and never was.
fn absent(files: &dyn Files, error: io::Error) -> Error {
    let message = format!("there is no directory {:?} for the images", files.place());
    Error::new(ErrorKind::Medium, message)
        .with_help("make it (mkdir), mount it, or name another; one that is named is never made, since it may be a mount")
        .with_source(error)
}

fn foreign(files: &dyn Files, found: &str, store: &str) -> Error {
    Error::new(
        ErrorKind::Medium,
        format!("the directory {:?} belongs to the store {found:?}, and the database to {store:?}", files.place()),
    )
    .with_help(
        "name the directory of this database's images; after the tables of images were taken away (migrate down) the old directory \
         is of no use to new tables: restore the database from its backup to have those images again, or else move the directory \
         away, make an empty one in its place, and import the images anew",
    )
}

fn unmounted(files: &dyn Files, store: &str) -> Error {
    Error::new(
        ErrorKind::Medium,
        format!(
            "the directory {:?} has no marker {:?} of the store {store:?}, although it was made once",
            files.place(),
            layout::MARKER
        ),
    )
    .with_help("mount the medium on which the store's files lie; nothing was decided from its absence")
}
