//! Timers, signals, and being cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_workflow::{Definition, Done, Engine, ErrorKind, Handlers, Node, Outcome, RunId, StartRequest};
use serde_json::{Value, json};

use super::gate::{At, on_each_gated};
use super::races::counted;
use super::{chain, noop, on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_p04_o08_timers_signals_and_their_time_outs() {
    on_each(async |builder, _| {
        let flow = Definition::new("waits", 1)
            .node(Node::timer("nap", Duration::from_millis(30), "up").on("up", ["answer"]))
            .node(
                Node::wait("answer")
                    .signal("approved", "yes")
                    .expires(Duration::from_millis(300), "late")
                    .on("yes", ["act"])
                    .on("late", ["end"]),
            )
            .node(Node::task("act", ["ok"]).reads("answer").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("act", async |cx| Ok(Done::event("ok").with(json!({"by": cx.output("answer")}))));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let late = engine.start(StartRequest::new("waits", Value::Null)).await.unwrap();
        let answered = engine.start(StartRequest::new("waits", Value::Null)).await.unwrap();
        // O8: long before anybody waits for it.
        engine.signal(answered, "approved", json!("ann")).await.unwrap();
        assert_eq!(soon(engine.wait(answered)).await.unwrap().result, json!({"by": "ann"}));
        assert_eq!(soon(engine.wait(late)).await.unwrap().result, Value::Null);
        let refused = engine.signal(late, "approved", Value::Null).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Ended);
        let nobody: RunId = "run_0000000000001".parse().unwrap();
        assert_eq!(engine.signal(nobody, "x", Value::Null).await.unwrap_err().kind(), &ErrorKind::NotFound);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p06_o04_cancel_stops_what_runs_and_is_final() {
    on_each(async |builder, _| {
        let stopped = Arc::new(AtomicUsize::new(0));
        let flow = chain("slow", 2, |step| Node::task(step, ["ok"]));
        let heard = Arc::clone(&stopped);
        let handlers = noop(2).handler("s0", move |cx| {
            let heard = Arc::clone(&heard);
            async move {
                cx.cancelled().await;
                heard.fetch_add(1, Ordering::Relaxed);
                Ok("ok".into())
            }
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("slow", Value::Null)).await.unwrap();
        engine.cancel(run, "changed my mind").await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.reason.as_str()), (Outcome::Cancelled, "changed my mind"));
        soon(engine.stop()).await;
        assert_eq!(stopped.load(Ordering::Relaxed), 1, "the handler was told");
        assert_eq!(
            engine.ended(run).await.unwrap().unwrap().outcome,
            Outcome::Cancelled,
            "the late answer changed nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_is_to_arrive_later_arrives_then_and_not_before() {
    on_each(async |builder, repo| {
        let flow = || {
            Definition::new("later", 1)
                .node(
                    Node::wait("ask")
                        .signal("now", "early")
                        .signal("then", "late")
                        .on("early", ["ask2"])
                        .on("late", ["end"]),
                )
                .node(Node::wait("ask2").signal("then", "late").on("late", ["end"]))
                .done("end")
                .build()
                .unwrap()
        };
        let first = builder.workflow(flow(), Handlers::new()).start().await.unwrap();
        let [soonest, stopped, past] = [(); 3].map(|()| StartRequest::new("later", Value::Null));
        let soonest = first.start(soonest).await.unwrap();
        let begun = std::time::Instant::now();
        let wait = Duration::from_millis(400);
        first.signal_after(soonest, wait, "then", json!(1)).await.unwrap();
        // A letter that comes meanwhile is read; the one that is to arrive later is not.
        first.signal(soonest, "now", Value::Null).await.unwrap();
        let view = first.control().show(soonest).await.unwrap();
        assert_eq!(view.scheduled.iter().map(|(_, signal)| signal.as_str()).collect::<Vec<_>>(), ["then"]);
        assert_eq!(soon(first.wait(soonest)).await.unwrap().outcome, Outcome::Completed);
        assert!(begun.elapsed() >= wait, "not before: {:?}", begun.elapsed());
        // It survives its node, and arrives on another one.
        let stopped = first.start(stopped).await.unwrap();
        first.signal_after(stopped, wait, "then", json!(2)).await.unwrap();
        soon(first.stop()).await;
        drop(first);
        let second = Engine::builder(repo).workflow(flow(), Handlers::new()).start().await.unwrap();
        assert_eq!(soon(second.wait(stopped)).await.unwrap().outcome, Outcome::Completed);
        // What is to arrive in the past arrives at once; what is for an ended run is refused, or dropped with it.
        let past = second.start(past).await.unwrap();
        second.signal_after(past, Duration::from_secs(3_600), "then", Value::Null).await.unwrap();
        let at = mainstay_core::Timestamp::from_unix_seconds(1).unwrap();
        second.signal_at(past, at, "then", json!(3)).await.unwrap();
        assert_eq!(soon(second.wait(past)).await.unwrap().outcome, Outcome::Completed);
        let refused = second.signal_after(past, wait, "then", Value::Null).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Ended);
        soon(second.stop()).await;
    })
    .await;
}

/// What was sent before the time ran out counts, also when both are found at once, by a node that has the run in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_came_in_time_goes_before_the_time_out() {
    const EXPIRES: Duration = Duration::from_secs(3);
    on_each_gated(async |gate, repo| {
        let ask = Node::wait("ask").signal("paid", "paid").expires(EXPIRES, "late");
        let flow = Definition::new("due", 1).node(ask.on("paid", ["s0"]).on("late", ["end"]));
        let flow = flow.node(Node::task("s0", ["ok"]).on("ok", ["end"])).done("end").build().unwrap();
        let (begun, handlers) = counted(&["s0"]);
        let engine = Engine::builder(repo.clone()).workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("due", Value::Null)).await.unwrap();
        let expired = std::time::Instant::now() + EXPIRES + Duration::from_millis(200);
        let polls = gate.stop("workflow.standing", At::Before);
        polls.arrived().await;
        engine.control().signal(run, "paid", Value::Null, None).await.unwrap();
        tokio::time::sleep_until(expired.into()).await;
        gate.open("workflow.standing", At::Before);
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(begun.load(Ordering::SeqCst), 1, "paid, and not late");
        soon(engine.stop()).await;
    })
    .await;
}

/// From outside, without the code; and a sender's own identifier counts once however often it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sends_a_signal_that_is_to_arrive_later() {
    on_each(async |builder, _| {
        let flow = Definition::new("later", 1)
            .node(Node::wait("ask").signal("then", "late").on("late", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let engine = builder.workflow(flow, Handlers::new()).start().await.unwrap();
        let run = engine.start(StartRequest::new("later", Value::Null)).await.unwrap();
        let control = engine.control();
        let at =
            mainstay_core::Clock::now(&mainstay_core::SystemClock).saturating_add(Duration::from_millis(200));
        assert!(control.signal_at(run, at, "then", json!(1), Some("ann/1")).await.unwrap());
        assert!(!control.signal_at(run, at, "then", json!(1), Some("ann/1")).await.unwrap(), "it is known");
        let view = control.show(run).await.unwrap();
        assert_eq!((view.scheduled.len(), view.unread), (1, 0));
        assert_eq!(view.scheduled[0].0, at);
        let ended = soon(engine.wait(run)).await.unwrap();
        assert!(ended.at >= at, "{} < {at}", ended.at);
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_begins_paused_does_nothing_until_it_is_resumed() {
    on_each(async |builder, _| {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let handlers = Handlers::new().handler("s0", move |_cx| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok("ok".into()) }
        });
        let flow = chain("held", 1, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("held", Value::Null).paused()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!((ran.load(Ordering::SeqCst), engine.ended(run).await.unwrap()), (0, None));
        engine.resume(run).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        soon(engine.stop()).await;
    })
    .await;
}
