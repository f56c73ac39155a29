//! One step of a graph: what it does, when it runs, where it leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EventName, HandlerName, Retry, SignalName, StepKey, millis};

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name in the graph.
    pub key: StepKey,
    /// What it does.
    pub kind: Kind,
    /// When it runs, where more than one edge leads to it.
    #[serde(default)]
    pub join: Join,
    /// Where each of its events leads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The event that stands for "all attempts failed". Without one, the run fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<EventName>,
    /// How often it is tried.
    #[serde(default)]
    pub retry: Retry,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What undoes it when the run fails or is cancelled later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<HandlerName>,
    /// The queue that its attempts stand in; the default one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Arc<str>>,
    /// The steps whose output it reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<StepKey, Presence>,
}

/// What a step does. Exhaustive on purpose: who moves or draws runs must say what a new kind means there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Runs code of the host.
    Task {
        /// The code.
        handler: HandlerName,
        /// Whether its SQL, its checkpoint and the next task commit together.
        tx: bool,
        /// What it may end with.
        events: BTreeSet<EventName>,
    },
    /// Waits until one of several signals is there, or time is up.
    Wait {
        /// The signals and the events that they mean.
        signals: Vec<Arrival>,
        /// When it is given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<Expiry>,
    },
    /// Lets time pass.
    Timer {
        /// How long, and the event when it has passed.
        expiry: Expiry,
    },
    /// Runs another workflow and waits for its end.
    Child {
        /// Its name.
        workflow: String,
        /// Its version; the current one when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        /// The event when it completed.
        completed: EventName,
    },
    /// Runs code for every item of a list that is known only then.
    Map {
        /// The code that lists the items.
        items: HandlerName,
        /// The code that is run for each.
        handler: HandlerName,
        /// How many items are under way at a time.
        limit: u32,
        /// How many must succeed.
        need: Need,
        /// The event when they did.
        mapped: EventName,
    },
    /// Ends a path well.
    Done,
}

/// A signal and what its arrival means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The signal.
    pub signal: SignalName,
    /// The event.
    pub event: EventName,
}

/// A time and what its passing means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// How long.
    pub after_ms: u64,
    /// The event.
    pub event: EventName,
}

/// When a step runs. An edge is open until its source has ended; then it is taken or skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When no incoming edge is open and at least one is taken: alternatives merge, parallel branches are awaited.
    #[default]
    All,
    /// As soon as one incoming edge is taken.
    Any,
    /// As soon as so many incoming edges are taken.
    AtLeast(u32),
}

/// How many items of a map must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Each; a list without items is fine.
    #[default]
    All,
    /// So many; the others are given up then.
    AtLeast(u32),
}

/// Which targets of a route are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each of them, in parallel.
    All,
    /// The one that the step names at run time.
    One,
    /// Those that the step names at run time, at least one.
    Some,
}

/// Whether an output must be there, from the laxest to the strictest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The step copes without it.
    Optional,
    /// On every path that leads here.
    Required,
    /// On every path that leads here, and the step that is read ended with this event.
    After(EventName),
}

/// Where an event leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The event.
    pub event: EventName,
    /// The steps that it may lead to.
    pub targets: Vec<StepKey>,
    /// Which of them it leads to.
    pub mode: Mode,
}

impl Node {
    /// A step of this kind with the default policies and no routes.
    pub fn new(key: impl Into<StepKey>, kind: Kind) -> Self {
        Self {
            key: key.into(),
            kind,
            join: Join::All,
            routes: Vec::new(),
            on_failure: None,
            retry: Retry::default(),
            timeout_ms: None,
            compensate: None,
            queue: None,
            reads: BTreeMap::new(),
        }
    }

    /// A step that runs the handler of the same name and ends with one of the events.
    pub fn task<E: Into<EventName>>(key: &str, events: impl IntoIterator<Item = E>) -> Self {
        let events = events.into_iter().map(Into::into).collect();
        Self::new(key, Kind::Task { handler: key.into(), tx: false, events })
    }

