//! Putting an engine together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, SystemClock, Timestamp};
use mainstay_repo::{Capability, Repo, Topology as _};

use super::handle::Engine;
use super::registry::Registry;
use super::trace::{TraceContext, Traces};
use super::{StartRequest, WorkflowSource, setup};
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{Handlers, States};
use crate::runner::{self, Config, Runner, Setup};
use crate::store::{Store, Takeover};

/// The shortest and the longest pause between two polls.
const SHORTEST_POLL: Duration = Duration::from_millis(1);
const LONGEST_POLL: Duration = Duration::from_secs(24 * 3_600);

/// Builds an [`Engine`].
pub struct EngineBuilder {
    repo: Repo,
    namespace: String,
    registry: Registry,
    states: States,
    problems: Vec<String>,
    config: Config,
    clock: Arc<dyn Clock>,
    works: bool,
}

impl EngineBuilder {
    pub(super) fn new(repo: Repo) -> Self {
        Self {
            repo,
            namespace: "default".to_owned(),
            registry: Registry::default(),
            states: States::default(),
            problems: Vec::new(),
            config: Config::new(),
            clock: Arc::new(SystemClock),
            works: true,
        }
    }

    /// Keeps runs apart from those of other namespaces in the same database.
    #[must_use]
    pub fn namespace(self, name: &str) -> Self {
        Self { namespace: name.to_owned(), ..self }
    }

    /// Adds all versions of a workflow that brings its own code.
    #[must_use]
    pub fn register<W: WorkflowSource>(mut self) -> Self {
        self.problems.extend(self.registry.add_source::<W>());
        self
    }

    /// Adds a version of a workflow with the code of its steps.
    #[must_use]
    pub fn workflow(mut self, flow: Workflow, handlers: Handlers) -> Self {
        self.problems.extend(self.registry.add(flow, handlers).err());
        self
    }

