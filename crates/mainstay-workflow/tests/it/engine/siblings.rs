//! Steps of one run that run at the same time, steps that take long, and what a failure leaves to the next run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_workflow::{
    Definition, Done, ErrorKind, Handlers, Node, Outcome, Retry, RunId, Scope, StartRequest, Status,
    StepError, Unique, Workflow,
};
use serde_json::{Value, json};

use super::{on_each, soon};

/// One step, then so many at a time, then one that reads all of them.
fn fan(branches: usize) -> Workflow {
    let names: Vec<String> = (0..branches).map(|at| format!("b{at}")).collect();
    let mut merge = Node::task("merge", ["ok"]);
    let mut flow = Definition::new("fan", 1)
        .node(Node::task("split", ["ok"]).on("ok", names.iter().map(String::as_str)));
    for name in &names {
        flow = flow.node(Node::task(name, ["ok"]).on("ok", ["merge"]));
        merge = merge.reads(name);
    }
    flow.node(merge.on("ok", ["end"])).done("end").build().unwrap()
}

/// How often each step of each run began.
type Begun = Arc<Mutex<HashMap<(RunId, String), u32>>>;

/// Code for [`fan`]: a branch takes as long as it is told and gives its number, the last step their sum.
fn counted(branches: usize, begun: &Begun, takes: impl Fn(usize) -> Duration) -> Handlers {
    let note = |step: &str| {
        let (begun, step) = (Arc::clone(begun), step.to_owned());
        move |run: RunId| *begun.lock().unwrap().entry((run, step.clone())).or_default() += 1
    };
    let (split, merge) = (note("split"), note("merge"));
    let mut handlers = Handlers::new().handler("split", move |cx| {
        split(cx.run_id());
        async { Ok("ok".into()) }
    });
    for at in 0..branches {
        let (name, takes) = (format!("b{at}"), takes(at));
        let note = note(&name);
        handlers = handlers.handler(&name, move |cx| {
            note(cx.run_id());
            async move {
                tokio::time::sleep(takes).await;
                Ok(Done::event("ok").with(json!(at)))
            }
        });
    }
    handlers.handler("merge", move |cx| {
        merge(cx.run_id());
        let sum = (0..branches).map(|at| cx.required::<usize>(&format!("b{at}"))).sum::<Result<usize, _>>();
        async move { Ok(Done::event("ok").with(json!(sum?))) }
    })
}

/// A sibling that ends early must not begin the others once more, however long these take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_siblings_of_different_length_begin_once_each() {
    on_each(async |builder, _| {
        let begun = Begun::default();
        let takes = |at: usize| Duration::from_millis([50, 300, 600][at]);
        let engine = builder.workflow(fan(3), counted(3, &begun, takes)).start().await.unwrap();
        let mut runs = Vec::new();
        for n in 0..10 {
            runs.push(engine.start(StartRequest::new("fan", json!(n))).await.unwrap());
        }
        for run in &runs {
            let ended = soon(engine.wait(*run)).await.unwrap();
            assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(3)));
        }
        let begun = begun.lock().unwrap().clone();
        assert_eq!(begun.len(), runs.len() * 5);
        assert!(begun.values().all(|times| *times == 1), "{begun:?}");
        soon(engine.stop()).await;
    })
    .await;
}

/// Results of siblings that come while the run is being moved on are neither lost nor overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o03_results_that_come_at_once_are_all_kept() {
    const BRANCHES: usize = 12;
    on_each(async |builder, _| {
        let begun = Begun::default();
        let takes = |at: usize| Duration::from_millis(at as u64 % 4);
        let engine = builder.workflow(fan(BRANCHES), counted(BRANCHES, &begun, takes)).start().await.unwrap();
        let starts = (0..60).map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("fan", json!(n))).await.unwrap();
                engine.wait(run).await.unwrap()
            })
        });
        for task in starts.collect::<Vec<_>>() {
            let ended = soon(task).await.unwrap();
            let sum = BRANCHES * (BRANCHES - 1) / 2;
            assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(sum)));
        }
        assert!(begun.lock().unwrap().values().all(|times| *times == 1));
        soon(engine.stop()).await;
    })
    .await;
}

/// A run that used up its attempts does not keep its key, its steps or its failures for the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o07_after_a_failed_run_its_key_begins_anew() {
    on_each(async |builder, _| {
        let pause = Duration::from_millis(5);
        let retry = Retry::attempts(3).with_backoff(mainstay_workflow::graph::Backoff::Constant, pause, pause);
        let flow = Definition::new("pay", 1)
            .unique(Unique { key: "order".to_owned(), scope: Scope::Workflow })
            .node(Node::task("charge", ["ok"]).retry(retry).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let keys: Arc<Mutex<Vec<String>>> = Arc::default();
        let handlers = Handlers::new().handler("charge", {
            let keys = Arc::clone(&keys);
            move |cx| {
                let mut keys = keys.lock().unwrap();
                keys.push(cx.idempotency_key());
                let (number, attempt) = (keys.len(), cx.attempt());
                async move {
                    // The fourth is the first of the second run.
                    if number < 4 { Err(StepError::retry("the bank is away")) } else { Ok(Done::event("ok").with(json!(attempt))) }
                }
            }
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let request = || StartRequest::new("pay", Value::Null).key("a17");
        let first = engine.start(request()).await.unwrap();
        assert!(matches!(engine.start(request()).await.unwrap_err().kind(), ErrorKind::AlreadyRunning { run } if *run == first));
        assert_eq!(soon(engine.wait(first)).await.unwrap().outcome, Outcome::Failed);
        let second = engine.start(request()).await.unwrap();
        let ended = soon(engine.wait(second)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(1)), "its attempts count from one");
        let keys = keys.lock().unwrap().clone();
        let [one, two, three, other] = keys.as_slice() else { panic!("{keys:?}") };
        assert!(one == two && two == three && three != other, "one key for all attempts: {keys:?}");
        assert_eq!(engine.control().show(first).await.unwrap().summary.status, Status::Failed, "it stays as it was");
        soon(engine.stop()).await;
    })
    .await;
}

/// Nothing limits a step but its own time-out: five seconds, which were a limit once, are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_a_step_takes_as_long_as_it_takes() {
    on_each(async |builder, _| {
        let flow = Definition::new("slow", 1)
            .node(Node::task("work", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let begun = Arc::new(AtomicU32::new(0));
        let handlers = Handlers::new().handler("work", {
            let begun = Arc::clone(&begun);
            move |_cx| {
                begun.fetch_add(1, Ordering::Relaxed);
                async {
                    tokio::time::sleep(Duration::from_secs(6)).await;
                    Ok("ok".into())
                }
            }
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("slow", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        soon(engine.stop()).await;
    })
    .await;
}
