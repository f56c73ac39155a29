//! What is asked of a file system. [`DiskFiles`] is the real one; a test stands in one that forgets what was not made durable.
//!
//! Calls block; this crate makes them on threads that may. Paths are relative to the store's directory and use `/`. Only
//! [`std::io::ErrorKind::NotFound`] means that something is not there: of any other error nothing is concluded.

mod disk;
pub(crate) mod layout;
mod naming;

use std::fmt::Debug;
use std::io::{Read, Result, Seek, Write};
use std::path::Path;
use std::time::Duration;

pub use disk::DiskFiles;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Space {
    /// Octets of the whole file system.
    pub total_bytes: u64,
    /// Octets that may still be written.
    pub free_bytes: u64,
    /// Files that may still be made; `u64::MAX` where the file system does not count them.
    pub free_inodes: u64,
}

/// A file that is being written.
pub trait StagedFile: Write + Send + Sync {
    /// Makes what was written durable.
    ///
    /// # Errors
    /// Of the file system; the octets may then be lost, whatever a second call says.
    fn sync(&mut self) -> Result<()>;
}

/// A file that is being read.
pub trait ReadFile: Read + Seek + Send {
    /// Its length in octets.
    ///
    /// # Errors
    /// Of the file system.
    fn size(&self) -> Result<u64>;
}

/// A directory tree that holds a store.
pub trait Files: Debug + Send + Sync {
    /// Where it lies, for errors that somebody has to act on. Empty where that is no place of a file system.
    fn place(&self) -> &Path {
        Path::new("")
    }

    /// Makes a file that must not be there, to write it.
    ///
    /// # Errors
    /// `AlreadyExists`, or another of the file system.
    fn create(&self, path: &str) -> Result<Box<dyn StagedFile>>;

    /// Opens a file to read it.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn open(&self, path: &str) -> Result<Box<dyn ReadFile>>;

    /// A file's length in octets.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn size(&self, path: &str) -> Result<u64>;

    /// How long ago a file was written to; none where that is not known, and then nothing that is kept for its youth is kept.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn age(&self, _path: &str) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// Gives a file another name at once, replacing what has it.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Gives a file a name that nothing has, at once.
    ///
    /// # Errors
    /// `AlreadyExists` when something has it, and then nothing is changed; `NotFound`, or another of the file system.
    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        match self.size(to) {
            Ok(_) => Err(std::io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.rename(from, to),
            Err(error) => Err(error),
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn unlink(&self, path: &str) -> Result<()>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// `NotFound`, or another of the file system.
    fn list(&self, directory: &str) -> Result<Vec<String>>;

    /// Makes a directory if it is not there; its parent must be.
    ///
    /// # Errors
    /// Of the file system.
    fn create_dir(&self, directory: &str) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Of the file system.
    fn sync_dir(&self, directory: &str) -> Result<()>;

    /// How much room there is.
    ///
    /// # Errors
    /// Of the file system.
    fn space(&self) -> Result<Space>;
}
