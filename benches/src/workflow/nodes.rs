//! Nodes on one PostgreSQL, with the bell and without it.
//!
//! Two: a run waits on one, its signal is sent on the other, which has not its steps. How soon does the step behind the wait run? Eight: all of
//! them work on one queue with a limit. How near do they come to the limit, and what do they ask of the database for a step?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_repo::{Repo, Statement, Target};
use mainstay_workflow::store::{COMPONENT, QueueLimits};
use mainstay_workflow::{Control, Definition, Engine, Handlers, Node, RunId, StartRequest};
use serde_json::Value;
use tokio::sync::Notify;

const SIGNALS: usize = 60;
/// Longer than any look takes, so that each signal finds a node at rest; not a multiple of a node's pauses.
const REST: Duration = Duration::from_millis(37);
/// Nodes that share a queue.
const NODES: usize = 8;
/// What the queue lets begin at a time.
const CONCURRENCY: u32 = 50;
/// How long a step of the queue takes.
const STEP: Duration = Duration::from_millis(50);
/// Runs at a time, in the queue or on their way there.
const RUNS: usize = 400;

pub(crate) async fn run(url: &str, time: Duration, json: bool) {
    let repo = Repo::connect(url).await.expect("opened");
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    let separator = if url.contains('?') { '&' } else { '?' };
    let deaf = latency(&repo, &format!("{url}{separator}listen=off")).await;
    let hearing = latency(&repo, url).await;
    let row = |what: &str, ours: f64, peers: f64| {
        Row::less(format!("node_to_node_signal_{what}_postgres"), "ms", ours, "by looking alone", peers)
            .print(json);
    };
    row("median", hearing.0, deaf.0);
    row("p99", hearing.1, deaf.1);
    let deaf = limited(&repo, &format!("{url}{separator}listen=off"), time).await;
    let hearing = limited(&repo, url, time).await;
    let limit = f64::from(CONCURRENCY) / STEP.as_secs_f64();
    let name = |what: &str| format!("limited_queue_{NODES}_nodes_{what}_postgres");
    Row::rate(name("steps"), hearing.steps, "the limit of the queue", limit).print(json);
    Row::rate(name("steps"), hearing.steps, "by looking alone", deaf.steps).print(json);
    Row::less(name("commits_per_step"), "", hearing.commits, "by looking alone", deaf.commits).print(json);
    repo.close().await;
}

/// What the nodes of a limited queue came to.
struct Limited {
    /// Steps a second.
    steps: f64,
    /// Transactions of the database for each of them, the start and the end of its run among them.
    commits: f64,
}

/// Runs of one step each, whose queue has a limit, started and done by all nodes.
async fn limited(repo: &Repo, url: &str, time: Duration) -> Limited {
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut engines = Vec::new();
    for _ in 0..NODES {
        let node = Repo::connect(url).await.expect("opened");
        let pay = Node::task("pay", ["ok"]).queue("payments").on("ok", ["end"]);
        let flow = Definition::new("limited", 1).node(pay).done("end").build().expect("a workflow");
        let done = Arc::clone(&done);
        let handlers = Handlers::new().handler("pay", move |_cx| {
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(STEP).await;
                done.fetch_add(1, Ordering::Relaxed);
                Ok("ok".into())
            }
        });
        let engine = Engine::builder(node.clone()).namespace("limited").workflow(flow, handlers);
        engines.push((engine.start().await.expect("an engine"), node));
    }
    let control = Control::open(repo, "limited").await.expect("a namespace");
    let limits = QueueLimits { concurrency: Some(CONCURRENCY), ..QueueLimits::default() };
    control.queue_set("payments", limits).await.expect("a queue");
    let callers: Vec<_> = (0..RUNS)
        .map(|caller| {
            let (engine, stop) = (engines[caller % NODES].0.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let run = engine.start(StartRequest::new("limited", Value::Null)).await.expect("started");
                    engine.wait(run).await.expect("ended");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, commits, began) = (done.load(Ordering::Relaxed), commits(repo).await, Instant::now());
    tokio::time::sleep(time).await;
    let steps = (done.load(Ordering::Relaxed) - before) as f64;
    let rate = steps / began.elapsed().as_secs_f64();
    let commits = (self::commits(repo).await - commits) as f64;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("a caller ended");
    }
    for (engine, node) in engines {
        engine.stop().await;
        node.close().await;
    }
    Limited { steps: rate, commits: commits / steps }
}

/// Transactions of the database so far. A session tells of its own at most once a second.
async fn commits(repo: &Repo) -> i64 {
    let sql = "SELECT xact_commit + xact_rollback AS commits FROM pg_stat_database WHERE datname = current_database()";
    let rows = repo.read(Statement::new(sql)).await.expect("read");
    rows.first().expect("a row").get("commits").expect("a number")
}

/// The median and the last but one of a hundred, in milliseconds, from before the signal is sent until its step runs.
async fn latency(sender: &Repo, url: &str) -> (f64, f64) {
    let repo = Repo::connect(url).await.expect("opened");
    let hold = Node::wait("hold").signal("go", "gone").on("gone", ["work"]);
    let work = Node::task("work", ["ok"]).on("ok", ["end"]);
    let flow = Definition::new("nodes", 1).node(hold).node(work).done("end").build().expect("a workflow");
    let arrived = Arc::new(Notify::new());
    let tell = Arc::clone(&arrived);
    let handlers = Handlers::new().handler("work", move |_cx| {
        tell.notify_one();
        async { Ok("ok".into()) }
    });
    let engine = Engine::builder(repo.clone()).workflow(flow, handlers).start().await.expect("an engine");
    let control = Control::open(sender, "default").await.expect("a namespace");
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..SIGNALS {
        runs.push(engine.start(StartRequest::new("nodes", Value::Null)).await.expect("started"));
    }
    let mut times = Vec::new();
    for run in runs {
        tokio::time::sleep(REST).await;
        let began = Instant::now();
        control.signal(run, "go", Value::Null, None).await.expect("sent");
        arrived.notified().await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    engine.stop().await;
    repo.close().await;
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    (at(50), at(99))
}
