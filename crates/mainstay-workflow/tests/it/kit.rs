//! The test kit: runs in memory, time that skips, workers that die on demand.

use std::time::Duration;

use mainstay_repo::{Batch, Statement};
use mainstay_workflow::store::{MAX_INPUT_BYTES, MAX_OUTPUT_BYTES, MAX_SIGNAL_BYTES};
use mainstay_workflow::testing::{Crash, TestKit};
use mainstay_workflow::{
    Definition, Done, ErrorKind, Handlers, Join, Need, Node, Refusal, Retry, Scope, StartRequest, Status,
    StepError, Unique, Workflow,
};
use serde_json::{Value, json};

fn timed(node: Node) -> Node {
    node.timeout(Duration::from_secs(60))
}

fn order() -> Workflow {
    Definition::new("order", 1)
        .unique(Unique { key: "orderid".to_owned(), scope: Scope::Workflow })
        .node(timed(Node::task("check", ["good", "bad"])).on("good", ["charge", "pack"]).on("bad", ["tell"]))
        .node(timed(Node::task("charge", ["paid"])).on("paid", ["ship"]).compensate("refund"))
        .node(timed(Node::task("pack", ["packed"])).on("packed", ["ship"]))
        .node(timed(Node::tx("ship", ["sent"])).reads("charge").on("sent", ["receipt"]))
        .node(
            Node::wait("receipt")
                .signal("received", "got")
                .expires(Duration::from_secs(86_400), "late")
                .on("got", ["end"])
                .on("late", ["tell"]),
        )
        .node(timed(Node::task("tell", ["told"])).on("told", ["end"]))
        .done("end")
        .build()
        .unwrap()
}

fn handlers() -> Handlers {
    Handlers::new()
        .handler("check", async |cx| {
            Ok(if cx.input()["good"] == true { Done::event("good") } else { Done::event("bad") })
        })
        .handler("charge", async |cx| Done::event("paid").output(&json!({"key": cx.idempotency_key()})))
        .handler("pack", async |_cx| Ok("packed".into()))
        .handler("ship", async |cx| {
            let charge: Value = cx.required("charge")?;
            let mut batch = Batch::new("ship");
            batch.push(
                Statement::new("INSERT INTO parcels (charge) VALUES ($1)").bind(charge["key"].to_string()),
            );
            Done::event("sent").batch(batch).output(&json!("parcel"))
        })
        .handler("tell", async |_cx| Ok(Done::event("told").with(json!("sorry"))))
        .handler("refund", async |_cx| Ok(Done::nothing()))
}

fn kit() -> TestKit {
    TestKit::builder().workflow(order(), handlers()).build().unwrap()
}

fn good(key: &str) -> StartRequest {
    StartRequest::new("order", json!({"good": true})).key(key)
}

#[tokio::test]
async fn a_run_goes_to_its_end_and_time_passes_at_once() {
    let mut kit = kit();
    let began = kit.now();
    let run = kit.start(good("1")).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    assert_eq!(
        kit.now().saturating_since(began),
        Duration::from_secs(86_400),
        "nobody confirmed the receipt"
    );
    assert_eq!(kit.output(run).unwrap(), json!("sorry"));
    assert_eq!(kit.batches().len(), 1);
}

#[tokio::test]
async fn signals_reach_the_wait_before_it_begins() {
    let mut kit = kit();
    let run = kit.start(good("1")).unwrap();
    kit.signal(run, "received", json!("door")).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    assert_eq!(kit.attempts("tell"), 0);
    assert_eq!(kit.output(run).unwrap(), json!("door"));
}

#[tokio::test]
async fn an_active_business_key_is_taken_and_an_ended_one_is_free() {
    let mut kit = kit();
    let run = kit.start(good("7")).unwrap();
    let again = kit.start(good("7")).unwrap_err();
    assert_eq!(again.kind(), &ErrorKind::AlreadyRunning { run });
    kit.start(good("8")).unwrap();
    kit.cancel(run, "no more").unwrap();
    kit.run_until_idle().await.unwrap();
    assert_ne!(kit.start(good("7")).unwrap(), run);
    for bad in ["", "UPPER", "a::b"] {
        assert_eq!(kit.start(good(bad)).unwrap_err().kind(), &ErrorKind::BadKey, "{bad:?}");
    }
    assert_eq!(kit.start(StartRequest::new("order", json!({}))).unwrap_err().kind(), &ErrorKind::BadKey);
}

