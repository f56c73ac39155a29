//! Two nodes on one PostgreSQL: a run waits on one, its signal is sent on the other, which has not its steps. How soon the step behind the wait
//! runs, with the bell and without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_repo::{Repo, Target};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Control, Definition, Engine, Handlers, Node, RunId, StartRequest};
use serde_json::Value;
use tokio::sync::Notify;

const SIGNALS: usize = 60;
/// Longer than any look takes, so that each signal finds a node at rest; not a multiple of a node's pauses.
const REST: Duration = Duration::from_millis(37);

pub(crate) async fn run(url: &str, json: bool) {
    let repo = Repo::connect(url).await.expect("opened");
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    let separator = if url.contains('?') { '&' } else { '?' };
    let deaf = latency(&repo, &format!("{url}{separator}listen=off")).await;
    let hearing = latency(&repo, url).await;
    let row = |what: &str, ours: f64, peers: f64| {
        Row::less(format!("node_to_node_signal_{what}_postgres"), "ms", ours, "by looking alone", peers).print(json);
    };
    row("median", hearing.0, deaf.0);
    row("p99", hearing.1, deaf.1);
    repo.close().await;
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
