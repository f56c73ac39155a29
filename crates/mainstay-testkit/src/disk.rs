//! A file system that is small enough to fill.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted memory disk of a few megabytes; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one; none where this user may not mount.
    ///
    /// # Panics
    /// When there is no place for a temporary directory.
    #[must_use]
    pub fn mount(size_bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mounted = quietly(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size_bytes},mode=0777"), "tmpfs"])
                .arg(directory.path()),
        );
        mounted.then_some(Self { directory })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a database that is still open must not keep the directory.
        quietly(Command::new("umount").arg("-l").arg(self.directory.path()));
    }
}

fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
