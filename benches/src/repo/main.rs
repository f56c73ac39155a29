//! The data layer beside its peers, on both databases, in one run: `cargo xtask bench repo [--json] [--quick]`.
//!
//! Every figure is the median of the rounds; within a round ours and the peers take turns, so that what else the machine
//! does falls on all of them. The peers have the same durability: `synchronous=FULL` on SQLite, `fsync=on` on PostgreSQL.

mod ours;
mod peers;
mod slow_disk;
mod workload;

use std::time::Duration;

use mainstay_benches::{Row, Sample, median};
use mainstay_repo::Repo;
use mainstay_testkit::TestDatabase;

const CALLERS: [usize; 4] = [1, 16, 64, 256];
const WAITING_WRITERS: usize = 100_000;

#[derive(Clone, Copy)]
struct Plan {
    json: bool,
    rounds: usize,
    time: Duration,
}

impl Plan {
    /// A single caller measures little but the disk, whose speed changes from second to second: more rounds.
    const fn rounds_for(&self, callers: usize) -> usize {
        if callers == 1 { self.rounds * 3 } else { self.rounds }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let plan = Plan {
        json: has("--json"),
        rounds: if has("--quick") { 1 } else { 3 },
        time: Duration::from_millis(if has("--quick") { 800 } else { 2_000 }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if has("--slow-disk-child") {
        return runtime.block_on(slow_disk::child(plan.time));
    }
    let wants = |part: &str| {
        let parts = ["sqlite", "postgres", "slow-disk", "pipeline", "memory"];
        has(part) || !parts.iter().any(|part| has(part))
    };
    if wants("sqlite") {
        runtime.block_on(sqlite(plan));
    }
    if wants("slow-disk") {
        slow_disk::run(plan.time).iter().for_each(|row| row.print(plan.json));
    }
    if wants("pipeline") {
        runtime.block_on(pipeline(plan));
    }
    if wants("memory") {
        runtime.block_on(memory(plan));
    }
    if wants("postgres") {
        runtime.block_on(postgres(plan));
    }
}

/// Samples of ours and of each peer, by round.
#[derive(Default)]
struct Rounds(Vec<(&'static str, Vec<Sample>)>);

impl Rounds {
    fn add(&mut self, who: &'static str, sample: Sample) {
        match self.0.iter_mut().find(|(name, _)| *name == who) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((who, vec![sample])),
        }
    }

    fn of(&self, who: &str) -> Option<Sample> {
        self.0.iter().find(|(name, _)| *name == who).map(|(_, samples)| median(samples.clone()))
    }

    /// A rate row for each peer of `ours`.
    fn print_rates(&self, name: &str, who: &str, json: bool) {
        let Some(ours) = self.of(who) else { return };
        for (peer, samples) in self.0.iter().filter(|(peer, _)| !peer.starts_with("mainstay")) {
            Row::rate(name, ours.rate, *peer, median(samples.clone()).rate).print(json);
        }
    }

    fn print_p50(&self, name: &str, who: &str, json: bool) {
        let Some(ours) = self.of(who) else { return };
        for (peer, samples) in self.0.iter().filter(|(peer, _)| !peer.starts_with("mainstay")) {
            Row::less(name, "us", ours.p50_us, *peer, median(samples.clone()).p50_us).print(json);
        }
    }
}

/// A directory on a real disk: the system's temporary directory is often memory, where a sync costs nothing.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory")
}

/// A closed loop of so many callers cannot put more into one transaction: the bound at this size, and the bound of all.
const fn bare_sizes(callers: usize) -> &'static [(usize, &'static str)] {
    match callers {
        1 => &[(1, "bare, 1 a transaction")],
        64 => &[(64, "bare, 64 a transaction"), (256, "bare, 256 a transaction")],
        _ => &[(256, "bare, 256 a transaction")],
    }
}

async fn sqlite(plan: Plan) {
    let directory = directory();
    let repo =
        Repo::connect(&format!("sqlite://{}/ours.db", directory.path().display())).await.expect("opened");
    workload::prepare(&repo).await;
    workload::fill(&repo).await;
    let (sqlx_path, bare_path) = (directory.path().join("sqlx.db"), directory.path().join("bare.db"));
    for path in [&sqlx_path, &bare_path] {
        let copy = Repo::connect(&format!("sqlite://{}", path.display())).await.expect("opened");
        workload::prepare(&copy).await;
        workload::fill(&copy).await;
        copy.close().await;
    }
    let sqlx = peers::sqlx_sqlite(&sqlx_path, 10).await;
    let sea_orm = peers::sea_orm_sqlite(&sqlx).await;
    for callers in CALLERS {
        let mut rounds = Rounds::default();
        for _ in 0..plan.rounds_for(callers) {
            rounds.add("mainstay", ours::writes(&repo, callers, plan.time, false).await);
            rounds.add("sqlx pool 10", peers::sqlx_sqlite_writes(&sqlx, callers, plan.time).await);
            rounds.add("sea-orm pool 10", peers::sea_orm_writes(&sea_orm, callers, plan.time).await);
            for (together, name) in bare_sizes(callers) {
                let bare =
                    tokio::task::block_in_place(|| peers::bare_sqlite(&bare_path, *together, plan.time));
                rounds.add(name, bare);
            }
        }
        rounds.print_rates(&format!("sqlite_write_{callers}"), "mainstay", plan.json);
        if callers == 1 {
            rounds.print_p50("sqlite_write_1_p50", "mainstay", plan.json);
        }
    }
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        rounds.add("mainstay", ours::reads(&repo, 64, plan.time).await);
        rounds.add("sqlx pool 10", peers::sqlx_sqlite_reads(&sqlx, 64, plan.time).await);
    }
    rounds.print_rates("sqlite_read_64", "mainstay", plan.json);
    repo.close().await;
}

