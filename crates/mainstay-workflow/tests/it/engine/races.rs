//! What the runner does when two things happen at once that each are rare: the database says so at a moment that the test chooses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Batch, Repo, Row, Statement};
use mainstay_workflow::store::{Commit, Committed, Head, Lane, Start, Started, Store, Takeover};
use mainstay_workflow::{
    Attempt, Control, Definition, Engine, EngineBuilder, Fact, Fault, Handlers, Input, Join, Node, NodeId,
    Outcome, Part, RunId, StartRequest, Workflow, transition,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::gate::{At, Gate, Stop, on_each_gated};
use super::{chain, losses, soon};

/// Beats come often; nobody is given up for being silent.
pub(super) fn engine(repo: &Repo) -> EngineBuilder {
    Engine::builder(repo.clone()).leases(Duration::from_millis(100), Duration::from_secs(600))
}

/// Steps that count themselves.
pub(super) fn counted(steps: &[&str]) -> (Arc<AtomicUsize>, Handlers) {
    let begun = Arc::new(AtomicUsize::new(0));
    let handlers = steps.iter().fold(Handlers::new(), |set, step| {
        let begun = Arc::clone(&begun);
        set.handler(step, move |_cx| {
            begun.fetch_add(1, Ordering::SeqCst);
            async { Ok("ok".into()) }
        })
    });
    (begun, handlers)
}

/// Steps that count themselves and stand before a door, each until it is let through.
pub(super) fn before_a_door(steps: &[&str]) -> (Arc<AtomicUsize>, Arc<Semaphore>, Handlers) {
    let (begun, door) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let handlers = steps.iter().fold(Handlers::new(), |set, step| {
        let (begun, door) = (Arc::clone(&begun), Arc::clone(&door));
        set.handler(step, move |_cx| {
            let (begun, door) = (Arc::clone(&begun), Arc::clone(&door));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                door.acquire().await.unwrap().forget();
                Ok("ok".into())
            }
        })
    });
    (begun, door, handlers)
}