    /// A task whose SQL, checkpoint and next task commit together.
    pub fn tx<E: Into<EventName>>(key: &str, events: impl IntoIterator<Item = E>) -> Self {
        let events = events.into_iter().map(Into::into).collect();
        Self::new(key, Kind::Task { handler: key.into(), tx: true, events })
    }

    /// A step that waits for signals; add them with [`signal`](Self::signal) and [`expires`](Self::expires).
    #[must_use]
    pub fn wait(key: &str) -> Self {
        Self::new(key, Kind::Wait { signals: Vec::new(), timeout: None })
    }

    /// A step that lets time pass.
    #[must_use]
    pub fn timer(key: &str, after: Duration, event: &str) -> Self {
        Self::new(key, Kind::Timer { expiry: Expiry { after_ms: millis(after), event: event.into() } })
    }

    /// A step that runs another workflow and ends with `completed`. It is not tried again unless told so.
    #[must_use]
    pub fn child(key: &str, workflow: &str) -> Self {
        let kind =
            Kind::Child { workflow: workflow.to_owned(), version: None, completed: "completed".into() };
        Self::new(key, kind).retry(Retry::never())
    }

    /// A step that runs `handler` for each item that `items` lists, eight at a time, and ends with `mapped`.
    #[must_use]
    pub fn map(key: &str, items: &str, handler: &str) -> Self {
        let (items, handler) = (items.into(), handler.into());
        Self::new(key, Kind::Map { items, handler, limit: 8, need: Need::All, mapped: "mapped".into() })
    }

    /// A step that ends a path well.
    #[must_use]
    pub fn done(key: &str) -> Self {
        Self::new(key, Kind::Done)
    }

    /// Runs another handler than that of the step's own name. Only tasks have one.
    #[must_use]
    pub fn handler(mut self, name: &str) -> Self {
        if let Kind::Task { handler, .. } = &mut self.kind {
            *handler = name.into();
        }
        self
    }

    /// Waits for this signal too. Only waits do.
    #[must_use]
    pub fn signal(mut self, signal: &str, event: &str) -> Self {
        if let Kind::Wait { signals, .. } = &mut self.kind {
            signals.push(Arrival { signal: signal.into(), event: event.into() });
        }
        self
    }

    /// Gives up waiting after a while. Only waits do.
    #[must_use]
    pub fn expires(mut self, after: Duration, event: &str) -> Self {
        if let Kind::Wait { timeout, .. } = &mut self.kind {
            *timeout = Some(Expiry { after_ms: millis(after), event: event.into() });
        }
        self
    }

    /// How many items are under way at a time. Only maps have some.
    #[must_use]
    pub fn limit(mut self, at_a_time: u32) -> Self {
        if let Kind::Map { limit, .. } = &mut self.kind {
            *limit = at_a_time;
        }
        self
    }

    /// How many items must succeed. Only maps have some.
    #[must_use]
    pub fn need(mut self, how_many: Need) -> Self {
        if let Kind::Map { need, .. } = &mut self.kind {
            *need = how_many;
        }
        self
    }

    /// The event when enough items succeeded. Only maps have it.
    #[must_use]
    pub fn mapped(mut self, event: &str) -> Self {
        if let Kind::Map { mapped, .. } = &mut self.kind {
            *mapped = event.into();
        }
        self
    }

    /// The event when the child completed. Only children have it.
    #[must_use]
    pub fn completed(mut self, event: &str) -> Self {
        if let Kind::Child { completed, .. } = &mut self.kind {
            *completed = event.into();
        }
        self
    }

