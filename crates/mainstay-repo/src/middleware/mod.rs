//! The pipeline that every operation passes, in the order in which it was put together.
//!
//! ```
//! use mainstay_repo::middleware::{Middleware, Next, async_trait};
//! use mainstay_repo::{Operation, Outcome, Result};
//!
//! struct Count(std::sync::atomic::AtomicU64);
//!
//! #[async_trait]
//! impl Middleware for Count {
//!     async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome> {
//!         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
//!         next.run(operation).await
//!     }
//! }
//! ```

mod deadline;
mod observe;
mod read_only;
mod retry;
mod slow;

use std::sync::Arc;

pub use async_trait::async_trait;

pub use self::deadline::Deadline;
pub use self::observe::Observe;
pub use self::read_only::ReadOnlyMode;
pub use self::retry::Retry;
pub use self::slow::SlowLog;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Outcome, Payload};
use crate::transaction::TransactionDriver;

/// Sees every operation: passes it on, changes it, answers it, refuses it or tries it again.
///
/// It must not keep an operation that its caller has left: when the returned future is dropped, the operation ends.
#[async_trait]
pub trait Middleware: Send + Sync + 'static {
    /// Handles an operation; `next` is the rest of the pipeline and the database.
    ///
    /// # Errors
    /// Whatever the rest of the pipeline answers, or a refusal of its own.
    async fn process(&self, operation: Operation, next: Next<'_>) -> Result<Outcome>;
}

/// The rest of the pipeline. It can be run again, for a retry; a commit only once.
pub struct Next<'a> {
    rest: &'a [Arc<dyn Middleware>],
    terminal: Terminal<'a>,
}

/// Where the pipeline ends.
#[derive(Clone, Copy)]
enum Terminal<'a> {
    Engine(&'a Engine),
    Commit(&'a std::sync::Mutex<Option<Box<dyn TransactionDriver>>>),
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("remaining", &self.rest.len()).finish()
    }
}

impl<'a> Next<'a> {
    pub(crate) const fn to_engine(rest: &'a [Arc<dyn Middleware>], engine: &'a Engine) -> Self {
        Self { rest, terminal: Terminal::Engine(engine) }
    }

    pub(crate) const fn to_commit(
        rest: &'a [Arc<dyn Middleware>],
        transaction: &'a std::sync::Mutex<Option<Box<dyn TransactionDriver>>>,
    ) -> Self {
        Self { rest, terminal: Terminal::Commit(transaction) }
    }

    /// Hands the operation on.
    ///
    /// # Errors
    /// Whatever the rest of the pipeline or the database answers.
    pub async fn run(&self, operation: Operation) -> Result<Outcome> {
        match self.rest.split_first() {
            Some((first, rest)) => {
                let next = Next { rest, terminal: self.terminal };
                first.process(operation, next).await
            }
            None => self.terminate(operation).await,
        }
    }

    async fn terminate(&self, operation: Operation) -> Result<Outcome> {
        let call = operation.call;
        match (&self.terminal, operation.payload) {
            (Terminal::Engine(engine), payload) => engine.run(payload, &call).await,
            (Terminal::Commit(transaction), Payload::Commit) => {
                let driver = transaction.lock().map_err(|_| Error::closed())?.take();
                let driver = driver.ok_or_else(|| {
                    Error::invalid_input("the transaction was already committed; a commit is not retried")
                })?;
                driver.commit().await.map(|()| Outcome::Committed)
            }
            (Terminal::Commit(_), _) => {
                Err(Error::new(ErrorKind::Internal, "a middleware replaced a commit by another operation"))
            }
        }
    }
}
