//! Who may run on a database at the same time.
//!
//! | database | servers | a command that takes tables away |
//! |---|---|---|
//! | SQLite | one, by a lock on a file beside the database | none beside a server, by the same lock |
//! | PostgreSQL | any number; each keeps a row in `server_nodes` | none beside a server, and no server beside it |
//!
//! SQLite itself lets several processes write, in turn. Two servers would still undo each other's work: each enables or disables the
//! development connection at its start, and each counts requests against limits of its own. Other commands may use the file
//! meanwhile.
//!
//! A row, and not an advisory lock of PostgreSQL: a lock belongs to a session, which a pooler in transaction mode takes away and a
//! fail-over loses without a word.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_core::SystemClock;
use mainstay_repo::{Capability, DatabaseUrl, ErrorKind, Repo, Topology as _};
use tokio::task::JoinHandle;

use crate::config::{Config, PublicUrl};
use crate::limits;
use crate::start::StartError;
use crate::store::migrations::COMPONENT;
use crate::store::nodes::{self, Kind, NewNode, Node};

/// What is added to the database's name.
const SUFFIX: &str = ".server";
/// How often the lock is tried for, and how long after the last time.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// How long removing the row may take when the process ends; the row is forgotten by itself.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

mainstay_core::typed_id! {
    /// Names one run of a server or of a command.
    pub(crate) struct NodeId("node");
}

/// Held while a server or such a command runs. When the process ends without [`Claim::release`], the system lets go of a lock at
/// once, and a row counts for 30 seconds more.
#[derive(Debug)]
#[must_use = "it is given up when it is dropped"]
pub struct Claim {
    _lock: Option<File>,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    repo: Repo,
    id: String,
    heartbeat: JoinHandle<()>,
}

