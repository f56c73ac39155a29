//! The file system of the tests, as the image store wants it.

use std::io::{Read, Result, Seek, SeekFrom, Write};

use mainstay_images::files::{Files, ReadFile, Space, StagedFile};
use mainstay_testkit::FaultFs;
use mainstay_testkit::fault_fs::{FaultReader, FaultWriter};

/// A store's directory on a file system that loses what was not synced.
#[derive(Debug, Clone)]
pub struct Medium(pub FaultFs);

struct Staged(FaultWriter);

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
        self.0.sync()
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
        Ok(Box::new(Staged(self.0.create(path)?)))
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadFile>> {
        Ok(Box::new(Reader(self.0.open(path)?)))
    }

    fn size(&self, path: &str) -> Result<u64> {
        self.0.size(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(from, to)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.0.unlink(path)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.0.list(directory)
    }

    fn create_dir(&self, directory: &str) -> Result<()> {
        self.0.create_dir(directory)
    }

    fn sync_dir(&self, directory: &str) -> Result<()> {
        self.0.sync_dir(directory)
    }

    fn space(&self) -> Result<Space> {
        let total_bytes = self.0.capacity().unwrap_or(1 << 40);
        Ok(Space {
            total_bytes,
            free_bytes: total_bytes.saturating_sub(self.0.used_octets()),
            free_inodes: u64::MAX,
        })
    }
}
