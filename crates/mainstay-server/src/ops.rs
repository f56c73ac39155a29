//! For probes: is the process alive, may it be sent users, how is it doing.

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use mainstay_core::{Clock as _, SystemClock};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;
use crate::problem::Problem;
use crate::ready;

/// Seconds that divide the histogram of request times.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The process has one recorder, however many servers it runs.
static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts to record, once a process. Without a recorder (the host has one of its own) `/metrics` is empty.
pub(crate) fn install_recorder() {
    HANDLE.get_or_init(|| {
        let matcher = Matcher::Full("mainstay_http_request_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(matcher, &BUCKETS);
        let installed = builder.map(|builder| builder.install_recorder());
        match installed {
            Ok(Ok(handle)) => Some(handle),
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%error, "metrics are not recorded by this server");
                None
            }
        }
    });
}

/// Gives memory back that old samples hold; call it now and then.
pub(crate) fn upkeep() {
    if let Some(Some(handle)) = HANDLE.get() {
        handle.run_upkeep();
    }
}

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// `ready`, and below it what does not keep users away but wants an operator.
pub(crate) async fn readyz(State(app): State<App>) -> Result<String, Problem> {
    ready::check(&app).await?;
    let certificate = app.certificate().and_then(|served| served.complaint(SystemClock.now()));
    let lines = [Some("ready"), certificate, app.images().complaint()];
    Ok(lines.into_iter().flatten().map(|line| format!("{line}\n")).collect())
}

pub(crate) async fn metrics() -> Response {
    let text = HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
