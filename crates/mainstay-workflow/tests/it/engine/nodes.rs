//! Nodes that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::Statement;
use mainstay_testkit::TestDatabase;
use mainstay_workflow::store::{Claim, Lane, Store, Takeover};
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

/// Who waits at the node that began a run is told, although another node goes on with it and ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_another_node_ends_the_run() {
    let database = TestDatabase::postgres();
    let repo = super::repo(&database).await;
    let flow = || {
        let hold = Node::wait("hold").signal("go", "gone").on("gone", ["end"]);
        Definition::new("parked", 1).node(hold).done("end").build().unwrap()
    };
    let node = || Engine::builder(repo.clone()).workflow(flow(), Handlers::new()).start();
    let (first, second) = (node().await.unwrap(), node().await.unwrap());
    let run = first.start(StartRequest::new("parked", Value::Null)).await.unwrap();
    let waits = tokio::spawn({
        let first = first.clone();
        async move { first.wait(run).await }
    });
    // The first node is asked before the second one moves the run.
    tokio::time::sleep(Duration::from_millis(50)).await;
    second.signal(run, "go", Value::Null).await.unwrap();
    assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
    assert_eq!(soon(waits).await.unwrap().unwrap().outcome, Outcome::Completed);
    soon(first.stop()).await;
    soon(second.stop()).await;
    soon(repo.close()).await;
}

/// A dead node may have had more in its hands than is taken over at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_dead_node_had_is_taken_over_without_waiting_for_further_beats() {
    on_each(async |builder, repo| {
        let flow = || chain("held", 1, |step| Node::task(step, ["ok"]));
        let starter = builder.without_workers().workflow(flow(), noop(1)).start().await.unwrap();
        let mut starts = tokio::task::JoinSet::new();
        for n in 0..2_500 {
            let starter = starter.clone();
            starts.spawn(async move { starter.start(StartRequest::new("held", json!(n))).await.unwrap() });
        }
        let runs = starts.join_all().await;
        // A node takes everything and dies.
        let store = Store::open(&repo, "default").await.unwrap();
        let now = SystemClock.now();
        let dead = store.join("dead", Takeover::Nobody).await.unwrap();
        let definition = store.define(&flow(), now).await.unwrap();
        let queues = [(Lane::DEFAULT_QUEUE, 2_500)];
        let claim = Claim { node: dead, now, queues: &queues, definitions: &[definition] };
        assert_eq!(store.claim(&claim).await.unwrap().len(), 2_500);
        repo.write(Statement::new("UPDATE wf_nodes SET dead_at = seen_at")).await.unwrap();
        // A second beat of the one that follows does not come in this test.
        let second = Engine::builder(repo).leases(Duration::from_secs(600), Duration::from_secs(600));
        let second = second.workflow(flow(), noop(1)).start().await.unwrap();
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        soon(second.stop()).await;
    })
    .await;
}
