//! Which queue an attempt stands in: what the host says of its handler, else what the graph says of its step, else the default one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::registry::{handler_of, handlers_of};
use crate::definition::Workflow;
use crate::plan::{Attempt, Effect};

/// The queues that a host gave to handlers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queues {
    of_handlers: BTreeMap<String, Arc<str>>,
    /// Those that graphs name.
    named: BTreeSet<Arc<str>>,
}

impl Queues {
    pub(crate) fn set(&mut self, handler: &str, queue: &Arc<str>) {
        self.of_handlers.insert(handler.to_owned(), Arc::clone(queue));
    }

    /// Notes which queues a graph names.
    pub(crate) fn read(&mut self, flow: &Workflow) {
        self.named.extend(flow.graph().nodes.iter().filter_map(|node| node.queue.clone()));
    }

    /// All that there are; some perhaps more than once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.of_handlers.values().chain(&self.named)
    }

    /// As they were kept with a definition.
    pub(crate) fn kept(queues: &BTreeMap<String, String>) -> Self {
        let of_handlers =
            queues.iter().map(|(handler, queue)| (handler.clone(), queue.as_str().into())).collect();
        Self { of_handlers, named: BTreeSet::new() }
    }

    /// Those of a workflow's handlers, to be kept with its definition: others start runs of it too, without its code.
    pub(crate) fn of_workflow(&self, flow: &Workflow) -> BTreeMap<String, String> {
        let handlers = flow.graph().nodes.iter().flat_map(handlers_of);
        let queues = handlers.filter_map(|handler| {
            Some((handler.to_string(), self.of_handlers.get(handler.as_str())?.to_string()))
        });
        queues.collect()
    }

    /// The queue of an attempt; none for the default one.
    pub(crate) fn of(&self, flow: &Workflow, attempt: &Attempt) -> Option<Arc<str>> {
        let host = handler_of(flow, attempt).and_then(|(handler, _)| self.of_handlers.get(handler.as_str()));
        host.cloned().or_else(|| flow.node(flow.index().node(&attempt.step)?)?.queue.clone())
    }

    /// The attempts that these effects give out and that stand in a queue of their own.
    pub(crate) fn of_effects(&self, flow: &Workflow, effects: &[Effect]) -> Vec<(Attempt, Arc<str>)> {
        let queues = effects.iter().filter_map(|effect| match effect {
            Effect::Run { attempt, .. } | Effect::StartChild { attempt, .. } => {
                Some((attempt.clone(), self.of(flow, attempt)?))
            }
            _ => None,
        });
        queues.collect()
    }
}