impl Claim {
    /// Gives it up: others may begin at once.
    pub async fn release(mut self) {
        let Some(row) = self.row.take() else { return };
        row.heartbeat.abort();
        let left = tokio::time::timeout(LEAVE_LIMIT, row.repo.write(nodes::leave(&row.id))).await;
        // The table itself may be what the command took away.
        if !matches!(left, Ok(Ok(_))) {
            tracing::debug!("the row of this run was not removed; it is forgotten by itself");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(row) = &self.row {
            row.heartbeat.abort();
        }
    }
}

/// Claims an open database for a command that no server survives.
///
/// # Errors
/// [`StartError::Served`] and [`StartError::Nodes`] when a server runs, [`StartError::Claim`], [`StartError::Repo`].
pub async fn claim(config: &Config, repo: &Repo) -> Result<Claim, StartError> {
    let lock = lock_soon(config).await?;
    // Without the table no server runs that would know of it.
    let is_kept =
        repo.has(Capability::ManyWriters) && repo.migrator().migrated_version(&COMPONENT).await? > 0;
    if !is_kept {
        return Ok(Claim { _lock: lock, row: None });
    }
    let node = new_node(Kind::Command, String::new(), None);
    match enter(repo, node).await {
        Ok(row) => Ok(Claim { _lock: lock, row: Some(row) }),
        Err(error) if is_excluded(&error) => {
            let (servers, _commands) = live(repo).await?;
            Err(StartError::Nodes(servers.iter().map(shown).collect()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Claims an open database for a server, whose tables are there.
pub(crate) async fn claim_for_server(
    lock: Option<File>,
    repo: &Repo,
    url: &PublicUrl,
    dev_key: Option<&str>,
) -> Result<Claim, StartError> {
    if !repo.has(Capability::ManyWriters) {
        return Ok(Claim { _lock: lock, row: None });
    }
    let node = new_node(Kind::Server, url.to_string(), dev_key.map(str::to_owned));
    let row = match enter(repo, node).await {
        Ok(row) => row,
        Err(error) if is_excluded(&error) => {
            let (_servers, commands) = live(repo).await?;
            return Err(StartError::Undoing(commands.iter().map(shown).collect()));
        }
        Err(error) => return Err(error.into()),
    };
    // Of two that come at once, at least one sees the other: each looks after it has entered.
    let (mut servers, _commands) = live(repo).await?;
    servers.retain(|other| other.id != row.id);
    let claim = Claim { _lock: lock, row: Some(row) };
    if let Err(error) = check_development(&servers, url, dev_key) {
        claim.release().await;
        return Err(error);
    }
    Ok(claim)
}

/// Test users are not let in where a server without them runs, and two keys for one URL are two providers that the other's
/// answers do not fit.
fn check_development(servers: &[Node], url: &PublicUrl, dev_key: Option<&str>) -> Result<(), StartError> {
    let Some(key) = dev_key else { return Ok(()) };
    if let Some(other) = servers.iter().find(|other| other.dev_key.is_none()) {
        return Err(StartError::DevelopmentBeside(shown(other)));
    }
    let rival = servers.iter().find(|other| {
        other.public_url == url.to_string() && other.dev_key.as_deref().is_some_and(|it| it != key)
    });
    rival.map_or(Ok(()), |other| Err(StartError::DevelopmentKey(shown(other))))
}

/// Public URL and key of every server with the development provider that runs, this one included; none where there is but one.
pub(crate) async fn development_nodes(repo: &Repo) -> Result<Vec<(String, String)>, StartError> {
    if !repo.has(Capability::ManyWriters) {
        return Ok(Vec::new());
    }
    let (servers, _commands) = live(repo).await?;
    Ok(servers.into_iter().filter_map(|node| Some((node.public_url, node.dev_key?))).collect())
}

async fn enter(repo: &Repo, node: NewNode) -> mainstay_repo::Result<Row> {
    repo.batch(nodes::enter(&node, limits::NODE_TTL)).await?;
    let (repo, id) = (repo.clone(), node.id.clone());
    let heartbeat = tokio::spawn(keep_alive(repo.clone(), node));
    Ok(Row { repo, id, heartbeat })
}

async fn keep_alive(repo: Repo, node: NewNode) {
    loop {
        tokio::time::sleep(limits::NODE_HEARTBEAT).await;
        let known = repo.write(nodes::seen(&node.id)).await.map(|written| written.rows_affected() > 0);
        // Away for so long that it was forgotten: it comes back, if it still may.
        let kept = match known {
            Ok(true) => Ok(()),
            Ok(false) => repo.batch(nodes::enter(&node, limits::NODE_TTL)).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "others cannot see that this process runs; the next heartbeat tries again");
        }
    }
}

fn is_excluded(error: &mainstay_repo::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConditionFailed { .. })
}

async fn live(repo: &Repo) -> mainstay_repo::Result<(Vec<Node>, Vec<Node>)> {
    let all: Vec<Node> = repo.read_all(nodes::live(limits::NODE_TTL)).await?;
    Ok(all.into_iter().partition(|node| node.kind == "server"))
}

fn shown(node: &Node) -> String {
    let url = if node.public_url.is_empty() { "a command" } else { &node.public_url };
    format!("{url} ({}, last seen {})", node.place, node.seen_at)
}

fn new_node(kind: Kind, public_url: String, dev_key: Option<String>) -> NewNode {
    let id = NodeId::generate(&SystemClock).to_string();
    let place = format!("{}, process {}", machine(), std::process::id());
    NewNode { id, kind, place, public_url, dev_key }
}

/// What this machine calls itself.
pub(crate) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = Some(name.trim()).filter(|name| !name.is_empty());
    name.unwrap_or("a machine without a name").to_owned()
}

/// Locks the file beside a SQLite database, which is there already.
pub(crate) fn lock(config: &Config) -> Result<Option<File>, StartError> {
    let DatabaseUrl::Sqlite(config) = DatabaseUrl::parse(config.database.expose())? else {
        return Ok(None);
    };
    let path = lock_file(config.path());
    let failed = |error| StartError::Claim(path.clone(), error);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StartError::Served(config.path().to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The same, for one who ends when it is refused: a command that looks whether a server runs holds the lock for a moment.
pub(crate) async fn lock_soon(config: &Config) -> Result<Option<File>, StartError> {
    for _ in 1..LOCK_TRIES {
        match lock(config) {
            Err(StartError::Served(_)) => tokio::time::sleep(LOCK_PAUSE).await,
            other => return other,
        }
    }
    lock(config)
}

/// Where the lock of a configuration's database lies; nowhere on PostgreSQL.
pub(crate) fn lock_place(config: &Config) -> Option<PathBuf> {
    match DatabaseUrl::parse(config.database.expose()) {
        Ok(DatabaseUrl::Sqlite(sqlite)) => Some(lock_file(sqlite.path())),
        _ => None,
    }
}

/// Whether a server runs on the database whose lock lies there. Nothing is made, and two that look at once do not see each other.
pub(crate) fn is_served(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Beside the file itself, whatever link leads there: two names of one file are one claim.
fn lock_file(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(SUFFIX);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};
    use mainstay_repo::Target;
    use mainstay_testkit::TestDatabase;

    /// How often a server and a command come at the same moment.
    const ROUNDS: usize = 40;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_and_a_command_that_come_at_once_never_both_enter() {
        let database = TestDatabase::postgres();
        let flags = vec![("database", database.url().to_owned())];
        let config = Loaded::from_sources(&Sources { flags, ..Sources::default() }).into_config().unwrap();
        let url = PublicUrl::parse("https://id.example.com").unwrap();
        // Two processes have two pools.
        let (one, two) = (database.repo().await, database.repo().await);
        one.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        for round in 0..ROUNDS {
            let (server, command) =
                tokio::join!(claim_for_server(None, &one, &url, None), claim(&config, &two));
            assert!(server.is_err() || command.is_err(), "both entered in round {round}");
            match (server, command) {
                (Ok(server), Err(StartError::Nodes(_))) => server.release().await,
                (Err(StartError::Undoing(_)), Ok(command)) => command.release().await,
                other => panic!("neither entered in round {round}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn whether_a_server_runs_is_seen_without_a_trace_and_keeps_none_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("a.db").display());
        let config = Loaded::from_sources(&Sources { flags: vec![("database", url)], ..Sources::default() });
        let config = config.into_config().unwrap();
        let place = lock_place(&config).unwrap();
        assert!(!is_served(&place) && !place.exists(), "looking makes nothing");
        let held = lock(&config).unwrap();
        assert!(is_served(&place) && is_served(&place));
        assert!(matches!(lock_soon(&config).await, Err(StartError::Served(_))));
        drop(held);
        // Two commands look at one moment, and a server starts in it.
        let looks = [File::open(&place).unwrap(), File::open(&place).unwrap()];
        looks.iter().for_each(|look| look.try_lock_shared().unwrap());
        assert!(!is_served(&place));
        let gone = async {
            tokio::time::sleep(LOCK_PAUSE).await;
            drop(looks);
        };
        let (locked, ()) = tokio::join!(lock_soon(&config), gone);
        assert!(locked.unwrap().is_some());
        let postgres = vec![("database", "postgres://a@b/c".to_owned())];
        let postgres = Loaded::from_sources(&Sources { flags: postgres, ..Sources::default() });
        assert_eq!(lock_place(&postgres.into_config().unwrap()), None);
    }
}
