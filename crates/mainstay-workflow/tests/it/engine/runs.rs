//! A run from its start to its end, its results, maps, children, forks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::PageSize;
use mainstay_repo::Statement;
use mainstay_workflow::store::{Filter, Order};
use mainstay_workflow::{
    Definition, Done, Engine, ErrorKind, Handlers, Need, Node, Outcome, StartRequest, StepError,
};
use serde_json::{Value, json};

use super::{chain, noop, on_each, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_to_its_end_and_results_reach_later_steps() {
    on_each(async |builder, _| {
        let flow = Definition::new("sum", 1)
            .node(Node::task("split", ["ok"]).on("ok", ["left", "right"]))
            .node(Node::task("left", ["ok"]).on("ok", ["add"]))
            .node(Node::task("right", ["ok"]).on("ok", ["add"]))
            .node(Node::task("add", ["ok"]).reads("left").reads("right").on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("split", async |_cx| Ok("ok".into()))
            .handler("left", async |cx| {
                Ok(Done::event("ok").with(json!(cx.input()["n"].as_i64().unwrap_or(0) * 2)))
            })
            .handler("right", async |cx| {
                Ok(Done::event("ok").with(json!(cx.input()["n"].as_i64().unwrap_or(0) * 3)))
            })
            .handler("add", async |cx| {
                let (left, right): (i64, i64) = (cx.required("left")?, cx.required("right")?);
                Ok(Done::event("ok").with(json!(left + right)))
            });
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let run = engine.start(StartRequest::new("sum", json!({"n": 7}))).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(35)));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_o03_many_runs_end_each_exactly_once() {
    on_each(async |builder, _| {
        let count = Arc::new(AtomicUsize::new(0));
        let handlers = (0..5).fold(Handlers::new(), |set, step| {
            let count = Arc::clone(&count);
            set.handler(&format!("s{step}"), move |_cx| {
                count.fetch_add(1, Ordering::Relaxed);
                async { Ok("ok".into()) }
            })
        });
        let flow = chain("chain", 5, |step| Node::task(step, ["ok"]));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let starts = (0..300).map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("chain", json!(n))).await.unwrap();
                engine.wait(run).await.unwrap().outcome
            })
        });
        for task in starts.collect::<Vec<_>>() {
            assert_eq!(soon(task).await.unwrap(), Outcome::Completed);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1_500, "without a crash each step runs once");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_and_children() {
    on_each(async |builder, repo| {
        let parent = Definition::new("parent", 1)
            .node(Node::map("split", "items", "half").limit(3).need(Need::AtLeast(5)).on("mapped", ["sub"]))
            .node(Node::child("sub", "child").on("completed", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let handlers = Handlers::new()
            .handler("items", async |_cx| Ok(Done::items((0..10).map(|n| json!(n)).collect())))
            .handler("half", async |cx| {
                let number: u64 = cx.item_as()?;
                number
                    .is_multiple_of(2)
                    .then(|| Done::value(json!(number / 2)))
                    .ok_or_else(|| StepError::fatal("odd"))
            })
            .handler("sub", async |cx| {
                let halves = cx.items("split").unwrap_or_default().iter().flatten().filter_map(Value::as_u64);
                Ok(Done::value(json!(halves.sum::<u64>())))
            });
        let child = Definition::new("child", 1)
            .node(Node::task("square", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap();
        let square = Handlers::new().handler("square", async |cx| {
            Ok(Done::event("ok").with(json!(cx.input().as_u64().unwrap_or(0).pow(2))))
        });
        let engine = builder.workflow(parent, handlers).workflow(child, square).start().await.unwrap();
        let request = StartRequest::new("parent", Value::Null).priority(-5).fairness("tenant");
        let run = engine.start(request).await.unwrap();
        let ended = soon(engine.wait(run)).await.unwrap();
        assert_eq!((ended.outcome, ended.result), (Outcome::Completed, json!(100)));
        // It stands where its parent stands in queues.
        let children = Filter::new().parent(run);
        let children =
            engine.control().list(&children, Order::Newest, PageSize::DEFAULT, None).await.unwrap().items;
        assert_eq!(children.iter().map(|child| child.priority).collect::<Vec<_>>(), [-5]);
        let child = Statement::new("SELECT fairness FROM wf_runs WHERE id = $1").bind(children[0].run.get());
        let child: mainstay_repo::Row = repo.read_one(child).await.unwrap();
        assert_eq!(child.get::<Option<String>>("fairness").unwrap().as_deref(), Some("tenant"));
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o05_what_a_run_is_given_and_gives_is_data_and_comes_back() {
    on_each(async |builder, _| {
        let flow = chain("echo", 1, |step| Node::task(step, ["ok"]));
        let handlers =
            Handlers::new().handler("s0", async |cx| Ok(Done::event("ok").with(cx.input().clone())));
        let engine = builder.workflow(flow, handlers).start().await.unwrap();
        let odd = json!({
            "when": "2026-11-21T09:03:00Z", "Elixir.Nothing": {"__struct__": "x", "": [null, -0.5, 1e300]},
            "key with spaces": "\u{1F980} ' \" \\ %_", "big": i64::MIN, "deep": [[[[{"a": []}]]]],
        });
        let run = engine.start(StartRequest::new("echo", odd.clone())).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().result, odd);
        assert_eq!(engine.ended(run).await.unwrap().unwrap().result, odd, "as it is stored");
        soon(engine.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_two_engines_in_one_process_see_nothing_of_each_other() {
    on_each(async |builder, repo| {
        let flow = || chain("same", 2, |step| Node::task(step, ["ok"]));
        let one = builder.namespace("one").workflow(flow(), noop(2)).start().await.unwrap();
        let two = Engine::builder(repo).namespace("two").workflow(flow(), noop(2)).start().await.unwrap();
        for engine in [&one, &two] {
            let run = engine.start(StartRequest::new("same", Value::Null)).await.unwrap();
            assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Completed);
            let other = if std::ptr::eq(engine, &one) { &two } else { &one };
            assert_eq!(other.ended(run).await.unwrap_err().kind(), &ErrorKind::NotFound);
        }
        soon(one.stop()).await;
        soon(two.stop()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_retried_and_an_ended_one_forked_from_a_step() {
    on_each(async |builder, _| {
        let broken = Arc::new(AtomicUsize::new(1));
        let ran: [Arc<AtomicUsize>; 3] = std::array::from_fn(|_| Arc::default());
        let mut handlers = Handlers::new();
        for (step, count) in ran.iter().enumerate() {
            let (count, broken) = (Arc::clone(count), Arc::clone(&broken));
            handlers = handlers.handler(&format!("s{step}"), move |_cx| {
                let is_broken = step == 2 && broken.load(Ordering::SeqCst) == 1;
                count.fetch_add(1, Ordering::SeqCst);
                async move { if is_broken { Err(StepError::fatal("broken")) } else { Ok("ok".into()) } }
            });
        }
        let engine = builder
            .workflow(chain("work", 3, |step| Node::task(step, ["ok"])), handlers)
            .start()
            .await
            .unwrap();
        let counts = || ran.each_ref().map(|count| count.load(Ordering::SeqCst));
        let run = engine.start(StartRequest::new("work", json!({"n": 1}))).await.unwrap();
        assert_eq!(soon(engine.wait(run)).await.unwrap().outcome, Outcome::Failed);
        broken.store(0, Ordering::SeqCst);
        let again = soon(engine.retry(run)).await.unwrap();
        assert_eq!(soon(engine.wait(again)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(counts(), [1, 1, 2], "only what failed is done anew");
        let nothing = engine.retry(again).await.unwrap_err();
        assert_eq!(nothing.kind(), &ErrorKind::Ended, "what completed is not begun a second time");
        let forked = soon(engine.fork(again, "s1")).await.unwrap();
        assert_eq!(soon(engine.wait(forked)).await.unwrap().outcome, Outcome::Completed);
        assert_eq!(counts(), [1, 2, 3]);
        assert_eq!(
            engine.ended(run).await.unwrap().unwrap().outcome,
            Outcome::Failed,
            "the first stays as it was"
        );
        assert_eq!(engine.fork(again, "nowhere").await.unwrap_err().kind(), &ErrorKind::InvalidInput);
        soon(engine.stop()).await;
    })
    .await;
}