    fn route<T: Into<StepKey>>(
        mut self,
        event: &str,
        targets: impl IntoIterator<Item = T>,
        mode: Mode,
    ) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        self.routes.push(Route { event: event.into(), targets, mode });
        self
    }

    /// Leads the event to all these steps, in parallel.
    #[must_use]
    pub fn on<T: Into<StepKey>>(self, event: &str, targets: impl IntoIterator<Item = T>) -> Self {
        self.route(event, targets, Mode::All)
    }

    /// Leads the event to the one of these steps that the step names at run time.
    #[must_use]
    pub fn choose<T: Into<StepKey>>(self, event: &str, targets: impl IntoIterator<Item = T>) -> Self {
        self.route(event, targets, Mode::One)
    }

    /// Leads the event to those of these steps that the step names at run time.
    #[must_use]
    pub fn choose_some<T: Into<StepKey>>(self, event: &str, targets: impl IntoIterator<Item = T>) -> Self {
        self.route(event, targets, Mode::Some)
    }

    /// When it runs, where more than one edge leads to it.
    #[must_use]
    pub fn join(self, join: Join) -> Self {
        Self { join, ..self }
    }

    /// How often it is tried.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// How long one attempt may take. A child has none: its workflow has a deadline ([`Definition::deadline`](crate::definition::Definition::deadline)).
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout_ms: Some(millis(limit)), ..self }
    }

    /// What undoes it when the run fails or is cancelled later.
    #[must_use]
    pub fn compensate(self, handler: &str) -> Self {
        Self { compensate: Some(handler.into()), ..self }
    }

    /// Puts its attempts, items and compensation into a queue, whose limits can be changed while runs go on.
    #[must_use]
    pub fn queue(self, name: &str) -> Self {
        Self { queue: Some(name.into()), ..self }
    }

    /// Leads to these steps when all attempts failed, by this event.
    #[must_use]
    pub fn on_failure<T: Into<StepKey>>(self, event: &str, targets: impl IntoIterator<Item = T>) -> Self {
        let node = self.on(event, targets);
        Self { on_failure: Some(event.into()), ..node }
    }

    /// This event stands for "all attempts failed" too; it has a route of its own.
    #[must_use]
    pub fn fails_with(self, event: &str) -> Self {
        Self { on_failure: Some(event.into()), ..self }
    }

    /// Reads the output of a step that has one on every path.
    #[must_use]
    pub fn reads(mut self, step: &str) -> Self {
        self.reads.insert(step.into(), Presence::Required);
        self
    }

    /// Reads what a step says with this event, with which it ends on every path.
    #[must_use]
    pub fn reads_after(mut self, step: &str, event: &str) -> Self {
        self.reads.insert(step.into(), Presence::After(event.into()));
        self
    }

    /// Reads the output of a step if it has one.
    #[must_use]
    pub fn reads_if_any(mut self, step: &str) -> Self {
        self.reads.insert(step.into(), Presence::Optional);
        self
    }

    /// Every event that it may end with.
    #[must_use]
    pub fn events(&self) -> BTreeSet<EventName> {
        let mut events: BTreeSet<EventName> = match &self.kind {
            Kind::Task { events, .. } => events.clone(),
            Kind::Wait { signals, timeout } => {
                let arrivals = signals.iter().map(|arrival| arrival.event.clone());
                arrivals.chain(timeout.iter().map(|expiry| expiry.event.clone())).collect()
            }
            Kind::Timer { expiry } => [expiry.event.clone()].into(),
            Kind::Child { completed, .. } => [completed.clone()].into(),
            Kind::Map { mapped, .. } => [mapped.clone()].into(),
            Kind::Done => BTreeSet::new(),
        };
        events.extend(self.on_failure.clone());
        events
    }

    /// Where an event leads.
    #[must_use]
    pub fn routed(&self, event: &EventName) -> Option<&Route> {
        self.routes.iter().find(|route| route.event == *event)
    }

    /// Whether it ends a path.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.kind == Kind::Done
    }

    /// Whether it runs code of the host, and so can fail.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.kind, Kind::Task { .. } | Kind::Child { .. } | Kind::Map { .. })
    }
}
