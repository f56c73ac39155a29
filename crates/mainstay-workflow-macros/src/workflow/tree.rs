//! A workflow as it is written down.

use proc_macro2::Span;
use serde_json::Value;
use syn::{Attribute, ExprClosure, Ident, LitStr, Path, Type, Visibility};

use crate::time::{Policy, Time};

/// The whole.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    pub(crate) name: LitStr,
    pub(crate) version: u32,
    pub(crate) version_at: Span,
    pub(crate) input: Type,
    pub(crate) unique: Option<Unique>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) deadline: Option<Time>,
    pub(crate) steps: Vec<Step>,
}

/// The business key.
#[derive(Debug)]
pub(crate) struct Unique {
    pub(crate) key: Ident,
    /// The variant of `Scope`.
    pub(crate) scope: &'static str,
    pub(crate) value: ExprClosure,
}

/// A step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) key: Ident,
    pub(crate) kind: Kind,
    pub(crate) join: Option<(Join, Span)>,
    pub(crate) retry: Option<(Policy, Span)>,
    pub(crate) timeout: Option<Time>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) undo: Option<Call>,
    pub(crate) failed: Option<Ident>,
    pub(crate) routes: Vec<Route>,
}

/// When it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Join {
    All,
    Any,
    AtLeast(u32),
}

#[derive(Debug)]
pub(crate) enum Kind {
    Task(Call),
    Wait { signals: Vec<Signal>, after: Option<(Time, Ident)> },
    Timer(Time),
    Map { items: Call, each: Call, limit: Option<u32>, need: Option<u32> },
    Child { flow: Path, input: Option<Call> },
    Done,
}

/// A signal, what comes with it, and the event that it means.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) name: Ident,
    pub(crate) payload: Option<Type>,
    pub(crate) event: Ident,
}

/// A function and what is passed to it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) path: Path,
    pub(crate) arguments: Vec<Argument>,
}

/// `input`, `item`, or the result of a step: all of it, or what it says with one event; `?` where it may not be there.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) from: Ident,
    pub(crate) event: Option<Ident>,
    pub(crate) optional: bool,
}

/// Where an event leads.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) event: Ident,
    pub(crate) targets: Vec<Ident>,
    /// Set when the step chooses among the targets.
    pub(crate) choice: Option<Choice>,
}

/// How a step chooses among the targets of a route.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Whether it may choose more than one.
    pub(crate) many: bool,
    /// The enum that it chooses from.
    pub(crate) ty: Path,
    /// For each target its variant.
    pub(crate) variants: Vec<Ident>,
}

impl Flow {
    pub(crate) fn step(&self, key: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.key == key)
    }
}

impl Step {
    /// The functions that it calls to do its work; not that which undoes it.
    pub(crate) fn calls(&self) -> Vec<&Call> {
        match &self.kind {
            Kind::Task(call) => vec![call],
            Kind::Map { items, each, .. } => vec![items, each],
            Kind::Child { input, .. } => input.iter().collect(),
            Kind::Wait { .. } | Kind::Timer(_) | Kind::Done => Vec::new(),
        }
    }
}
