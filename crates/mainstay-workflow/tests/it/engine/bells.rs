//! Work that somebody else left: a node is told of it. The nodes here ask the database of themselves once an hour, so that whatever comes about
//! comes of a bell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_repo::Repo;
use mainstay_testkit::{PostgresDatabase, TestDatabase, eventually, for_each_database};
use mainstay_workflow::store::QueueLimits;
use mainstay_workflow::{
    Control, CronSchedule, Definition, Engine, EngineBuilder, Handlers, Node, Outcome, RunId, StartRequest,
    Status, Workflow,
};
use serde_json::{Value, json};

use super::gate::{At, Gate};
use super::{chain, noop, soon};

const HOUR: Duration = Duration::from_secs(3_600);

/// A node that takes a letter looks again when nobody else may have it any more, five seconds later, so one look brings about another: that
/// many words, one after the other, would take it longer than a test has.
const WORDS: usize = 8;
const BRISK: Duration = Duration::from_secs(20);

async fn brisk<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BRISK, future)
        .await
        .expect("it comes about by a bell, and not by looks that come about otherwise")
}

/// A node that looks for nothing of itself, and takes nothing over.
fn deaf(repo: &Repo) -> EngineBuilder {
    Engine::builder(repo.clone()).poll(HOUR, HOUR).leases(HOUR, HOUR)
}

