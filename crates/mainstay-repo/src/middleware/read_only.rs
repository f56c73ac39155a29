//! A switch that refuses writes, for maintenance and for the single-node guard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Middleware, Next, async_trait};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Outcome};

/// Refuses every write while it is on. Clones share the switch.
#[derive(Debug, Clone, Default)]
pub struct ReadOnlyMode(Arc<AtomicBool>);

impl ReadOnlyMode {
    /// A switch that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it on or off; operations that already passed are not stopped.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    /// Whether writes are refused now.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Middleware for ReadOnlyMode {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        if self.is_on() && operation.action().writes() {
            return Err(Error::new(ErrorKind::ReadOnly, "the database is in read-only mode")
                .with_help("retry when the operator has turned it off"));
        }
        next.run(operation).await
    }
}
