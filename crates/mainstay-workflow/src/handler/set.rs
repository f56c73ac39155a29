//! Handlers by name.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use mainstay_repo::Transaction;

use super::{BoxFuture, Handler, StepContext, StepResult, TxHandler};

/// The code of steps by the names that graphs use for it.
///
/// ```
/// use mainstay_workflow::{Done, Handlers};
///
/// let handlers = Handlers::new().handler("charge", async |_cx| Ok(Done::event("paid")));
/// assert_eq!(handlers.names().collect::<Vec<_>>(), ["charge"]);
/// ```
#[derive(Clone, Default)]
pub struct Handlers(HashMap<String, Code>);

/// One handler.
#[derive(Clone)]
pub(crate) enum Code {
    Plain(Arc<dyn Handler>),
    Tx(Arc<dyn TxHandler>),
}

impl Handlers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds code; a later one of the same name takes the place of an earlier one.
    #[must_use]
    pub fn handler<F, Fut>(self, name: &str, code: F) -> Self
    where
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult> + Send + 'static,
    {
        self.with(name, code)
    }

    /// Adds code for `tx` steps that works in an interactive transaction.
    #[must_use]
    pub fn tx<F>(self, name: &str, code: F) -> Self
    where
        F: for<'a> Fn(StepContext, &'a mut Transaction) -> BoxFuture<'a, StepResult> + Send + Sync + 'static,
    {
        self.with_tx(name, code)
    }

    /// Adds code that is a type of its own.
    #[must_use]
    pub fn with(mut self, name: &str, code: impl Handler) -> Self {
        self.0.insert(name.to_owned(), Code::Plain(Arc::new(code)));
        self
    }

    /// Adds code for `tx` steps that is a type of its own.
    #[must_use]
    pub fn with_tx(mut self, name: &str, code: impl TxHandler) -> Self {
        self.0.insert(name.to_owned(), Code::Tx(Arc::new(code)));
        self
    }

    /// Adds all of another set.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.into_iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Code> {
        self.0.get(name)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
