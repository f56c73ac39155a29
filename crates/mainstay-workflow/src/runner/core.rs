//! The one task that owns what is in memory, and its loop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mainstay_core::{Clock, Timestamp};
use mainstay_repo::Bell;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::cell::{Cell, Item};
use super::dispatch::{Ready, Worker};
use super::flight::{Begun, Flight};
use super::{Command, Config, Setup};
use crate::definition::Workflow;
use crate::engine::registry::{Registered, Registry};
use crate::handler::States;
use crate::id::{DefinitionId, NodeId, RunId};
use crate::store::{Claimed, Ended, Fate, Mail, Store, TaskKey};

/// What a node has in memory.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) definitions: HashMap<DefinitionId, Arc<Registered>>,
    pub(super) states: Arc<States>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Config,
    pub(super) node: NodeId,
    /// The same for those who speak to the runner.
    pub(super) life: Arc<AtomicI64>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) bell: Bell,

    /// The runs that this node works on.
    pub(super) cells: HashMap<RunId, Cell>,
    /// Runs with something to decide.
    pub(super) dirty: VecDeque<RunId>,
    /// What arrived for runs that are not in the cache; they are read first.
    pub(super) arrivals: HashMap<RunId, Arrivals>,
    pub(super) to_load: Vec<RunId>,
    /// Runs that are in the cache and whose mail is to be read.
    pub(super) to_mail: Vec<RunId>,
    pub(super) births: Vec<Begun>,
    /// When the starts that are under way were sent: what they lease here has later identifiers.
    pub(super) birth_times: BTreeMap<Timestamp, usize>,
    pub(super) settles: (Vec<TaskKey>, Vec<Mail>),

    /// Attempts that are leased and have not begun.
    pub(super) ready: BinaryHeap<Ready>,
    pub(super) losses: super::losses::Losses,
    pub(super) holds: super::holds::Holds,
    pub(super) workers: HashMap<u64, Worker>,
    pub(super) next_number: u64,
    /// When to look at a worker's time.
    pub(super) alarms: BinaryHeap<Reverse<(Instant, u64)>>,

    pub(super) flights: FuturesUnordered<Flight>,
    pub(super) under_way: UnderWay,
    pub(super) keeper: super::keeper::Keeper,
    pub(super) upkeep: super::upkeep::Upkeep,
    pub(super) watchers: HashMap<RunId, Vec<oneshot::Sender<Option<Ended>>>>,
    pub(super) stopping: Vec<oneshot::Sender<()>>,
    pub(super) is_stopping: bool,
    meters: super::meters::Active,
}

/// How much of each kind is on its way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    pub(super) commits: usize,
    pub(super) batches: usize,
    pub(super) starts: usize,
    pub(super) loads: usize,
    pub(super) polls: usize,
    pub(super) beats: usize,
    pub(super) settles: usize,
    pub(super) others: usize,
}

/// What arrived for a run that is being read.
#[derive(Default)]
pub(super) struct Arrivals {
    pub(super) claimed: Vec<Taken>,
    pub(super) woken: bool,
    /// The read is under way.
    pub(super) is_asked: bool,
    /// The read began before the run was born here and does not count: another one follows.
    pub(super) is_old: bool,
    /// What was leased since: the read may not show it, so another one follows.
    pub(super) late: Vec<Taken>,
}

/// A task that is in this node's hands now.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) key: TaskKey,
    pub(super) fate: Fate,
    /// Whether it may have begun elsewhere.
    pub(super) begun: bool,
}

impl Taken {
    /// It is not to begin.
    pub(super) fn withdraw(&mut self) {
        (self.fate, self.begun) = match self.fate {
            // What may have begun in a dead node's hands was lost, wanted or not.
            Fate::Lost => (Fate::Lost, true),
            Fate::Run | Fate::Revoked => (Fate::Revoked, self.begun),
        };
    }
}

impl From<Claimed> for Taken {
    fn from(Claimed { key, fate, begun, .. }: Claimed) -> Self {
        Self { key, fate, begun }
    }
}

impl Core {
    pub(super) fn new(setup: Setup, commands: mpsc::UnboundedSender<Command>, life: Arc<AtomicI64>) -> Self {
        let Setup { store, registry, definitions, states, clock, config, node, standing, bell } = setup;
        Self {
            store,
            registry,
            definitions: definitions.into_iter().collect(),
            states,
            clock,
            config,
            node,
            life,
            commands,
            bell,
            cells: HashMap::new(),
            dirty: VecDeque::new(),
            arrivals: HashMap::new(),
            to_load: Vec::new(),
            to_mail: Vec::new(),
            births: Vec::new(),
            birth_times: BTreeMap::new(),
            settles: (Vec::new(), Vec::new()),
            ready: BinaryHeap::new(),
            losses: super::losses::Losses::default(),
            holds: super::holds::Holds::of(standing),
            workers: HashMap::new(),
            next_number: 0,
            alarms: BinaryHeap::new(),
            flights: FuturesUnordered::new(),
            under_way: UnderWay::default(),
            keeper: super::keeper::Keeper::new(Instant::now()),
            upkeep: super::upkeep::Upkeep::new(Instant::now()),
            watchers: HashMap::new(),
            stopping: Vec::new(),
            is_stopping: false,
            meters: super::meters::Active::default(),
        }
    }