fn parked() -> Workflow {
    Definition::new("parked", 1)
        .node(Node::wait("hold").signal("go", "gone").on("gone", ["s0"]))
        .node(Node::task("s0", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// On each database with a second process, which on SQLite is the same: another one would be refused.
async fn beside(test: impl AsyncFn(Repo, Repo)) {
    for_each_database(async |database| {
        let repo = super::repo(database).await;
        let is_shared = matches!(database, TestDatabase::Postgres(_));
        let other = if is_shared { database.repo().await } else { repo.clone() };
        test(repo.clone(), other.clone()).await;
        soon(other.close()).await;
        soon(repo.close()).await;
    })
    .await;
}

/// Waits without the help of an engine.
async fn until(control: &Control, run: RunId, status: Status) {
    eventually(&format!("{run} is {status:?}"), async || control.position(run).await.unwrap().0 == status)
        .await;
}

/// The node hears: runs that somebody else starts and speaks to are worked on.
async fn hears(control: &Control) {
    brisk(async {
        for _ in 0..WORDS {
            let run = control.start(StartRequest::new("parked", Value::Null)).await.unwrap();
            control.signal(run, "go", Value::Null, None).await.unwrap();
            until(control, run, Status::Completed).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_asks_for_is_taken_up_at_once() {
    beside(async |repo, other| {
        let engine = deaf(&repo).workflow(parked(), noop(1)).start().await.unwrap();
        let control = Control::open(&other, "default").await.unwrap();
        hears(&control).await;
        let start = async || control.start(StartRequest::new("parked", Value::Null)).await.unwrap();

        let run = start().await;
        control.pause(run).await.unwrap();
        until(&control, run, Status::Paused).await;
        control.resume(run).await.unwrap();
        until(&control, run, Status::Waiting).await;
        control.cancel(run, "enough").await.unwrap();
        until(&control, run, Status::Cancelled).await;
        let again = control.retry(run).await.unwrap();
        control.signal(again, "go", Value::Null, None).await.unwrap();
        until(&control, again, Status::Completed).await;

        control.pause_workflow(Some("parked")).await.unwrap();
        let held = start().await;
        control.signal(held, "go", Value::Null, None).await.unwrap();
        control.resume_workflow(Some("parked")).await.unwrap();
        until(&control, held, Status::Completed).await;
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_schedules_that_change_are_heard_of() {
    beside(async |repo, other| {
        let engine = deaf(&repo).queue("narrow", ["s0"]).workflow(parked(), noop(1)).start().await.unwrap();
        let control = Control::open(&other, "default").await.unwrap();
        let closed = QueueLimits { paused: true, ..QueueLimits::default() };
        control.queue_set("narrow", closed).await.unwrap();
        let run = control.start(StartRequest::new("parked", Value::Null)).await.unwrap();
        control.signal(run, "go", Value::Null, None).await.unwrap();
        until(&control, run, Status::Running).await;
        control.queue_remove("narrow").await.unwrap();
        until(&control, run, Status::Completed).await;

        let nightly =
            CronSchedule::new("nightly", "0 2 1 1 *", StartRequest::new("parked", Value::Null)).unwrap();
        control.schedule_set(nightly).await.unwrap();
        let run = control.schedule_trigger("nightly").await.unwrap();
        control.signal(run, "go", Value::Null, None).await.unwrap();
        until(&control, run, Status::Completed).await;
        soon(engine.stop()).await;
    })
    .await;
}

/// Of a host that starts runs and speaks to them, and has no workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_without_workers_leaves_is_taken_up() {
    beside(async |repo, other| {
        let plain = || chain("plain", 1, |step| Node::task(step, ["ok"]));
        let worker = deaf(&repo).workflow(parked(), noop(1)).workflow(plain(), noop(1));
        let worker = worker.start().await.unwrap();
        let host = Engine::builder(other.clone())
            .without_workers()
            .workflow(parked(), noop(1))
            .workflow(plain(), noop(1))
            .start()
            .await
            .unwrap();
        let wait = async |run| {
            assert_eq!(soon(host.wait(run)).await.unwrap().outcome, Outcome::Completed);
        };
        brisk(async {
            for _ in 0..WORDS {
                let run = host.start(StartRequest::new("parked", Value::Null)).await.unwrap();
                host.signal(run, "go", Value::Null).await.unwrap();
                wait(run).await;
            }
        })
        .await;
        brisk(async {
            for _ in 0..WORDS {
                wait(host.start(StartRequest::new("plain", Value::Null)).await.unwrap()).await;
            }
        })
        .await;
        brisk(async {
            for _ in 0..WORDS {
                let mut tx = other.begin().await.unwrap();
                let run = host.start_in(&mut tx, StartRequest::new("parked", Value::Null)).await.unwrap();
                host.signal_in(&mut tx, run, "go", Value::Null).await.unwrap();
                tx.commit().await.unwrap();
                host.nudge().unwrap();
                wait(run).await;
            }
        })
        .await;
        soon(worker.stop()).await;
    })
    .await;
}

/// A cancelled step is told on the node that runs it, by a word from the node that took the cancel up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_runs_on_another_node_is_told_that_it_is_cancelled() {
    let database = TestDatabase::postgres();
    let (repo, other) = (super::repo(&database).await, database.repo().await);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let slow = Handlers::new().handler("s0", move |cx| {
        let count = Arc::clone(&count);
        async move {
            cx.cancelled().await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok("ok".into())
        }
    });
    let flow = || chain("slow", 1, |step| Node::task(step, ["ok"]));
    let worker = deaf(&repo).workflow(flow(), slow).start().await.unwrap();
    let run = worker.start(StartRequest::new("slow", Value::Null)).await.unwrap();
    let second = deaf(&other).workflow(flow(), noop(1)).start().await.unwrap();
    second.cancel(run, "enough").await.unwrap();
    assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Cancelled);
    eventually("the step is told", async || told.load(Ordering::SeqCst) == 1).await;
    soon(second.stop()).await;
    soon(worker.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}

/// A node that has not the steps of a run cannot take up what is sent to it there; those who have them are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_sent_where_nobody_knows_the_steps_is_taken_up() {
    let database = TestDatabase::postgres();
    let (repo, other) = (super::repo(&database).await, database.repo().await);
    let worker = deaf(&repo).workflow(parked(), noop(1)).start().await.unwrap();
    let stranger = chain("other", 1, |step| Node::task(step, ["ok"]));
    let stranger = deaf(&other).workflow(stranger, noop(1)).start().await.unwrap();
    brisk(async {
        for _ in 0..6 {
            let run = worker.start(StartRequest::new("parked", Value::Null)).await.unwrap();
            stranger.signal(run, "go", Value::Null).await.unwrap();
            assert_eq!(soon(worker.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
    })
    .await;
    soon(stranger.stop()).await;
    soon(worker.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}

/// What stands in a queue of its own is leased by nobody as it is started: who could have it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_starts_and_does_not_take_is_taken_up_by_another() {
    let (database, gate) = (TestDatabase::postgres(), Gate::default());
    let (repo, other) = (gate.repo(&database).await, database.repo().await);
    let flow = || chain("work", 1, |step| Node::task(step, ["ok"]));
    let second = deaf(&other).queue("narrow", ["s0"]).workflow(flow(), noop(1)).start().await.unwrap();
    let first = deaf(&repo).queue("narrow", ["s0"]).workflow(flow(), noop(1)).start().await.unwrap();
    // It does not come to look for it by itself.
    let _looks = gate.stop("workflow.standing", At::Before);
    brisk(async {
        for _ in 0..3 {
            let run = first.start(StartRequest::new("work", Value::Null)).await.unwrap();
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
    })
    .await;
    gate.open("workflow.standing", At::Before);
    soon(first.stop()).await;
    soon(second.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}

/// What a node gives back as it stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_leaves_is_taken_up_by_another() {
    let database = TestDatabase::postgres();
    let (repo, other) = (super::repo(&database).await, database.repo().await);
    let flow = || chain("work", 1, |step| Node::task(step, ["ok"]));
    let busy = Handlers::new().handler("s0", async |cx| {
        if cx.input() == &json!(0) {
            cx.cancelled().await;
        }
        Ok("ok".into())
    });
    // Of three runs that somebody else starts, one after the other, the last is not found by looking at the beginning, nor by looking once
    // it listens: the node hears, and nothing else is there for it to look for.
    let second = deaf(&other).workflow(flow(), noop(1)).start().await.unwrap();
    let control = Control::open(&repo, "default").await.unwrap();
    for n in 1..=3 {
        let run = control.start(StartRequest::new("work", json!(n))).await.unwrap();
        until(&control, run, Status::Completed).await;
    }
    let first =
        deaf(&repo).concurrency(1).grace(Duration::ZERO).workflow(flow(), busy).start().await.unwrap();
    let mut runs = Vec::new();
    for n in 0..6 {
        runs.push(first.start(StartRequest::new("work", json!(n))).await.unwrap());
    }
    first.cancel(runs[0], "enough").await.unwrap();
    soon(first.stop()).await;
    for run in &runs[1..] {
        assert_eq!(soon(second.wait(*run)).await.unwrap().outcome, Outcome::Completed);
    }
    soon(second.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_listener_comes_back_to_what_it_missed() {
    let database = PostgresDatabase::create();
    let open = async || Repo::connect(database.url()).await.unwrap();
    let (repo, other) = (open().await, open().await);
    let component = &mainstay_workflow::store::COMPONENT;
    repo.migrator().migrate(component, mainstay_repo::Target::Latest).await.unwrap();
    let engine = deaf(&repo).workflow(parked(), noop(1)).start().await.unwrap();
    let control = Control::open(&other, "default").await.unwrap();
    for _ in 0..3 {
        hears(&control).await;
        let run = control.start(StartRequest::new("parked", Value::Null)).await.unwrap();
        until(&control, run, Status::Waiting).await;
        let ended = database.query(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = current_database() \
             AND query = 'LISTEN mainstay_bell'",
        );
        assert_eq!(ended, ["true"]);
        control.signal(run, "go", Value::Null, None).await.unwrap();
        until(&control, run, Status::Completed).await;
    }
    hears(&control).await;
    soon(engine.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}

/// Behind PgBouncer nobody hears, and everything comes about by asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_nodes_ask() {
    let database = TestDatabase::pooled();
    let (repo, other) = (super::repo(&database).await, database.repo().await);
    let engine = Engine::builder(repo.clone()).workflow(parked(), noop(1)).start().await.unwrap();
    let control = Control::open(&other, "default").await.unwrap();
    let run = control.start(StartRequest::new("parked", Value::Null)).await.unwrap();
    control.signal(run, "go", Value::Null, None).await.unwrap();
    until(&control, run, Status::Completed).await;
    soon(engine.stop()).await;
    soon(other.close()).await;
    soon(repo.close()).await;
}
