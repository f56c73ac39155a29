//! The events of telemetry, as a subscriber hears them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_testkit::TestDatabase;
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{Definition, Done, Engine, Handlers, Node, Retry, StartRequest, StepError};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::engine::{repo, soon};

/// Events, each as its fields.
type Heard = Vec<Vec<(String, String)>>;

/// Hears the events of one target.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

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
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Ear {
    fn heard(&self, name: &str) -> Vec<Vec<(String, String)>> {
        let all = self.0.lock().unwrap();
        let is_it = |fields: &&Vec<(String, String)>| {
            fields.iter().any(|(key, value)| key == "event" && value == name)
        };
        all.iter().filter(is_it).cloned().collect()
    }
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
    assert_eq!(ear.heard("runner.init").len(), 1);
    for (name, count) in [
        ("workflow.start", 2),
        ("workflow.stop", 1),
        ("workflow.exception", 1),
        ("workflow.transition", 7),
        ("step.start", 8),
        ("step.stop", 7),
        ("step.exception", 3),
        ("step.async", 2),
        ("step.resume", 2),
    ] {
        let heard = ear.heard(name);
        assert_eq!(heard.len(), count, "{name}: {heard:?}");
        for fields in heard {
            assert!(runs.contains(&get(&fields, "run").to_owned()), "{fields:?}");
            assert_eq!((get(&fields, "workflow"), get(&fields, "version")), ("told", "3"));
            assert!(get(&fields, "metadata").contains("t1"), "{fields:?}");
            assert!(get(&fields, "message").starts_with(&format!("[{}]", get(&fields, "run"))), "{fields:?}");
        }
    }
    assert!(!ear.heard("engine.advance").is_empty());
    let fan: BTreeSet<String> = ear
        .heard("workflow.transition")
        .iter()
        .map(|fields| format!("{} {}", get(fields, "from"), get(fields, "fan_out")))
        .collect();
    assert_eq!(fan, ["ask false", "flaky true", "meet false", "other false"].map(str::to_owned).into());
    let failed = ear.heard("workflow.exception");
    assert_eq!(get(&failed[0], "reason"), "meet: bad");
}
