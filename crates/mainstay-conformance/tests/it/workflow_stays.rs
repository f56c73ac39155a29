//! Workers that are killed while runs are cancelled, steps are undone and a queue has a limit: each run is completed or cancelled as it was told,
//! what was taken by a cancelled one is given back, after what came later, and the limit is never exceeded.
//!
//! `MAINSTAY_SOAK=1` kills for long; `MAINSTAY_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_conformance::{stays, trips};
use mainstay_repo::{Repo, Row, Statement};
use mainstay_testkit::{PostgresDatabase, Random, SqliteFile, Victim, pause};
use mainstay_workflow::store::{QueueLimits, Store};
use mainstay_workflow::{Control, Fact, RunId};

use crate::support::soon;
use crate::workflows::{Told, ended, ended_of, kills, prepare, until_settled, worker_of};

/// How many may stand at the desk at a time.
const LIMIT: u32 = 3;

async fn prepare_stays(url: &str) {
    prepare(url).await;
    let repo = soon(Repo::connect(url)).await.unwrap();
    // The namespace is made by whoever opens it first.
    let _store = soon(Store::open(&repo, "default")).await.unwrap();
    let control = soon(Control::open(&repo, "default")).await.unwrap();
    let limits = QueueLimits { concurrency: Some(LIMIT), ..QueueLimits::default() };
    soon(control.queue_set(stays::QUEUE, limits)).await.unwrap();
    soon(repo.close()).await;
}

fn worker(url: &str) -> Victim {
    worker_of("stay", url, 12, 8, None)
}

/// Kills it, hears what it said, and notes until when it stood at the desk.
async fn kill(url: &str, victim: Victim, told: &mut Told) {
    let at = stays::micros();
    let lines = victim.kill();
    told.hear(&lines);
    let process = lines.iter().find_map(|line| line.strip_prefix("ready ")).unwrap().parse().unwrap();
    let repo = soon(Repo::connect(url)).await.unwrap();
    soon(stays::killed(&repo, process, at)).await.unwrap();
    soon(repo.close()).await;
}

/// The most that stood at the desk at a time.
fn most(desks: &[(i64, i64)]) -> i32 {
    // Who leaves at the instant at which another one comes has left.
    let mut steps: Vec<(i64, i32)> =
        desks.iter().flat_map(|(began, ended)| [(*began, 1), (*ended, -1)]).collect();
    steps.sort_unstable();
    let mut there = 0;
    steps
        .into_iter()
        .map(|(_, step)| {
            there += step;
            there
        })
        .max()
        .unwrap_or_default()
}

