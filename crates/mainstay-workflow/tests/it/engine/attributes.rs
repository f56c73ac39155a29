//! What steps add to the attributes of their run, and who finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::{Clock as _, PageSize, SystemClock};
use mainstay_repo::Batch;
use mainstay_workflow::store::{Filter, MAX_ATTRIBUTES_BYTES, Order, Start, Started, Store};
use mainstay_workflow::{
    Control, Definition, Done, Engine, Handlers, Node, Outcome, Retry, RunId, StartRequest, StepError,
    Workflow,
};
use serde_json::{Value, json};

use super::{on_each, soon};

fn flow() -> Workflow {
    let once = Retry::attempts(2).with_backoff(
        mainstay_workflow::graph::Backoff::Constant,
        std::time::Duration::ZERO,
        std::time::Duration::ZERO,
    );
    Definition::new("noted", 1)
        .node(Node::task("first", ["ok"]).retry(once).on("ok", ["batch"]))
        .node(Node::tx("batch", ["ok"]).on("ok", ["inside"]))
        .node(Node::tx("inside", ["ok"]).on("ok", ["each"]))
        .node(Node::map("each", "list", "item").mapped("ok").on("ok", ["last"]))
        .node(Node::task("last", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

/// Each way to say it; the second attempt of the first step succeeds.
fn handlers(round: &Arc<AtomicUsize>) -> Handlers {
    let round = Arc::clone(round);
    Handlers::new()
        .handler("first", async |cx| {
            assert_eq!(cx.attributes()["tenant"], json!("t1"), "a step sees what the run began with");
            if cx.attempt() == 1 {
                cx.set_attribute("failed", true);
                return Err(StepError::retry("no luck"));
            }
            cx.set_attribute("stage", "context");
            Ok(Done::event("ok").attribute("stage", "first").attribute("region", json!({"name": "north"})))
        })
        .handler("batch", async |cx| {
            assert_eq!(cx.attributes()["stage"], json!("first"), "and what earlier steps added");
            Ok(Done::event("ok").attribute("stage", "batch").batch(Batch::new("nothing")))
        })
        .tx("inside", |cx, _tx| {
            Box::pin(async move {
                cx.set_attribute("stage", "inside");
                cx.set_attribute("paid", 17);
                Ok("ok".into())
            })
        })
        .handler("list", async |_cx| Ok(Done::items(vec![json!("a"), json!("b")]).attribute("items", 2)))
        .handler("item", async |cx| Ok(Done::value(json!(1)).attribute(&cx.item_as::<String>()?, true)))
        .handler("last", move |_cx| {
            let round = round.load(Ordering::SeqCst);
            async move { Ok(Done::event("ok").attribute("round", round)) }
        })
}

async fn found(control: &Control, path: &str, value: Value) -> Vec<RunId> {
    let filter = Filter::new().context(path, value).unwrap();
    let page = control.list(&filter, Order::Oldest, PageSize::DEFAULT, None).await.unwrap();
    page.items.iter().map(|run| run.run).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_add_attributes_that_runs_are_found_by() {
    on_each(async |builder, _| {
        let round = Arc::new(AtomicUsize::new(1));
        let engine = builder.workflow(flow(), handlers(&round)).start().await.unwrap();
        let control = engine.control();
        let request = || StartRequest::new("noted", json!({"n": 1})).attributes(json!({"tenant": "t1", "stage": "new"}));
        let run = engine.start(request()).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
        let all = json!({
            "tenant": "t1", "stage": "inside", "region": {"name": "north"}, "paid": 17, "items": 2, "a": true, "b": true, "round": 1
        });
        assert_eq!(control.get(run).await.unwrap().context["attributes"], all);
        assert_eq!(control.get(run).await.unwrap().context["initial"], json!({"n": 1}), "the input is as it was");
        let state = control.show(run).await.unwrap().state.unwrap();
        assert_eq!(Value::Object(state.attributes().as_ref().clone()), all);
        for (path, value) in [
            ("context.attributes.stage", json!("inside")),
            ("context.attributes.paid", json!(17)),
            ("context.attributes.region.name", json!("north")),
            ("context.attributes.tenant", json!("t1")),
            ("context.initial.n", json!(1)),
        ] {
            assert_eq!(found(&control, path, value).await, [run], "{path}");
        }
        for (path, value) in [
            ("context.attributes.stage", json!("new")),
            ("context.attributes.stage", json!("first")),
            ("context.attributes.failed", json!(true)),
        ] {
            assert_eq!(found(&control, path, value).await, [], "{path} is not, or no longer, so");
        }
        // Done again from a step, a run has what was said before that step, and what is said now.
        round.store(2, Ordering::SeqCst);
        let forked = engine.fork(run, "inside").await.unwrap();
        soon(engine.wait(forked)).await.unwrap();
        assert_eq!(found(&control, "context.attributes.round", json!(2)).await, [forked]);
        let history = control.history(run, PageSize::clamped(PageSize::MAX), None).await.unwrap().items;
        let again = mainstay_workflow::fork(&flow(), &history, &["inside".into()], 1, history[0].at).unwrap();
        let kept = json!({"tenant": "t1", "stage": "batch", "region": {"name": "north"}});
        assert_eq!(Value::Object(again.state.attributes().as_ref().clone()), kept);
        soon(engine.stop()).await;
    })
    .await;
}

/// At the limit it is kept; beyond it the attempt fails, and nothing of it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_bounded_all_together() {
    on_each(async |builder, _| {
        let flow = Definition::new("large", 1)
            .node(Node::task("fill", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new().handler("fill", async |cx| {
            let size = cx.input_as::<usize>()?;
            Ok(Done::event("ok").attribute("x", "y".repeat(size)))
        });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let around = json!({"a": 1, "x": ""}).to_string().len();
        for (size, outcome) in [
            (MAX_ATTRIBUTES_BYTES - around, Outcome::Completed),
            (MAX_ATTRIBUTES_BYTES - around + 1, Outcome::Failed),
        ] {
            let request = StartRequest::new("large", json!(size)).attributes(json!({"a": 1}));
            let run = engine.start(request).await.unwrap();
            let ended = soon(engine.wait(run)).await.unwrap();
            assert_eq!(ended.outcome, outcome, "{size}: {}", ended.reason);
            let context = engine.control().get(run).await.unwrap().context;
            assert_eq!(context["attributes"].get("x").is_some(), outcome == Outcome::Completed);
            assert_eq!(
                ended.reason.contains("attributes has"),
                outcome == Outcome::Failed,
                "{}",
                ended.reason
            );
        }
        soon(engine.stop()).await;
    })
    .await;
}

/// A run from the time when no step could add attributes: its history does not say what it began with.
async fn begun_of_old(store: &Store, flow: &Workflow, attributes: Value) -> RunId {
    let now = SystemClock.now();
    let start = Start {
        definition: store.define(flow, now).await.unwrap(),
        business_key: None,
        token: None,
        transition: mainstay_workflow::start(flow, Value::Null, 7, now).unwrap(),
        lane: mainstay_workflow::store::Lane::default(),
        queues: Vec::new(),
        attributes,
        telemetry: Value::Null,
        parent: None,
        consumes: None,
        lease: None,
        now,
    };
    match store.start(flow, vec![start]).await.unwrap().remove(0) {
        Started::New(head) => head.meta.run,
        other => panic!("not a new run: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_run_began_with_stays_when_its_steps_add_to_it() {
    on_each(async |builder, repo| {
        let flow = Definition::new("older", 1)
            .node(Node::task("first", ["ok"]).on("ok", ["hold"]))
            .node(Node::wait("hold").signal("go", "gone").on("gone", ["second"]))
            .node(Node::task("second", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = || {
            Handlers::new()
                .handler("first", async |cx| {
                    assert_eq!(cx.attributes()["tenant"], json!("t1"), "a step sees what the run began with");
                    Ok(Done::event("ok").attribute("paid", 17).attribute("stage", "first"))
                })
                .handler("second", async |cx| {
                    assert_eq!(cx.attributes()["tenant"], json!("t1"), "and after a restart too");
                    Ok(Done::event("ok").attribute("stage", "second"))
                })
        };
        let store = Store::open(&repo, "default").await.unwrap();
        let run = begun_of_old(&store, &flow, json!({"tenant": "t1", "stage": "new"})).await;
        let first = builder.workflow(flow.clone(), handlers()).start().await.unwrap();
        let control = first.control();
        soon(async {
            while found(&control, "context.attributes.paid", json!(17)).await != [run] {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        soon(first.stop()).await;
        let second = Engine::builder(repo).workflow(flow, handlers()).start().await.unwrap();
        second.signal(run, "go", Value::Null).await.unwrap();
        assert_eq!(soon(second.wait(run)).await.unwrap().outcome, Outcome::Completed);
        let control = second.control();
        let all = json!({"tenant": "t1", "stage": "second", "paid": 17});
        assert_eq!(control.get(run).await.unwrap().context["attributes"], all);
        let state = control.show(run).await.unwrap().state.unwrap();
        assert_eq!(Value::Object(state.attributes().as_ref().clone()), all);
        assert_eq!(found(&control, "context.attributes.tenant", json!("t1")).await, [run]);
        let forked = second.fork(run, "second").await.unwrap();
        second.signal(forked, "go", Value::Null).await.ok();
        assert_eq!(soon(second.wait(forked)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(
            control.get(forked).await.unwrap().context["attributes"],
            all,
            "a run that does it again has it too"
        );
        soon(second.stop()).await;
    })
    .await;
}
