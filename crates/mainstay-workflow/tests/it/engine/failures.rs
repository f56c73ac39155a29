//! Attempts that fail, and what becomes of their runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{Definition, Done, Handlers, Node, Outcome, Retry, StartRequest, StepError};
use serde_json::{Value, json};

use super::{chain, noop, on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_o02_retries_time_outs_and_compensation() {
    on_each(async |builder, _| {
        let undone = Arc::new(AtomicUsize::new(0));
        let flow = Definition::new("saga", 1)
            .node(Node::task("charge", ["ok"]).compensate("refund").on("ok", ["ship"]))
            .node(
                Node::task("ship", ["ok"])
                    .timeout(Duration::from_millis(50))
                    .retry(Retry::attempts(2).with_backoff(
                        Backoff::Constant,
                        Duration::from_millis(10),
                        Duration::from_millis(10),
                    ))
                    .on("ok", ["end"]),
            )
            .done("end")
            .build()
            .unwrap();
        let (tries, refunds) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&undone));
        let tried = Arc::clone(&tries);
        let handlers = Handlers::new()
            .handler("charge", async |_cx| Ok("ok".into()))
            .handler("ship", move |cx| {
                tried.fetch_add(1, Ordering::Relaxed);
                async move {
                    cx.cancelled().await;
                    Err(StepError::retry("stopped"))
                }
            })
            .handler("refund", move |_cx| {
                refunds.fetch_add(1, Ordering::Relaxed);
                async { Ok(Done::nothing()) }
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("saga", Value::Null)).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Failed, "ship: the attempt took too long")
        );
        assert_eq!((tries.load(Ordering::Relaxed), undone.load(Ordering::Relaxed)), (2, 1));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_a_panic_fails_its_attempt_and_nothing_else() {
    on_each(async |builder, _| {
        let flow = chain("panics", 1, |step| {
            Node::task(step, ["ok"]).retry(Retry::attempts(3).with_backoff(
                Backoff::Constant,
                Duration::from_millis(1),
                Duration::from_millis(1),
            ))
        });
        let handlers = Handlers::new()
            .handler("s0", async |_cx| if true { panic!("boom") } else { Ok(Done::nothing()) });
        let other = chain("fine", 3, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).workflow(other, noop(3)).start().await.unwrap();
        let bad = engine.start(StartRequest::new("panics", Value::Null)).await.unwrap();
        let good = engine.start(StartRequest::new("fine", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(good)).await.unwrap().outcome, Outcome::Completed);
        let ended = soon(engine.wait(bad)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Failed, "s0: the handler panicked: boom")
        );
        soon(engine.stop()).await;
    })
    .await;
}

/// A step's time-out is how long it may be silent: each heartbeat begins it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_keep_an_attempt_alive_and_silence_ends_it() {
    on_each(async |builder, _| {
        let beats = Arc::new(AtomicUsize::new(0));
        let node =
            |step: &str| Node::task(step, ["ok"]).retry(Retry::never()).timeout(Duration::from_millis(400));
        let count = Arc::clone(&beats);
        let handlers = Handlers::new().handler("s0", move |cx| {
            let count = Arc::clone(&count);
            async move {
                let lives = cx.input().as_bool().unwrap_or_default();
                for round in 0..10 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if lives {
                        cx.heartbeat(json!({"round": round}));
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok("ok".into())
            }
        });
        let engine = builder.workflow(chain("alive", 1, node), handlers).start().await.unwrap();
        let alive = engine.start(StartRequest::new("alive", json!(true))).await.unwrap();
        let silent = engine.start(StartRequest::new("alive", json!(false))).await.unwrap();
        let ended = soon(engine.wait(alive)).await.unwrap();
        assert_eq!(
            (ended.outcome, beats.load(Ordering::Relaxed)),
            (Outcome::Completed, 10),
            "{}",
            ended.reason
        );
        let ended = soon(engine.wait(silent)).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Failed);
        assert!(ended.reason.contains("took too long"), "{}", ended.reason);
        soon(engine.stop()).await;
    })
    .await;
}
