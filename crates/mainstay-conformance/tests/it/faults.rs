//! Connections that break while callers write: every error is typed, nothing acknowledged is lost, nothing refused is
//! there, and the handle recovers by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_conformance::linked;
use mainstay_repo::{Error, ErrorKind, Repo, Row, Statement, Target};
use mainstay_testkit::{PostgresDatabase, PrivateCluster, Proxy, SmallDisk, at_most_polls, eventually};

use crate::support::{check_error, create_kv, put, soon};

/// What writers were told of each pair.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Ledger {
    fn note(&mut self, id: String, result: Result<(), Error>) {
        match result {
            Ok(()) => self.acknowledged.insert(id),
            Err(error) if error.is_unknown() => self.unknown.insert(id),
            Err(error) => {
                let expected =
                    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Busy);
                assert!(expected, "{id}: {error:?}");
                self.refused.insert(id)
            }
        };
    }

    fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
    }

    /// Compares what was told with what is there.
    async fn check(&self, repo: &Repo) {
        let stored = soon(repo.read(linked::whole_pairs())).await.unwrap();
        let stored: BTreeSet<String> = stored.iter().map(|row| row.get("id").unwrap()).collect();
        let lost: Vec<_> = self.acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        let haunting: Vec<_> = self.refused.intersection(&stored).collect();
        assert!(haunting.is_empty(), "refused and there: {haunting:?}");
        let counts: Row = soon(repo.read_one(linked::counts())).await.unwrap();
        let whole = i64::try_from(stored.len()).unwrap();
        for column in ["heads", "tails", "pairs"] {
            assert_eq!(counts.get::<i64>(column).unwrap(), whole, "{column}: a batch was torn");
        }
    }
}

/// Writers that go on whatever happens, until they are stopped.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Ledger>>,
}

impl Writers {
    fn start(repo: &Repo, count: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let tasks = (0..count)
            .map(|writer| {
                let (repo, stop, acknowledged) = (repo.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
                let repo = repo.within(Duration::from_secs(10));
                tokio::spawn(async move {
                    let mut ledger = Ledger::default();
                    for number in 0_u32.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let id = format!("{writer}-{number}");
                        let result = soon(repo.batch(linked::pair(&id, 40))).await.map(drop);
                        match &result {
                            Ok(()) => drop(acknowledged.fetch_add(1, Ordering::Relaxed)),
                            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                        }
                        ledger.note(id, result);
                    }
                    ledger
                })
            })
            .collect();
        Self { stop, acknowledged, tasks }
    }

    /// Waits until so many more pairs are acknowledged.
    async fn progress(&self, by: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + by;
        eventually("writers get on", async || self.acknowledged.load(Ordering::Relaxed) >= goal).await;
    }

    async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for result in soon(join_all(self.tasks)).await {
            all.merge(result.unwrap());
        }
        all
    }
}