#[tokio::test]
async fn crashes_repeat_ordinary_steps_and_keep_a_tx_steps_batch_once() {
    for crash in [Crash::Before, Crash::After, Crash::Hang] {
        for step in ["check", "charge", "pack", "ship", "tell"] {
            let mut kit = kit();
            let run = kit.start(good("1")).unwrap();
            kit.crash_at(step, crash);
            assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed, "{step} {crash:?}");
            assert_eq!(kit.batches().len(), 1, "{step} {crash:?}");
            assert_eq!(kit.attempts(step), if crash == Crash::After { 2 } else { 1 }, "{step} {crash:?}");
        }
    }
}

/// A test that is green here and a run that fails there would be worse than no test.
#[tokio::test]
async fn what_an_engine_refuses_is_refused_here() {
    let chain = |node: Node| Definition::new("w", 1).node(node).done("end").build().unwrap();
    let batch = move || {
        let mut batch = Batch::new("w");
        batch.push(Statement::new("DELETE FROM parcels"));
        batch
    };
    let never = Retry::attempts(1);
    let task = || Node::task("a", ["ok"]).retry(never.clone()).on("ok", ["end"]);
    let tx = || Node::tx("a", ["ok"]).retry(never.clone()).on("ok", ["end"]);
    let ends = async |node: Node, handlers: Handlers| {
        let mut kit = TestKit::builder().workflow(chain(node), handlers).build().unwrap();
        let run = kit.start(StartRequest::new("w", json!(null))).unwrap();
        let status = kit.run_to_end(run).await.unwrap();
        let told =
            kit.history(run).unwrap().iter().map(|record| format!("{:?}", record.fact)).collect::<String>();
        (status, kit.batches().len(), told)
    };
    let statements =
        Handlers::new().handler("a", move |_cx| async move { Ok(Done::event("ok").batch(batch())) });
    assert_eq!(ends(tx(), statements.clone()).await.1, 1, "a tx step may");
    let (status, batches, told) = ends(task(), statements).await;
    assert_eq!((status, batches), (Status::Failed, 0), "the step is no tx step");
    assert!(told.contains("declare it with Node::tx"), "{told}");
    let broken =
        Handlers::new().handler("a", move |_cx| async move { Ok(Done::event("other").batch(batch())) });
    let (status, batches, _) = ends(tx(), broken).await;
    assert_eq!((status, batches), (Status::Failed, 0), "it broke its word: its statements are not wanted");
    let text = |bytes: usize| Value::from("x".repeat(bytes - 2));
    for (bytes, expected) in [(MAX_OUTPUT_BYTES, Status::Completed), (MAX_OUTPUT_BYTES + 1, Status::Failed)] {
        let large =
            Handlers::new().handler("a", move |_cx| async move { Ok(Done::event("ok").with(text(bytes))) });
        assert_eq!(ends(task(), large).await.0, expected, "{bytes}");
    }
    let handlers = || Handlers::new().handler("a", async |_cx| Ok("ok".into()));
    let mut kit = TestKit::builder().workflow(chain(task()), handlers()).build().unwrap();
    for (input, is_refused) in
        [(text(MAX_INPUT_BYTES), false), (text(MAX_INPUT_BYTES + 1), true), (json!("a\u{0}b"), true)]
    {
        assert_eq!(kit.start(StartRequest::new("w", input)).is_err(), is_refused);
    }
    let run = kit.start(StartRequest::new("w", json!(null))).unwrap();
    assert!(kit.signal(run, "s", text(MAX_SIGNAL_BYTES + 1)).is_err());
    kit.crash_at("a", Crash::Hang);
    let hangs = kit.run_to_end(run).await.unwrap_err();
    assert!(hangs.to_string().contains("a#1 has no time-out"), "{hangs}");
}

