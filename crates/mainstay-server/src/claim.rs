//! One server for each SQLite file.
//!
//! SQLite itself lets several processes write, in turn. Two servers would still undo each other's work: each enables or disables the
//! development connection at its start, and each counts requests against limits of its own. Commands may use the file meanwhile, but
//! for those that take tables away.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mainstay_repo::DatabaseUrl;

use crate::config::Config;
use crate::start::StartError;

/// What is added to the database's name.
const SUFFIX: &str = ".server";

/// Held while a server runs; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

/// Claims the configured database, which is there already, for one server or for a command that no server survives.
/// Servers share PostgreSQL; there it claims nothing.
///
/// # Errors
/// [`StartError::Served`], [`StartError::Claim`].
pub fn claim(config: &Config) -> Result<Claim, StartError> {
    let DatabaseUrl::Sqlite(config) = DatabaseUrl::parse(config.database.expose())? else {
        return Ok(Claim { _lock: None });
    };
    let path = lock_file(config.path());
    let failed = |error| StartError::Claim(path.clone(), error);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Claim { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(StartError::Served(config.path().to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Beside the file itself, whatever link leads there: two names of one file are one claim.
fn lock_file(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(SUFFIX);
    PathBuf::from(name)
}
