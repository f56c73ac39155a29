//! Workers of workflows that are killed and cut off: no run is stuck, none is lost, each `tx` step took effect exactly once, each
//! ordinary step at least once.
//!
//! `MAINSTAY_SOAK=1` kills for long; `MAINSTAY_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mainstay_conformance::{stays, trips};
use mainstay_repo::{Repo, Row, Statement, Target};
use mainstay_testkit::{PostgresDatabase, PrivateCluster, Random, SqliteFile, Victim, environment, pause};
use mainstay_workflow::store::{COMPONENT, Store};
use mainstay_workflow::{Fact, RunId};

use crate::support::soon;

pub(crate) fn kills(usual: u32, soak: u32) -> u32 {
    if environment::soaks() { soak } else { usual }
}

pub(crate) async fn prepare(url: &str) {
    let repo = Repo::connect(url).await.unwrap();
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
    repo.migrator().migrate(&trips::COMPONENT, Target::Latest).await.unwrap();
    repo.migrator().migrate(&stays::COMPONENT, Target::Latest).await.unwrap();
    soon(repo.close()).await;
}

fn worker(url: &str, runs: u32, pause_ms: u32) -> Victim {
    worker_of("trip", url, runs, pause_ms, None)
}

/// A worker that keeps so many runs of a workflow going; until it is told to rest, if it may be told.
pub(crate) fn worker_of(workflow: &str, url: &str, runs: u32, pause_ms: u32, rest: Option<&Path>) -> Victim {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-worker"));
    command.args([url, workflow, &runs.to_string(), &pause_ms.to_string()]).args(rest);
    let victim = Victim::spawn(command);
    victim.wait_until("a running engine", |lines| !lines.is_empty());
    victim
}

/// The runs that a worker said something of.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) started: BTreeSet<String>,
    pub(crate) signalled: BTreeSet<String>,
    pub(crate) cancelled: BTreeSet<String>,
    pub(crate) ended: BTreeSet<String>,
}

impl Told {
    pub(crate) fn hear(&mut self, lines: &[String]) {
        for line in lines {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["started", run] => drop(self.started.insert((*run).to_owned())),
                ["signalled", run] => drop(self.signalled.insert((*run).to_owned())),
                ["ended", run] => drop(self.ended.insert((*run).to_owned())),
                ["cancelled", run] => drop(self.cancelled.insert((*run).to_owned())),
                ["err" | "refused" | "resting" | "ready", ..] => {}
                other => panic!("a worker does not say {other:?}"),
            }
        }
    }
}

pub(crate) fn ended(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.starts_with("ended ")).count()
}

/// Lets last workers end everything, and looks. `cargo xtask soak` shows what it prints.
pub(crate) async fn settle(url: &str, told: &Told, kills: u32) {
    until_settled("trip", url, told).await;
    let seen = check(url, told).await;
    println!(
        "{kills} kills: {} runs ended, {} acknowledged starts and {} acknowledged signals are there; {} tx steps took effect once each, \
         {} plain steps ran {} times",
        seen.runs,
        told.started.len(),
        told.signalled.len(),
        seen.effects,
        seen.plain_steps,
        seen.plain_attempts
    );
}

/// What a test found, all as it should be.
struct Seen {
    runs: usize,
    effects: usize,
    plain_steps: usize,
    plain_attempts: i64,
}

pub(crate) fn numbers(rows: &[Row]) -> Vec<RunId> {
    rows.iter().map(|row| RunId::from_stored(row.get("id").unwrap())).collect()
}

/// Lets workers run until no run is open. A SQLite file is looked at between two workers, because it has one process at a time. Each lives
/// longer than the one before, and the last ones for longer than a letter is held by somebody who died with it.
pub(crate) async fn until_settled(workflow: &str, url: &str, told: &Told) {
    let is_file = url.starts_with("sqlite");
    let mut last = Some(worker_of(workflow, url, 0, 0, None));
    let mut signalled: BTreeSet<String> = told.signalled.union(&told.cancelled).cloned().collect();
    for round in 0.. {
        pause(Duration::from_millis(300 * (1 + round)));
        if is_file {
            last = None;
        }
        let repo = soon(Repo::connect(url)).await.unwrap();
        let left = Statement::new("SELECT id, status, workflow FROM wf_runs WHERE ended_at IS NULL");
        let left = soon(repo.read(left)).await.unwrap();
        if left.is_empty() {
            soon(repo.close()).await;
            return;
        }
        if round >= 30 {
            panic!("{} runs are stuck: {}", left.len(), picture(&repo, &left).await);
        }
        signal(&repo, &left, &mut signalled).await;
        soon(repo.close()).await;
        last = Some(last.take().unwrap_or_else(|| worker_of(workflow, url, 0, 0, None)));
    }
}

