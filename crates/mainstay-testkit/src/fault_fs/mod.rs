//! A file system in memory that loses what was not made durable, and fails where a test wants it to.
//!
//! It is harsher than most real ones, within what POSIX allows: each name and each file's content is lost or kept on its own when the
//! power goes, in whatever order they were written; a name that was removed may come back; a rename between two directories may
//! leave both names; and octets whose sync failed once are not made durable by a second one that succeeds.

mod disk;
mod file;
mod power;

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};

use disk::Disk;
pub use file::{FaultReader, FaultWriter};
pub use power::Fate;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Make a file.
    Create,
    /// Write octets.
    Write,
    /// Make a file's octets durable.
    Sync,
    /// Open a file to read it.
    Open,
    /// Ask for a file's size.
    Size,
    /// Give a file another name.
    Rename,
    /// Remove a file's name.
    Unlink,
    /// List a directory.
    List,
    /// Make a directory.
    CreateDir,
    /// Make a directory's names durable.
    SyncDir,
}

type Hook = Box<dyn FnMut(Operation, &str) -> Option<Error> + Send>;

/// The file system. Clones are the same one. Paths are relative and use `/`.
#[derive(Clone)]
pub struct FaultFs {
    disk: Arc<Mutex<Disk>>,
    hook: Arc<Mutex<Option<Hook>>>,
    /// How often the power had gone when this handle was made: a handle does not survive the next time.
    boot: u64,
}

impl fmt::Debug for FaultFs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FaultFs").field("boot", &self.boot).finish_non_exhaustive()
    }
}

impl Default for FaultFs {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultFs {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { disk: Arc::default(), hook: Arc::default(), boot: 0 }
    }

    /// Asks a function before each operation; what it returns is the operation's error. A new function takes the old one's place.
    ///
    /// # Panics
    /// When a test has panicked in such a function.
    pub fn fail_when(&self, hook: impl FnMut(Operation, &str) -> Option<Error> + Send + 'static) {
        *self.hook.lock().expect("no hook panics") = Some(Box::new(hook));
    }

    /// Lets every operation pass again.
    ///
    /// # Panics
    /// When a test has panicked in such a function.
    pub fn fail_never(&self) {
        *self.hook.lock().expect("no hook panics") = None;
    }

    /// How many octets there is room for; without a number, any number.
    pub fn set_capacity(&self, octets: Option<u64>) {
        self.disk().capacity = octets;
    }

    /// Octets in all files that have a name.
    #[must_use]
    pub fn used_octets(&self) -> u64 {
        self.disk().used()
    }

    /// How many octets there is room for.
    #[must_use]
    pub fn capacity(&self) -> Option<u64> {
        self.disk().capacity
    }

    /// The paths of all files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.disk().files()
    }

    /// A file's octets.
    #[must_use]
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        let inode = disk.file(path).ok()?;
        Some(disk.inodes.get(inode)?.content.clone())
    }

    /// Changes a file's octets behind everybody's back, durably.
    pub fn tamper(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        if let Ok(inode) = disk.file(path)
            && let Some(inode) = disk.inodes.get_mut(inode)
        {
            change(&mut inode.content);
            inode.durable.clone_from(&inode.content);
        }
    }

    /// Cuts the power: what is loose meets its fate, every handle is dead. Returns the handle of the machine that starts again.
    #[must_use]
    pub fn power_loss(&self, fate: &mut Fate) -> Self {
        let mut disk = self.disk();
        disk.lose_power(fate);
        Self { disk: Arc::clone(&self.disk), hook: Arc::clone(&self.hook), boot: disk.boot }
    }

    /// Makes a file that must not be there.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for its directory, or what the test wants.
    pub fn create(&self, path: &str) -> Result<FaultWriter> {
        let inode = self.begin(Operation::Create, path)?.create(path)?;
        Ok(FaultWriter { fs: self.clone(), path: path.to_owned(), inode })
    }

    /// Opens a file to read it. What was opened stays readable when the name goes.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn open(&self, path: &str) -> Result<FaultReader> {
        let inode = self.begin(Operation::Open, path)?.file(path)?;
        Ok(FaultReader { fs: self.clone(), inode, at: 0 })
    }

    /// A file's length in octets.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn size(&self, path: &str) -> Result<u64> {
        let disk = self.begin(Operation::Size, path)?;
        let inode = disk.file(path)?;
        disk.size(inode)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.begin(Operation::Rename, to)?.rename(from, to)
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn unlink(&self, path: &str) -> Result<()> {
        self.begin(Operation::Unlink, path)?.unlink(path)
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.begin(Operation::List, directory)?.list(directory)
    }

    /// Makes a directory, if it is not there.
    ///
    /// # Errors
    /// `NotFound` for its parent, or what the test wants.
    pub fn create_dir(&self, directory: &str) -> Result<()> {
        self.begin(Operation::CreateDir, directory)?.create_dir(directory)
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `NotFound`, or what the test wants.
    pub fn sync_dir(&self, directory: &str) -> Result<()> {
        self.begin(Operation::SyncDir, directory)?.sync_dir(directory)
    }

    fn begin(&self, operation: Operation, path: &str) -> Result<MutexGuard<'_, Disk>> {
        let mut hook = self.hook.lock().expect("no hook panics");
        let refused = hook.as_mut().and_then(|hook| hook(operation, path));
        drop(hook);
        let disk = self.disk();
        if disk.boot != self.boot {
            return Err(Error::other("the power has gone since this handle was made"));
        }
        refused.map_or(Ok(disk), Err)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no operation panics")
    }
}

/// Something is not there.
fn not_found(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path} is not there"))
}
