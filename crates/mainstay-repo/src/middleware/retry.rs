//! Another attempt at what is safe to attempt again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Middleware, Next, async_trait};
use crate::error::Result;
use crate::operation::{Action, Operation, Outcome};

/// Tries again what certainly did nothing: errors of kind `Busy` or `Unavailable`, never a commit, and never past the
/// caller's deadline. An unknown outcome is not retried: only the caller knows whether repeating it is harmless.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    attempts: u32,
    first_delay: Duration,
}

impl Retry {
    /// The longest pause between two attempts.
    pub const MAX_DELAY: Duration = Duration::from_secs(2);

    /// At most `attempts` in all, with a pause that starts at `first_delay` and doubles up to [`Retry::MAX_DELAY`].
    #[must_use]
    pub const fn new(attempts: u32, first_delay: Duration) -> Self {
        Self { attempts, first_delay }
    }

    fn delay(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        self.first_delay.saturating_mul(doubled).min(Self::MAX_DELAY)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(4, Duration::from_millis(20))
    }
}

#[async_trait]
impl Middleware for Retry {
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
        if operation.action() == Action::Commit {
            return next.run(operation).await;
        }
        let mut operation = operation;
        loop {
            let error = match next.run(operation.clone()).await {
                Err(error) if error.is_retryable() && operation.attempt() < self.attempts => error,
                other => return other,
            };
            let delay = self.delay(operation.attempt());
            if Instant::now() + delay >= operation.deadline() {
                return Err(error);
            }
            tracing::debug!(request_id = %operation.request_id(), attempt = operation.attempt(), %error, "retrying");
            sleep(delay).await;
            operation = operation.retried();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let retry = Retry::new(99, Duration::from_millis(100));
        assert_eq!(retry.delay(1), Duration::from_millis(100));
        assert_eq!(retry.delay(2), Duration::from_millis(200));
        assert_eq!(retry.delay(5), Duration::from_millis(1600));
        assert_eq!(retry.delay(6), Retry::MAX_DELAY);
        assert_eq!(retry.delay(u32::MAX), Retry::MAX_DELAY);
    }
}
