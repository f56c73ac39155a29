#![doc = include_str!("../../docs/typed.md")]

mod answer;
mod check;
mod read;
mod said;

use mainstay_core::Timestamp;
use mainstay_repo::Batch;
pub use mainstay_repo::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::handler::{StepError, StepResult};
use crate::{Engine, Retry, RunId, StartRequest, Version};

pub use said::Said;

#[doc(hidden)]
pub use answer::{
    child, chose, ended, json, key_of, listed, made, map_node, no_transaction, plain, task, task_node,
    undone, unknown_event, unsound,
};
#[doc(hidden)]
pub use check::{all_routed, is_declared, is_plain, is_version};
#[doc(hidden)]
pub use read::{all_items, came_with, event, said, some_items, there};

/// A workflow that was written down with [`workflow!`](crate::workflow) or [`versions!`](crate::versions).
pub trait TypedWorkflow {
    /// What a run is given.
    type Input: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The workflow's name.
    const NAME: &'static str;

    /// The value of the business key for a run with this input; none when every start makes a run.
    fn key(input: &Self::Input) -> Option<String>;

    /// What starts a run with this input: hand it to an engine, and say there what else it should have.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the input has no form in JSON.
    fn request(input: &Self::Input) -> Result<StartRequest> {
        let value = serde_json::to_value(input).map_err(|error| no_json(Self::NAME, &error))?;
        let request = StartRequest::new(Self::NAME, value);
        Ok(match Self::key(input) {
            Some(key) => request.key(&key),
            None => request,
        })
    }

    /// Starts a run. When this returns, it is durable.
    ///
    /// # Errors
    /// As [`request`](Self::request) and [`Engine::start`].
    fn start(engine: &Engine, input: &Self::Input) -> impl Future<Output = Result<RunId>> + Send {
        let request = Self::request(input);
        async move { engine.start(request?).await }
    }

    /// Starts a run together with what the host writes in the same transaction: both are there, or neither.
    ///
    /// # Errors
    /// As [`request`](Self::request) and [`Engine::start_in`].
    fn start_in(
        engine: &Engine,
        transaction: &mut Transaction,
        input: &Self::Input,
    ) -> impl Future<Output = Result<RunId>> + Send {
        let request = Self::request(input);
        async move { engine.start_in(transaction, request?).await }
    }

    /// What the steps of a run have said so far, as the types that they said it in, whether it goes on or has ended. The whole history is read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] for a run of another workflow; [`ErrorKind::Database`].
    fn said(engine: &Engine, run: RunId) -> impl Future<Output = Result<Said>> + Send {
        let control = engine.control();
        async move { control.said_of(Self::NAME, run).await }
    }
}

fn no_json(what: &str, error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("what {what} is given has no form in JSON: {error}"))
}

/// One version of a workflow, as [`workflow!`](crate::workflow) makes it.
pub trait TypedVersion: TypedWorkflow {
    /// Its number.
    const VERSION: u32;

    /// The graph and the code of its steps.
    fn version() -> Version;
}

/// A function with [`#[step]`](crate::step).
pub trait Step {
    /// What it returns when it succeeds.
    type Output;
    /// Its name in Rust.
    const NAME: &'static str;
    /// Whether what it does in the database commits together with its result.
    const TX: bool;
    /// Whether it is given a transaction.
    const INTERACTIVE: bool;
    /// How often it is tried, unless the workflow says otherwise.
    const RETRY: Option<Retry>;
    /// How long an attempt may take, unless the workflow says otherwise.
    const TIMEOUT_MS: Option<u64>;
    /// The queue that its attempts stand in, unless the workflow says otherwise.
    const QUEUE: Option<&'static str>;
}

/// What a step can end with: derive it on an enum.
pub trait Events: Sized + Send + 'static {
    /// The names of the variants.
    const NAMES: &'static [&'static str];

    /// The event with what it says.
    ///
    /// # Errors
    /// [`StepError`] when that has no form in JSON.
    fn to_done(&self) -> StepResult;

    /// The event that a step ended with.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when there is no such event or what it says is of another form.
    fn read(step: &str, event: &str, output: Option<&Value>) -> Result<Self, StepError>;
}

/// What the body of a step may return: an event, an event with a [`Batch`], or an event that [chooses](Chosen).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a step ends with",
    label = "a step ends with an event",
    note = "derive `Events` on an enum: `#[derive(Events)] enum Charged {{ Paid(Receipt), Declined(Reason) }}`; a `tx` step may \
            return `(Charged, Batch)`"
)]
pub trait Ending: Send {
    /// The events.
    type Event: Events;
    /// What it chooses among.
    type Target;

