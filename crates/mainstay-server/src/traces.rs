//! Spans to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! What the log filter lets through is traced too: the spans of requests and of database operations, with the events inside of them. They are
//! gathered and sent in batches from a thread of their own; a collector that is slow or away costs spans, never requests.

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};

use crate::fetch::{FetchPolicy, send};
use crate::limits;

/// Sends spans to a collector until it is [ended](Self::end).
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends them to `<endpoint>/v1/traces`, for example of `http://localhost:4318`. Call it inside a Tokio runtime; the requests run there.
    ///
    /// # Errors
    /// [`TracesError`] when the exporter cannot be made. Whether somebody answers is not looked at.
    pub fn to(endpoint: &str) -> Result<Self, TracesError> {
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(Handle::current()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_timeout(limits::TRACES_TIMEOUT)
            .build()
            .map_err(TracesError)?;
        let resource = Resource::builder().with_service_name("mainstay").build();
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    /// The layer of a subscriber that hands spans over.
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("mainstay"))
    }

    /// Sends what is left, for at most [`TRACES_TIMEOUT`](limits::TRACES_TIMEOUT). Call it outside of the runtime, while that still runs.
    pub fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(limits::TRACES_TIMEOUT) {
            tracing::warn!(%error, "the last spans did not reach the collector of traces");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// Why spans cannot be sent.
#[derive(Debug)]
pub struct TracesError(ExporterBuildError);

impl fmt::Display for TracesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spans cannot be sent to the collector of otlp_endpoint")
    }
}

impl std::error::Error for TracesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Makes a request's span a part of the trace that its headers name. Without an exporter nothing happens.
pub(crate) fn adopt(span: &tracing::Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Nobody listens: there is nothing to adopt.
        let _ = span.set_parent(context);
    }
}

/// Our own client, on the server's runtime: the exporter's thread has none.
#[derive(Debug)]
struct Client(Handle);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let policy = FetchPolicy {
            allow_http: true,
            allow_private: true,
            max_bytes: limits::TRACES_ANSWER,
            timeout: limits::TRACES_TIMEOUT,
        };
        Ok(self.0.spawn(async move { send(request, &policy).await }).await??)
    }
}
