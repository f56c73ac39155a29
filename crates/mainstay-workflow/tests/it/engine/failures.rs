//! Attempts that fail, and what becomes of their runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::Statement;
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{
    BoxFuture, CronSchedule, Definition, Done, ErrorKind, Handlers, Node, Outcome, Retry, StartRequest,
    StepError, StepResult, TraceContext,
};
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

/// Also before its first `await`, in every kind of step that the host's code runs for: the attempt is answered, and its slot is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_code_that_panics_at_once_fails_its_attempt_and_nothing_else() {
    on_each(async |builder, _| {
        let task = chain("task", 1, |step| Node::task(step, ["ok"]).retry(Retry::never()));
        let tx = chain("tx", 1, |step| Node::tx(step, ["ok"]).retry(Retry::never()));
        let parent = Definition::new("parent", 1)
            .node(Node::child("s0", "fine").retry(Retry::never()).on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let at_once =
            || Handlers::new().handler("s0", |_cx| -> BoxFuture<'static, StepResult> { panic!("at once") });
        let builder = builder.concurrency(1).workflow(task, at_once()).workflow(parent, at_once());
        let in_tx = Handlers::new().tx("s0", |_cx, _tx| -> BoxFuture<'_, StepResult> { panic!("at once") });
        let fine = chain("fine", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(tx, in_tx).workflow(fine, noop(1)).start().await.unwrap();
        for workflow in ["task", "tx", "parent"] {
            let run = engine.start(StartRequest::new(workflow, Value::Null)).await.unwrap();
            let ended = soon(engine.wait(run)).await.unwrap();
            let reason = "s0: the handler panicked: at once";
            assert_eq!((ended.outcome, ended.reason.as_str()), (Outcome::Failed, reason), "{workflow}");
        }
        let run = engine.start(StartRequest::new("fine", Value::Null)).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}

/// The host's resolver is asked for starts that come from schedules and parents too, with inputs that it may not expect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_panics_fails_the_start_and_nothing_else() {
    on_each(async |builder, repo| {
        let parent = Definition::new("parent", 1)
            .node(Node::child("s0", "fine").retry(Retry::never()).on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let fine = || chain("fine", 1, |step| Node::task(step, ["ok"]));
        let builder = builder.workflow(parent, Handlers::new()).workflow(fine(), noop(1));
        let is_armed = Arc::new(AtomicBool::new(false));
        let armed = Arc::clone(&is_armed);
        let asked = move |_request: &StartRequest| armed.load(Ordering::SeqCst).then(|| panic!("asked"));
        let engine = builder.resolver("fine", asked).start().await.unwrap();
        let request = || StartRequest::new("fine", Value::Null);
        engine.schedule(CronSchedule::new("each", "* * * * *", request()).unwrap()).await.unwrap();
        is_armed.store(true, Ordering::SeqCst);
        let refused = engine.start(request()).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Setup);
        assert!(refused.to_string().contains("the resolver of fine panicked: asked"), "{refused}");
        let run = engine.start(StartRequest::new("parent", Value::Null)).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Failed);
        assert!(ended.reason.contains("panicked: asked"), "{}", ended.reason);
        let past = Statement::new("UPDATE wf_schedules SET next_at = $1").bind(Timestamp::UNIX_EPOCH);
        repo.write(past).await.unwrap();
        // It is looked at each second, and the node lives on.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        is_armed.store(false, Ordering::SeqCst);
        let run = engine.start(request()).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        soon(engine.stop()).await;
    })
    .await;
}

/// The host's tracing over what a run carries.
struct Panics;

impl TraceContext for Panics {
    fn carry(&self, _span: &tracing::Span) -> serde_json::Map<String, Value> {
        panic!("carried")
    }

    fn adopt(&self, _span: &tracing::Span, _carried: &serde_json::Map<String, Value>) {
        panic!("adopted")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_panics_costs_the_trace_and_nothing_else() {
    on_each(async |builder, _| {
        let task = chain("task", 1, |step| Node::task(step, ["ok"]));
        let tx = chain("tx", 1, |step| Node::tx(step, ["ok"]));
        let in_tx = Handlers::new().tx("s0", |_cx, _tx| Box::pin(async { Ok("ok".into()) }));
        let engine =
            builder.traces(Panics).workflow(task, noop(1)).workflow(tx, in_tx).start().await.unwrap();
        for workflow in ["task", "tx"] {
            let request = StartRequest::new(workflow, Value::Null).telemetry(json!({"traceparent": 7}));
            let run = engine.start(request).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed, "{workflow}");
        }
        soon(engine.stop()).await;
    })
    .await;
}

/// A step that goes on after its time is told to stop, and what it does then is undone: its compensation does not run beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_timed_out_is_undone_when_it_has_ended() {
    on_each(async |builder, _| {
        let charge = Node::task("charge", ["ok"]).timeout(Duration::from_millis(50)).retry(Retry::never());
        let flow = Definition::new("late", 1)
            .node(charge.compensate("refund").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let (charged, refunded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, seen, refunds) = (Arc::clone(&charged), Arc::clone(&charged), Arc::clone(&refunded));
        let handlers = Handlers::new()
            .handler("charge", move |_cx| {
                let count = Arc::clone(&count);
                async move {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok("ok".into())
                }
            })
            .handler("refund", move |_cx| {
                refunds.fetch_add(seen.load(Ordering::SeqCst), Ordering::SeqCst);
                async { Ok(Done::nothing()) }
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("late", Value::Null)).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Failed, "charge: the attempt took too long")
        );
        let counts = (charged.load(Ordering::SeqCst), refunded.load(Ordering::SeqCst));
        assert_eq!(counts, (1, 1), "the refund saw the charge");
        soon(engine.stop()).await;
    })
    .await;
}

/// A step that did its work and then broke its word is undone: by a panic, an event that is not routed, a result that is too large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_broke_its_word_after_its_work_is_undone() {
    on_each(async |builder, _| {
        let charge = || Node::task("charge", ["ok"]).retry(Retry::never()).compensate("refund");
        let flow = Definition::new("broken", 1).node(charge().on("ok", ["end"])).done("end").build().unwrap();
        let refunded = Arc::new(AtomicUsize::new(0));
        let refunds = Arc::clone(&refunded);
        let handlers = Handlers::new()
            .handler("charge", async |cx| match cx.input_as::<String>()?.as_str() {
                "panics" => panic!("after it"),
                "unrouted" => Ok("elsewhere".into()),
                "chooses" => Ok(Done::event("ok").target("nowhere")),
                "nothing" => Ok(Done::nothing()),
                "large" => Ok(Done::event("ok").with(json!("x".repeat(2 << 20)))),
                _ => Err(StepError::fatal("declined")),
            })
            .handler("refund", move |_cx| {
                refunds.fetch_add(1, Ordering::SeqCst);
                async { Ok(Done::nothing()) }
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        for (how, is_undone) in
            [("panics", 1), ("unrouted", 1), ("chooses", 1), ("nothing", 1), ("large", 1), ("declines", 0)]
        {
            refunded.store(0, Ordering::SeqCst);
            let run = engine.start(StartRequest::new("broken", json!(how))).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Failed, "{how}");
            assert_eq!(refunded.load(Ordering::SeqCst), is_undone, "{how}");
        }
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
