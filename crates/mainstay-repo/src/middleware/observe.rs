//! A span and metrics for each operation.

use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Middleware, Next, async_trait};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Outcome};

/// Opens a span `repo` and records `mainstay_repo_operations_total` and `mainstay_repo_operation_seconds`, by component,
/// action and outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observe;

#[async_trait]
impl Middleware for Observe {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        let action = operation.action().as_str();
        let component = operation.component();
        let span = tracing::debug_span!(
            "repo",
            action,
            component,
            name = operation.name(),
            table = operation.table(),
            request_id = %operation.request_id(),
        );
        let started = Instant::now();
        let result = next.run(operation).instrument(span).await;
        let outcome = result.as_ref().err().map_or("ok", word);
        metrics::counter!(
            "mainstay_repo_operations_total", "component" => component, "action" => action, "outcome" => outcome
        )
        .increment(1);
        metrics::histogram!("mainstay_repo_operation_seconds", "component" => component, "action" => action)
            .record(started.elapsed().as_secs_f64());
        result
    }
}

/// The error's kind as a metric label: few, stable words.
fn word(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict { .. } => "conflict",
        ErrorKind::Constraint { .. } => "constraint",
        ErrorKind::ConditionFailed { .. } => "condition_failed",
        ErrorKind::Busy => "busy",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Timeout => "timeout",
        ErrorKind::ReadOnly => "read_only",
        ErrorKind::NotPrimary { .. } => "not_primary",
        ErrorKind::Unknown { .. } => "unknown",
        ErrorKind::Migration(_) => "migration",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::Configuration => "configuration",
        ErrorKind::PermissionDenied => "permission_denied",
        ErrorKind::StorageFull => "storage_full",
        ErrorKind::Closed => "closed",
        ErrorKind::Internal => "internal",
    }
}
