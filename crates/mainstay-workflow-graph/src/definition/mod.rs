//! From a graph to a workflow: the runtime builder, and the one validator behind every front door.

mod data;
mod join;
mod problem;
mod shape;
mod structure;

use std::fmt;

use serde_json::Value;

use crate::graph::{EventName, FORMAT, Fingerprint, Graph, Index, Join, Mode, Node, Route, StepKey, Unique};

pub use problem::{Problem, Problems};

/// A graph that passed every check.
#[derive(Clone)]
pub struct Workflow {
    graph: Graph,
    fingerprint: Fingerprint,
    index: Index,
}

impl Workflow {
    /// Checks a graph.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong with it, not only the first.
    pub fn new(mut graph: Graph) -> Result<Self, Problems> {
        graph.normalise();
        let index = Index::new(&graph);
        let mut found = Vec::new();
        shape::check(&graph, &mut found);
        structure::check(&graph, &index, &mut found);
        if found.is_empty() {
            // These two read the order of the steps, which only a sound graph has.
            join::check(&graph, &index, &mut found);
            data::check(&graph, &index, &mut found);
        }
        Self::checked(graph, index, found)
    }

    /// A graph that was sound when it was stored. Rules that came later are not asked of it, so that its runs can be seen and steered for as long
    /// as they are there; whoever builds a workflow has to keep them all ([`new`](Self::new)).
    ///
    /// # Errors
    /// [`Problems`] with which nobody could read its runs.
    pub fn stored(mut graph: Graph) -> Result<Self, Problems> {
        graph.normalise();
        let index = Index::new(&graph);
        let mut found = Vec::new();
        shape::check(&graph, &mut found);
        structure::check(&graph, &index, &mut found);
        found.retain(|problem| !matches!(problem, Problem::TimeoutOfChild { .. }));
        Self::checked(graph, index, found)
    }

    fn checked(graph: Graph, index: Index, mut found: Vec<Problem>) -> Result<Self, Problems> {
        if found.is_empty() {
            return Ok(Self { fingerprint: graph.fingerprint(), graph, index });
        }
        found.sort();
        found.dedup();
        Err(Problems(found))
    }

    /// The graph, in normal order.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What runs of it are pinned to.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Its edges and the order of its steps.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The step at a place.
    #[must_use]
    pub fn node(&self, at: usize) -> Option<&Node> {
        self.graph.nodes.get(at)
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workflow({} v{} {})", self.graph.name, self.graph.version, self.fingerprint)
    }
}

impl TryFrom<Graph> for Workflow {
    type Error = Problems;

    fn try_from(graph: Graph) -> Result<Self, Problems> {
        Self::new(graph)
    }
}

/// Builds a workflow from values. What is wrong is told by [`build`](Self::build), all at once.
#[derive(Debug, Clone)]
pub struct Definition {
    graph: Graph,
    started: bool,
    problems: Vec<Problem>,
}

impl Definition {
    /// A workflow without steps, without a business key.
    #[must_use]
    pub fn new(name: &str, version: u32) -> Self {
        let graph = Graph {
            format: FORMAT,
            name: name.to_owned(),
            version,
            start: "".into(),
            nodes: Vec::new(),
            tags: [].into(),
            metadata: [].into(),
            unique: Unique::none(),
            deadline_ms: None,
        };
        Self { graph, started: false, problems: Vec::new() }
    }

    /// Adds a step. The first one is where a run begins, unless [`start`](Self::start) says otherwise.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        if !self.started && self.graph.nodes.is_empty() {
            self.graph.start = node.key.clone();
        }
        self.graph.nodes.push(node);
        self
    }

    /// Adds a step that ends a path well.
    #[must_use]
    pub fn done(self, key: &str) -> Self {
        self.node(Node::done(key))
    }

    /// Says where a run begins.
    #[must_use]
    pub fn start(mut self, key: &str) -> Self {
        self.graph.start = key.into();
        self.started = true;
        self
    }

    /// Leads an event of a step to all these steps, in parallel.
    #[must_use]
    pub fn on<T: Into<StepKey>>(self, step: &str, event: &str, targets: impl IntoIterator<Item = T>) -> Self {
        self.route(step, event, targets, Mode::All)
    }

    /// Leads an event of a step to the one of these steps that the step names at run time.
    #[must_use]
    pub fn choose<T: Into<StepKey>>(
        self,
        step: &str,
        event: &str,
        targets: impl IntoIterator<Item = T>,
    ) -> Self {
        self.route(step, event, targets, Mode::One)
    }

    fn route<T: Into<StepKey>>(
        mut self,
        step: &str,
        event: &str,
        targets: impl IntoIterator<Item = T>,
        mode: Mode,
    ) -> Self {
        let event = EventName::from(event);
        let targets = targets.into_iter().map(Into::into).collect();
        match self.graph.nodes.iter_mut().find(|node| node.key.as_str() == step) {
            Some(node) => node.routes.push(Route { event, targets, mode }),
            None => self.problems.push(Problem::UnknownSource { step: step.into(), event }),
        }
        self
    }

    /// Says when a step runs, where more than one edge leads to it.
    #[must_use]
    pub fn join(mut self, step: &str, join: Join) -> Self {
        match self.graph.nodes.iter_mut().find(|node| node.key.as_str() == step) {
            Some(node) => node.join = join,
            None => self.problems.push(Problem::UnknownJoin { step: step.into() }),
        }
        self
    }

    /// Says which runs exclude each other.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.graph.unique = unique;
        self
    }

    /// Adds a word to find it by.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.graph.tags.insert(tag.to_owned());
        self
    }

    /// Adds something to remember with it.
    #[must_use]
    pub fn metadata(mut self, name: &str, value: Value) -> Self {
        self.graph.metadata.insert(name.to_owned(), value);
        self
    }

    /// Says how long a run may take as a whole.
    #[must_use]
    pub fn deadline(mut self, after: std::time::Duration) -> Self {
        self.graph.deadline_ms = Some(crate::graph::millis(after));
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong, not only the first.
    pub fn build(self) -> Result<Workflow, Problems> {
        let mut found = self.problems;
        match Workflow::new(self.graph) {
            Ok(workflow) if found.is_empty() => Ok(workflow),
            Ok(_) => Err(Problems(found)),
            Err(Problems(more)) => {
                found.extend(more);
                found.sort();
                found.dedup();
                Err(Problems(found))
            }
        }
    }
}
