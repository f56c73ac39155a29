//! Open files.

use std::io::{Read, Result, Seek, SeekFrom, Write};

use super::{FaultFs, Operation, not_found};

/// A file that is being written.
#[derive(Debug)]
pub struct FaultWriter {
    pub(super) fs: FaultFs,
    pub(super) path: String,
    pub(super) inode: usize,
}

impl FaultWriter {
    /// Makes the octets durable.
    ///
    /// # Errors
    /// What the test wants; the octets then stay loose, whatever a second call says.
    pub fn sync(&mut self) -> Result<()> {
        match self.fs.begin(Operation::Sync, &self.path) {
            Ok(mut disk) => disk.sync(self.inode),
            Err(error) => {
                self.fs.disk().poison(self.inode);
                Err(error)
            }
        }
    }
}

impl Write for FaultWriter {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        self.fs.begin(Operation::Write, &self.path)?.write(self.inode, octets)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A file that is being read.
#[derive(Debug)]
pub struct FaultReader {
    pub(super) fs: FaultFs,
    pub(super) inode: usize,
    pub(super) at: usize,
}

impl FaultReader {
    /// Its length in octets.
    ///
    /// # Errors
    /// None so far.
    pub fn size(&self) -> Result<u64> {
        self.fs.disk().size(self.inode)
    }
}

impl Read for FaultReader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let disk = self.fs.disk();
        let inode = disk.inodes.get(self.inode).ok_or_else(|| not_found("the file"))?;
        let mut rest = inode.content.get(self.at..).unwrap_or_default();
        let count = rest.read(into)?;
        self.at += count;
        Ok(count)
    }
}

impl Seek for FaultReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.size()?, by),
            SeekFrom::Current(by) => (u64::try_from(self.at).unwrap_or(u64::MAX), by),
        };
        let at = base
            .checked_add_signed(by)
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        self.at = usize::try_from(at).unwrap_or(usize::MAX);
        Ok(at)
    }
}