#[tokio::test]
async fn what_was_done_is_undone_when_the_run_is_cancelled() {
    let mut kit = kit();
    let run = kit.start(good("1")).unwrap();
    kit.run_until_idle().await.unwrap();
    kit.cancel(run, "changed my mind").unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Cancelled);
    assert_eq!(kit.attempts("charge"), 2, "once forward and once to refund");
    let refused = kit.signal(run, "received", json!(1)).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Refused(Refusal::Ended { .. })));
}

fn parent() -> Workflow {
    Definition::new("parent", 1)
        .node(Node::map("split", "items", "half").need(Need::AtLeast(2)).on("mapped", ["sum"]))
        .node(Node::task("sum", ["ok"]).on("ok", ["sub"]))
        .node(
            Node::child("sub", "order").on("completed", ["end"]).on_failure("broke", ["end"]).join(Join::Any),
        )
        .done("end")
        .build()
        .unwrap()
}

fn parents_handlers() -> Handlers {
    Handlers::new()
        .handler("items", async |_cx| Ok(Done::items(vec![json!(2), json!(3), json!(4)])))
        .handler("half", async |cx| {
            let number: u64 = cx.item_as()?;
            let odd = || StepError::fatal(format!("{number} is odd"));
            number.is_multiple_of(2).then(|| Done::value(json!(number / 2))).ok_or_else(odd)
        })
        .handler("sum", async |cx| {
            let halves = cx.items("split").unwrap_or_default().iter().flatten().filter_map(Value::as_u64);
            Ok(Done::event("ok").with(json!(halves.sum::<u64>())))
        })
        .handler("sub", async |cx| {
            let sum: u64 = cx.required("sum")?;
            Ok(Done::value(json!({"good": sum == 3})).key("child1"))
        })
}

fn parents_kit() -> TestKit {
    let builder = TestKit::builder().workflow(parent(), parents_handlers()).workflow(order(), handlers());
    builder.build().unwrap()
}

#[tokio::test]
async fn maps_children_and_their_results_go_through() {
    let mut kit = parents_kit();
    let run = kit.start(StartRequest::new("parent", json!({}))).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    assert_eq!(kit.output(run).unwrap(), json!("sorry"), "what the child came to");
    assert_eq!(kit.runs().count(), 2);
}

#[tokio::test]
async fn a_cancelled_parent_cancels_its_child() {
    let mut kit = parents_kit();
    let run = kit.start(StartRequest::new("parent", json!({}))).unwrap();
    kit.run_until_idle().await.unwrap();
    let child = kit.runs().find(|other| *other != run).unwrap();
    kit.cancel(run, "stop").unwrap();
    kit.run_until_idle().await.unwrap();
    assert_eq!(kit.state(run).unwrap().status(), Status::Cancelled);
    assert_eq!(kit.state(child).unwrap().status(), Status::Cancelled);
}

#[tokio::test]
async fn a_panic_fails_the_attempt_and_a_missing_event_the_run() {
    let flow = |name: &str| {
        let node = Node::task("step", ["ok"]).retry(Retry::attempts(2)).on("ok", ["end"]);
        Definition::new(name, 1).node(node).done("end").build().unwrap()
    };
    let panics =
        Handlers::new().handler("step", async |_cx| if true { panic!("boom") } else { Ok(Done::nothing()) });
    let silent = Handlers::new().handler("step", async |_cx| Ok(Done::nothing()));
    let mut kit =
        TestKit::builder().workflow(flow("panics"), panics).workflow(flow("silent"), silent).build().unwrap();
    for (name, attempts) in [("panics", 2), ("silent", 3)] {
        let run = kit.start(StartRequest::new(name, Value::Null)).unwrap();
        assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Failed);
        assert_eq!(kit.attempts("step"), attempts, "both together");
    }
}