    /// Takes it apart.
    fn into_parts(self) -> Parts<Self::Event, Self::Target>;
}

/// An ending, taken apart.
#[derive(Debug)]
pub struct Parts<E, T> {
    event: E,
    targets: Vec<T>,
    batch: Option<Batch>,
}

impl<E, T> Parts<E, T> {
    /// An event alone.
    pub fn of(event: E) -> Self {
        Self { event, targets: Vec::new(), batch: None }
    }
}

/// Nothing to choose from.
#[derive(Debug, Clone, Copy)]
pub enum NoTarget {}

/// A step that chooses nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the step chooses among `{Self}`, but none of its routes leaves it a choice",
    label = "this step returns a `Chosen`",
    note = "write `Event -> one {Self} {{ Variant: step, .. }}`, or `some` where it may choose several"
)]
pub trait NoChoice {}

impl NoChoice for NoTarget {}

impl<E: Ending> Ending for (E, Batch) {
    type Event = E::Event;
    type Target = E::Target;

    fn into_parts(self) -> Parts<Self::Event, Self::Target> {
        let (ending, batch) = self;
        Parts { batch: Some(batch), ..ending.into_parts() }
    }
}

/// An event with the steps to go on with, where a route leaves the choice: `Sorted -> one Lane { Fast: express, Slow: post }`.
#[derive(Debug, Clone)]
pub struct Chosen<E, T> {
    event: E,
    targets: Vec<T>,
}

impl<E, T> Chosen<E, T> {
    /// This event, and these steps.
    pub fn new(event: E, targets: impl IntoIterator<Item = T>) -> Self {
        Self { event, targets: targets.into_iter().collect() }
    }
}

impl<E, T> From<E> for Chosen<E, T> {
    /// An event whose route leaves no choice.
    fn from(event: E) -> Self {
        Self { event, targets: Vec::new() }
    }
}

impl<E: Events, T: Send> Ending for Chosen<E, T> {
    type Event = E;
    type Target = T;

    fn into_parts(self) -> Parts<E, T> {
        Parts { event: self.event, targets: self.targets, batch: None }
    }
}

/// The list that a map goes over.
pub trait List {
    /// An item.
    type Item: Serialize + DeserializeOwned;
}

impl<T: Serialize + DeserializeOwned> List for Vec<T> {
    type Item = T;
}

/// What the function of a step returns: a `Result` whose error becomes a [`StepError`].
#[diagnostic::on_unimplemented(
    message = "a step returns a `Result` whose error becomes a `StepError`, not `{Self}`",
    note = "`impl From<YourError> for StepError` says whether it makes sense to try again"
)]
pub trait Returned {
    /// What it returns when it succeeds.
    type Value;

    /// The result.
    ///
    /// # Errors
    /// The step's own.
    fn into_result(self) -> Result<Self::Value, StepError>;
}

impl<T, E: Into<StepError>> Returned for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, StepError> {
        self.map_err(Into::into)
    }
}

/// A signal with what comes with it, as the workflow's own functions make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    name: &'static str,
    payload: Value,
}

impl Signal {
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, payload: Value::Null }
    }

    #[doc(hidden)]
    pub fn with<T: Serialize>(name: &'static str, payload: &T) -> Result<Self> {
        let payload = serde_json::to_value(payload).map_err(|error| no_json(name, &error))?;
        Ok(Self { name, payload })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What comes with it.
    #[must_use]
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// Sends it to a run.
    ///
    /// # Errors
    /// As [`Engine::signal`].
    pub async fn send(self, engine: &Engine, run: RunId) -> Result<()> {
        engine.signal(run, self.name, self.payload).await
    }

    /// Sends it so that it reaches the run at an instant, not before.
    ///
    /// # Errors
    /// As [`Engine::signal_at`].
    pub async fn send_at(self, engine: &Engine, run: RunId, at: Timestamp) -> Result<()> {
        engine.signal_at(run, at, self.name, self.payload).await
    }

    /// Sends it together with what the host writes in the same transaction.
    ///
    /// # Errors
    /// As [`Engine::signal_in`].
    pub async fn send_in(self, engine: &Engine, transaction: &mut Transaction, run: RunId) -> Result<()> {
        engine.signal_in(transaction, run, self.name, self.payload).await
    }
}
