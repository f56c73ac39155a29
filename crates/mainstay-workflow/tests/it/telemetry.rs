//! The events of telemetry, as a subscriber hears them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_testkit::TestDatabase;
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{Definition, Done, Engine, Handlers, Node, Retry, StartRequest, StepError};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Recorder, SharedString, Unit};

use crate::engine::{repo, soon};

/// Events, each as its fields; `level` and `within`, the span that it stands in, are among them.
type Heard = Vec<Vec<(String, String)>>;

/// Hears the events and the spans of one target, on one thread.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Listened>>);

#[derive(Default)]
struct Listened {
    events: Heard,
    /// Spans as their fields, `span` being the name; the place is the identifier less one.
    spans: Heard,
    /// The spans that are entered.
    within: Vec<usize>,
}

struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned()));
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mainstay_workflow"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(vec![("span".to_owned(), span.metadata().name().to_owned())]);
        span.record(&mut fields);
        let mut listened = self.0.lock().unwrap();
        listened.spans.push(fields.0);
        Id::from_u64(listened.spans.len() as u64)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields(Vec::new());
        values.record(&mut fields);
        self.0.lock().unwrap().spans[place(span)].extend(fields.0);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(vec![("level".to_owned(), event.metadata().level().to_string())]);
        event.record(&mut fields);
        if event.metadata().target() == "mainstay_workflow" && get(&fields.0, "event") != "of the host" {
            assert_eq!(event.metadata().name(), get(&fields.0, "event"), "a subscriber chooses by the name");
        }
        let mut listened = self.0.lock().unwrap();
        let within = listened.within.last().map(|at| get(&listened.spans[*at], "step").to_owned());
        fields.0.push(("within".to_owned(), within.unwrap_or_default()));
        listened.events.push(fields.0);
    }
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().within.push(place(span));
    }
    fn exit(&self, span: &Id) {
        let left = self.0.lock().unwrap().within.pop();
        assert_eq!(left, Some(place(span)), "spans are left in the order in which they were entered");
    }
}

impl Ear {
    fn heard(&self, name: &str) -> Vec<Vec<(String, String)>> {
        let all = &self.0.lock().unwrap().events;
        let is_it = |fields: &&Vec<(String, String)>| {
            fields.iter().any(|(key, value)| key == "event" && value == name)
        };
        all.iter().filter(is_it).cloned().collect()
    }

    fn spans(&self, name: &str) -> Vec<Vec<(String, String)>> {
        let all = &self.0.lock().unwrap().spans;
        all.iter().filter(|fields| get(fields, "span") == name).cloned().collect()
    }
}

fn place(span: &Id) -> usize {
    usize::try_from(span.into_u64()).unwrap() - 1
}

fn number(fields: &[(String, String)], name: &str) -> f64 {
    get(fields, name).parse().unwrap_or_else(|_| panic!("{name} of {fields:?}"))
}

