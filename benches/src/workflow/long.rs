//! Runs of 300 steps: whether a step costs more the longer the history before it is.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_repo::{Repo, Target};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Definition, Engine, Handlers, Node, StartRequest};
use serde_json::json;

const STEPS: usize = 300;
/// How many steps at the beginning are compared with as many at the end.
const SPAN: usize = 30;

/// How many runs one caller has, one after the other. The first and the last of each do not count: the others then meet the same load
/// from their first step to their last, because the callers are spread over the length of a run.
const ROUNDS: usize = 4;

/// When each step of each run began.
type Begun = Arc<Mutex<Vec<Vec<Instant>>>>;

pub(crate) async fn run(repo: &Repo, name: &str, quick: bool, json: bool) {
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    let begun: Begun = Arc::default();
    let engine = engine(repo, &begun).await;
    for (kind, callers) in [("idle", 1), ("loaded", if quick { 50 } else { 200 })] {
        let (first, last) = measure(&engine, &begun, callers).await;
        let row = format!("long_run_step_271_to_300_{kind}_{name}");
        Row::less(row, "us", last, "steps 1 to 30 of the same runs", first).print(json);
    }
    engine.stop().await;
}

async fn engine(repo: &Repo, begun: &Begun) -> Engine {
    let (mut flow, mut handlers) = (Definition::new("long", 1), Handlers::new());
    for step in 0..STEPS {
        let key = format!("s{step}");
        let next = if step + 1 == STEPS { "end".to_owned() } else { format!("s{}", step + 1) };
        flow = flow.node(Node::task(&key, ["ok"]).on("ok", [next.as_str()]));
        let begun = Arc::clone(begun);
        handlers = handlers.handler(&key, move |cx: mainstay_workflow::StepContext| {
            let begun = Arc::clone(&begun);
            async move {
                let run = usize::try_from(cx.input().as_u64().unwrap_or(0)).unwrap_or(0);
                begun.lock().expect("no handler panics")[run].push(Instant::now());
                Ok("ok".into())
            }
        });
    }
    let flow = flow.done("end").build().expect("a workflow");
    Engine::builder(repo.clone()).namespace("long").workflow(flow, handlers).start().await.expect("an engine")
}

/// The time of one step at the beginning and at the end, in microseconds: the mean over the runs that count.
async fn measure(engine: &Engine, begun: &Begun, callers: usize) -> (f64, f64) {
    *begun.lock().expect("no handler panics") = vec![Vec::with_capacity(STEPS); callers * ROUNDS];
    // About as long as a run takes while all of them run.
    let spread = Duration::from_secs_f64((callers * STEPS) as f64 / 15_000.0);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let engine = engine.clone();
            let delay = spread.mul_f64(caller as f64 / callers as f64);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                for round in 0..ROUNDS {
                    run_one(&engine, caller * ROUNDS + round).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller");
    }
    let begun = begun.lock().expect("no handler panics");
    let counted = || begun.chunks(ROUNDS).flat_map(|rounds| &rounds[1..ROUNDS - 1]);
    let mean = |from: usize, to: usize| {
        let sum: Duration = counted().map(|run| run[to] - run[from]).sum();
        sum.as_secs_f64() * 1e6 / ((to - from) * counted().count()) as f64
    };
    (mean(0, SPAN - 1), mean(STEPS - SPAN, STEPS - 1))
}

async fn run_one(engine: &Engine, number: usize) {
    let run = engine.start(StartRequest::new("long", json!(number))).await.expect("started");
    engine.wait(run).await.expect("ended");
}
