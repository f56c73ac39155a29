//! The traces of a host with OpenTelemetry reach over its runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mainstay_testkit::TestDatabase;
use mainstay_workflow::{Definition, Engine, Handlers, Node, StartRequest, TraceContext};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde_json::{Map, Value, json};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::engine::{repo, soon};

/// Carries W3C's trace context with runs.
struct W3c;

impl TraceContext for W3c {
    fn carry(&self, span: &Span) -> Map<String, Value> {
        let mut carried = HashMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut carried);
        carried.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    fn adopt(&self, span: &Span, carried: &Map<String, Value>) {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let texts: HashMap<String, String> = carried.iter().filter_map(text).collect();
        // It fails where spans go to no collector: then there is nothing to be a part of.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&texts));
    }
}

/// Keeps what would go to a collector.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// One thread, so that the subscriber of this test hears all of its engine.
#[tokio::test(flavor = "current_thread")]
async fn steps_are_a_part_of_the_trace_in_which_their_run_was_asked_for() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("host"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let database = TestDatabase::sqlite();
    let inner = Definition::new("inner", 1).node(Node::task("deep", ["ok"]).on("ok", ["end"])).done("end");
    let outer = Definition::new("outer", 1)
        .node(Node::task("first", ["ok"]).on("ok", ["wait"]))
        .node(Node::wait("wait").signal("go", "gone").on("gone", ["book"]))
        .node(Node::tx("book", ["ok"]).on("ok", ["sub"]))
        .node(Node::child("sub", "inner").on("completed", ["end"]))
        .done("end");
    let (inner, outer) = (inner.build().unwrap(), outer.build().unwrap());
    let handlers = Handlers::new()
        .handler("first", async |_cx| Ok("ok".into()))
        .handler("deep", async |_cx| Ok("ok".into()))
        .tx("book", |_cx, _tx| Box::pin(async { Ok("ok".into()) }));
    let repo = repo(&database).await;
    let engine = || {
        let builder = Engine::builder(repo.clone()).workflow(inner.clone(), handlers.clone());
        builder.workflow(outer.clone(), handlers.clone()).traces(W3c)
    };
    let first = engine().start().await.unwrap();
    let span = tracing::info_span!("POST /orders");
    let asked = span.context();
    let request = StartRequest::new("outer", json!({})).telemetry(json!({"tenant": "t1"}));
    let run = first.start(request).instrument(span.clone()).await.unwrap();
    // Another life of the node goes on with it: the trace is in the database, not in memory.
    soon(first.stop()).await;
    let second = engine().start().await.unwrap();
    second.signal(run, "go", json!(null)).await.unwrap();
    soon(second.wait(run)).await.unwrap();
    let stranger = second.start(StartRequest::new("inner", json!({}))).await.unwrap();
    soon(second.wait(stranger)).await.unwrap();
    soon(second.stop()).await;
    drop(span);
    let shown = second.control().show(run).await.unwrap();
    assert_eq!(shown.telemetry["tenant"], "t1", "what the caller gives stays");

    let spans = kept.0.lock().unwrap().clone();
    let trace = opentelemetry::trace::TraceContextExt::span(&asked).span_context().clone();
    let own = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    for name in ["outer first", "outer book", "outer sub"] {
        let [span] = own(name)[..] else { panic!("{name}: {spans:?}") };
        assert_eq!(span.span_context.trace_id(), trace.trace_id(), "{name}");
        assert_eq!(span.parent_span_id, trace.span_id(), "{name}");
    }
    let deep: Vec<bool> =
        own("inner deep").iter().map(|span| span.span_context.trace_id() == trace.trace_id()).collect();
    assert_eq!(deep, [true, false], "the child of the run, and a run that nobody asked for in a span");
}
