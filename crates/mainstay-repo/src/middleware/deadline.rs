//! A ceiling on how long any operation may take.

use std::time::Duration;

use tokio::time::Instant;

use super::{Middleware, Next, async_trait};
use crate::error::Result;
use crate::operation::{Operation, Outcome};

/// Gives every operation a deadline no later than so long after it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Duration);

impl Deadline {
    /// At most so long.
    #[must_use]
    pub const fn after(limit: Duration) -> Self {
        Self(limit)
    }
}

#[async_trait]
impl Middleware for Deadline {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        next.run(operation.not_later_than(Instant::now() + self.0)).await
    }
}