#[test]
fn what_does_not_fit_together_is_told_at_once() {
    let tx = Handlers::new().tx("step", |_cx, _tx| Box::pin(async { Ok(Done::event("ok")) }));
    let node = || Node::task("step", ["ok"]).compensate("undo").on("ok", ["end"]);
    let flow = || Definition::new("w", 1).node(node()).done("end").build().unwrap();
    let refused =
        TestKit::builder().workflow(flow(), tx).workflow(flow(), Handlers::new()).build().unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Setup);
    for text in
        ["w v1 is registered twice", "\"undo\", which is not registered", "\"step\", which is not registered"]
    {
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

/// P13: the newline at the end of a text is a character like any other.
#[test]
fn p13_a_key_with_a_newline_at_its_end_is_refused() {
    let mut kit = kit();
    for bad in ["a17\n", "\na17", "0190163d-8694-739b-aea5-966c26f8ad91\n"] {
        assert_eq!(kit.start(good(bad)).unwrap_err().kind(), &ErrorKind::BadKey, "{bad:?}");
    }
    kit.start(good("a17")).unwrap();
}

/// P18: the shortest start that the documentation shows is a start; what it lacks, where it lacks something, is said.
#[tokio::test]
async fn p18_a_start_needs_a_name_and_an_input_and_a_key_where_one_is_declared() {
    let step = Node::task("step", ["ok"]).on("ok", ["end"]);
    let plain = Definition::new("plain", 1).node(step).done("end").build().unwrap();
    let code = Handlers::new().handler("step", async |_cx| Ok("ok".into()));
    let mut kit = TestKit::builder().workflow(plain, code).workflow(order(), handlers()).build().unwrap();
    let runs = [(); 2].map(|()| kit.start(StartRequest::new("plain", Value::Null)).unwrap());
    assert_ne!(runs[0], runs[1], "nothing is unique, so each start makes a run");
    for run in runs {
        assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    }
    let refused = kit.start(StartRequest::new("order", json!({}))).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::BadKey);
    assert!(refused.to_string().contains("\"orderid\""), "{refused}");
}

#[tokio::test]
async fn attributes_and_signals_that_are_to_arrive_later_work_in_memory() {
    let once = Retry::attempts(2);
    let flow = Definition::new("noted", 1)
        .node(Node::task("tell", ["ok"]).retry(once).on("ok", ["ask"]))
        .node(Node::wait("ask").signal("go", "gone").on("gone", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let handlers = Handlers::new().handler("tell", async |cx| {
        cx.set_attribute(&format!("attempt{}", cx.attempt()), true);
        if cx.attempt() == 1 {
            Err(StepError::retry("no luck"))
        } else {
            Ok(Done::event("ok").attribute("a", 2))
        }
    });
    let mut kit = TestKit::builder().workflow(flow, handlers).build().unwrap();
    let run = kit.start(StartRequest::new("noted", Value::Null).attributes(json!({"a": 1, "b": 1}))).unwrap();
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Waiting);
    let attributes = Value::Object(kit.state(run).unwrap().attributes().as_ref().clone());
    assert_eq!(
        attributes,
        json!({"a": 2, "attempt2": true, "b": 1}),
        "what a failed attempt said is not kept"
    );
    let before = kit.now();
    kit.signal_after(run, Duration::from_secs(3_600), "go", json!(1)).unwrap();
    kit.run_until_idle().await.unwrap();
    assert_eq!(kit.state(run).unwrap().status(), Status::Waiting, "its hour has not come");
    assert_eq!(kit.run_to_end(run).await.unwrap(), Status::Completed);
    assert_eq!(kit.now().saturating_since(before), Duration::from_secs(3_600));
    assert!(kit.signal_after(run, Duration::ZERO, "go", Value::Null).is_err(), "it has ended");
}

#[tokio::test]
async fn a_run_that_begins_paused_waits_to_be_resumed() {
    let mut kit = kit();
    let run = kit.start(good("1").paused()).unwrap();
    kit.run_until_idle().await.unwrap();
    assert_eq!((kit.attempts("check"), kit.state(run).unwrap().status()), (0, Status::Paused));
    kit.resume(run).unwrap();
    kit.run_until_idle().await.unwrap();
    assert_eq!(kit.attempts("check"), 1);
}
