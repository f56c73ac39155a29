//! Leases that nobody here knows of, because the answer to the commit that made them was lost: they are found, whatever else goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_workflow::{Definition, Handlers, Node, Outcome, StartRequest, Workflow};
use serde_json::Value;

use super::gate::{At, on_each_gated};
use super::races::{before_a_door, begins, engine};
use super::{chain, soon};

fn task(step: &str) -> Node {
    Node::task(step, ["ok"])
}

/// After the first step two go on beside each other, each with a task of its own.
fn forked() -> Workflow {
    let flow = Definition::new("forked", 1).node(task("s0").on("ok", ["a", "b"]));
    let flow = flow.node(task("a").on("ok", ["meet"])).node(task("b").on("ok", ["meet"]));
    flow.node(task("meet").on("ok", ["end"])).done("end").build().unwrap()
}

/// While one start or another is on its way all the time, whose runs might have the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_heard_of_is_found_while_runs_are_being_started() {
    on_each_gated(async |gate, repo| {
        let (begun, door, handlers) = before_a_door(&["s0", "s1"]);
        let engine = engine(&repo).workflow(chain("two", 2, task), handlers).start().await.unwrap();
        let request = || StartRequest::new("two", Value::Null);
        let run = engine.start(request()).await.unwrap();
        let starts = gate.stop("workflow.start", At::After);
        let other = tokio::spawn({
            let (engine, request) = (engine.clone(), request());
            async move { engine.start(request).await.unwrap() }
        });
        starts.arrived().await;
        gate.lose("workflow.commit", 1);
        door.add_permits(4);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 2, "each step began once");
        gate.open("workflow.start", At::After);
        let other = soon(other).await.unwrap();
        assert_eq!(soon(engine.wait(other)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}

/// While one look for work follows the other without a pause, so that the leases are never compared if that waits for a moment without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_heard_of_is_found_while_polls_follow_one_another() {
    const POLL: Duration = Duration::from_millis(1);
    on_each_gated(async |gate, repo| {
        let (begun, door, handlers) = before_a_door(&["s0", "s1"]);
        let builder = engine(&repo).poll(POLL, POLL).workflow(chain("two", 2, task), handlers);
        let engine = builder.start().await.unwrap();
        // Each takes longer than the pause after its beginning.
        gate.slow("workflow.standing", 5 * POLL);
        let run = engine.start(StartRequest::new("two", Value::Null)).await.unwrap();
        begins(&begun, 1).await;
        gate.lose("workflow.commit", 1);
        door.add_permits(2);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 2, "each step began once");
        soon(engine.stop()).await;
    })
    .await;
}

/// While the run itself is being read, which may well bring it: that it has not is seen afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_heard_of_is_found_after_its_run_was_read() {
    on_each_gated(async |gate, repo| {
        let (begun, door, handlers) = before_a_door(&["s0", "a", "b", "meet"]);
        let engine = engine(&repo).workflow(forked(), handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("forked", Value::Null)).await.unwrap();
        begins(&begun, 1).await;
        let reads = gate.stop("workflow.load", At::After);
        gate.lose("workflow.commit", 1);
        door.add_permits(4);
        reads.arrived().await;
        gate.more("workflow.leases", 1).await;
        // What the comparison said has arrived by then.
        gate.more("workflow.standing", 2).await;
        gate.open("workflow.load", At::After);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 4, "each step began once");
        soon(engine.stop()).await;
    })
    .await;
}

/// While refused letters are being settled, during which nothing is given back: what is to be given back is not forgotten over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_heard_of_is_found_after_a_settle() {
    on_each_gated(async |gate, repo| {
        let (begun, door, handlers) = before_a_door(&["s0", "a", "b", "meet"]);
        let parked =
            Definition::new("parked", 1).node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]));
        let builder = engine(&repo).workflow(parked.done("end").build().unwrap(), Handlers::new());
        let engine = builder.workflow(forked(), handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("forked", Value::Null)).await.unwrap();
        begins(&begun, 1).await;
        let settles = gate.stop("workflow.settle", At::Before);
        let other = engine.start(StartRequest::new("parked", Value::Null)).await.unwrap();
        // It is not paused: its letter changes nothing, and only goes.
        engine.resume(other).await.unwrap();
        settles.arrived().await;
        gate.lose("workflow.commit", 1);
        door.add_permits(4);
        // The first may come while the run is read again; the next two find what nobody knows of, and find it again.
        gate.more("workflow.leases", 3).await;
        assert_eq!(begun.load(Ordering::SeqCst), 1, "the branches are in nobody's hands yet");
        gate.open("workflow.settle", At::Before);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 4, "each step began once");
        engine.signal(other, "go", Value::Null).await.unwrap();
        assert_eq!(soon(engine.wait(other)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}
