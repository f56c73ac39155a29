//! Opening a file: what is refused before anything is written, and the settings of every connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OpenFlags, ffi};
use tokio::time::Instant;

use super::checkpoint::Checkpoints;
use super::config::SqliteConfig;
use super::error::translate;
use crate::error::{Error, ErrorKind, Result};

/// SQLite before this version can corrupt a write-ahead log that is reset while it is read.
const MINIMUM_SQLITE: i32 = 3_051_003;
/// Statements that a connection keeps prepared.
const STATEMENT_CACHE: usize = 512;
/// The write-ahead log is cut back to this size after a checkpoint.
const JOURNAL_SIZE_LIMIT: i64 = 128 * 1024 * 1024;
/// Page cache of a connection that reads, in KiB.
const READER_CACHE_KIB: i64 = 16 * 1024;
/// Page cache of the one connection that writes, in KiB: it pays for every page that it has to read back.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// SQLite asks whether to go on after about so many of its instructions.
const PROGRESS_STEPS: i32 = 20_000;
/// File systems whose locks or shared memory do not reach other machines.
const NETWORK_FILE_SYSTEMS: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "lustre",
];

/// Ends a statement that runs past its deadline, and refuses transaction control in scripts. Shared with the connection's
/// hooks.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    started: Instant,
    deadline_micros: Arc<AtomicI64>,
    in_script: Arc<AtomicBool>,
}

impl Watch {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            deadline_micros: Arc::new(AtomicI64::new(i64::MAX)),
            in_script: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Statements from now on end at the deadline; none lets them run.
    pub(super) fn until(&self, deadline: Option<Instant>) {
        let micros = deadline.map_or(i64::MAX, |deadline| self.micros(deadline));
        self.deadline_micros.store(micros, Ordering::Relaxed);
    }

    /// Whether the statements that are prepared from now on belong to somebody's script, which must not end the
    /// transaction that it runs in.
    pub(super) fn in_script(&self, on: bool) {
        self.in_script.store(on, Ordering::Relaxed);
    }

    fn allows(&self, action: AuthAction<'_>) -> Authorization {
        let control = matches!(action, AuthAction::Transaction { .. } | AuthAction::Savepoint { .. });
        if control && self.in_script.load(Ordering::Relaxed) {
            Authorization::Deny
        } else {
            Authorization::Allow
        }
    }

    fn micros(&self, instant: Instant) -> i64 {
        i64::try_from(instant.saturating_duration_since(self.started).as_micros()).unwrap_or(i64::MAX)
    }

    fn has_passed(&self) -> bool {
        let deadline = self.deadline_micros.load(Ordering::Relaxed);
        deadline != i64::MAX && self.micros(Instant::now()) >= deadline
    }
}

/// Refuses what must not be opened: a version of SQLite with a known corruption, a path that is no file, a network file
/// system.
pub(super) fn check_path(config: &SqliteConfig) -> Result<()> {
    let linked = rusqlite::version_number();
    if linked < MINIMUM_SQLITE {
        return Err(Error::configuration(format!(
            "this program is linked with SQLite {}, which can corrupt a database",
            rusqlite::version()
        ))
        .with_help("link 3.51.3 or newer: let libsqlite3-sys build its bundled SQLite"));
    }
    let path = config.path();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if let Err(error) = std::fs::metadata(&directory)
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("the directory {} may not be entered by this user", directory.display()),
        )
        .with_help("let this user enter every directory on the way, and write the last one")
        .with_source(error));
    }
    if !directory.is_dir() {
        return Err(Error::configuration(format!("the directory {} does not exist", directory.display()))
            .with_help(format!("create it: mkdir -p {}", directory.display())));
    }
    if path.is_dir() {
        return Err(Error::configuration(format!("{} is a directory, not a database file", path.display()))
            .with_help("name a file in it"));
    }
    if !config.create() && !path.exists() {
        return Err(Error::configuration(format!("the database file {} does not exist", path.display()))
            .with_help("check the path, or drop create=false from the URL"));
    }
    refuse_network(&directory)
}

fn refuse_network(directory: &Path) -> Result<()> {
    // Without /proc (not Linux) the kind of file system is not known, and nothing is refused.
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    let Ok(directory) = directory.canonicalize() else { return Ok(()) };
    match file_system(&mounts, &directory) {
        Some(kind) if NETWORK_FILE_SYSTEMS.contains(&kind) => Err(Error::configuration(format!(
            "{} is on a network file system ({kind}), where SQLite's locks do not protect the data",
            directory.display()
        ))
        .with_help("put the file on a local disk, or use postgres://… to share the database")),
        _ => Ok(()),
    }
}

