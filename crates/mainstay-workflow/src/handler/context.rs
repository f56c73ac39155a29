//! What an attempt is given.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_core::{Clock, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::results::Seen;
use super::{Cancelled, StepError};
use crate::definition::Workflow;
use crate::graph::{EventName, StepKey};
use crate::id::RunId;
use crate::plan::{Attempt, Part};

/// What one attempt is given: the run's input, the results of the steps before, and where it stands. Cheap to clone.
#[derive(Clone)]
pub struct StepContext(Arc<ContextParts>);

/// What a runner puts into a context.
pub(crate) struct ContextParts {
    pub(crate) run: RunId,
    pub(crate) flow: Arc<Workflow>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) attempt: Attempt,
    pub(crate) seen: Arc<Seen>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) states: Arc<States>,
    pub(crate) cancelled: Cancelled,
    pub(crate) beat: Arc<dyn Beat>,
    /// The run's attributes as the attempt began.
    pub(crate) attributes: Arc<Map<String, Value>>,
    /// What the attempt adds to them.
    pub(crate) notes: Mutex<Map<String, Value>>,
}

/// Where heartbeats go.
pub(crate) trait Beat: Send + Sync {
    /// The attempt is alive, and says how far it is.
    fn beat(&self, progress: Value);
}

/// What the host gave for all handlers, by type.
#[derive(Clone, Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        self.0.insert(TypeId::of::<T>(), value);
    }
}

impl StepContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.0.run
    }

    /// The workflow's name.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.0.flow.graph().name
    }

    /// The workflow's version that the run is pinned to.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.flow.graph().version
    }

    /// The run's business key, `key::value`, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The step.
    #[must_use]
    pub fn step(&self) -> &StepKey {
        &self.0.attempt.step
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt.number
    }

    /// The same text for every attempt at this step of this run: by it an outer system tells repetitions. A run that is done again
    /// ([`Engine::retry`](crate::Engine::retry), [`Engine::fork`](crate::Engine::fork)) is another run with keys of its own.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.0.run, self.0.attempt.idempotency_key())
    }

    /// What the run was given.
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.0.seen.input
    }

    /// What the run was given, as a Rust type.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when it is of another form.
    pub fn input_as<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        read("the input", self.input())
    }

    /// The event that a step ended with, if it has ended.
    #[must_use]
    pub fn event(&self, step: &str) -> Option<&EventName> {
        self.0.seen.event(step)
    }

    /// The result of a step, if it has one.
    #[must_use]
    pub fn output(&self, step: &str) -> Option<&Value> {
        self.0.seen.output(step)
    }

    /// The results of a map's items in the order of the list, once the map has ended; none for an item that failed.
    #[must_use]
    pub fn items(&self, step: &str) -> Option<&[Option<Value>]> {
        self.0.seen.items(step)
    }

    /// The result of a step as a Rust type, if it has one.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when it is of another form.
    pub fn output_as<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>, StepError> {
        self.output(step).map(|value| read(step, value)).transpose()
    }

    /// The result of a step that has one on every path that leads here.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when it has none or one of another form.
    pub fn required<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        let missing = || {
            let reader = self.step();
            StepError::fatal(format!(
                "{reader} needs the result of {step}, which has none; let the graph say that it reads it"
            ))
        };
        self.output_as(step)?.ok_or_else(missing)
    }

    /// The item of a map that this attempt is at.
    #[must_use]
    pub fn item(&self) -> Option<&Value> {
        self.0.seen.item(self.step().as_str(), self.item_index()?)
    }

    /// The item of a map that this attempt is at, as a Rust type.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when this is not about an item, or it is of another form.
    pub fn item_as<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        let item = self
            .item()
            .ok_or_else(|| StepError::fatal(format!("{} is not an item of a map", self.0.attempt)))?;
        read("the item", item)
    }

    /// Which item of a map this attempt is at, from 0.
    #[must_use]
    pub fn item_index(&self) -> Option<u32> {
        match self.0.attempt.part {
            Part::Item(item) => Some(item),
            Part::Body | Part::Items | Part::Undo => None,
        }
    }

    /// What the host gave all handlers with `EngineBuilder::state`.
    ///
    /// # Errors
    /// [`StepError`], not to be tried again, when it gave nothing of this type.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, StepError> {
        let found = self.0.states.0.get(&TypeId::of::<T>()).cloned();
        found.and_then(|any| any.downcast().ok()).ok_or_else(|| {
            let name = type_name::<T>();
            StepError::fatal(format!("the host gave no {name}; give one with EngineBuilder::state"))
        })
    }

    /// The run's attributes: those of its start, and what steps added until this attempt began.
    #[must_use]
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.0.attributes
    }

    /// Adds to the run's attributes once this attempt succeeds; the same as [`Done::attribute`](crate::Done::attribute), for steps that return an event
    /// of their own type.
    pub fn set_attribute(&self, name: &str, value: impl Into<Value>) {
        self.notes().insert(name.to_owned(), value.into());
    }

    /// What was added; nothing of it is left.
    pub(crate) fn take_notes(&self) -> Map<String, Value> {
        std::mem::take(&mut *self.notes())
    }

    fn notes(&self) -> MutexGuard<'_, Map<String, Value>> {
        // A map is whole whatever its holder was at.
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present instant, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// When this attempt counts as timed out if it is silent, as of its beginning: after a heartbeat it is as much later as the heartbeat was after
    /// the beginning, which this does not say.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.deadline
    }

    /// Says that the attempt is alive and how far it is. The step's time-out begins anew.
    pub fn heartbeat(&self, progress: Value) {
        self.0.beat.beat(progress);
    }

    /// Whether the result is not wanted any more: the run was cancelled or failed, or the attempt timed out. Stop soon.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_set()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    pub async fn cancelled(&self) {
        self.0.cancelled.wait().await;
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepContext({} {})", self.0.run, self.0.attempt)
    }
}

fn read<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, StepError> {
    T::deserialize(value).map_err(|error| {
        let name = type_name::<T>();
        StepError::fatal(format!("{what} cannot be read as {name}: {error}"))
    })
}