/// Waits until so many steps have begun.
pub(super) async fn begins(begun: &AtomicUsize, many: usize) {
    soon(async {
        while begun.load(Ordering::SeqCst) < many {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn count(repo: &Repo, sql: &'static str) -> i64 {
    let row: Row = soon(repo.read_one(Statement::new(sql))).await.unwrap();
    row.get_at(0).unwrap()
}

async fn until_none(repo: &Repo, sql: &'static str) {
    soon(async {
        while count(repo, sql).await != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A node that is nothing but its row, and a run whose first step is in its hands.
async fn in_the_hands_of_another(store: &Store, flow: &Workflow) -> (NodeId, Head) {
    let node = store.join("another", Takeover::Nobody).await.unwrap();
    (node, started(store, flow, Some(node)).await)
}

/// A run whose first step is in a node's hands, or in nobody's.
async fn started(store: &Store, flow: &Workflow, lease: Option<NodeId>) -> Head {
    let now = SystemClock.now();
    let start = Start {
        definition: store.define(flow, now).await.unwrap(),
        business_key: None,
        token: None,
        transition: mainstay_workflow::start(flow, Value::Null, 7, now).unwrap(),
        lane: Lane::default(),
        queues: Vec::new(),
        attributes: Value::Null,
        telemetry: Value::Null,
        parent: None,
        consumes: None,
        lease,
        now,
    };
    match store.start(flow, vec![start]).await.unwrap().remove(0) {
        Started::New(head) => head,
        other => panic!("not a new run: {other:?}"),
    }
}

async fn commit(store: &Store, commit: Commit) -> Head {
    match store.commit(vec![commit]).await.unwrap().remove(0) {
        Committed::Done(head) => head,
        Committed::Stale => panic!("stale"),
    }
}

/// Writes a commit under another name, so that it passes where commits are stopped.
async fn aside(store: &Store, commit: &Commit) {
    let mut batch = Batch::new("aside");
    store.commit_into(&mut batch, commit).unwrap();
    store.repo().batch(batch).await.unwrap();
}

fn attempt(step: &str) -> Attempt {
    Attempt { step: step.into(), part: Part::Body, number: 1 }
}

const DIES: &str = "UPDATE wf_nodes SET dead_at = seen_at WHERE name = 'another'";
const IN_DEAD_HANDS: &str =
    "SELECT count(*) FROM wf_tasks t JOIN wf_nodes n ON n.id = t.node_id WHERE n.name = 'another'";

/// The run is read while a dead node has its baton, and taken over before what was read arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_leased_while_a_run_is_being_read_is_not_judged_by_that_reading() {
    on_each_gated(async |gate, repo| {
        let flow = chain("alone", 1, |step| Node::task(step, ["ok"]));
        let (begun, handlers) = counted(&["s0"]);
        let engine = engine(&repo).workflow(flow.clone(), handlers).start().await.unwrap();
        let store = Store::open(&repo, "default").await.unwrap();
        let (_, head) = in_the_hands_of_another(&store, &flow).await;
        let run = head.meta.run;
        let read = gate.stop("workflow.load", At::After);
        engine.signal(run, "whatever", Value::Null).await.unwrap();
        read.arrived().await;
        repo.write(Statement::new(DIES)).await.unwrap();
        until_none(&repo, IN_DEAD_HANDS).await;
        // The next beat is sent when the one that took over has arrived.
        gate.more("workflow.beat", 2).await;
        gate.open("workflow.load", At::After);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        soon(engine.stop()).await;
    })
    .await;
}

/// Between a take-over and the reading that follows, somebody else moves the run: the baton that was taken over is an attempt's task by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baton_that_became_a_task_before_it_was_looked_up_is_found() {
    on_each_gated(async |gate, repo| {
        let flow = Definition::new("forked", 1)
            .node(Node::task("first", ["ok"]).on("ok", ["slow", "hold"]))
            .node(Node::task("slow", ["ok"]).on("ok", ["meet"]))
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["other"]))
            .node(Node::task("other", ["ok"]).on("ok", ["meet"]))
            .node(Node::task("meet", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let (begun, handlers) = counted(&["first", "slow", "other", "meet"]);
        let engine = engine(&repo).workflow(flow.clone(), handlers).start().await.unwrap();
        let store = Store::open(&repo, "default").await.unwrap();
        let (node, head) = in_the_hands_of_another(&store, &flow).await;
        let (run, now) = (head.meta.run, SystemClock.now());
        let first = attempt("first");
        let mut next = Commit::new(&head, now);
        next.lease(node);
        next.done(first.clone());
        next.push(&flow, transition(&flow, &head.state, Input::succeeded(&first, "ok"), now).unwrap())
            .unwrap();
        let head = commit(&store, next).await;
        assert_eq!(head.baton.as_ref().map(|attempt| attempt.step.as_str()), Some("slow"));
        let reads = gate.stop("workflow.load", At::Before);
        repo.write(Statement::new(DIES)).await.unwrap();
        reads.arrived().await;
        // A third node takes the signal up.
        let input = Input::Signal { signal: "go".into(), payload: json!(1) };
        let mut moved = Commit::new(&head, now);
        moved.push(&flow, transition(&flow, &head.state, input, now).unwrap()).unwrap();
        commit(&store, moved).await;
        gate.open("workflow.load", At::Before);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 3, "slow, other and meet, each once");
        let history = store.histories(&[run]).await.unwrap().remove(0).1;
        let lost = history.iter().any(|record| {
            matches!(&record.fact, Fact::AttemptFailed { attempt, fault: Fault::Lost, .. } if attempt.step.as_str() == "slow")
        });
        assert!(lost, "it may have begun in the dead node's hands");
        soon(engine.stop()).await;
    })
    .await;
}

/// Twice the leases are read while a run has its baton here, and arrive when it has none: by the time that the baton would be given back it
/// would be that of another step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baton_that_nobody_here_knows_of_is_looked_up_and_never_given_back() {
    on_each_gated(async |gate, repo| {
        let mut flow = Definition::new("stretches", 1);
        for (step, wait, next) in [("s0", "w0", "s1"), ("s1", "w1", "s2")] {
            flow = flow.node(Node::task(step, ["ok"]).on("ok", [wait]));
            flow = flow.node(Node::wait(wait).signal(wait, "gone").on("gone", [next]));
        }
        let flow = flow.node(Node::task("s2", ["ok"]).on("ok", ["end"])).done("end").build().unwrap();
        let (begun, door, handlers) = before_a_door(&["s0", "s1", "s2"]);
        let engine = engine(&repo).workflow(flow, handlers).start().await.unwrap();
        let (ask, told) = (gate.stop("workflow.leases", At::Before), gate.stop("workflow.leases", At::After));
        let run = engine.start(StartRequest::new("stretches", Value::Null)).await.unwrap();
        // A failure lets the node doubt what it knows.
        gate.fail("workflow.standing", 1);
        for stretch in 0..2 {
            ask.arrived().await;
            if stretch > 0 {
                engine.signal(run, "w0", Value::Null).await.unwrap();
            }
            begins(&begun, stretch + 1).await;
            ask.let_one();
            told.arrived().await;
            door.add_permits(1);
            until_none(&repo, "SELECT count(*) FROM wf_tasks").await;
            // The node knows it too by then.
            gate.more("workflow.standing", 2).await;
            told.let_one();
        }
        gate.open("workflow.leases", At::Before);
        gate.open("workflow.leases", At::After);
        engine.signal(run, "w1", Value::Null).await.unwrap();
        door.add_permits(1);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 3, "each step began once");
        assert_eq!(gate.count("workflow.release"), 0, "what stands for a step of its own by then");
        soon(engine.stop()).await;
    })
    .await;
}

/// That an attempt begins could not be noted: it is noted again, although it goes alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_failed_is_made_again() {
    on_each_gated(async |gate, repo| {
        let mut runs = Vec::new();
        for priority in [0, 1] {
            runs.push(losses::lost(&repo, Value::Null, priority, 3).await);
        }
        let (begun, handlers) = counted(&["lift"]);
        gate.fail("workflow.begin", 1);
        let engine = engine(&repo).workflow(losses::flow(), handlers).start().await.unwrap();
        for run in runs {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!((gate.count("workflow.begin"), begun.load(Ordering::SeqCst)), (2, 2));
        soon(engine.stop()).await;
    })
    .await;
}

/// Somebody else took the attempt over before it could be noted that it begins here: then it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_in_other_hands_by_then_does_not_begin() {
    on_each_gated(async |gate, repo| {
        let run = losses::lost(&repo, Value::Null, 0, 1).await;
        let (begun, handlers) = counted(&["lift"]);
        let notes = gate.stop("workflow.begin", At::Before);
        let engine = engine(&repo).workflow(losses::flow(), handlers).start().await.unwrap();
        notes.arrived().await;
        let store = Store::open(&repo, "default").await.unwrap();
        let other = store.join("another", Takeover::Nobody).await.unwrap();
        let taken = "UPDATE wf_tasks SET node_id = (SELECT max(id) FROM wf_nodes)";
        assert_eq!(repo.write(Statement::new(taken)).await.unwrap().rows_affected(), 1);
        gate.open("workflow.begin", At::Before);
        gate.more("workflow.standing", 3).await;
        assert_eq!(begun.load(Ordering::SeqCst), 0, "it is another node's");
        assert_eq!(store.release_all(other).await.unwrap(), 1);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        soon(engine.stop()).await;
    })
    .await;
}

/// A given-up node had a commit on its way, which comes in after its heir has read the run and before the heir's answer: the baton is in the
/// heir's hands then, and stands for an attempt that the heir has not heard of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_given_up_node_gives_out_in_its_last_moment_goes_on() {
    on_each_gated(async |gate, repo| {
        let flow = chain("two", 2, |step| Node::task(step, ["ok"]));
        let (begun, handlers) = counted(&["s0", "s1"]);
        let engine = engine(&repo).workflow(flow.clone(), handlers).start().await.unwrap();
        let store = Store::open(&repo, "default").await.unwrap();
        let (node, head) = in_the_hands_of_another(&store, &flow).await;
        let answers = gate.stop("workflow.commit", At::Before);
        repo.write(Statement::new(DIES)).await.unwrap();
        answers.arrived().await;
        let (first, now) = (attempt("s0"), SystemClock.now());
        let mut late = Commit::new(&head, now);
        late.lease(node);
        late.done(first.clone());
        late.push(&flow, transition(&flow, &head.state, Input::succeeded(&first, "ok"), now).unwrap())
            .unwrap();
        aside(&store, &late).await;
        gate.open("workflow.commit", At::Before);
        assert_eq!(soon(engine.wait(head.meta.run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 1, "the first step ended elsewhere");
        soon(engine.stop()).await;
    })
    .await;
}

/// Two branches, of which either suffices.
fn raced(version: u32, branch: fn(&str) -> Node) -> Workflow {
    Definition::new("raced", version)
        .node(Node::task("fork", ["ok"]).on("ok", ["a", "b"]))
        .node(branch("a").on("ok", ["meet"]))
        .node(branch("b").on("ok", ["meet"]))
        .node(Node::timer("meet", Duration::from_millis(1), "over").join(Join::Any).on("over", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// Between a claim and the reading of the run somebody else cancels it, or ends it: what was claimed does not begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_before_it_was_read_does_not_begin() {
    on_each_gated(async |gate, repo| {
        let plain = Box::new(raced(1, |step| Node::task(step, ["ok"])));
        // These are out until it is known whether they began.
        let undone = Box::new(raced(2, |step| Node::task(step, ["ok"]).compensate("undo")));
        let store = Store::open(&repo, "default").await.unwrap();
        let (now, fork, a) = (SystemClock.now(), attempt("fork"), attempt("a"));
        let cancel = vec![Input::Cancel { reason: "enough".into() }];
        let end = vec![Input::succeeded(&a, "ok"), Input::Tick];
        for (flow, inputs, outcome) in [
            (&plain, cancel.clone(), Outcome::Cancelled),
            (&undone, cancel, Outcome::Cancelled),
            (&plain, end, Outcome::Completed),
        ] {
            let head = started(&store, flow, None).await;
            let mut next = Commit::new(&head, now);
            next.done(fork.clone());
            next.push(flow, transition(flow, &head.state, Input::succeeded(&fork, "ok"), now).unwrap())
                .unwrap();
            let head = commit(&store, next).await;
            let reads = gate.stop("workflow.load", At::Before);
            let (begun, handlers) = counted(&["fork", "a", "b", "undo"]);
            let engine = engine(&repo).workflow((**flow).clone(), handlers).start().await.unwrap();
            reads.arrived().await;
            let mut moved = Commit::new(&head, now);
            if outcome == Outcome::Completed {
                moved.done(a.clone());
            }
            for (input, after) in inputs.into_iter().zip(0..) {
                let state = moved.state().unwrap_or(&head.state);
                let at = now.saturating_add(Duration::from_secs(after));
                moved.push(flow, transition(flow, state, input, at).unwrap()).unwrap();
            }
            aside(&store, &moved).await;
            gate.open("workflow.load", At::Before);
            assert_eq!(soon(engine.wait(head.meta.run)).await.unwrap().outcome, outcome);
            until_none(&repo, "SELECT count(*) FROM wf_tasks").await;
            assert_eq!(begun.load(Ordering::SeqCst), 0, "{outcome:?}");
            soon(engine.stop()).await;
        }
    })
    .await;
}

/// A step with a transaction is dropped after its time while the commit is there already: what follows was leased to this node with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dropped_transaction_had_given_out_goes_on() {
    on_each_gated(async |gate, repo| {
        let limit = Duration::from_millis(100);
        let flow = Definition::new("slow", 1)
            .node(Node::tx("pay", ["ok"]).timeout(limit).on("ok", ["a", "b"]))
            .node(Node::task("a", ["ok"]).on("ok", ["meet"]))
            .node(Node::task("b", ["ok"]).on("ok", ["meet"]))
            .node(Node::timer("meet", Duration::from_millis(1), "over").on("over", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let (begun, handlers) = counted(&["a", "b"]);
        let handlers = handlers.tx("pay", |_cx, _tx| Box::pin(async { Ok("ok".into()) }));
        let engine = engine(&repo).grace(limit).workflow(flow, handlers).start().await.unwrap();
        let commits = gate.stop("commit", At::After);
        let run = engine.start(StartRequest::new("slow", Value::Null)).await.unwrap();
        commits.arrived().await;
        // The run is read again when its step was dropped.
        gate.more("workflow.load", 1).await;
        gate.open("commit", At::After);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        soon(engine.stop()).await;
    })
    .await;
}

/// A run that is spoken to before it is heard here that it is there: what is read of it then is older than what is known when that arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_before_a_run_was_born_here_does_not_count() {
    on_each_gated(async |gate, repo| {
        let flow = Definition::new("three", 1)
            .node(Node::task("s0", ["ok"]).on("ok", ["s1"]))
            .node(Node::task("s1", ["ok"]).on("ok", ["hold"]))
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let (begun, door, handlers) = before_a_door(&["s0", "s1"]);
        let engine = engine(&repo).workflow(flow, handlers).start().await.unwrap();
        let (run, starts, reads) = spoken_to(&gate, &repo, &engine, "three").await;
        reads.arrived().await;
        gate.open("workflow.start", At::After);
        soon(starts).await.unwrap();
        begins(&begun, 1).await;
        door.add_permits(1);
        // If anything were decided meanwhile the second step would have begun, and its answer be refused for what arrives now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        gate.open("workflow.load", At::After);
        begins(&begun, 2).await;
        door.add_permits(1);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 2, "each step began once");
        soon(engine.stop()).await;
    })
    .await;
}

/// A node is given up while a run is being read for it: what was read belongs to the life that is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_in_an_earlier_life_does_not_count() {
    on_each_gated(async |gate, repo| {
        let hold = Node::wait("hold").signal("go", "gone").on("gone", ["s0"]);
        let flow = Definition::new("parked", 1).node(hold).node(Node::task("s0", ["ok"]).on("ok", ["end"]));
        let flow = flow.done("end").build().unwrap();
        let (begun, handlers) = counted(&["s0"]);
        let engine = engine(&repo).workflow(flow.clone(), handlers).start().await.unwrap();
        let store = Store::open(&repo, "default").await.unwrap();
        let head = started(&store, &flow, None).await;
        let reads = gate.stop("workflow.load", At::After);
        engine.control().signal(head.meta.run, "go", Value::Null, None).await.unwrap();
        reads.arrived().await;
        let lives = gate.count("workflow.join");
        repo.write(Statement::new("UPDATE wf_nodes SET dead_at = seen_at WHERE name = 'node'"))
            .await
            .unwrap();
        gate.more("workflow.beat", 1).await;
        // Meanwhile somebody else takes care of the run.
        let now = SystemClock.now();
        let mut moved = Commit::new(&head, now);
        let cancel = Input::Cancel { reason: "enough".into() };
        moved.push(&flow, transition(&flow, &head.state, cancel, now).unwrap()).unwrap();
        aside(&store, &moved).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(
            gate.count("workflow.join"),
            lives,
            "the next life waits for what is under way of this one"
        );
        gate.open("workflow.load", At::After);
        gate.more("workflow.join", 1).await;
        gate.more("workflow.beat", 2).await;
        assert_eq!(gate.count("workflow.commit"), 0, "nothing was decided by what was read before");
        assert_eq!(begun.load(Ordering::SeqCst), 0);
        let next = engine.start(StartRequest::new("parked", Value::Null)).await.unwrap();
        engine.signal(next, "go", Value::Null).await.unwrap();
        assert_eq!(soon(engine.wait(next)).await.unwrap().outcome, Outcome::Completed, "it lives again");
        soon(engine.stop()).await;
    })
    .await;
}

/// And one that is even read, and has moved, before it is heard that it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_moved_before_it_was_born_here_is_not_put_back() {
    on_each_gated(async |gate, repo| {
        let flow = Definition::new("parked", 1)
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["s0"]))
            .node(Node::task("s0", ["ok"]).on("ok", ["s1"]))
            .node(Node::task("s1", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let (begun, door, handlers) = before_a_door(&["s0", "s1"]);
        let engine = engine(&repo).workflow(flow, handlers).start().await.unwrap();
        let (run, starts, reads) = spoken_to(&gate, &repo, &engine, "parked").await;
        reads.let_one();
        begins(&begun, 1).await;
        gate.open("workflow.start", At::After);
        soon(starts).await.unwrap();
        gate.open("workflow.load", At::After);
        door.add_permits(2);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 2, "each step began once");
        soon(engine.stop()).await;
    })
    .await;
}

/// A run whose start is there while nobody here has heard of it, and a signal to it. What is read stops on its way back.
async fn spoken_to(
    gate: &Gate,
    repo: &Repo,
    engine: &Engine,
    workflow: &str,
) -> (RunId, JoinHandle<RunId>, Arc<Stop>) {
    let (starts, reads) = (gate.stop("workflow.start", At::After), gate.stop("workflow.load", At::After));
    let request = StartRequest::new(workflow, Value::Null);
    let engine = engine.clone();
    let started = tokio::spawn(async move { engine.start(request).await.unwrap() });
    starts.arrived().await;
    let run = RunId::from_stored(count(repo, "SELECT id FROM wf_runs").await);
    let control = Control::open(repo, "default").await.unwrap();
    control.signal(run, "go", Value::Null, None).await.unwrap();
    (run, started, reads)
}