/// The kind of file system that holds a directory, from the kernel's list of mounts.
fn file_system<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mount_point = before.split(' ').nth(4)?;
            let kind = after.split(' ').next()?;
            directory.starts_with(mount_point).then_some((mount_point.len(), kind))
        })
        // Of mounts on the same point the last one hides the others.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

/// Opens the connection that writes.
pub(super) fn writer(config: &SqliteConfig) -> Result<(Connection, Watch)> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if config.create() {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let mut connection = open(config, flags)?;
    let prepare = |connection: &Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", config.synchronous().as_str())?;
        connection.execute_batch(Checkpoints::FIRST)?;
        connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
        // Proves that the file can be written and that nobody holds it.
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    };
    prepare(&connection).map_err(|error| opening(config, &connection, error))?;
    let mode: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .map_err(|error| opening(config, &connection, error))?;
    if mode != "wal" {
        return Err(Error::configuration(format!(
            "{} cannot keep a write-ahead log; its journal mode is {mode}",
            config.path().display()
        ))
        .with_help("use a file system with shared memory maps, such as ext4 or xfs"));
    }
    let watch = watch(&mut connection)?;
    Ok((connection, watch))
}

/// Opens a connection that only reads.
pub(super) fn reader(config: &SqliteConfig) -> Result<(Connection, Watch)> {
    // Not SQLITE_OPEN_READ_ONLY: such a connection cannot recover the log of a crashed process.
    let mut connection = open(config, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let prepare = |connection: &Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    };
    prepare(&connection).map_err(|error| opening(config, &connection, error))?;
    let watch = watch(&mut connection)?;
    Ok((connection, watch))
}

fn open(config: &SqliteConfig, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(config.path(), flags).map_err(|error| {
        let kind = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::CannotOpen) => ErrorKind::PermissionDenied,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("the database file {} cannot be opened", config.path().display()))
            .with_help("let this user read and write the file and its directory")
            .with_source(error)
    })?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    let prepare = |connection: &Connection| -> rusqlite::Result<()> {
        connection.busy_timeout(config.busy_timeout())?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "temp_store", "MEMORY")
    };
    prepare(&connection).map_err(|error| opening(config, &connection, error))?;
    Ok(connection)
}

/// An error while opening names the file.
fn opening(config: &SqliteConfig, connection: &Connection, error: rusqlite::Error) -> Error {
    let read_only =
        error.sqlite_error().is_some_and(|code| code.extended_code & 0xff == ffi::SQLITE_READONLY);
    let translated = translate(connection, error);
    let kind = if read_only { ErrorKind::PermissionDenied } else { translated.kind().clone() };
    let message = format!("{} cannot be opened: {}", config.path().display(), translated.message());
    let help = match translated.help() {
        _ if read_only => {
            "let this user write the file and its directory, in which SQLite keeps its log".to_owned()
        }
        Some(help) => help.to_owned(),
        None => "check the file, its directory and its file system".to_owned(),
    };
    Error::new(kind, message).with_help(help).with_source(translated)
}

fn watch(connection: &mut Connection) -> Result<Watch> {
    let watch = Watch::new();
    let handler = watch.clone();
    connection
        .progress_handler(PROGRESS_STEPS, Some(move || handler.has_passed()))
        .map_err(|error| translate(connection, error))?;
    let guard = watch.clone();
    connection
        .authorizer(Some(move |context: AuthContext<'_>| guard.allows(context.action)))
        .map_err(|error| translate(connection, error))?;
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
                      2 1 0:9 / /mnt rw shared:1 - nfs4 host:/x rw\n\
                      3 2 0:9 / /mnt/local rw - xfs /dev/sdb rw\n";
        assert_eq!(file_system(mounts, Path::new("/var/lib")), Some("ext4"));
        assert_eq!(file_system(mounts, Path::new("/mnt/data")), Some("nfs4"));
        assert_eq!(file_system(mounts, Path::new("/mnt/local/a")), Some("xfs"));
        assert_eq!(file_system(mounts, Path::new("/mntx")), Some("ext4"));
    }
}
