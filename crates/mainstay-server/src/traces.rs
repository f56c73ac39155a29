//! Spans to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! What the log filter lets through is traced too: the spans of requests and of database operations, with the events inside of them. They are
//! gathered and sent in batches from a thread of their own; a collector that is slow or away costs spans, never requests.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use axum::extract::MatchedPath;
use http::{HeaderMap, Method, StatusCode};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tracing::Span;
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

/// Makes a request's span one of a server, as OpenTelemetry's conventions for HTTP want it, and a part of the trace that its headers name.
/// Without an exporter nothing happens, and nothing is added to the log.
///
/// The span is named after the method and the route, so that all requests of one kind are found under one name. The path itself is left out:
/// it can hold a setup link's token.
pub(crate) fn begin(span: &Span, method: &Method, route: Option<&MatchedPath>, headers: &HeaderMap) {
    if span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(headers))).is_err() {
        return;
    }
    let known = known_method(method);
    span.record("otel.kind", "server");
    span.set_attribute("http.request.method", known.unwrap_or("_OTHER"));
    if known.is_none() {
        span.set_attribute("http.request.method_original", method.to_string());
    }
    let name = known.unwrap_or("HTTP");
    let name = match route.map(MatchedPath::as_str) {
        Some(route) => {
            span.set_attribute("http.route", route.to_owned());
            format!("{name} {route}")
        }
        None => name.to_owned(),
    };
    // By the span itself and not by the field `otel.name`, which would stand in each line of the log.
    span.context().span().update_name(name);
}

/// The trace of the request that is being answered, for what goes on when it is answered; empty without an exporter.
pub(crate) fn carried() -> Map<String, Value> {
    let mut carried = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carried);
    carried.into_iter().map(|(name, value): (String, String)| (name, value.into())).collect()
}

/// Says how a request ended. What the client did wrong is no error of ours.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_attribute("error.type", status.as_str().to_owned());
        span.set_status(Status::error(""));
    }
}

/// The methods that the conventions know. Any other is somebody's invention, and would make names without end.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
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
