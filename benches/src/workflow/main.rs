//! Workflows on both databases: `cargo xtask bench workflow [--only=PART,…] [--json] [--quick]`.
//!
//! The parts are `sqlite` and `postgres`, and `store`, `engine`, `peers` (with `engine`, to be put beside), `recovery`, `nodes`,
//! `long` and `parked`; all of them unless some are named. The databases are durable: `synchronous=FULL` on SQLite, `fsync=on` on PostgreSQL.

mod engine;
mod long;
mod nodes;
mod parked;
mod peers;
mod recovery;
mod starts;
mod store;

use std::time::Duration;

use mainstay_repo::Repo;
use mainstay_testkit::TestDatabase;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use engine::Targets;
use peers::Peers;

/// Everything that can be asked for.
const DATABASES: [&str; 2] = ["sqlite", "postgres"];
const PARTS: [&str; 7] = ["store", "engine", "peers", "recovery", "nodes", "long", "parked"];

/// What was asked for.
struct Plan {
    only: Vec<String>,
    json: bool,
    quick: bool,
}

impl Plan {
    fn wants(&self, part: &str, among: &[&str]) -> bool {
        let has = |part: &str| self.only.iter().any(|given| given == part);
        has(part) || !among.iter().any(|part| has(part))
    }

    fn wants_part(&self, part: &str) -> bool {
        self.wants(part, &PARTS)
    }

    /// How long the engine and the store are under each load.
    fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 8 })
    }

    /// How long the peers are. They have nothing that grows so soon.
    fn peers_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 4 })
    }
}

/// An empty database of one kind, gone when it is dropped.
enum Place {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

impl Place {
    fn new(database: &str) -> Self {
        if database == "sqlite" {
            // On a real disk: the system's temporary directory is often memory, where a sync costs nothing.
            Self::Sqlite(tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory"))
        } else {
            Self::Postgres(TestDatabase::postgres())
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite://{}/workflow.db", directory.path().display()),
            Self::Postgres(database) => database.url().to_owned(),
        }
    }

    async fn open(&self) -> Repo {
        Repo::connect(&self.url()).await.expect("opened")
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let [word, url, runs] = words.as_slice()
        && word == "worker"
    {
        return runtime.block_on(recovery::worker(url, runs.parse().expect("a number")));
    }
    let has = |name: &str| words.iter().any(|word| word == name);
    let only = words.iter().filter_map(|word| word.strip_prefix("--only="));
    let only: Vec<String> = only.flat_map(|parts| parts.split(',')).map(str::to_owned).collect();
    let known: Vec<&str> = DATABASES.iter().chain(&PARTS).copied().collect();
    if let Some(unknown) = only.iter().find(|part| !known.contains(&part.as_str())) {
        eprintln!("no part of this benchmark is named {unknown:?}; there are: {}", known.join(", "));
        std::process::exit(2);
    }
    let plan = Plan { only, json: has("--json"), quick: has("--quick") };
    let peers = plan.wants_part("peers").then(Peers::prepare);
    for database in DATABASES {
        if plan.wants(database, &DATABASES) {
            measure(&runtime, &plan, database, peers.as_ref());
        }
    }
}

fn measure(runtime: &Runtime, plan: &Plan, database: &str, peers: Option<&Peers>) {
    let is_sqlite = database == "sqlite";
    let targets = if is_sqlite {
        Targets { noop: 60_000.0, tx: 40_000.0, idle_ms: 1.0 }
    } else {
        Targets { noop: 25_000.0, tx: 5_000.0, idle_ms: 5.0 }
    };
    if plan.wants_part("store") {
        let place = Place::new(database);
        runtime.block_on(async {
            let repo = place.open().await;
            store::run(&repo, database, targets.noop, plan.time(), plan.json).await;
            repo.close().await;
        });
    }
    if plan.wants_part("engine") || peers.is_some() {
        let place = Place::new(database);
        let figures = runtime.block_on(async {
            let repo = place.open().await;
            let figures = engine::run(&repo, database, &targets, plan.time(), plan.json).await;
            repo.close().await;
            figures
        });
        if let Some(peers) = peers {
            peers.run(database, &figures, plan.peers_time(), plan.json);
        }
    }
    if plan.wants_part("recovery") {
        let place = Place::new(database);
        let target_s = if is_sqlite { 1.0 } else { 10.0 };
        runtime.block_on(recovery::run(&place.url(), database, target_s, plan.quick, plan.json));
    }
    if plan.wants_part("nodes") && !is_sqlite {
        let place = Place::new(database);
        runtime.block_on(nodes::run(&place.url(), plan.time(), plan.json));
    }
    if plan.wants_part("long") {
        let place = Place::new(database);
        runtime.block_on(async {
            let repo = place.open().await;
            long::run(&repo, database, plan.quick, plan.json).await;
            repo.close().await;
        });
    }
    if plan.wants_part("parked") {
        let place = Place::new(database);
        runtime.block_on(async {
            let repo = parked::open(&place.url()).await;
            parked::run(&repo, database, plan.quick, plan.json).await;
            repo.close().await;
        });
    }
}