/// Signals the runs whose starter died before its word was acknowledged. Those of which it was are not helped.
async fn signal(repo: &Repo, left: &[Row], signalled: &mut BTreeSet<String>) {
    let engine = mainstay_workflow::Engine::builder(repo.clone()).without_workers().start().await.unwrap();
    for row in left {
        let run = RunId::from_stored(row.get("id").unwrap());
        if row.get::<String>("workflow").unwrap() != "leg" && signalled.insert(run.to_string()) {
            // It may end in this moment, by a signal that was sent and not acknowledged.
            drop(soon(engine.signal(run, "go", serde_json::Value::Null)).await);
        }
    }
}

/// What there is of the first of the runs that are stuck.
async fn picture(repo: &Repo, left: &[Row]) -> String {
    let first: i64 = left[0].get("id").unwrap();
    let store = soon(Store::open(repo, "default")).await.unwrap();
    let history = soon(store.histories(&[RunId::from_stored(first)])).await.unwrap();
    let history: Vec<String> =
        history.iter().flat_map(|(_, records)| records).map(|record| format!("{:?}", record.fact)).collect();
    let mut text = format!("{:?}\n{}", left[0], history.join("\n"));
    for rows in [
        "SELECT * FROM wf_tasks WHERE run_id = $1",
        "SELECT * FROM wf_mail WHERE run_id = $1",
        "SELECT * FROM wf_timers WHERE run_id = $1",
    ] {
        let rows = soon(repo.read(Statement::new(rows).bind(first))).await.unwrap();
        text.push_str(&format!("\n{rows:?}"));
    }
    text
}

