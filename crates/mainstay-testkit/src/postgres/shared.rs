//! The server that all test processes of one test command share.
//!
//! nextest runs each test in a process of its own, so the server's place is a directory named after the test command's
//! process and its start. The first test that needs the server takes the lock in it and starts the server; the others find
//! its port. A [`watchdog`] stops it when the test command has ended, in whatever way. Two test commands have two places.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cluster::Cluster;
use super::watchdog::{self, DIRECTORY_PREFIX, POSTMASTER};
use crate::environment;

/// The URL of the server's first database.
pub(super) fn admin_url() -> Result<String, String> {
    static URL: OnceLock<Result<String, String>> = OnceLock::new();
    URL.get_or_init(|| port().map(|port| Cluster::url(port, "postgres"))).clone()
}

/// The port of the server; started if it does not answer.
fn port() -> Result<u16, String> {
    let owner = owner();
    let place = place(owner)?;
    let lock = lock(&place)?;
    let file = place.join("port");
    let known: Option<u16> = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(port) = known.filter(|port| Cluster::answers(*port)) {
        return Ok(port);
    }
    drop(fs::remove_dir_all(place.join("data")));
    // Before the server: if this process is killed on the way, someone cleans up all the same.
    watchdog::watch(owner, &place, POSTMASTER)?;
    let port = Cluster::create(&place)?.port();
    fs::write(&file, port.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    drop(lock);
    Ok(port)
}

/// The process with which the server ends: the test command, or this process if nothing started it as a test.
fn owner() -> u32 {
    if environment::has_test_runner() { std::os::unix::process::parent_id() } else { std::process::id() }
}

fn place(owner: u32) -> Result<PathBuf, String> {
    let name = format!("{DIRECTORY_PREFIX}{owner}-{}", started_at(owner));
    let place = std::env::temp_dir().join(name);
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let ours = tempfile::tempfile().and_then(|file| Ok(file.metadata()?.uid()));
    let its = fs::metadata(&place).map(|metadata| metadata.uid());
    match (ours, its) {
        (Ok(ours), Ok(its)) if ours == its => Ok(place),
        _ => Err(format!("{} belongs to someone else; remove it", place.display())),
    }
}

/// When a process started, in the kernel's ticks: with it a number that was given again is told apart.
fn started_at(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    after_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

/// Held until it is dropped, or its process ends.
fn lock(place: &Path) -> Result<File, String> {
    let file = place.join("lock");
    let open = File::create(&file).and_then(|open| open.lock().map(|()| open));
    open.map_err(|error| format!("{} cannot be locked: {error}", file.display()))
}