async fn open(url: &str) -> Repo {
    let repo = Repo::connect(url).await.unwrap();
    repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    repo
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_the_server_ends() {
    let database = PostgresDatabase::create();
    let repo = open(database.url()).await;
    let writers = Writers::start(&repo, 8);
    for _ in 0..10 {
        writers.progress(50).await;
        let ended = tokio::task::block_in_place(|| {
            database.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        });
        assert!(!ended.is_empty(), "there was a session to end");
    }
    writers.progress(50).await;
    let ledger = writers.stop().await;
    ledger.check(&repo).await;
    assert!(ledger.acknowledged.len() > 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let repo = open(database.url()).await;
    let writers = Writers::start(&repo, 8);
    for _ in 0..2 {
        writers.progress(50).await;
        tokio::task::block_in_place(|| cluster.restart());
        writers.progress(50).await;
        tokio::task::block_in_place(|| {
            cluster.kill();
            cluster.resume();
        });
    }
    writers.progress(50).await;
    let ledger = writers.stop().await;
    ledger.check(&repo).await;
    assert!(!ledger.refused.is_empty() || !ledger.unknown.is_empty(), "the restarts were felt");
    soon(repo.read(linked::counts())).await.unwrap();
    let tx = soon(repo.begin()).await.unwrap();
    soon(tx.commit()).await.unwrap();
}

/// The database's URL by way of a proxy.
fn by_way_of(proxy: &Proxy, database: &PostgresDatabase) -> String {
    let (scheme, rest) = database.url().split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (_, rest) = rest.split_once('/').unwrap();
    format!("{scheme}://{user}@{}/{rest}", proxy.address())
}

async fn proxied() -> (Proxy, PostgresDatabase, Repo) {
    let database = PostgresDatabase::create();
    let port = database.query("SELECT inet_server_port()");
    let host = database.query("SELECT host(inet_server_addr())");
    let address = format!("{}:{}", host[0], port[0]).parse().unwrap();
    let proxy = Proxy::start(address).await;
    let repo = open(&by_way_of(&proxy, &database)).await;
    (proxy, database, repo)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cut_at_any_octet() {
    let (proxy, database, _) = proxied().await;
    let direct = Repo::connect(database.url()).await.unwrap();
    let url = format!("{}?pool_size=2&committers=1", by_way_of(&proxy, &database));
    let mut ledger = Ledger::default();
    for octets in (0..40).step_by(8).chain((40..1_500).step_by(19)) {
        let repo = soon(Repo::connect(&url)).await.unwrap();
        // The connection is open and the statements are prepared before the cut.
        soon(repo.batch(linked::pair(&format!("before-{octets}"), 1))).await.unwrap();
        proxy.cut_after(octets);
        let id = format!("cut-{octets}");
        let result = soon(repo.batch(linked::pair(&id, 40))).await.map(drop);
        proxy.cut();
        ledger.note(id, result);
        if octets % 5 == 0 {
            let again = async || repo.batch(linked::pair(&format!("after-{}", unique()), 1)).await.is_ok();
            eventually("the handle recovers", again).await;
        }
    }
    ledger.check(&direct).await;
    assert!(!ledger.acknowledged.is_empty(), "some cuts come too late to hurt: {ledger:?}");
    assert!(!ledger.refused.is_empty(), "some cuts are known to have undone the batch: {ledger:?}");
}

/// A number that was not given before.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_cut() {
    let (proxy, database, repo) = proxied().await;
    let direct = Repo::connect(database.url()).await.unwrap();
    create_kv(&direct).await;
    for octets in (0..700).step_by(17) {
        let id = i64::from(octets) * 2;
        eventually("the handle recovers", async || repo.begin().await.is_ok()).await;
        proxy.cut_after(octets);
        let whole = async {
            let mut tx = repo.begin().await?;
            tx.write(put(id, 1)).await?;
            tx.write(put(id + 1, 1)).await?;
            tx.commit().await
        };
        let result = soon(whole).await;
        proxy.cut();
        let find = Statement::new("SELECT id FROM kv WHERE id IN ($1, $2)").bind(id).bind(id + 1);
        let rows = soon(direct.read(find)).await.unwrap().len();
        match result {
            Ok(()) => assert_eq!(rows, 2, "{octets}"),
            Err(error) if error.is_unknown() => assert_ne!(rows, 1, "{octets}"),
            Err(error) => {
                assert_eq!((error.kind(), rows), (&ErrorKind::Unavailable, 0), "{octets}: {error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stalls() {
    let (proxy, database, repo) = proxied().await;
    let direct = Repo::connect(database.url()).await.unwrap();
    let mut ledger = Ledger::default();
    for number in 0..4 {
        eventually("the handle recovers", async || {
            repo.clone()
                .within(Duration::from_secs(5))
                .batch(linked::pair(&format!("warm-{}", unique()), 1))
                .await
                .is_ok()
        })
        .await;
        proxy.stall(true);
        let hurried = repo.clone().within(Duration::from_millis(300));
        let error = soon(hurried.read(linked::counts())).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
        let id = format!("stalled-{number}");
        let result = soon(hurried.batch(linked::pair(&id, 40))).await.map(drop);
        assert!(result.is_err(), "nothing passes a stalled connection");
        proxy.stall(false);
        ledger.note(id, result);
    }
    // What was on its way arrives now, if the driver let it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ledger.check(&direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_leaves_no_open_transaction() {
    let database = PostgresDatabase::create();
    let repo = Repo::connect(database.url()).await.unwrap();
    create_kv(&repo).await;
    for polls in 0..40 {
        let whole = async {
            let mut tx = repo.begin().await.unwrap();
            tx.write(put(1, 1)).await.unwrap();
            tx.read(Statement::new("SELECT n FROM kv")).await.unwrap();
            tx.rollback().await.unwrap();
        };
        soon(at_most_polls(polls, whole)).await;
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    eventually("no session is idle in a transaction", async || {
        tokio::task::block_in_place(|| database.query(open)) == ["0"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stderr, reason = "says why nothing was tested")]
async fn a_server_whose_disk_is_full() {
    let Some(disk) = SmallDisk::mount(4 * 1024 * 1024) else {
        eprintln!("this user may not mount, so the server's disk cannot be filled");
        return;
    };
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let place = disk.path().join("space");
    cluster.make_directory(&place);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    make_reachable(disk.path());
    let made = cluster.query(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
    assert!(made.is_empty());
    let repo = Repo::connect(database.url()).await.unwrap();
    let create =
        Statement::new("CREATE TABLE big (id bigint PRIMARY KEY, body text NOT NULL) TABLESPACE small");
    repo.write(create).await.unwrap();
    repo.write(Statement::new("ALTER TABLE big ALTER body SET STORAGE PLAIN")).await.unwrap();
    let mut kept = 0_i64;
    let error = loop {
        let add =
            Statement::new("INSERT INTO big (id, body) VALUES ($1, $2)").bind(kept).bind("x".repeat(7_000));
        match soon(repo.write(add)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 10_000, "the disk does not fill");
    };
    check_error(&error, &ErrorKind::StorageFull, &["space"]);
    let count: Row = repo.read_one(Statement::new("SELECT count(*) AS n FROM big")).await.unwrap();
    assert_eq!(count.get::<i64>("n").unwrap(), kept);
    std::fs::remove_file(ballast).unwrap();
    let add = Statement::new("INSERT INTO big (id, body) VALUES ($1, $2)").bind(kept).bind("x".repeat(7_000));
    soon(repo.write(add)).await.unwrap();
    soon(repo.write(Statement::new("DROP TABLE big"))).await.unwrap();
    drop(cluster);
}

/// Lets the server's user through the directory that holds the disk.
fn make_reachable(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
}
