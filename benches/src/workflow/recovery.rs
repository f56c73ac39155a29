//! A process that is killed with 100,000 open runs: how soon another one has them.
//!
//! The process that dies is this program, started again as `workflow worker URL RUNS`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_repo::{Repo, Statement, Target};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Definition, Engine, Handlers, Node, StartRequest, StepContext, Workflow};
use serde_json::json;

/// How many runs are started at a time.
const CALLERS: usize = 2_000;
/// The longest that a recovery is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

fn flow() -> Workflow {
    let step = Node::task("work", ["ok"]).on("ok", ["end"]);
    Definition::new("open", 1).node(step).done("end").build().expect("a workflow")
}

/// Starts runs whose step does not end, says so, and waits to be killed.
pub(crate) async fn worker(url: &str, runs: usize) {
    let repo = Repo::connect(url).await.expect("opened");
    let handlers = Handlers::new().handler("work", async |_cx| std::future::pending().await);
    let engine = Engine::builder(repo).workflow(flow(), handlers).start().await.expect("an engine");
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in (caller..runs).step_by(CALLERS) {
                    engine.start(StartRequest::new("open", json!(number))).await.expect("started");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
    println!("ready");
    std::future::pending::<()>().await;
}

fn spawn(url: &str, runs: usize) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["worker", url, &runs.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker");
    let mut line = String::new();
    let out = child.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n", "the worker did not get so far");
    child
}

/// What the target says of, in seconds: how soon the dead node's own work is in live hands.
pub(crate) async fn run(url: &str, name: &str, target_s: f64, quick: bool, json: bool) {
    let runs = if quick { 10_000 } else { 100_000 };
    let repo = Repo::connect(url).await.expect("opened");
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    repo.close().await;
    let mut child = spawn(url, runs);
    child.kill().expect("killed");
    child.wait().expect("buried");
    let recovered = recover(url, runs).await;
    let row = |what: &str, seconds: f64| {
        Row::less(format!("recovery_{runs}_{what}_{name}"), "s", seconds, "target", target_s).print(json);
    };
    row("first_step", recovered.first);
    row("in_live_hands", recovered.released);
    row("all_gone_on", recovered.all);
}

/// Seconds since the new process opened the database.
struct Recovered {
    /// The first step began.
    first: f64,
    /// Nothing is in the dead node's hands any more: everything open is claimed, or may be claimed by anybody.
    released: f64,
    /// The step of each run began again.
    all: f64,
}

/// Which runs went on, and when the first did.
struct Seen {
    runs: Vec<AtomicBool>,
    count: AtomicUsize,
    first: std::sync::OnceLock<Instant>,
}

async fn recover(url: &str, runs: usize) -> Recovered {
    let seen = Arc::new(Seen {
        runs: (0..runs).map(|_| AtomicBool::new(false)).collect(),
        count: AtomicUsize::new(0),
        first: std::sync::OnceLock::new(),
    });
    let shared = Arc::clone(&seen);
    let handlers = Handlers::new().handler("work", move |cx: StepContext| {
        let seen = Arc::clone(&shared);
        async move {
            let run = cx.input().as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
            if !seen.runs[run].swap(true, Ordering::Relaxed) {
                seen.count.fetch_add(1, Ordering::Relaxed);
                seen.first.get_or_init(Instant::now);
            }
            Ok("ok".into())
        }
    });
    let began = Instant::now();
    let repo = Repo::connect(url).await.expect("opened");
    let dead = Statement::new("SELECT max(id) AS id FROM wf_nodes");
    let dead: i64 = repo.read(dead).await.expect("read")[0].get("id").expect("a node");
    let engine = Engine::builder(repo.clone()).workflow(flow(), handlers).start().await.expect("an engine");
    let mut released = None;
    while seen.count.load(Ordering::Relaxed) < runs || released.is_none() {
        assert!(began.elapsed() < PATIENCE, "{} of {runs} runs went on", seen.count.load(Ordering::Relaxed));
        if released.is_none() {
            let held =
                Statement::new("SELECT count(*) AS held FROM wf_tasks WHERE state = 2 AND node_id = $1")
                    .bind(dead);
            let held: i64 = repo.read(held).await.expect("read")[0].get("held").expect("a count");
            released = (held == 0).then(|| began.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let all = began.elapsed().as_secs_f64();
    engine.stop().await;
    repo.close().await;
    let first = seen.first.get().map_or(all, |at| (*at - began).as_secs_f64());
    Recovered { first, released: released.unwrap_or(all), all }
}
