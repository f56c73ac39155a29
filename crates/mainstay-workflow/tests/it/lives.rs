//! Probes of the list of defects that want real workers, on both databases: what waits side by side, and what a next life finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_testkit::for_each_database;
use mainstay_workflow::{
    Definition, Done, Engine, ErrorKind, Handlers, Node, Outcome, StartRequest, Workflow,
};
use serde_json::{Value, json};

use crate::engine::{repo, soon};

/// Two waits and a chain of two steps, all side by side.
fn beside() -> Workflow {
    Definition::new("beside", 1)
        .node(Node::task("split", ["ok"]).on("ok", ["one", "two", "work"]))
        .node(Node::wait("one").signal("a", "a").on("a", ["merge"]))
        .node(Node::wait("two").signal("b", "b").on("b", ["merge"]))
        .node(Node::task("work", ["ok"]).on("ok", ["more"]))
        .node(Node::task("more", ["ok"]).on("ok", ["merge"]))
        .node(Node::task("merge", ["ok"]).reads("one").reads("two").on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

fn counted(steps: &[&str], count: &Arc<AtomicUsize>) -> Handlers {
    steps.iter().fold(Handlers::new(), |set, step| {
        let count = Arc::clone(count);
        set.handler(step, move |_cx| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok("ok".into()) }
        })
    })
}

/// P5: the sibling goes on while both wait, each signal ends its own wait, and no code runs again because of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p05_waits_in_parallel_are_ended_each_by_its_signal_and_nothing_runs_twice() {
    for_each_database(async |database| {
        let ran = Arc::new(AtomicUsize::new(0));
        let handlers = counted(&["split", "work", "more"], &ran).handler("merge", async |cx| {
            Ok(Done::event("ok").with(json!([cx.output("one"), cx.output("two")])))
        });
        let engine =
            Engine::builder(repo(database).await).workflow(beside(), handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("beside", Value::Null)).await.unwrap();
        let until = async |count: usize| {
            soon(async {
                while ran.load(Ordering::SeqCst) < count {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        };
        until(3).await;
        engine.signal(run, "b", json!("second")).await.unwrap();
        engine.signal(run, "a", json!("first")).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(["first", "second"])));
        assert_eq!(ran.load(Ordering::SeqCst), 3, "each step ran once");
        soon(engine.stop()).await;
    })
    .await;
}

/// P15: a cancelled run is nothing to the next life of its node, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_a_cancelled_run_stays_so_in_the_next_life_and_harms_nobody() {
    for_each_database(async |database| {
        let ran = Arc::new(AtomicUsize::new(0));
        let code = || counted(&["split", "work", "more", "merge"], &ran);
        let repo = repo(database).await;
        let first = Engine::builder(repo.clone()).workflow(beside(), code()).start().await.unwrap();
        let cancelled = first.start(StartRequest::new("beside", Value::Null)).await.unwrap();
        let open = first.start(StartRequest::new("beside", Value::Null)).await.unwrap();
        first.cancel(cancelled, "enough").await.unwrap();
        assert_eq!(soon(first.wait(cancelled)).await.unwrap().outcome, Outcome::Cancelled);
        // Dropped, not stopped.
        drop(first);
        let second = Engine::builder(repo).leases(Duration::from_millis(50), Duration::from_millis(200));
        let second = second.workflow(beside(), code()).start().await.unwrap();
        for signal in ["a", "b"] {
            let refused = second.signal(cancelled, signal, Value::Null).await.unwrap_err();
            assert_eq!(refused.kind(), &ErrorKind::Ended);
            second.signal(open, signal, Value::Null).await.unwrap();
        }
        assert_eq!(soon(second.wait(open)).await.unwrap().outcome, Outcome::Completed);
        let ended = second.ended(cancelled).await.unwrap().unwrap();
        assert_eq!((ended.outcome, ended.reason.as_str()), (Outcome::Cancelled, "enough"));
        soon(second.stop()).await;
    })
    .await;
}