async fn pipeline(plan: Plan) {
    let directory = directory();
    let nanoseconds =
        ours::pipeline_ns(&format!("sqlite://{}/pipeline.db", directory.path().display())).await;
    Row::less("pipeline_one_middleware", "ns", nanoseconds, "target", 1_000.0).print(plan.json);
}

async fn memory(plan: Plan) {
    let directory = directory();
    let url = format!("sqlite://{}/memory.db", directory.path().display());
    let repo = Repo::connect(&url).await.expect("opened");
    workload::prepare(&repo).await;
    let (callers_only, peak) = ours::waiting_writers_mib(&repo, WAITING_WRITERS).await;
    Row::less("memory_100000_writers", "MiB", peak, "the same callers, idle", callers_only).print(plan.json);
    repo.close().await;
}

async fn postgres(plan: Plan) {
    let (ours_db, peers_db) = (TestDatabase::postgres(), TestDatabase::postgres());
    let repo = Repo::connect(ours_db.url()).await.expect("connected");
    for url in [ours_db.url(), peers_db.url()] {
        let copy = Repo::connect(url).await.expect("connected");
        workload::prepare(&copy).await;
        workload::fill(&copy).await;
        copy.close().await;
    }
    let sqlx_10 = peers::sqlx_postgres(peers_db.url(), 10).await;
    let sqlx_32 = peers::sqlx_postgres(peers_db.url(), 32).await;
    let sea_orm = peers::sea_orm_postgres(peers_db.url(), 10).await;
    for callers in CALLERS {
        let mut rounds = Rounds::default();
        for _ in 0..plan.rounds_for(callers) {
            rounds.add("mainstay", ours::writes(&repo, callers, plan.time, false).await);
            rounds.add("mainstay merged", ours::writes(&repo, callers, plan.time, true).await);
            rounds.add("sqlx pool 10", peers::sqlx_postgres_writes(&sqlx_10, callers, plan.time).await);
            rounds.add("sqlx pool 32", peers::sqlx_postgres_writes(&sqlx_32, callers, plan.time).await);
            rounds.add("sea-orm pool 10", peers::sea_orm_writes(&sea_orm, callers, plan.time).await);
            let bare = peers::bare_postgres(peers_db.url(), callers, plan.time).await;
            rounds.add(
                if callers == 1 { "tokio-postgres, prepared" } else { "tokio-postgres, one pipeline" },
                bare,
            );
        }
        rounds.print_rates(&format!("postgres_write_{callers}"), "mainstay", plan.json);
        rounds.print_rates(&format!("postgres_write_merged_{callers}"), "mainstay merged", plan.json);
        if callers == 1 {
            rounds.print_p50("postgres_write_1_p50", "mainstay", plan.json);
        }
    }
    repo.close().await;
}
