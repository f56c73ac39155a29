//! The code of steps: what a host registers by name, what it is given, how it answers.

mod cancel;
mod context;
mod done;
mod invoke;
mod results;
mod set;

use std::future::Future;
use std::pin::Pin;

use mainstay_repo::Transaction;

pub(crate) use cancel::{Cancel, Cancelled};
pub use context::StepContext;
pub(crate) use context::{Beat, ContextParts, States};
pub use done::{Done, StepError};
pub(crate) use invoke::{answer, attempted, guarded, panicked};
pub(crate) use results::{Results, Seen};
pub(crate) use set::Code;
pub use set::Handlers;

/// A future that a handler returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How an attempt ends.
pub type StepResult = Result<Done, StepError>;

/// Code of a step: the body of a task, the list of a map's items, one item, or a compensation. Every
/// `Fn(StepContext) -> impl Future<Output = Result<Done, StepError>>` is one.
///
/// It may be run more than once for one step: after a failure, a time-out or the loss of its node. What it does outside of the database
/// should be keyed by [`StepContext::idempotency_key`]. The body of a [`tx`](crate::Node::tx) step may return statements with
/// [`Done::batch`]: these take effect exactly once, together with the step's result.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt.
    fn run(&self, cx: StepContext) -> BoxFuture<'static, StepResult>;
}

impl<F, Fut> Handler for F
where
    F: Fn(StepContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult> + Send + 'static,
{
    fn run(&self, cx: StepContext) -> BoxFuture<'static, StepResult> {
        Box::pin(self(cx))
    }
}

/// The body of a [`tx`](crate::Node::tx) step that looks before it writes: all that it does in the transaction commits together with the
/// step's result and the next task, or not at all. Every
/// `for<'a> Fn(StepContext, &'a mut Transaction) -> BoxFuture<'a, Result<Done, StepError>>` is one.
///
/// On SQLite it holds the only writer: keep it short, or return a [`Done::batch`] from a [`Handler`] instead, which shares commits.
pub trait TxHandler: Send + Sync + 'static {
    /// Runs one attempt.
    fn run<'a>(&'a self, cx: StepContext, tx: &'a mut Transaction) -> BoxFuture<'a, StepResult>;
}

impl<F> TxHandler for F
where
    F: for<'a> Fn(StepContext, &'a mut Transaction) -> BoxFuture<'a, StepResult> + Send + Sync + 'static,
{
    fn run<'a>(&'a self, cx: StepContext, tx: &'a mut Transaction) -> BoxFuture<'a, StepResult> {
        self(cx, tx)
    }
}
