//! The file system of the tests, as the image store wants it.

use std::io::{Read, Result, Seek, SeekFrom, Write};

use mainstay_images::files::{Files, ReadFile, Space, StagedFile};
use mainstay_testkit::FaultFs;
use mainstay_testkit::fault_fs::{FaultReader, FaultWriter, Operation};

/// A store's directory on a file system that loses what was not synced.
#[derive(Debug, Clone)]
pub(super) struct Medium {
    pub fs: FaultFs,
    /// An operation that it answers well and does not do.
    pub lies: Option<Operation>,
}

struct Staged(FaultWriter, Option<Operation>);

impl Write for Staged {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl StagedFile for Staged {
    fn sync(&mut self) -> Result<()> {
        if self.1 == Some(Operation::Sync) { Ok(()) } else { self.0.sync() }
    }
}

struct Reader(FaultReader);

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.0.read(into)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.0.seek(to)
    }
}

impl ReadFile for Reader {
    fn size(&self) -> Result<u64> {
        self.0.size()
    }
}

impl Files for Medium {
    fn create(&self, path: &str) -> Result<Box<dyn StagedFile>> {
        Ok(Box::new(Staged(self.fs.create(path)?, self.lies)))
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadFile>> {
        Ok(Box::new(Reader(self.fs.open(path)?)))
    }

    fn size(&self, path: &str) -> Result<u64> {
        self.fs.size(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.fs.rename(from, to)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.fs.unlink(path)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.fs.list(directory)
    }

    fn create_dir(&self, directory: &str) -> Result<()> {
        self.fs.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> Result<()> {
        if self.lies == Some(Operation::SyncDir) { Ok(()) } else { self.fs.sync_dir(directory) }
    }

    fn space(&self) -> Result<Space> {
        let total_bytes = self.fs.capacity().unwrap_or(1 << 40);
        Ok(Space {
            total_bytes,
            free_bytes: total_bytes.saturating_sub(self.fs.used_octets()),
            free_inodes: u64::MAX,
        })
    }
}