fn get<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// One thread, so that the subscriber of this test hears all of its engine.
#[tokio::test(flavor = "current_thread")]
async fn the_eleven_events_carry_the_run_and_the_callers_metadata() {
    let ear = Ear::default();
    let _guard = tracing::subscriber::set_default(ear.clone());
    let database = TestDatabase::sqlite();
    let flow = Definition::new("told", 3)
        .node(
            Node::task("flaky", ["ok"])
                .retry(Retry::attempts(2).with_backoff(
                    Backoff::Constant,
                    Duration::from_millis(1),
                    Duration::from_millis(1),
                ))
                .on("ok", ["ask", "other"]),
        )
        .node(Node::wait("ask").signal("go", "gone").on("gone", ["meet"]))
        .node(Node::task("other", ["ok"]).on("ok", ["meet"]))
        .node(Node::task("meet", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let handlers = Handlers::new()
        .handler(
            "flaky",
            async |cx| if cx.attempt() == 1 { Err(StepError::retry("no luck")) } else { Ok("ok".into()) },
        )
        .handler("other", async |_cx| Ok(Done::event("ok").with(json!(1))))
        .handler("meet", async |cx| {
            if cx.input()["bad"] == true { Err(StepError::fatal("bad")) } else { Ok(Done::event("ok")) }
        });
    let engine = Engine::builder(repo(&database).await).workflow(flow, handlers).start().await.unwrap();
    let request = |bad: bool| {
        let metadata = json!({"tenant": "t1", "run": "a caller cannot say this"});
        StartRequest::new("told", json!({"bad": bad})).telemetry(metadata)
    };
    let mut runs = Vec::new();
    for bad in [false, true] {
        let run = engine.start(request(bad)).await.unwrap();
        engine.signal(run, "go", json!(1)).await.unwrap();
        soon(engine.wait(run)).await.unwrap();
        runs.push(run.to_string());
    }
    soon(engine.stop()).await;
    let init = ear.heard("runner.init");
    assert_eq!((init.len(), get(&init[0], "level"), get(&init[0], "runner")), (1, "INFO", "mainstay"));
    assert_eq!((get(&init[0], "name"), get(&init[0], "pid")), ("node", &*std::process::id().to_string()));
    assert!(get(&init[0], "storage").contains("SQLite") && !get(&init[0], "node").is_empty(), "{init:?}");
    for (name, level, count) in [
        ("workflow.start", "INFO", 2),
        ("workflow.stop", "INFO", 1),
        ("workflow.exception", "ERROR", 1),
        ("workflow.transition", "DEBUG", 7),
        ("step.start", "INFO", 8),
        ("step.stop", "INFO", 7),
        ("step.exception", "ERROR", 3),
        ("step.async", "WARN", 2),
        ("step.resume", "INFO", 2),
    ] {
        let heard = ear.heard(name);
        assert_eq!(heard.len(), count, "{name}: {heard:?}");
        for fields in heard {
            assert!(runs.contains(&get(&fields, "run").to_owned()), "{fields:?}");
            assert_eq!(get(&fields, "level"), level, "{fields:?}");
            assert_eq!((get(&fields, "workflow"), get(&fields, "version")), ("told", "3"));
            assert!(get(&fields, "metadata").contains("t1"), "{fields:?}");
            assert!(get(&fields, "message").starts_with(&format!("[{}]", get(&fields, "run"))), "{fields:?}");
        }
    }
    assert!(!ear.heard("engine.advance").is_empty());
    for advance in ear.heard("engine.advance") {
        assert_eq!(get(&advance, "level"), "DEBUG");
        assert!(!get(&advance, "status_before").is_empty() && !get(&advance, "status_after").is_empty());
    }
    for step in ear.heard("step.async") {
        assert_eq!((get(&step, "step"), get(&step, "run_status")), ("ask", "Running"), "{step:?}");
    }
    for stop in ear.heard("step.stop") {
        let is_other = get(&stop, "step") == "other";
        assert_eq!(
            get(&stop, "has_output"),
            if is_other || get(&stop, "step") == "ask" { "true" } else { "false" }
        );
        assert_eq!(get(&stop, "has_attributes"), "false", "{stop:?}");
    }
    for start in ear.heard("step.start") {
        assert!(number(&start, "active_steps") >= 0.0 && !get(&start, "concurrent").is_empty(), "{start:?}");
    }
    let fan: BTreeSet<String> = ear
        .heard("workflow.transition")
        .iter()
        .map(|fields| format!("{} {}", get(fields, "from"), get(fields, "fan_out")))
        .collect();
    assert_eq!(fan, ["ask false", "flaky true", "meet false", "other false"].map(str::to_owned).into());
    let failed = ear.heard("workflow.exception");
    assert_eq!(get(&failed[0], "reason"), "meet: bad");
    assert_eq!((get(&failed[0], "failed_step"), get(&failed[0], "kind")), ("meet", "step"));
    assert_eq!(get(&failed[0], "status"), "failed");
    for (ended, steps, names) in [
        (&failed[0], "3", "[\"ask\", \"flaky\", \"other\"]"),
        (&ear.heard("workflow.stop")[0], "5", "[\"ask\", \"end\", \"flaky\", \"meet\", \"other\"]"),
    ] {
        assert!(number(ended, "duration_ms") > 0.0 && number(ended, "advance_count") >= 3.0, "{ended:?}");
        assert_eq!((get(ended, "step_count"), get(ended, "completed_steps")), (steps, names));
        assert_eq!(get(ended, "runner"), "mainstay");
    }
    for start in ear.heard("workflow.start") {
        assert_eq!((get(&start, "initial_step"), get(&start, "context_keys")), ("flaky", "[\"bad\"]"));
        assert_eq!(get(&start, "runner"), "mainstay");
    }
}

/// How long what took, and in which span it is told.
#[tokio::test(flavor = "current_thread")]
async fn what_took_how_long_is_told_in_the_span_of_the_attempt() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NAP: Duration = Duration::from_millis(30);
    let ear = Ear::default();
    let _guard = tracing::subscriber::set_default(ear.clone());
    let database = TestDatabase::sqlite();
    let child = Definition::new("inner", 1)
        .node(Node::task("deep", ["ok"]).on("ok", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let once = Retry::attempts(2).with_backoff(Backoff::Constant, Duration::ZERO, Duration::ZERO);
    let flow = Definition::new("timed", 1)
        .node(Node::task("nap", ["ok"]).retry(once).on("ok", ["book"]))
        .node(Node::tx("book", ["ok"]).on("ok", ["wait"]))
        .node(Node::timer("wait", NAP, "up").on("up", ["sub"]))
        .node(Node::child("sub", "inner").on("completed", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let handlers = Handlers::new()
        .handler("nap", async |cx| {
            tokio::time::sleep(NAP).await;
            tracing::info!(target: "mainstay_workflow", event = "of the host", "inside");
            if cx.attempt() == 1 { Err(StepError::retry("no luck")) } else { Ok("ok".into()) }
        })
        .tx("book", |_cx, _tx| {
            Box::pin(async {
                tokio::time::sleep(NAP).await;
                Ok("ok".into())
            })
        })
        .handler("deep", async |_cx| Ok("ok".into()));
    let builder = Engine::builder(repo(&database).await).workflow(child, handlers.clone());
    let engine = builder.workflow(flow, handlers).start().await.unwrap();
    let request = StartRequest::new("timed", json!({})).telemetry(json!({"traceparent": TRACE}));
    let run = engine.start(request).await.unwrap();
    soon(engine.wait(run)).await.unwrap();
    soon(engine.stop()).await;
    let nap = NAP.as_secs_f64() * 1e3;
    let stops = ear.heard("step.stop");
    for stop in &stops {
        let step = get(stop, "step");
        match step {
            "nap" | "book" => assert!((nap..nap * 100.0).contains(&number(stop, "duration_ms")), "{stop:?}"),
            "deep" => assert!(number(stop, "duration_ms") >= 0.0, "{stop:?}"),
            // No code of theirs ran.
            _ => assert_eq!(get(stop, "duration_ms"), "", "{stop:?}"),
        }
        let within = if ["nap", "book", "deep"].contains(&step) { step } else { "" };
        assert_eq!(get(stop, "within"), within, "{stop:?}");
    }
    assert_eq!(stops.len(), 5);
    let failed = &ear.heard("step.exception")[0];
    assert!(number(failed, "duration_ms") >= nap && get(failed, "kind") == "error", "{failed:?}");
    assert_eq!(get(failed, "within"), "nap");
    assert!(number(&ear.heard("step.resume")[0], "wait_ms") >= nap);
    for told in ear.heard("of the host") {
        assert_eq!(get(&told, "within"), "nap", "what a handler says stands in its span");
    }
    for advance in ear.heard("engine.advance") {
        assert!(number(&advance, "duration_ms") > 0.0, "{advance:?}");
        for name in ["active_steps", "completed_in_advance", "iteration"] {
            assert!(number(&advance, name) >= 0.0, "{advance:?}");
        }
    }
    let spans = ear.spans("workflow.step");
    let seen: Vec<_> = spans.iter().map(|span| (get(span, "step"), get(span, "outcome"))).collect();
    assert_eq!(seen, [("nap", "failed"), ("nap", "ok"), ("book", "ok"), ("sub", ""), ("deep", "ok")]);
    for span in &spans {
        assert_eq!(get(span, "traceparent"), TRACE, "also in the child: {span:?}");
        // One name for all runs: a collector gathers by it.
        assert_eq!(get(span, "otel.name"), format!("{} {}", get(span, "workflow"), get(span, "step")));
    }
}

/// A run that another life of the node takes up has begun once, and its steps that waited go on because of what they waited for.
#[tokio::test(flavor = "current_thread")]
async fn a_start_is_told_once_and_what_ends_a_wait_is_told_with_it() {
    let ear = Ear::default();
    let _guard = tracing::subscriber::set_default(ear.clone());
    let database = TestDatabase::sqlite();
    let flow = || {
        let ask = Node::wait("ask").signal("go", "gone").on("gone", ["nap"]);
        let late = Node::wait("late").signal("never", "heard").expires(Duration::from_millis(1), "over");
        Definition::new("told", 1)
            .node(ask)
            .node(Node::timer("nap", Duration::from_millis(1), "up").on("up", ["late"]))
            .node(late.on("heard", ["work"]).on("over", ["work"]))
            .node(Node::task("work", ["ok"]).on("ok", ["end"]))
            .done("end")
            .build()
            .unwrap()
    };
    let handlers = || Handlers::new().handler("work", async |_cx| Ok("ok".into()));
    let repo = repo(&database).await;
    let first = Engine::builder(repo.clone()).workflow(flow(), handlers()).start().await.unwrap();
    let run = first.start(StartRequest::new("told", json!({}))).await.unwrap();
    soon(first.stop()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = Engine::builder(repo).workflow(flow(), handlers()).start().await.unwrap();
    second.signal(run, "go", json!(1)).await.unwrap();
    soon(second.wait(run)).await.unwrap();
    soon(second.stop()).await;
    assert_eq!((ear.heard("runner.init").len(), ear.heard("workflow.start").len()), (2, 1));
    let resumed = ear.heard("step.resume");
    let resumed: Vec<_> = resumed.iter().map(|fields| (get(fields, "step"), get(fields, "source"))).collect();
    assert_eq!(resumed, [("ask", "external"), ("nap", "timeout"), ("late", "timeout")]);
    let stop = &ear.heard("workflow.stop")[0];
    let waited = number(&ear.heard("step.resume")[0], "wait_ms");
    assert!(waited >= 50.0, "the wait began in the first life: {waited}");
    assert!(number(stop, "duration_ms") >= waited, "and so did the run: {stop:?}");
    assert_eq!(get(stop, "step_count"), "5", "what the first life did counts: {stop:?}");
    assert!(number(stop, "advance_count") >= 4.0, "{stop:?}");
}

/// What was counted and measured: the name with its labels, and how often.
#[derive(Default)]
struct Meter(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

/// Counts measurements that make sense.
struct Measured(Arc<AtomicU64>);

impl HistogramFn for Measured {
    fn record(&self, value: f64) {
        assert!(value.is_finite() && value >= 0.0, "{value}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meter {
    fn of(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }
}

impl Recorder for Meter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &metrics::Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }
    fn register_histogram(&self, key: &Key, _: &metrics::Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Measured(self.of(key))))
    }
}

#[tokio::test(flavor = "current_thread")]
async fn runs_steps_and_waits_are_counted_by_workflow_and_outcome() {
    let meter = Meter::default();
    let guard = metrics::set_default_local_recorder(&meter);
    let database = TestDatabase::sqlite();
    let pause = Duration::from_millis(1);
    let retry = Retry::attempts(2).with_backoff(Backoff::Constant, pause, pause);
    let flow = Definition::new("counted", 1)
        .node(Node::task("flaky", ["ok"]).retry(retry).on("ok", ["ask"]))
        .node(Node::wait("ask").signal("go", "gone").on("gone", ["end"]))
        .done("end")
        .build()
        .unwrap();
    let handlers = Handlers::new().handler("flaky", async |cx| match (cx.input().as_bool(), cx.attempt()) {
        (Some(true), 1) => Err(StepError::retry("no luck")),
        (Some(_), _) => Ok("ok".into()),
        (None, _) => Err(StepError::fatal("bad")),
    });
    let engine = Engine::builder(repo(&database).await).workflow(flow, handlers).start().await.unwrap();
    for input in [json!(true), json!(false), json!(null)] {
        let run = engine.start(StartRequest::new("counted", input.clone())).await.unwrap();
        if !input.is_null() {
            engine.signal(run, "go", json!(1)).await.unwrap();
        }
        soon(engine.wait(run)).await.unwrap();
    }
    // Held back, so that no attempt of it is under way.
    let run = engine.start(StartRequest::new("counted", json!(false)).paused()).await.unwrap();
    engine.cancel(run, "enough").await.unwrap();
    soon(engine.wait(run)).await.unwrap();
    soon(engine.stop()).await;
    drop(guard);
    let counted = meter.0.into_inner().unwrap();
    let count = |name: &str, labels: &str| {
        let key = format!("mainstay_workflow_{name} workflow=counted{labels}");
        counted.get(&key).map_or(0, |count| count.load(Ordering::Relaxed))
    };
    assert_eq!(count("runs_started_total", ""), 4, "{counted:?}");
    for (outcome, runs) in [("completed", 2), ("failed", 1), ("cancelled", 1)] {
        let label = format!(" outcome={outcome}");
        assert_eq!(count("runs_ended_total", &label), runs, "{outcome} {counted:?}");
        assert_eq!(count("run_seconds", &label), runs, "{outcome} {counted:?}");
    }
    assert_eq!(count("steps_total", " outcome=failed"), 2, "{counted:?}");
    assert!(count("steps_total", " outcome=ok") >= 4, "{counted:?}");
    assert!(count("waits_total", "") >= 2, "{counted:?}");
    assert_eq!(count("wait_seconds", " step=ask source=external"), 2, "{counted:?}");
    assert_eq!(count("step_seconds", " step=flaky outcome=ok"), 2, "{counted:?}");
    assert_eq!(count("step_seconds", " step=flaky outcome=failed"), 2, "{counted:?}");
    assert_eq!(count("step_exceptions_total", " step=flaky kind=error"), 2, "{counted:?}");
    assert!(count("advance_seconds", "") >= 4, "{counted:?}");
    for gauge in ["mainstay_workflow_runs_active ", "mainstay_workflow_steps_active "] {
        let shown = counted.get(gauge).unwrap_or_else(|| panic!("{gauge} {counted:?}"));
        assert_eq!(f64::from_bits(shown.load(Ordering::Relaxed)), 0.0, "{gauge}: the node has stopped");
    }
}