async fn check(url: &str, told: &Told) -> Seen {
    let repo = soon(Repo::connect(url)).await.unwrap();
    let runs = Statement::new("SELECT id, workflow, status FROM wf_runs");
    let mut expected: BTreeMap<(String, &str), ()> = BTreeMap::new();
    let mut attempted: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut known = BTreeSet::new();
    for row in soon(repo.read(runs)).await.unwrap() {
        let (id, workflow): (i64, String) = (row.get("id").unwrap(), row.get("workflow").unwrap());
        let run = RunId::from_stored(id).to_string();
        assert_eq!(row.get::<String>("status").unwrap(), "completed", "{run}");
        if workflow == "leg" {
            expected.insert((run.clone(), "ride"), ());
        } else {
            expected.extend(trips::TX_STEPS.map(|step| ((run.clone(), step), ())));
            attempted.extend(trips::PLAIN_STEPS.map(|step| (run.clone(), step)));
        }
        known.insert(run);
    }
    let lost: Vec<_> = told.started.iter().filter(|run| !known.contains(*run)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    once(&repo, told).await;
    let (effects, attempts) = soon(trips::counts(&repo)).await.unwrap();
    let mut found = BTreeSet::new();
    for row in &effects {
        let (run, step, times): (String, String, i64) = of(row);
        assert_eq!(times, 1, "{step} of {run} took effect {times} times");
        found.insert((run, step));
    }
    let expected: BTreeSet<(String, String)> =
        expected.into_keys().map(|(run, step)| (run, step.to_owned())).collect();
    assert_eq!(found, expected, "each tx step of each run took effect");
    let tried: BTreeSet<(String, String)> = attempts.iter().map(|row| (of(row).0, of(row).1)).collect();
    let missing: Vec<_> =
        attempted.iter().filter(|(run, step)| !tried.contains(&(run.clone(), (*step).to_owned()))).collect();
    assert!(missing.is_empty(), "never run: {missing:?}");
    let left = Statement::new("SELECT run_id FROM wf_tasks");
    let left = soon(repo.read(left)).await.unwrap();
    assert!(left.is_empty(), "tasks of ended runs: {left:?}");
    soon(repo.close()).await;
    Seen {
        runs: known.len(),
        effects: found.len(),
        plain_steps: tried.len(),
        plain_attempts: attempts.iter().map(|row| of(row).2).sum(),
    }
}

/// A signal that was acknowledged counts once.
async fn once(repo: &Repo, told: &Told) {
    let store = soon(Store::open(repo, "default")).await.unwrap();
    let runs: Vec<RunId> = told.signalled.iter().map(|run| run.parse().unwrap()).collect();
    for (run, history) in soon(store.histories(&runs)).await.unwrap() {
        let signals = history.iter().filter(|record| matches!(record.fact, Fact::Signalled { .. })).count();
        assert_eq!(signals, 1, "{run}: {history:#?}");
    }
}

fn of(row: &Row) -> (String, String, i64) {
    (row.get("run").unwrap(), row.get("step").unwrap(), row.get("times").unwrap())
}

/// Kills one worker after the other, each after a random number of ended runs and a random pause.
async fn kill_workers(url: &str, kills: u32, mut random: Random) {
    prepare(url).await;
    let mut told = Told::default();
    for _ in 0..kills {
        let victim = worker(url, 20, 2);
        let wanted = usize::try_from(random.below(25)).unwrap();
        victim.wait_until("ended runs", |lines| ended(lines) >= wanted);
        pause(Duration::from_micros(random.below(60_000)));
        told.hear(&victim.kill());
    }
    settle(url, &told, kills).await;
    assert!(told.started.len() > usize::try_from(kills).unwrap(), "the workers worked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_workflow_workers_on_sqlite() {
    let file = SqliteFile::create();
    let random = Random::from_environment("crash_of_workflow_workers_on_sqlite");
    kill_workers(file.url(), kills(12, 1_500), random).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_workflow_workers_on_postgres() {
    let database = PostgresDatabase::create();
    let random = Random::from_environment("crash_of_workflow_workers_on_postgres");
    kill_workers(database.url(), kills(8, 1_500), random).await;
}

/// Two nodes, of which one or the other is killed while both work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_one_of_two_workflow_nodes() {
    let database = PostgresDatabase::create();
    let url = database.url();
    let mut random = Random::from_environment("crash_of_one_of_two_workflow_nodes");
    prepare(url).await;
    let mut told = Told::default();
    let mut nodes = [worker(url, 10, 2), worker(url, 10, 2)];
    let kills = kills(6, 800);
    for _ in 0..kills {
        let which = usize::try_from(random.below(2)).unwrap();
        let before = ended_of(&nodes[which]);
        nodes[which].wait_until("ended runs", |lines| ended(lines) > before);
        pause(Duration::from_micros(random.below(300_000)));
        let victim = std::mem::replace(&mut nodes[which], worker(url, 10, 2));
        told.hear(&victim.kill());
    }
    for node in nodes {
        told.hear(&node.kill());
    }
    settle(url, &told, kills + 2).await;
}

pub(crate) fn ended_of(node: &Victim) -> usize {
    let mut count = 0;
    node.wait_until("what it has said", |lines| {
        count = ended(lines);
        true
    });
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_postgres_under_workflow_workers() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let url = database.url();
    let mut random = Random::from_environment("crash_of_postgres_under_workflow_workers");
    prepare(url).await;
    let rests = tempfile::tempdir().unwrap();
    let rest = rests.path().join("rest");
    let node = worker_of("trip", url, 10, 2, Some(&rest));
    let kills = kills(3, 200);
    for _ in 0..kills {
        let before = ended_of(&node);
        node.wait_until("ended runs", |lines| ended(lines) >= before + 10);
        pause(Duration::from_micros(random.below(50_000)));
        cluster.kill();
        cluster.resume();
    }
    let before = ended_of(&node);
    node.wait_until("ended runs after the last restart", |lines| ended(lines) >= before + 20);
    // The node that lived through it ends what it has: no other one comes and takes over what it may not know of.
    std::fs::write(&rest, "").unwrap();
    node.wait_until("its rest", |lines| lines.iter().any(|line| line == "resting"));
    let mut told = Told::default();
    told.hear(&lines_of(&node));
    survived(url, &told).await;
    told.hear(&node.kill());
    settle(url, &told, kills).await;
}

pub(crate) fn lines_of(node: &Victim) -> Vec<String> {
    let mut said = Vec::new();
    node.wait_until("what it has said", |lines| {
        said = lines.to_vec();
        true
    });
    said
}

/// Waits until the nodes that live have ended every run, and hold nothing any more.
pub(crate) async fn survived(url: &str, told: &Told) {
    let repo = soon(Repo::connect(url)).await.unwrap();
    let mut signalled: BTreeSet<String> = told.signalled.union(&told.cancelled).cloned().collect();
    for round in 0.. {
        let left = Statement::new("SELECT id, status, workflow FROM wf_runs WHERE ended_at IS NULL");
        let left = soon(repo.read(left)).await.unwrap();
        let held = soon(repo.read(Statement::new("SELECT run_id, step FROM wf_tasks"))).await.unwrap();
        if left.is_empty() && held.is_empty() {
            break;
        }
        if round >= 100 {
            assert!(left.is_empty(), "{} runs are stuck: {}", left.len(), picture(&repo, &left).await);
            panic!("held, and of no open run: {held:?}");
        }
        signal(&repo, &left, &mut signalled).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    soon(repo.close()).await;
}