/// Lets last workers end everything, and looks. `cargo xtask soak` shows what it prints.
async fn settle(url: &str, told: &Told, kills: u32) {
    until_settled("stay", url, told).await;
    let repo = soon(Repo::connect(url)).await.unwrap();
    let runs = soon(repo.read(Statement::new("SELECT id, status FROM wf_runs"))).await.unwrap();
    let runs: BTreeMap<String, String> = runs
        .iter()
        .map(|row: &Row| (RunId::from_stored(row.get("id").unwrap()).to_string(), row.get("status").unwrap()))
        .collect();
    let lost: Vec<_> = told.started.iter().filter(|run| !runs.contains_key(*run)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    for (said, status) in [(&told.signalled, "completed"), (&told.cancelled, "cancelled")] {
        for run in said {
            assert_eq!(runs[run], status, "{run}, as it was told");
        }
    }
    let with = |status: &str| -> BTreeSet<&String> {
        runs.iter().filter(|(_, is)| *is == status).map(|(run, _)| run).collect()
    };
    let (completed, cancelled) = (with("completed"), with("cancelled"));
    assert_eq!(completed.len() + cancelled.len(), runs.len(), "{runs:?}");
    let rooms = soon(stays::rooms(&repo)).await.unwrap();
    let held: BTreeSet<&String> = rooms.iter().filter(|(_, held)| *held).map(|(run, _)| run).collect();
    assert_eq!(held, completed, "who stays has a room, and nobody else");
    let (paid, _) = soon(trips::counts(&repo)).await.unwrap();
    let paid: Vec<(String, i64)> =
        paid.iter().map(|row| (row.get("run").unwrap(), row.get("times").unwrap())).collect();
    assert!(paid.iter().all(|(_, times)| *times == 1), "paid once: {paid:?}");
    assert_eq!(
        paid.iter().map(|(run, _)| run).collect::<BTreeSet<_>>(),
        completed,
        "who stays pays, and nobody else"
    );
    let (undone, both) = undone(&repo, &cancelled).await;
    assert!(undone > 0, "some had a room to give back");
    let most = most(&soon(stays::desks(&repo)).await.unwrap());
    assert_eq!(most, i32::try_from(LIMIT).unwrap(), "at the desk, at a time");
    let left = soon(repo.read(Statement::new("SELECT run_id FROM wf_tasks"))).await.unwrap();
    assert!(left.is_empty(), "tasks of ended runs: {left:?}");
    soon(repo.close()).await;
    println!(
        "{kills} kills: {} stays, of which {} were cancelled, {undone} with something to undo, {both} after the desk; at most {most} stood there at a time",
        runs.len(),
        cancelled.len()
    );
}

/// How many of the cancelled runs undid something, and how many both steps; each of these undid the later one first.
async fn undone(repo: &Repo, cancelled: &BTreeSet<&String>) -> (usize, usize) {
    let store = soon(Store::open(repo, "default")).await.unwrap();
    let runs: Vec<RunId> = cancelled.iter().map(|run| run.parse().unwrap()).collect();
    let (mut some, mut both) = (0, 0);
    for (run, history) in soon(store.histories(&runs)).await.unwrap() {
        let undone: Vec<&str> = history
            .iter()
            .filter_map(|record| match &record.fact {
                Fact::Undone { step } => Some(step.as_str()),
                _ => None,
            })
            .collect();
        assert!([&[][..], &["room"], &["desk", "room"]].contains(&undone.as_slice()), "{run}: {undone:?}");
        some += usize::from(!undone.is_empty());
        both += usize::from(undone.len() == 2);
    }
    (some, both)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_workers_that_cancel_and_queue_on_sqlite() {
    let file = SqliteFile::create();
    let mut random = Random::from_environment("crash_of_workers_that_cancel_and_queue_on_sqlite");
    prepare_stays(file.url()).await;
    let mut told = Told::default();
    let kills = kills(8, 800);
    for _ in 0..kills {
        let victim = worker(file.url());
        let wanted = usize::try_from(random.below(15)).unwrap();
        victim.wait_until("ended runs", |lines| ended(lines) >= wanted);
        pause(Duration::from_micros(random.below(60_000)));
        kill(file.url(), victim, &mut told).await;
    }
    settle(file.url(), &told, kills).await;
}

/// Two nodes, of which one or the other is killed: the limit is that of both together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_workers_that_cancel_and_queue_on_postgres() {
    let database = PostgresDatabase::create();
    let url = database.url();
    let mut random = Random::from_environment("crash_of_workers_that_cancel_and_queue_on_postgres");
    prepare_stays(url).await;
    let mut told = Told::default();
    let mut nodes = [worker(url), worker(url)];
    let kills = kills(6, 500);
    for _ in 0..kills {
        let which = usize::try_from(random.below(2)).unwrap();
        let before = ended_of(&nodes[which]);
        nodes[which].wait_until("ended runs", |lines| ended(lines) > before);
        pause(Duration::from_micros(random.below(300_000)));
        let victim = std::mem::replace(&mut nodes[which], worker(url));
        kill(url, victim, &mut told).await;
    }
    for node in nodes {
        kill(url, node, &mut told).await;
    }
    settle(url, &told, kills + 2).await;
}
