//! Attempts that were lost with their nodes again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Repo, Statement};
use mainstay_testkit::TestDatabase;
use mainstay_workflow::store::{Claim, Commit, Committed, Head, Lane, Start, Started, Store, Takeover};
use mainstay_workflow::{
    Attempt, Definition, Engine, Fact, Fault, Handlers, Input, Node, Outcome, Part, Retry, RunId, Workflow,
    transition,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::gate::on_each_gated;
use super::soon;

const BEAT: Duration = Duration::from_millis(100);

/// More losses than the test has beats.
const OFTEN: u32 = 300;

pub(crate) fn flow() -> Workflow {
    let patient = Retry::attempts(5).losses(1_000_000);
    Definition::new("heavy", 1)
        .node(Node::task("lift", ["ok"]).retry(patient).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// A run of [`flow`] whose only step was lost so often, and is ready to be claimed. Smaller numbers go first.
pub(crate) async fn lost(repo: &Repo, input: Value, priority: i16, times: u32) -> RunId {
    let (store, flow, now) = (Store::open(repo, "default").await.unwrap(), flow(), SystemClock.now());
    let start = Start {
        definition: store.define(&flow, now).await.unwrap(),
        business_key: None,
        token: None,
        transition: mainstay_workflow::start(&flow, input, 7, now).unwrap(),
        lane: Lane { priority, ..Lane::default() },
        queues: Vec::new(),
        attributes: Value::Null,
        telemetry: Value::Null,
        parent: None,
        consumes: None,
        lease: None,
        now,
    };
    let mut head: Head = match store.start(&flow, vec![start]).await.unwrap().remove(0) {
        Started::New(head) => head,
        other => panic!("not a new run: {other:?}"),
    };
    for number in 1..=times {
        let attempt = Attempt { step: "lift".into(), part: Part::Body, number };
        let input = Input::Failed { attempt: attempt.clone(), fault: Fault::Lost };
        let mut commit = Commit::new(&head, now);
        commit.done(attempt);
        commit.push(&flow, transition(&flow, &head.state, input, now).unwrap()).unwrap();
        head = match store.commit(vec![commit]).await.unwrap().remove(0) {
            Committed::Done(head) => head,
            Committed::Stale => panic!("stale"),
        };
    }
    head.meta.run
}

/// How many attempts began, and a door that the heavy ones stand before.
#[derive(Clone)]
struct Lift {
    begun: Arc<AtomicUsize>,
    door: Arc<Semaphore>,
}

impl Lift {
    fn new() -> Self {
        Self { begun: Arc::default(), door: Arc::new(Semaphore::new(0)) }
    }

    fn handlers(&self) -> Handlers {
        let this = self.clone();
        Handlers::new().handler("lift", move |cx| {
            let this = this.clone();
            async move {
                this.begun.fetch_add(1, Ordering::SeqCst);
                if cx.input_as::<String>()? == "heavy" {
                    this.door.acquire().await.unwrap().forget();
                }
                Ok("ok".into())
            }
        })
    }

    async fn begins(&self) {
        soon(async {
            while self.begun.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_outlives_its_beginning_holds_up_nobody_on_its_node() {
    on_each_gated(async |_, repo| {
        let heavy = lost(&repo, json!("heavy"), -1, 4).await;
        let mut light = Vec::new();
        for _ in 0..3 {
            light.push(lost(&repo, json!("light"), 0, 3).await);
        }
        let lift = Lift::new();
        let engine = Engine::builder(repo.clone()).leases(BEAT, Duration::from_secs(60));
        let engine = engine.workflow(flow(), lift.handlers()).start().await.unwrap();
        lift.begins().await;
        assert_eq!(lift.begun.load(Ordering::SeqCst), 1, "it goes first, and alone");
        for run in light {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert!(engine.ended(heavy).await.unwrap().is_none());
        lift.door.add_permits(1);
        assert_eq!(soon(engine.wait(heavy)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(lift.begun.load(Ordering::SeqCst), 4, "each began once");
        soon(engine.stop()).await;
    })
    .await;
}

/// From the second loss on it is known whether an attempt had begun: one that had not was not lost with its node, and goes on as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_not_begun_in_a_dead_nodes_hands_is_not_lost_again() {
    on_each_gated(async |_, repo| {
        let run = lost(&repo, json!("light"), 0, 1).await;
        let store = Store::open(&repo, "default").await.unwrap();
        let node = store.join("another", Takeover::Nobody).await.unwrap();
        let claim = Claim {
            node,
            now: SystemClock.now(),
            queues: &[("default", 1)],
            definitions: &[store.define(&flow(), SystemClock.now()).await.unwrap()],
        };
        assert_eq!(store.claim(&claim).await.unwrap().len(), 1);
        repo.write(Statement::new("UPDATE wf_nodes SET dead_at = seen_at WHERE name = 'another'"))
            .await
            .unwrap();
        let lift = Lift::new();
        let engine = Engine::builder(repo.clone()).leases(BEAT, Duration::from_secs(60));
        let engine = engine.workflow(flow(), lift.handlers()).start().await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        let history = store.histories(&[run]).await.unwrap().remove(0).1;
        let losses = history
            .iter()
            .filter(|record| matches!(record.fact, Fact::AttemptFailed { fault: Fault::Lost, .. }));
        assert_eq!((losses.count(), lift.begun.load(Ordering::SeqCst)), (1, 1), "the first one alone");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_wait_for_long_begins_on_another_node() {
    let database = TestDatabase::postgres();
    let repo = super::repo(&database).await;
    let heavy = lost(&repo, json!("heavy"), -1, OFTEN).await;
    let mut light = Vec::new();
    for _ in 0..3 {
        light.push(lost(&repo, json!("light"), 0, 3).await);
    }
    let (lift, other) = (Lift::new(), Lift::new());
    let node = |lift: &Lift| {
        let builder = Engine::builder(repo.clone()).leases(BEAT, Duration::from_secs(60));
        builder.workflow(flow(), lift.handlers()).start()
    };
    let first = node(&lift).await.unwrap();
    lift.begins().await;
    let second = node(&other).await.unwrap();
    for run in light {
        assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
    }
    let begun = (lift.begun.load(Ordering::SeqCst), other.begun.load(Ordering::SeqCst));
    assert_eq!(begun, (1, 3), "the first node runs the heavy one, the second all others");
    lift.door.add_permits(1);
    assert_eq!(soon(first.wait(heavy)).await.unwrap().outcome, Outcome::Completed);
    for engine in [first, second] {
        soon(engine.stop()).await;
    }
    soon(repo.close()).await;
}