    /// Adds code for every workflow that does not bring code of that name itself.
    #[must_use]
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.registry.share(handlers);
        self
    }

    /// The version for starts that name none and for which the resolver says nothing; the highest one otherwise.
    #[must_use]
    pub fn current(mut self, workflow: &str, version: u32) -> Self {
        self.registry.set_current(workflow, version);
        self
    }

    /// Chooses the version for a start that names none.
    #[must_use]
    pub fn resolver(
        mut self,
        workflow: &str,
        resolver: impl Fn(&StartRequest) -> Option<u32> + Send + Sync + 'static,
    ) -> Self {
        self.registry.set_resolver(workflow, Arc::new(resolver));
        self
    }

    /// Gives all handlers a value, by its type.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(Arc::new(value));
        self
    }

    /// Puts the steps with these handlers into a queue of their own, whose limits can be changed while the engine runs. This goes before what
    /// the graph says with [`Node::queue`](crate::Node::queue).
    #[must_use]
    pub fn queue<'a>(mut self, queue: &str, handlers: impl IntoIterator<Item = &'a str>) -> Self {
        let queue: Arc<str> = queue.into();
        handlers.into_iter().for_each(|handler| self.config.queues.set(handler, &queue));
        self
    }

    /// How many handlers run at a time on this node; 256 unless said.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.config.slots = handlers.max(1);
        self.config.backlog = self.config.backlog.max(self.config.slots);
        self
    }

    /// What this node is called in the list of nodes.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        name.clone_into(&mut self.config.name);
        self
    }

    /// Makes the spans of a run's steps a part of the trace in which its start was asked for, on whichever node they run, if that node says
    /// the same. Unless said, a `traceparent` in the metadata is a field of the spans and nothing more.
    #[must_use]
    pub fn traces(mut self, traces: impl TraceContext) -> Self {
        self.config.traces = Traces(Some(Arc::new(traces)));
        self
    }

    /// How often this node says that it is alive, and after how long a silence its work is taken over; 1 s and 8 s unless said. All nodes
    /// of a namespace should agree.
    #[must_use]
    pub fn leases(mut self, beat: Duration, ttl: Duration) -> Self {
        (self.config.beat, self.config.ttl) = (beat, ttl.max(beat));
        self
    }

    /// Between which two pauses, evenly drawn, this node asks the database for work, should nobody have told it that there is some; 100 ms
    /// and 500 ms unless said. Other nodes and operators tell it ([`Bell`](mainstay_repo::Bell)), but nothing that is told is sure to arrive:
    /// the longer pause is how late the node may find out, and how long a queue with a rate may wait for its next portion. A pause is at least
    /// a millisecond and at most a day.
    #[must_use]
    pub fn poll(mut self, least: Duration, most: Duration) -> Self {
        let within = |pause: Duration| pause.clamp(SHORTEST_POLL, LONGEST_POLL);
        self.config.poll = (within(least), within(most.max(least)));
        self
    }

    /// How long a handler may take to stop once its result is not wanted any more; then it is dropped. 5 s unless said.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How long an ended run is kept; for ever unless said. Runs that came from elsewhere are kept until somebody removes them.
    #[must_use]
    pub fn retention(mut self, keep: Duration) -> Self {
        self.config.retention = Some(keep);
        self
    }

    /// How long it is kept who did what ([`Control::acts`](crate::Control::acts)); for ever unless said. What was done to a run is kept for at
    /// least as long as the run.
    #[must_use]
    pub fn retention_of_acts(mut self, keep: Duration) -> Self {
        self.config.acts_retention = Some(keep);
        self
    }

    /// Runs no steps: an engine that only starts runs and speaks to them.
    #[must_use]
    pub fn without_workers(self) -> Self {
        Self { works: false, ..self }
    }

    /// Starts the engine. The tables have to be there: migrate [`COMPONENT`](crate::COMPONENT) first.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] with everything that does not fit together; [`ErrorKind::OtherGraph`] when a version is stored with another
    /// content; [`ErrorKind::Database`].
    pub async fn start(self) -> Result<Engine> {
        if self.works {
            setup(self.problems, &self.registry)?;
        }
        let store = Store::open(&self.repo, &self.namespace).await?;
        let now = self.clock.now();
        let mut definitions = Vec::new();
        for registered in self.registry.all() {
            let id = store.define(&registered.flow, now).await?;
            if self.works {
                store.set_queues(id, &self.config.queues.of_workflow(&registered.flow)).await?;
            }
            // Nobody else sets it: the registry is not shared yet.
            if registered.definition.set(id).is_err() {
                return Err(Error::new(ErrorKind::Internal, "a workflow was registered with two engines"));
            }
            definitions.push((id, Arc::clone(registered)));
        }
        for registered in self.registry.currents().filter(|_| self.works) {
            if let Some(id) = registered.definition.get() {
                store.set_current(&registered.flow.graph().name, *id).await?;
            }
        }
        let mut config = self.config;
        self.registry.all().for_each(|registered| config.queues.read(&registered.flow));
        let registry = Arc::new(self.registry);
        let shared = self.repo.has(Capability::ManyWriters);
        config.flights = if shared { 4 } else { 2 };
        let bell = store.bell();
        let runner = if self.works {
            let takeover = if shared { Takeover::Nobody } else { Takeover::Everyone };
            // Read first, so that the first start of this process can be leased with its commit.
            let standing = store.standing().await?;
            let node = store.join(&config.name, takeover).await?;
            // Another host may have begun to work at the same time, with other contents: who joined sees that.
            if let Err(error) = look_again(&store, &registry, now).await {
                // A node that nobody is would stand in the way of others until it is taken for dead.
                if let Err(stays) = store.leave(node).await {
                    tracing::warn!(%stays, node = config.name, "the node could not leave; it counts as one at work for a while");
                }
                return Err(error);
            }
            runner::telemetry::began_to_work(&config.name, node, self.repo.describe());
            Some(Runner::start(Setup {
                store: store.clone(),
                registry: Arc::clone(&registry),
                definitions,
                states: Arc::new(self.states),
                clock: Arc::clone(&self.clock),
                config: config.clone(),
                node,
                standing,
                bell: bell.clone(),
            }))
        } else {
            None
        };
        Ok(Engine::new(store, registry, config, self.clock, runner, bell))
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("repo", &self.repo)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// Looks once more whether each version has the content that this host has for it.
async fn look_again(store: &Store, registry: &Registry, now: Timestamp) -> Result<()> {
    for registered in registry.all() {
        store.define(&registered.flow, now).await?;
        tell_of_left_behind(store, &registered.flow).await?;
    }
    Ok(())
}

/// Says so when open runs are pinned to a content that the version has no more.
async fn tell_of_left_behind(store: &Store, flow: &Workflow) -> Result<()> {
    let runs = store.left_behind(flow).await?;
    if runs > 0 {
        let (workflow, version) = (flow.graph().name.as_str(), flow.graph().version);
        tracing::warn!(
            workflow,
            version,
            runs,
            "open runs are pinned to a content that this version had before, and nobody goes on with them; cancel them with an \
             application that still has it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn polls_have_pauses_that_can_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::connect(&format!("sqlite://{}/poll.db", directory.path().display())).await.unwrap();
        let poll = |least, most| EngineBuilder::new(repo.clone()).poll(least, most).config.poll;
        assert_eq!(poll(Duration::ZERO, Duration::ZERO), (SHORTEST_POLL, SHORTEST_POLL));
        assert_eq!(poll(Duration::MAX, Duration::ZERO), (LONGEST_POLL, LONGEST_POLL));
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(poll(least, most), (least, most));
    }
}
