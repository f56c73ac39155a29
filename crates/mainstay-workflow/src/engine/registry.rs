//! What the host registered: workflows, their versions, and the code of their steps.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use super::{StartRequest, Version, WorkflowSource};
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{HandlerName, Kind, Node};
use crate::handler::{Code, Handlers, StepError, StepResult, panicked};
use crate::id::DefinitionId;
use crate::plan::{Attempt, Part};

/// Chooses a version for a start that names none; `None` leaves it to the current one.
pub(crate) type Resolver = Arc<dyn Fn(&StartRequest) -> Option<u32> + Send + Sync>;

/// All workflows that a host registered.
#[derive(Default)]
pub(crate) struct Registry {
    families: HashMap<String, Family>,
    shared: Handlers,
}

/// The versions of one workflow.
#[derive(Default)]
struct Family {
    versions: BTreeMap<u32, Arc<Registered>>,
    current: Option<u32>,
    resolver: Option<Resolver>,
}

/// One version of one workflow with its code.
pub(crate) struct Registered {
    pub(crate) flow: Arc<Workflow>,
    /// The workflow's name, as a label of metrics.
    pub(crate) name: Arc<str>,
    handlers: Handlers,
    /// What the store calls it, once it is known there.
    pub(crate) definition: OnceLock<DefinitionId>,
}

/// Asks the host's code, which may panic: that is an error of this one start, wherever it comes from.
fn asked(resolver: &Resolver, request: &StartRequest) -> Result<Option<u32>> {
    catch_unwind(AssertUnwindSafe(|| resolver(request))).map_err(|panic| {
        let text = format!("the resolver of {} panicked: {}", request.workflow(), panicked(&*panic));
        Error::new(ErrorKind::Setup, text).with_help(
            "let it return None for a request that it does not expect, or name a version in the request",
        )
    })
}

impl Registry {
    pub(crate) fn share(&mut self, handlers: Handlers) {
        let shared = std::mem::take(&mut self.shared);
        self.shared = shared.merge(handlers);
    }

    pub(crate) fn add(&mut self, flow: Workflow, handlers: Handlers) -> Result<(), String> {
        let (name, version) = (flow.graph().name.clone(), flow.graph().version);
        let registered = Arc::new(Registered {
            flow: Arc::new(flow),
            name: name.as_str().into(),
            handlers,
            definition: OnceLock::new(),
        });
        let family = self.families.entry(name.clone()).or_default();
        match family.versions.insert(version, registered) {
            Some(_) => {
                Err(format!("{name} v{version} is registered twice; give each version its own number"))
            }
            None => Ok(()),
        }
    }

    /// Adds all versions of a workflow that brings its own code; returns what is wrong with them.
    pub(crate) fn add_source<W: WorkflowSource>(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for Version { workflow, handlers } in W::versions() {
            match workflow {
                Err(found) => problems.push(found.to_string()),
                Ok(flow) => {
                    if let Some(current) = W::current() {
                        self.set_current(&flow.graph().name, current);
                    }
                    problems.extend(self.add(flow, handlers).err());
                }
            }
        }
        problems
    }

    pub(crate) fn set_current(&mut self, workflow: &str, version: u32) {
        self.families.entry(workflow.to_owned()).or_default().current = Some(version);
    }

    pub(crate) fn set_resolver(&mut self, workflow: &str, resolver: Resolver) {
        self.families.entry(workflow.to_owned()).or_default().resolver = Some(resolver);
    }

