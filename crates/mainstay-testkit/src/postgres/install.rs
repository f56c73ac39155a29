//! Where PostgreSQL's programs are, and the user who may run them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment;

const MEND: &str = "install it with `sudo apt-get install --no-install-recommends postgresql`, or name a server in \
                    MAINSTAY_TEST_POSTGRES=postgres://user:password@host/database (its user needs CREATEDB)";

/// An installed PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Install {
    programs: PathBuf,
    /// Whom to become: PostgreSQL refuses to run as root.
    user: Option<User>,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Install {
    /// The newest version that is installed.
    pub(super) fn find() -> Result<Self, String> {
        let programs = newest_of(Path::new("/usr/lib/postgresql"))
            .into_iter()
            .chain(environment::path())
            .find(|directory| directory.join("initdb").exists() && directory.join("pg_ctl").exists())
            .ok_or_else(|| format!("there is no initdb in /usr/lib/postgresql/*/bin or on PATH; {MEND}"))?;
        Ok(Self { programs, user: user_to_become()? })
    }

    /// A program, run as the user who may.
    pub(super) fn command(&self, program: &str, directory: &Path) -> Command {
        self.command_of(&self.programs.join(program), directory)
    }

    /// Makes a directory that belongs to the user who runs the programs.
    pub(super) fn make_directory(&self, directory: &Path) -> Result<(), String> {
        fs::create_dir_all(directory)
            .and_then(|()| self.user.map_or(Ok(()), |user| chown(directory, Some(user.uid), Some(user.gid))))
            .map_err(|error| format!("{} cannot be made: {error}", directory.display()))
    }

    /// Writes a file that belongs to that user, who alone may read it.
    pub(super) fn write_file(&self, file: &Path, text: &str) -> Result<(), String> {
        fs::write(file, text)
            .and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o600)))
            .and_then(|()| self.user.map_or(Ok(()), |user| chown(file, Some(user.uid), Some(user.gid))))
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))
    }

    /// Another program than PostgreSQL's own, run as the same user.
    pub(super) fn command_of(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// The `bin` directories under `root`, the highest version first.
fn newest_of(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, directory)| directory).collect()
}

/// Nobody, unless this process is root's.
fn user_to_become() -> Result<Option<User>, String> {
    let own = tempfile::tempfile().and_then(|file| file.metadata());
    let own = own.map_err(|error| format!("no temporary file can be made: {error}"))?;
    if own.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| user_in(&users, name)).map(Some).ok_or_else(|| {
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody".to_owned()
    })
}

fn user_in(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some(User { uid: ids.next()?.parse().ok()?, gid: ids.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0:root:/:/bin/sh\npostgres2:x:9:9::/:\npostgres:x:105:109:,,,:/var/lib:/bin/sh\n";
        let user = user_in(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (105, 109));
        assert!(user_in(users, "nobody").is_none());
    }

    #[test]
    fn versions_sort_as_numbers() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "old"] {
            fs::create_dir(root.path().join(version)).unwrap();
        }
        let found = newest_of(root.path());
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("15/bin"));
    }
}