    /// Works until it is told to stop and nothing runs any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut buffer = Vec::new();
        loop {
            self.dispatch();
            self.launch();
            self.meters.show(self.cells.len(), self.workers.len());
            if self.is_stopping && self.is_drained() {
                break;
            }
            let wake_at = self.next_instant();
            tokio::select! {
                biased;
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.land(landed),
                count = inbox.recv_many(&mut buffer, INBOX_BATCH) => {
                    if count == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
            // What has arrived by now goes into the same commit.
            while let Ok(command) = inbox.try_recv() {
                buffer.push(command);
                if buffer.len() >= INBOX_BATCH {
                    break;
                }
            }
            buffer.drain(..).for_each(|command| self.take(command));
            self.on_time();
        }
        self.leave().await;
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Start { birth, reply } => self.begin(*birth, Some(reply)),
            Command::Wake(run) => self.wake(run),
            Command::Look => self.keeper.look_at(Instant::now()),
            Command::Rung => self.keeper.hear(Instant::now(), self.load() < self.config.backlog),
            Command::Watch { run, reply } => self.watch(run, reply),
            Command::Told { worker, told } => self.told(worker, told),
            Command::Beat { worker, progress } => self.beaten(worker, &progress),
            Command::Stop { reply } => {
                self.is_stopping = true;
                self.stopping.push(reply);
            }
        }
    }

    fn watch(&mut self, run: RunId, reply: oneshot::Sender<Option<Ended>>) {
        // A run that is being read was woken a moment ago; reading it says whether it had ended.
        let is_coming = self.arrivals.contains_key(&run);
        if is_coming || self.cells.get(&run).is_some_and(|cell| !cell.head.state.is_ended()) {
            let watchers = self.watchers.entry(run).or_default();
            watchers.retain(|watcher| !watcher.is_closed());
            watchers.push(reply);
        } else {
            // Who has left does not need to know.
            let _ = reply.send(None);
        }
    }

    fn is_drained(&self) -> bool {
        self.workers.is_empty() && self.flights.is_empty() && self.dirty.is_empty() && self.births.is_empty()
    }

    /// Gives back what has not begun, and says goodbye.
    async fn leave(self) {
        if let Err(error) = self.store.leave(self.node).await {
            // Others find out when the node is silent for long enough.
            tracing::warn!(%error, "the workflow node could not sign off");
        }
        self.bell.ring();
        for reply in self.stopping {
            // Who does not wait any more does not need to know.
            let _ = reply.send(());
        }
    }

    /// A run has something to decide.
    pub(super) fn mark(&mut self, run: RunId) {
        if let Some(cell) = self.cells.get_mut(&run)
            && !cell.queued
        {
            cell.queued = true;
            self.dirty.push_back(run);
        }
    }

    /// Something happened to a cached run.
    pub(super) fn put(&mut self, run: RunId, item: Item) {
        if let Some(cell) = self.cells.get_mut(&run) {
            cell.inbox.push_back(item);
            self.mark(run);
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many attempts are leased or will be by what is on its way.
    pub(super) fn load(&self) -> usize {
        self.ready.len() + self.losses.len() + self.holds.len() + self.workers.len()
    }

    /// Whether what follows from a commit may be leased to this node with it. A node that may have been given up leases nothing, and what
    /// is held back or counted is for claims to see to.
    pub(super) fn may_lease(&self, flow: &Workflow, queue: &str) -> bool {
        !self.is_stopping
            && self.holds.lets_pass(flow, queue)
            && self.load() < self.config.backlog
            && !self.keeper.is_silent(Instant::now(), self.config.ttl)
    }

    /// Forgets runs of which nothing goes on here, when there are too many.
    pub(super) fn forget(&mut self) {
        if self.cells.len() <= self.config.cache {
            return;
        }
        let keep: HashSet<RunId> =
            self.cells.iter().filter(|(_, cell)| !cell.is_idle()).map(|(&run, _)| run).collect();
        // All idle ones at once: the scan is then rare.
        self.cells.retain(|run, _| keep.contains(run));
        let cells = &self.cells;
        // Who waits for a forgotten run asks the database.
        self.watchers.retain(|run, _| cells.contains_key(run));
    }
}

/// How many messages are taken before the next look at what has come back.
const INBOX_BATCH: usize = 1_024;