    /// Every workflow and version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.families.values().flat_map(|family| family.versions.values())
    }

    /// Of each workflow the version that a start gets which names none, and for which no resolver chooses.
    pub(crate) fn currents(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.families.values().filter_map(|family| match family.current {
            Some(current) => family.versions.get(&current),
            None => family.versions.values().next_back(),
        })
    }

    /// What the store calls them.
    pub(crate) fn ids(&self) -> Vec<DefinitionId> {
        self.all().filter_map(|registered| registered.definition.get().copied()).collect()
    }

    /// The version for a start: explicit, else by the resolver, else the current one.
    pub(crate) fn resolve(&self, request: &StartRequest) -> Result<&Arc<Registered>> {
        let name = request.workflow();
        let family =
            self.families.get(name).filter(|family| !family.versions.is_empty()).ok_or_else(|| {
                Error::new(ErrorKind::UnknownWorkflow, format!("no workflow {name:?} is registered"))
                    .with_help("register it with EngineBuilder::workflow before the engine starts")
            })?;
        let chosen = match &family.resolver {
            Some(resolver) if request.version.is_none() => asked(resolver, request)?,
            _ => request.version,
        };
        let chosen = chosen.or(family.current).or_else(|| family.versions.keys().next_back().copied());
        chosen.and_then(|version| family.versions.get(&version)).ok_or_else(|| {
            let known: Vec<String> = family.versions.keys().map(u32::to_string).collect();
            let chosen = chosen.map_or_else(String::new, |version| version.to_string());
            Error::new(ErrorKind::UnknownVersion, format!("{name} has no version {chosen}"))
                .with_help(format!("registered are {}", known.join(", ")))
        })
    }

    /// The code of an attempt.
    pub(crate) fn code(&self, registered: &Registered, handler: &str) -> Option<Code> {
        registered.handlers.get(handler).or_else(|| self.shared.get(handler)).cloned()
    }

    /// The code that makes a child's input, if the host gave any.
    pub(crate) fn child_input(&self, registered: &Registered, attempt: &Attempt) -> Option<Code> {
        registered.handlers.get(attempt.step.as_str()).cloned()
    }

    /// Everything that does not fit together.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, family) in &self.families {
            if family.versions.is_empty() {
                problems.push(format!(
                    "{name} has a current version or a resolver, but no version is registered"
                ));
            } else if let Some(current) =
                family.current.filter(|current| !family.versions.contains_key(current))
            {
                problems.push(format!("the current version of {name} is {current}, which is not registered"));
            }
        }
        for registered in self.all() {
            let graph = registered.flow.graph();
            for node in &graph.nodes {
                for (handler, is_tx) in named(node) {
                    let place = || format!("step {} of {} v{}", node.key, graph.name, graph.version);
                    match self.code(registered, handler.as_str()) {
                        None => {
                            problems.push(format!("{} runs {handler:?}, which is not registered", place()))
                        }
                        Some(Code::Tx(_)) if !is_tx => {
                            problems.push(format!(
                                "{} is no tx step, but {handler:?} wants a transaction",
                                place()
                            ));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        problems.sort();
        problems
    }
}

/// The handlers that a step names.
pub(crate) fn handlers_of(node: &Node) -> impl Iterator<Item = &HandlerName> {
    named(node).into_iter().map(|(handler, _)| handler)
}

/// The handlers that a step names, and whether each may want a transaction.
fn named(node: &Node) -> Vec<(&HandlerName, bool)> {
    let mut named = Vec::new();
    match &node.kind {
        Kind::Task { handler, tx, .. } => named.push((handler, *tx)),
        Kind::Map { items, handler, .. } => named.extend([(items, false), (handler, false)]),
        _ => {}
    }
    named.extend(node.compensate.as_ref().map(|handler| (handler, false)));
    named
}

/// Statements are for steps whose graph says that they commit with the result.
pub(crate) fn checked(flow: &Workflow, attempt: &Attempt, result: StepResult) -> StepResult {
    let done = result?;
    let is_tx = attempt.part == Part::Body && handler_of(flow, attempt).is_some_and(|(_, is_tx)| is_tx);
    if done.batch.is_some() && !is_tx {
        let text = "the handler returned statements, but the step is no tx step; declare it with Node::tx";
        return Err(StepError::fatal(text).after_its_work());
    }
    Ok(done)
}

/// The handler of an attempt.
pub(crate) fn handler_of<'a>(flow: &'a Workflow, attempt: &Attempt) -> Option<(&'a HandlerName, bool)> {
    let node = flow.index().node(&attempt.step).and_then(|at| flow.node(at))?;
    match (&node.kind, attempt.part) {
        (_, Part::Undo) => Some((node.compensate.as_ref()?, false)),
        (Kind::Task { handler, tx, .. }, Part::Body) => Some((handler, *tx)),
        (Kind::Map { items, .. }, Part::Items) => Some((items, false)),
        (Kind::Map { handler, .. }, Part::Item(_)) => Some((handler, false)),
        _ => None,
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all().map(|registered| &registered.flow)).finish()
    }
}
