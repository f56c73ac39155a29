//! Processes that are killed while they write: what was acknowledged is wholly there, the rest is whole or absent.
//!
//! `MAINSTAY_SOAK=1` kills thousands of times; `MAINSTAY_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use mainstay_conformance::linked;
use mainstay_repo::{Repo, Target};
use mainstay_testkit::{PostgresDatabase, PrivateCluster, Random, SqliteFile, Victim, environment, pause};

use crate::support::soon;

fn kills(usual: u32, soak: u32) -> u32 {
    if environment::soaks() { soak } else { usual }
}

fn writer(url: &str, run: &str) -> Victim {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-writer"));
    command.args([url, run, "6"]);
    let victim = Victim::spawn(command);
    victim.wait_until("an open database", |lines| !lines.is_empty());
    victim
}

/// What a writer said of each pair, by its id: the error's kind, or none when it was acknowledged.
fn told(lines: &[String]) -> BTreeMap<String, Option<String>> {
    let mut told = BTreeMap::new();
    for line in lines {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["ack", id] => drop(told.insert((*id).to_owned(), None)),
            ["err", id, kind @ ..] => drop(told.insert((*id).to_owned(), Some(kind.join(" ")))),
            other => assert_eq!(other, ["ready"]),
        }
    }
    told
}

/// Compares what writers were told with what is there.
async fn check(url: &str, told: &BTreeMap<String, Option<String>>) {
    let repo = soon(Repo::connect(url)).await.unwrap();
    // One snapshot for all: PostgreSQL goes on with what a killed client had sent, and may commit it between two reads.
    let reads = vec![linked::whole_pairs(), linked::counts(), linked::damage()];
    let results = soon(repo.read_many(reads)).await.unwrap();
    let [stored, counts, damage] = results.as_slice() else { panic!("three statements, {results:?}") };
    let stored: BTreeSet<String> = stored.iter().map(|row| row.get("id").unwrap()).collect();
    for (id, refusal) in told {
        match refusal.as_deref() {
            None => assert!(stored.contains(id), "{id} was acknowledged and is not there"),
            Some(kind) if kind.starts_with("Unknown") => {}
            Some(kind) => {
                assert!(["Unavailable", "Busy", "Timeout"].contains(&kind), "{id}: {kind}");
                assert!(!stored.contains(id), "{id} was refused ({kind}) and is there");
            }
        }
    }
    let whole = i64::try_from(stored.len()).unwrap();
    for column in ["heads", "tails", "pairs"] {
        assert_eq!(counts[0].get::<i64>(column).unwrap(), whole, "{column}: a batch was torn");
    }
    assert!(damage.is_empty(), "{damage:?}");
    soon(repo.close()).await;
}

async fn prepare(url: &str) {
    let repo = Repo::connect(url).await.unwrap();
    repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    soon(repo.close()).await;
}

/// Kills the client again and again, each time after a random number of acknowledgements and a random pause.
async fn kill_clients(url: &str, kills: u32, mut random: Random) {
    prepare(url).await;
    let mut all = BTreeMap::new();
    for kill in 0..kills {
        let victim = writer(url, &format!("run{kill:05}"));
        let wanted = usize::try_from(random.below(40)).unwrap();
        victim.wait_until("acknowledgements", |lines| lines.len() > wanted);
        pause(Duration::from_micros(random.below(15_000)));
        let new = told(&victim.kill());
        assert!(new.values().all(Option::is_none), "without a fault nothing is refused: {new:?}");
        all.extend(new);
        if kill % 8 == 7 {
            check(url, &all).await;
        }
    }
    check(url, &all).await;
    assert!(all.len() > usize::try_from(kills).unwrap(), "the writers wrote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_the_process_on_sqlite() {
    let file = SqliteFile::create();
    kill_clients(file.url(), kills(40, 3_000), Random::from_environment("crash_of_the_process_on_sqlite"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_the_process_on_postgres() {
    let database = PostgresDatabase::create();
    let random = Random::from_environment("crash_of_the_process_on_postgres");
    kill_clients(database.url(), kills(40, 3_000), random).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_the_server_on_postgres() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let mut random = Random::from_environment("crash_of_the_server_on_postgres");
    prepare(database.url()).await;
    let victim = writer(database.url(), "server");
    let acknowledged = |lines: &[String]| lines.iter().filter(|line| line.starts_with("ack ")).count();
    let mut before = 0;
    for _ in 0..kills(6, 300) {
        let wanted = before + 1 + usize::try_from(random.below(300)).unwrap();
        victim.wait_until("acknowledgements", |lines| acknowledged(lines) >= wanted);
        pause(Duration::from_micros(random.below(10_000)));
        cluster.kill();
        cluster.resume();
        victim.wait_until("an end of what was on its way", |lines| {
            before = acknowledged(lines);
            true
        });
    }
    victim.wait_until("acknowledgements after the last kill", |lines| acknowledged(lines) > before + 50);
    let all = told(&victim.kill());
    assert!(all.values().any(Option::is_some), "the kills were felt");
    check(database.url(), &all).await;
}
