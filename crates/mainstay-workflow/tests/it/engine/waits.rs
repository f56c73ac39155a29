//! Timers, signals, and being cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_workflow::{Definition, Done, ErrorKind, Handlers, Node, Outcome, RunId, StartRequest};
use serde_json::{Value, json};

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
