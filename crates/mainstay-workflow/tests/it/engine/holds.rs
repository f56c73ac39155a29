//! Pauses and limits hold for what is in a node's hands too, and tasks are found wherever they stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_workflow::graph::Backoff;
use mainstay_workflow::store::QueueLimits;
use mainstay_workflow::{
    Control, Engine, Handlers, Node, Outcome, Retry, RunId, StartRequest, Status, StepError,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{chain, noop, on_each, soon};

/// Far longer than a node takes to learn of a pause.
const LEARNED: Duration = Duration::from_millis(1_500);

/// Steps that take a while: how many have begun, and how many ran at a time at the most.
#[derive(Clone, Default)]
struct Count {
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Count {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn handlers(&self, length: usize, each: Duration) -> Handlers {
        (0..length).fold(Handlers::new(), |set, step| {
            let count = self.clone();
            set.handler(&format!("s{step}"), move |_cx| {
                let count = count.clone();
                async move {
                    count.begun.fetch_add(1, Ordering::SeqCst);
                    let running = count.running.fetch_add(1, Ordering::SeqCst) + 1;
                    count.most.fetch_max(running, Ordering::SeqCst);
                    tokio::time::sleep(each).await;
                    count.running.fetch_sub(1, Ordering::SeqCst);
                    Ok("ok".into())
                }
            })
        })
    }

    async fn reaches(&self, many: usize) {
        soon(async {
            while self.begun() < many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn task(step: &str) -> Node {
    Node::task(step, ["ok"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_stops_a_run_in_hand_at_its_next_step_and_starts_wait() {
    const STEPS: usize = 120;
    on_each(async |builder, _| {
        let (count, other) = (Count::default(), Count::default());
        let handlers = count.handlers(STEPS, Duration::from_millis(25));
        let builder = builder.workflow(chain("long", STEPS, task), handlers);
        let builder = builder.workflow(chain("other", 1, task), other.handlers(1, Duration::ZERO));
        let engine = builder.start().await.unwrap();
        let control = engine.control();
        for workflow in [Some("long"), None] {
            let before = count.begun();
            let run = engine.start(StartRequest::new("long", Value::Null)).await.unwrap();
            count.reaches(before + 5).await;
            control.pause_workflow(workflow).await.unwrap();
            tokio::time::sleep(LEARNED).await;
            let stopped = count.begun();
            assert!(stopped < before + STEPS, "it stops on its way");
            assert_eq!(count.running.load(Ordering::SeqCst), 0, "what ran ended");
            let waits = engine.start(StartRequest::new("long", Value::Null)).await.unwrap();
            let free = engine.start(StartRequest::new("other", Value::Null)).await.unwrap();
            if workflow.is_some() {
                assert_eq!(soon(engine.wait(free)).await.unwrap().outcome, Outcome::Completed);
            }
            tokio::time::sleep(LEARNED).await;
            assert_eq!(count.begun(), stopped, "nothing begins while {workflow:?} is paused");
            control.resume_workflow(workflow).await.unwrap();
            for run in [run, waits, free] {
                assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
            }
            assert_eq!(count.begun(), before + 2 * STEPS, "each step began once");
        }
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_leased_and_has_not_begun_is_given_back_by_a_pause() {
    on_each(async |builder, _| {
        let count = Count::default();
        let handlers = count.handlers(1, Duration::from_millis(400));
        let engine = builder.concurrency(1).workflow(chain("mail", 1, task), handlers).start().await.unwrap();
        tokio::time::sleep(LEARNED).await;
        let mut runs = Vec::new();
        for n in 0..12 {
            runs.push(engine.start(StartRequest::new("mail", json!(n))).await.unwrap());
        }
        count.reaches(1).await;
        engine.control().pause_workflow(Some("mail")).await.unwrap();
        tokio::time::sleep(LEARNED).await;
        let stopped = count.begun();
        assert!(stopped < 6, "{stopped} began");
        tokio::time::sleep(LEARNED).await;
        assert_eq!(count.begun(), stopped);
        let leased: u64 = engine.control().queues().await.unwrap().iter().map(|queue| queue.leased).sum();
        assert_eq!(leased, 0, "nobody has it in hand, so it takes no place in a queue");
        engine.control().resume_workflow(Some("mail")).await.unwrap();
        for run in runs {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!(count.begun(), 12, "each began once");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_queue_keeps_its_limits() {
    on_each(async |builder, _| {
        let count = Count::default();
        let handlers = count.handlers(3, Duration::from_millis(5));
        let engine = builder.workflow(chain("mail", 3, task), handlers).start().await.unwrap();
        let control = engine.control();
        control.queue_set("default", QueueLimits { paused: true, ..QueueLimits::default() }).await.unwrap();
        tokio::time::sleep(LEARNED).await;
        let mut runs = Vec::new();
        for n in 0..12 {
            runs.push(engine.start(StartRequest::new("mail", json!(n))).await.unwrap());
        }
        tokio::time::sleep(LEARNED).await;
        assert_eq!(count.begun(), 0, "the queue is closed");
        let two = QueueLimits { concurrency: Some(2), ..QueueLimits::default() };
        control.queue_set("default", two).await.unwrap();
        for run in runs {
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert!((1..=2).contains(&count.most.load(Ordering::SeqCst)), "{:?} at a time", count.most);
        assert_eq!(count.begun(), 36);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_in_a_queue_that_no_host_names_any_more_are_found() {
    on_each(async |builder, repo| {
        let flow = chain("pay", 1, task);
        let engine = builder.workflow(flow.clone(), noop(1)).queue("payments", ["s0"]).start().await.unwrap();
        let closed = QueueLimits { paused: true, ..QueueLimits::default() };
        engine.control().queue_set("payments", closed).await.unwrap();
        let run = engine.start(StartRequest::new("pay", Value::Null)).await.unwrap();
        soon(engine.stop()).await;
        let next = Engine::builder(repo).workflow(flow, noop(1)).start().await.unwrap();
        assert!(next.control().queue_remove("payments").await.unwrap());
        assert_eq!(soon(next.wait(run)).await.unwrap().outcome, Outcome::Completed);
        soon(next.stop()).await;
    })
    .await;
}

async fn pauses(control: &Control, run: RunId) {
    control.pause(run).await.unwrap();
    soon(async {
        while control.get(run).await.unwrap().summary.status != Status::Paused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// What a paused run had given out before, and what has not begun, does not begin: neither what waits in a node's hands nor a retry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_paused_alone_begins_nothing_that_was_given_out_before() {
    on_each(async |builder, _| {
        let (begun, door) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, opens) = (Arc::clone(&begun), Arc::clone(&door));
        let handlers = Handlers::new().handler("s0", move |_cx| {
            let (count, opens) = (Arc::clone(&count), Arc::clone(&opens));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                opens.acquire().await.unwrap().forget();
                Ok("ok".into())
            }
        });
        let tried = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tried);
        let again = Handlers::new().handler("s0", move |_cx| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { Err(StepError::retry("not now")) } else { Ok("ok".into()) } }
        });
        let pause = Duration::from_secs(2);
        let retry = Retry::attempts(3).with_backoff(Backoff::Constant, pause, pause);
        let flow = chain("again", 1, |step| task(step).retry(retry.clone()));
        let builder = builder.concurrency(1).workflow(chain("queued", 1, task), handlers);
        let engine = builder.workflow(flow, again).start().await.unwrap();
        let control = engine.control();
        let retried = engine.start(StartRequest::new("again", Value::Null)).await.unwrap();
        soon(async {
            while tried.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        pauses(&control, retried).await;
        let first = engine.start(StartRequest::new("queued", Value::Null)).await.unwrap();
        soon(async {
            while begun.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let second = engine.start(StartRequest::new("queued", Value::Null)).await.unwrap();
        pauses(&control, second).await;
        door.add_permits(2);
        assert_eq!(soon(engine.wait(first)).await.unwrap().outcome, Outcome::Completed);
        tokio::time::sleep(pause + LEARNED).await;
        assert_eq!(
            (begun.load(Ordering::SeqCst), tried.load(Ordering::SeqCst)),
            (1, 1),
            "nothing of them begins"
        );
        let leased: u64 = control.queues().await.unwrap().iter().map(|queue| queue.leased).sum();
        assert_eq!(leased, 0, "and nobody has it in hand");
        for run in [second, retried] {
            engine.resume(run).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!(
            (begun.load(Ordering::SeqCst), tried.load(Ordering::SeqCst)),
            (2, 2),
            "each began once more"
        );
        soon(engine.stop()).await;
    })
    .await;
}
