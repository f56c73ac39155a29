//! How a trace of the host reaches over a run: from the span that asks for the start to the spans of the steps, on whichever node they run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tracing::Span;

use super::StartRequest;
use crate::handler::panicked;

/// Carries the context of a trace in the telemetry metadata of runs, in the form that the host's tracing has: W3C's `traceparent`, for one.
///
/// With [`EngineBuilder::traces`](crate::EngineBuilder::traces) the steps of a run, its retries and its children become a part of the trace
/// in which the start was asked for. The book's page on operations has an implementation for OpenTelemetry. A panic costs the trace, and the run
/// goes on.
pub trait TraceContext: Send + Sync + 'static {
    /// What a start that is asked for in this span carries with it. What the caller gives under the same name goes before it; together they
    /// have at most [`MAX_TELEMETRY_BYTES`](crate::store::MAX_TELEMETRY_BYTES).
    fn carry(&self, span: &Span) -> Map<String, Value>;

    /// Makes the span of an attempt a part of the trace that the run carries. It is called before anything happens in the span.
    fn adopt(&self, span: &Span, carried: &Map<String, Value>);
}

/// What the host said about its traces, if anything.
#[derive(Clone, Default)]
pub(crate) struct Traces(pub(crate) Option<Arc<dyn TraceContext>>);

impl Traces {
    /// Adds to a start what the span carries in which it is asked for.
    pub(crate) fn carry(&self, request: &mut StartRequest) {
        let Some(traces) = &self.0 else { return };
        let Some(carried) = guarded("carry", || traces.carry(&Span::current())) else { return };
        // What is no object is refused when the run is about to begin.
        if request.telemetry.is_null() && !carried.is_empty() {
            request.telemetry = Value::Object(carried);
        } else if let Some(given) = request.telemetry.as_object_mut() {
            for (name, value) in carried {
                given.entry(name).or_insert(value);
            }
        }
    }

    /// Makes the span of an attempt a part of its run's trace.
    pub(crate) fn adopt(&self, span: &Span, telemetry: &Value) {
        if let (Some(traces), Some(carried)) = (&self.0, telemetry.as_object()) {
            guarded("adopt", || traces.adopt(span, carried));
        }
    }
}

/// Runs the host's code, which may panic over what somebody passed on to a run: that costs a trace, and neither the run nor the runner.
fn guarded<T>(what: &str, code: impl FnOnce() -> T) -> Option<T> {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(done) => Some(done),
        Err(panic) => {
            let panic = panicked(&*panic);
            if IS_TOLD.swap(true, Ordering::Relaxed) {
                tracing::debug!(%panic, "TraceContext::{what} panicked");
            } else {
                tracing::warn!(%panic, "TraceContext::{what} panicked: the run goes on outside of its trace; this is said once");
            }
            None
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}
