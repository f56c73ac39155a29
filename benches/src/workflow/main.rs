//! Workflows on both databases: `cargo xtask bench workflow [--json] [--quick]`.
//!
//! The databases are durable: `synchronous=FULL` on SQLite, `fsync=on` on PostgreSQL.

mod engine;
mod store;

use std::time::Duration;

use mainstay_repo::Repo;
use mainstay_testkit::TestDatabase;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let json = has("--json");
    let time = Duration::from_millis(if has("--quick") { 2_000 } else { 8_000 });
    let wants = |part: &str| has(part) || !["sqlite", "postgres"].iter().any(|part| has(part));
    let wants_of = |part: &str| has(part) || !["store", "engine"].iter().any(|part| has(part));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if wants("sqlite") {
        // On a real disk: the system's temporary directory is often memory, where a sync costs nothing.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
        runtime.block_on(async {
            let url = format!("sqlite://{}/workflow.db", directory.path().display());
            let repo = Repo::connect(&url).await.expect("opened");
            if wants_of("store") {
                store::run(&repo, "sqlite", 60_000.0, time, json).await;
            }
            if wants_of("engine") {
                let targets = engine::Targets { noop: 60_000.0, tx: 40_000.0, idle_ms: 1.0 };
                engine::run(&repo, "sqlite", &targets, time, json).await;
            }
            repo.close().await;
        });
    }
    if wants("postgres") {
        let database = TestDatabase::postgres();
        runtime.block_on(async {
            let repo = database.repo().await;
            if wants_of("store") {
                store::run(&repo, "postgres", 25_000.0, time, json).await;
            }
            if wants_of("engine") {
                let targets = engine::Targets { noop: 25_000.0, tx: 5_000.0, idle_ms: 5.0 };
                engine::run(&repo, "postgres", &targets, time, json).await;
            }
            repo.close().await;
        });
    }
}
