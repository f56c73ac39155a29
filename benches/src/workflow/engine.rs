//! The engine end to end: runs of five steps with handlers that do nothing, from start to end; and starts alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_repo::{Batch, Expect, Repo, Statement, Target};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Definition, Done, Engine, Handlers, Node, StartRequest};
use serde_json::{Value, json};

/// Steps of a run.
const STEPS: usize = 5;
/// Runs at a time under load.
const RUNS: usize = 2_000;
/// Runs of the latency measurement.
const IDLE_RUNS: usize = 200;

/// What is to be reached.
pub(crate) struct Targets {
    pub(crate) noop: f64,
    pub(crate) tx: f64,
    pub(crate) idle_ms: f64,
}

/// What the engine came to, for the peers to be put beside.
pub(crate) struct Figures {
    pub(crate) noop_steps: f64,
    pub(crate) tx_steps: f64,
    pub(crate) starts: f64,
    pub(crate) idle_ms: f64,
}

pub(crate) async fn run(repo: &Repo, name: &str, targets: &Targets, time: Duration, json: bool) -> Figures {
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    repo.write(Statement::new(
        "CREATE TABLE bench_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)",
    ))
    .await
    .expect("a table");
    let noop = engine(repo, "noop", false).await;
    let idle_ms = idle(&noop, name, targets.idle_ms, json).await;
    let rate = load(&noop, "noop", time).await;
    let noop_steps = rate.steps;
    Row::rate(format!("engine_noop_steps_{name}"), rate.steps, "target", targets.noop).print(json);
    Row::rate(format!("engine_runs_{name}"), rate.runs, "target", targets.noop / 5.0).print(json);
    Row::less(
        format!("engine_noop_cpu_{name}"),
        "us/step",
        rate.cpu_us,
        "two cores at target",
        2e6 / targets.noop,
    )
    .print(json);
    noop.stop().await;
    let tx = engine(repo, "tx", true).await;
    let rate = load(&tx, "tx", time).await;
    Row::rate(format!("engine_tx_steps_{name}"), rate.steps, "target", targets.tx).print(json);
    Row::less(
        format!("engine_tx_cpu_{name}"),
        "us/step",
        rate.cpu_us,
        "two cores at target",
        2e6 / targets.tx,
    )
    .print(json);
    tx.stop().await;
    let starts = super::starts::run(repo, name, targets.noop / 5.0, time / 2, json).await;
    Figures { noop_steps, tx_steps: rate.steps, starts, idle_ms }
}

async fn engine(repo: &Repo, name: &str, is_tx: bool) -> Engine {
    let (mut flow, mut handlers) = (Definition::new(name, 1), Handlers::new());
    for step in 0..STEPS {
        let (key, next) =
            (format!("s{step}"), if step + 1 == STEPS { "end".to_owned() } else { format!("s{}", step + 1) });
        let node = if is_tx { Node::tx(&key, ["ok"]) } else { Node::task(&key, ["ok"]) };
        flow = flow.node(node.on("ok", [next.as_str()]));
        handlers = if is_tx {
            handlers.handler(&key, async |cx| {
                let mut batch = Batch::new("bench.step");
                let id = cx.input().as_i64().unwrap_or(0);
                batch.expect(Expect::ONE, Statement::new("INSERT INTO bench_accounts (id, balance) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET balance = bench_accounts.balance + 1").bind(id));
                Ok(Done::event("ok").batch(batch))
            })
        } else {
            handlers.handler(&key, async |_cx| Ok("ok".into()))
        };
    }
    let flow = flow.done("end").build().expect("a workflow");
    Engine::builder(repo.clone()).namespace(name).workflow(flow, handlers).start().await.expect("an engine")
}

struct Rate {
    steps: f64,
    runs: f64,
    /// What this process used of the processors for one step; on PostgreSQL the server's part is not in it.
    cpu_us: f64,
}

/// What this process has used of the processors so far, in seconds.
fn cpu() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Runs that start as others end, for a while.
async fn load(engine: &Engine, name: &'static str, time: Duration) -> Rate {
    let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..RUNS)
        .map(|caller| {
            let (engine, stop, ended) = (engine.clone(), Arc::clone(&stop), Arc::clone(&ended));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let run = engine.start(StartRequest::new(name, json!(caller))).await.expect("started");
                    engine.wait(run).await.expect("ended");
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(time / 4).await;
    let (from, used, began) = (ended.load(Ordering::Relaxed), cpu(), Instant::now());
    tokio::time::sleep(time).await;
    let (to, used, took) = (ended.load(Ordering::Relaxed), cpu() - used, began.elapsed().as_secs_f64());
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a caller panicked");
    }
    let runs = (to - from) as f64 / took;
    let steps = (to - from) as f64 * STEPS as f64;
    Rate { steps: runs * STEPS as f64, runs, cpu_us: used * 1e6 / steps.max(1.0) }
}

/// One run after the other: how long five steps take when nothing else goes on.
async fn idle(engine: &Engine, name: &str, target_ms: f64, json: bool) -> f64 {
    let mut times = Vec::with_capacity(IDLE_RUNS);
    for _ in 0..IDLE_RUNS {
        let began = Instant::now();
        let run = engine.start(StartRequest::new("noop", Value::Null)).await.expect("started");
        engine.wait(run).await.expect("ended");
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Row::less(format!("engine_idle_run_of_5_{name}"), "ms", median, "target", target_ms).print(json);
    median
}
