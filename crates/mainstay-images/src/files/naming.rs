//! Giving a file a name that nothing has, on file systems that differ in what they can do and in how they answer.

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// What the system can do with names; a test stands in a medium that answers as those of the field do.
pub(super) trait Names {
    /// Renames unless the new name is taken.
    fn rename_unless_taken(&self, from: &Path, to: &Path) -> std::result::Result<(), Errno>;
    /// Gives a file a second name unless that is taken.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Renames, replacing.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Takes a name away.
    fn unlink(&self, path: &Path) -> Result<()>;
    /// Which file has a name: its device and its number there.
    fn identity(&self, path: &Path) -> Result<(u64, u64)>;
}

/// The system itself.
pub(super) struct System;

impl Names for System {
    fn rename_unless_taken(&self, from: &Path, to: &Path) -> std::result::Result<(), Errno> {
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        fs::remove_file(path)
    }

    fn identity(&self, path: &Path) -> Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

/// Gives a file a name that nothing has: by a rename that replaces nothing; where there is none (NFS), by a second name, which
/// replaces nothing either; where there is neither (CIFS, exFAT), by a look and a rename.
///
/// # Errors
/// `AlreadyExists` when another file has the name, and then nothing is changed; of the file system.
pub(super) fn rename_new(names: &impl Names, from: &Path, to: &Path) -> Result<()> {
    match names.rename_unless_taken(from, to) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => by_link(names, from, to),
        Err(error) => Err(error.into()),
    }
}

fn by_link(names: &impl Names, from: &Path, to: &Path) -> Result<()> {
    match names.link(from, to) {
        Ok(()) => {}
        // A call whose answer was lost is sent again, and then finds what it did itself.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if names.identity(from)? != names.identity(to)? {
                return Err(error);
            }
        }
        Err(error) => {
            let code = error.raw_os_error().map(Errno::from_raw_os_error);
            return match code {
                Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => by_look(names, from, to),
                _ => Err(error),
            };
        }
    }
    match names.unlink(from) {
        // Likewise: the name is gone because it was taken away.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Numbers are given once, so nobody else takes the name between the look and the rename.
fn by_look(names: &impl Names, from: &Path, to: &Path) -> Result<()> {
    match names.identity(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => names.rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real directory on a medium that lacks something, or loses answers.
    #[derive(Default)]
    struct Medium {
        renames: bool,
        refuses_links: Option<Errno>,
        loses_answers: bool,
    }

    impl Medium {
        /// A call that was sent again because its first answer was lost.
        fn sent(&self, call: impl Fn() -> Result<()>) -> Result<()> {
            if self.loses_answers {
                call()?;
            }
            call()
        }
    }

    impl Names for Medium {
        fn rename_unless_taken(&self, from: &Path, to: &Path) -> std::result::Result<(), Errno> {
            if self.renames { System.rename_unless_taken(from, to) } else { Err(Errno::INVAL) }
        }

        fn link(&self, from: &Path, to: &Path) -> Result<()> {
            match self.refuses_links {
                Some(code) => Err(code.into()),
                None => self.sent(|| System.link(from, to)),
            }
        }

        fn rename(&self, from: &Path, to: &Path) -> Result<()> {
            System.rename(from, to)
        }

        fn unlink(&self, path: &Path) -> Result<()> {
            self.sent(|| System.unlink(path))
        }

        fn identity(&self, path: &Path) -> Result<(u64, u64)> {
            System.identity(path)
        }
    }

    fn media() -> Vec<(&'static str, Medium)> {
        let refuses = |code| Medium { refuses_links: Some(code), ..Medium::default() };
        vec![
            ("local", Medium { renames: true, ..Medium::default() }),
            ("NFS", Medium::default()),
            ("NFS that loses answers", Medium { loses_answers: true, ..Medium::default() }),
            ("exFAT", refuses(Errno::PERM)),
            ("CIFS", refuses(Errno::OPNOTSUPP)),
            ("FUSE", refuses(Errno::NOSYS)),
        ]
    }

    #[test]
    fn a_new_name_is_given_on_every_medium_and_a_taken_one_on_none() {
        for (medium, names) in media() {
            let directory = tempfile::tempdir().unwrap();
            let (from, to) = (directory.path().join("from"), directory.path().join("to"));
            fs::write(&from, "new").unwrap();
            rename_new(&names, &from, &to).unwrap_or_else(|error| panic!("{medium}: {error}"));
            assert!(!from.exists() && fs::read(&to).unwrap() == b"new", "{medium}");
            fs::write(&from, "other").unwrap();
            let error = rename_new(&names, &from, &to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{medium}");
            assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"other".into(), b"new".into()));
        }
    }

    #[test]
    fn an_error_that_says_nothing_of_the_medium_is_no_reason_to_look_and_rename() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, "new").unwrap();
        let names = Medium { refuses_links: Some(Errno::IO), ..Medium::default() };
        let error = rename_new(&names, &from, &to).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
        assert!(from.exists() && !to.exists());
    }
}
