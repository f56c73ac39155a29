//! A log line for each operation that took too long.

use std::time::Duration;

use tokio::time::Instant;

use super::{Middleware, Next, async_trait};
use crate::error::Result;
use crate::operation::{Operation, Outcome};
use crate::statement::Dialect;

/// Warns of every operation that took at least so long, with its SQL and never with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct SlowLog(Duration);

impl SlowLog {
    /// From so long on.
    #[must_use]
    pub const fn over(threshold: Duration) -> Self {
        Self(threshold)
    }
}

#[async_trait]
impl Middleware for SlowLog {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        let started = Instant::now();
        let action = operation.action().as_str();
        let component = operation.component();
        let request_id = operation.request_id();
        let name = operation.name().map(str::to_owned);
        let sql = operation.statements().next().map(|statement| statement.sql().clone());
        let result = next.run(operation).await;
        let took = started.elapsed();
        if took >= self.0 {
            tracing::warn!(
                action,
                component,
                %request_id,
                name,
                took_ms = took.as_secs_f64() * 1e3,
                ok = result.is_ok(),
                sql = sql.as_ref().map(|sql| sql.text(Dialect::Sqlite)),
                "slow database operation"
            );
        }
        result
    }
}
