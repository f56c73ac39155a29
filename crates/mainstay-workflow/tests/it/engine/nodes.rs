//! Nodes that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_workflow::{Definition, Engine, ErrorKind, Handlers, Node, Outcome, StartRequest};
use serde_json::{Value, json};

use super::{chain, noop, on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p14_what_was_open_goes_on_in_the_next_life() {
    on_each(async |builder, repo| {
        let flow = || {
            Definition::new("parked", 1)
                .node(Node::task("s0", ["ok"]).on("ok", ["hold"]))
                .node(Node::wait("hold").signal("go", "gone").on("gone", ["s1"]))
                .node(Node::task("s1", ["ok"]).on("ok", ["end"]))
                .done("end")
                .build()
                .unwrap()
        };
        let first = builder.workflow(flow(), noop(2)).start().await.unwrap();
        let mut runs = Vec::new();
        for n in 0..20 {
            runs.push(first.start(StartRequest::new("parked", json!(n))).await.unwrap());
        }
        drop(first);
        let second = Engine::builder(repo).leases(Duration::from_millis(50), Duration::from_millis(200));
        let second = second.workflow(flow(), noop(2)).start().await.unwrap();
        for run in &runs {
            second.signal(*run, "go", Value::Null).await.unwrap();
        }
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        soon(second.stop()).await;
    })
    .await;
}

/// What stopped cleanly is given back at once, not after the time of a silent node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_ends_what_runs_and_gives_the_rest_back() {
    on_each(async |builder, repo| {
        let flow = || chain("work", 3, |step| Node::task(step, ["ok"]));
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let slow = (0..3).fold(Handlers::new(), |set, step| {
            let count = Arc::clone(&count);
            set.handler(&format!("s{step}"), move |_cx| {
                let count = Arc::clone(&count);
                async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok("ok".into())
                }
            })
        });
        let first = builder.concurrency(2).workflow(flow(), slow.clone()).start().await.unwrap();
        let mut runs = Vec::new();
        for n in 0..6 {
            runs.push(first.start(StartRequest::new("work", json!(n))).await.unwrap());
        }
        soon(first.stop()).await;
        let refused = first.start(StartRequest::new("work", Value::Null)).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Closed);
        let second = Engine::builder(repo).workflow(flow(), slow).start().await.unwrap();
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!(ran.load(Ordering::SeqCst), 18, "nothing ran twice");
        soon(second.stop()).await;
    })
    .await;
}
