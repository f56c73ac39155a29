//! Nodes beside each other that do not all have the same workflows.

use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Repo, Row, Statement};
use mainstay_testkit::TestDatabase;
use mainstay_workflow::store::{Letter, Message, Schedule, Store};
use mainstay_workflow::{Definition, Engine, Handlers, Node, Outcome, StartRequest};
use serde_json::{Value, json};

use super::gate::{At, Gate, on_each_gated};
use super::{chain, noop, soon};

/// A node that lacks the version of a run keeps what wakes the run from nobody, not even for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_leaves_alone_what_wakes_runs_that_it_cannot_move() {
    let database = TestDatabase::postgres();
    let (here, there) = (Gate::default(), Gate::default());
    let repo = here.repo(&database).await;
    let hold = Node::wait("hold").signal("go", "gone").expires(Duration::from_secs(600), "late");
    let flow = Definition::new("parked", 1).node(hold.on("gone", ["end"]).on("late", ["end"])).done("end");
    let knows = Engine::builder(repo.clone()).workflow(flow.build().unwrap(), Handlers::new());
    let knows = knows.start().await.unwrap();
    let elsewhere = there.repo(&database).await;
    let mut without = Vec::new();
    for _ in 0..2 {
        let engine = Engine::builder(elsewhere.clone())
            .workflow(chain("other", 1, |step| Node::task(step, ["ok"])), noop(1));
        without.push(engine.start().await.unwrap());
    }
    let [signalled, timed] = [(); 2].map(|()| StartRequest::new("parked", Value::Null));
    let (signalled, timed) = (knows.start(signalled).await.unwrap(), knows.start(timed).await.unwrap());
    // The one that can move the runs does not look for a while, the others do.
    let stop = here.stop("workflow.standing", At::Before);
    stop.arrived().await;
    without[0].signal(signalled, "go", Value::Null).await.unwrap();
    let past = "UPDATE wf_timers SET at = at - interval '1 day' WHERE run_id = $1";
    repo.write(Statement::new(past).bind(timed.get())).await.unwrap();
    there.more("workflow.wake", 6).await;
    let untouched = "SELECT (SELECT count(*) FROM wf_mail WHERE due = sent_at) AS letters, \
        (SELECT count(*) FROM wf_timers WHERE at < now()) AS timers";
    let row: Row = repo.read_one(Statement::new(untouched)).await.unwrap();
    let untouched: (i64, i64) = (row.get("letters").unwrap(), row.get("timers").unwrap());
    assert_eq!(
        untouched,
        (1, 1),
        "nobody took the letter and the timer, and the sender left nothing to itself"
    );
    here.open("workflow.standing", At::Before);
    // Its time has not come, whatever its timer says: it is looked at and waits on.
    knows.signal(timed, "go", Value::Null).await.unwrap();
    for run in [signalled, timed] {
        assert_eq!(soon(knows.wait(run)).await.unwrap().outcome, Outcome::Completed);
    }
    for engine in without.iter().chain([&knows]) {
        soon(engine.stop()).await;
    }
    for repo in [repo, elsewhere] {
        soon(repo.close()).await;
    }
}

/// What is due and is nothing to this node does not make it look without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_at_rest_beside_a_schedule_that_nobody_can_fire() {
    on_each_gated(async |gate, repo| {
        let engine = Engine::builder(repo.clone())
            .workflow(chain("other", 1, |step| Node::task(step, ["ok"])), noop(1));
        let engine = engine.start().await.unwrap();
        nightly(&repo).await;
        gate.more("workflow.standing", 2).await;
        let before = gate.count("workflow.standing");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let polls = gate.count("workflow.standing") - before;
        assert!(polls <= 25, "{polls} polls in two seconds, of which each waits 100 ms at the least");
        soon(engine.stop()).await;
    })
    .await;
}

/// Nor does it hide what comes later: a timer that nobody here has set is looked for when it is due, and not with the next look an hour later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_nobody_can_fire_hides_no_timer() {
    const HOUR: Duration = Duration::from_secs(3_600);
    on_each_gated(async |_, repo| {
        let flow = || {
            let nap = Node::timer("nap", Duration::from_secs(2), "up").on("up", ["end"]);
            Definition::new("nap", 1).node(nap).done("end").build().unwrap()
        };
        nightly(&repo).await;
        let before = Engine::builder(repo.clone()).workflow(flow(), Handlers::new()).start().await.unwrap();
        let run = before.start(StartRequest::new("nap", Value::Null)).await.unwrap();
        soon(before.stop()).await;
        let engine = Engine::builder(repo.clone()).poll(HOUR, HOUR).workflow(flow(), Handlers::new());
        let engine = engine.start().await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}

/// A schedule that is overdue, of a workflow that nobody has.
async fn nightly(repo: &Repo) {
    let now = SystemClock.now();
    let schedule = Schedule {
        name: "nightly".into(),
        workflow: "unknown".into(),
        version: None,
        plan: json!({"cron": "0 2 * * *"}),
        paused: false,
        next_at: Some(now.saturating_sub(Duration::from_secs(60))),
        last_at: None,
        updated_at: now,
    };
    Store::open(repo, "default").await.unwrap().schedule_put(&schedule).await.unwrap();
}

/// What a killed process had taken to itself is not kept from those who come after it for as long as it had said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_node_kept_for_itself_is_taken_up_without_waiting() {
    on_each_gated(async |gate, repo| {
        let flow = || {
            let hold = Node::wait("hold").signal("go", "gone").on("gone", ["end"]);
            Definition::new("parked", 1).node(hold).done("end").build().unwrap()
        };
        let node = async || {
            let engine = Engine::builder(repo.clone()).workflow(flow(), Handlers::new());
            engine.leases(Duration::from_millis(100), Duration::from_millis(600)).start().await.unwrap()
        };
        let first = node().await;
        let start = async || first.start(StartRequest::new("parked", Value::Null)).await.unwrap();
        let runs = [start().await, start().await];
        let stop = gate.stop("workflow.load_mail", At::Before);
        // One that its sender's node leaves to itself, and one that it is given when it looks, for five seconds.
        first.signal(runs[0], "go", Value::Null).await.unwrap();
        let now = SystemClock.now();
        let message = Message::Signal { signal: "go".into(), payload: Value::Null };
        let letter = Letter { run: runs[1], sender: None, message, now, due: now };
        Store::open(&repo, "default").await.unwrap().send(vec![letter]).await.unwrap();
        let held =
            "SELECT count(*) FROM wf_mail WHERE due > sent_at AND held_by IN (SELECT id FROM wf_nodes)";
        soon(async {
            while repo.read_one::<Row>(Statement::new(held)).await.unwrap().get_at::<i64>(0).unwrap() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        stop.arrived().await;
        drop(first);
        let killed = std::time::Instant::now();
        gate.open("workflow.load_mail", At::Before);
        let second = node().await;
        for run in runs {
            assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
        soon(second.stop()).await;
    })
    .await;
}
