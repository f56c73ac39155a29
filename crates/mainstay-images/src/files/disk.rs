//! A directory of the operating system.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Files, ReadFile, Space, StagedFile, naming};

/// A directory of the operating system, local or on a shared mount.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// The directory at a path. It must be there: a store never makes its own mount point.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

struct OnDisk(File);

impl Write for OnDisk {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl StagedFile for OnDisk {
    fn sync(&mut self) -> Result<()> {
        self.0.sync_all()
    }
}

impl Read for OnDisk {
    fn read(&mut self, octets: &mut [u8]) -> Result<usize> {
        self.0.read(octets)
    }
}

impl Seek for OnDisk {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.0.seek(to)
    }
}

impl ReadFile for OnDisk {
    fn size(&self) -> Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }
}

impl Files for DiskFiles {
    fn place(&self) -> &Path {
        &self.root
    }

    fn create(&self, path: &str) -> Result<Box<dyn StagedFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.at(path))?;
        Ok(Box::new(OnDisk(file)))
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadFile>> {
        Ok(Box::new(OnDisk(File::open(self.at(path))?)))
    }

    fn size(&self, path: &str) -> Result<u64> {
        let metadata = fs::symlink_metadata(self.at(path))?;
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        Err(std::io::Error::new(ErrorKind::InvalidData, "it is not a regular file"))
    }

    fn age(&self, path: &str) -> Result<Option<Duration>> {
        // A clock that went back since makes it young, and not old.
        let written = fs::symlink_metadata(self.at(path))?.modified()?;
        Ok(Some(written.elapsed().unwrap_or_default()))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        naming::rename_new(&naming::System, &self.at(from), &self.at(to))
    }

    fn unlink(&self, path: &str) -> Result<()> {
        fs::remove_file(self.at(path))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(directory))? {
            // A name that is not UTF-8 is none of ours, and what is not ours is left alone.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create_dir(&self, directory: &str) -> Result<()> {
        match fs::create_dir(self.at(directory)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, directory: &str) -> Result<()> {
        File::open(self.at(directory))?.sync_all()
    }

    fn space(&self) -> Result<Space> {
        let found = rustix::fs::statvfs(&self.root)?;
        let free_inodes = if found.f_files == 0 { u64::MAX } else { found.f_favail };
        Ok(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            free_inodes,
        })
    }
}
