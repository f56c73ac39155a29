//! What a run is at one moment: small, without outputs, the same whether it was kept or rebuilt from the history.

use std::sync::Arc;

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Outcome;
use crate::definition::Workflow;
use crate::graph::{EventName, Fingerprint, SignalName, StepKey};

/// The state of one run. Steps and edges are numbered as in the graph in normal order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The version of this form. A state of another version is rebuilt from the history.
    pub format: u32,
    /// The graph that the run is pinned to.
    pub fingerprint: Fingerprint,
    /// How many records the history has.
    pub seq: u64,
    /// What the run is about.
    pub stage: Stage,
    /// Whether nothing new may begin.
    pub paused: bool,
    /// When the run is given up.
    pub deadline: Option<Timestamp>,
    pub(super) seed: u64,
    pub(super) steps: Vec<StepState>,
    pub(super) edges: Vec<EdgeState>,
    pub(super) mailbox: Vec<Letter>,
    pub(super) letters: u64,
    /// Steps that have something to undo, in the order in which they ended.
    pub(super) undoable: Vec<usize>,
    /// Steps whose compensation failed.
    pub(super) not_undone: Vec<usize>,
    /// What the run is found by, from its start and from its steps.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) attributes: Arc<Map<String, Value>>,
}

fn is_empty(attributes: &Arc<Map<String, Value>>) -> bool {
    attributes.is_empty()
}

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It goes forward.
    Running,
    /// It fails or is cancelled, and undoes what it did.
    Stopping {
        /// How it will end.
        outcome: Outcome,
        /// Why.
        reason: String,
        /// The compensation under way.
        undo: Option<(usize, Trial)>,
    },
    /// It ended. Nothing changes it any more.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
}

/// What can be said of a run in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Some work is under way: an attempt, or a child.
    Running,
    /// Nothing is under way; signals or timers will wake it.
    Waiting,
    /// Nothing new begins until it is resumed.
    Paused,
    /// It undoes what it did.
    Stopping,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// What an edge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// Its source has not ended.
    #[default]
    Open,
    /// The run went this way.
    Taken,
    /// The run went another way.
    Skipped,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// The run has not come here.
    #[default]
    Idle,
    /// The run will not come here.
    Skipped,
    /// Its code runs, or will at some time. For a map: the list of items is made.
    Working(Trial),
    /// Its items run.
    Mapping(Vec<Item>),
    /// It waits for a signal or for time to pass.
    Waiting {
        /// The place in the history where it began.
        since: u64,
        /// When it is given up.
        deadline: Option<Timestamp>,
    },
    /// It ended; a done step has no event.
    Ended(Option<EventName>),
    /// It failed, and the run with it.
    Failed,
    /// It was given up, because its result could not matter any more.
    Abandoned,
}

/// One item of a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// It runs, or will.
    Open(Trial),
    /// It succeeded.
    Succeeded,
    /// All its attempts failed.
    Failed,
    /// It was given up.
    Dropped,
}

/// How far the attempts at something are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trial {
    /// The number of the latest attempt; 0 before the first.
    pub number: u32,
    /// How many attempts failed.
    pub failures: u32,
    /// How many attempts were lost with their worker.
    pub losses: u32,
    /// Whether an attempt may have done something that nobody knows of.
    pub unsure: bool,
    /// Whether an attempt is out, as opposed to one that may begin.
    pub out: bool,
    /// From when on.
    pub at: Option<Timestamp>,
}

/// A signal that nobody has waited for yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number in the run.
    pub number: u64,
    /// Its name.
    pub signal: SignalName,
    /// What it says.
    pub payload: Value,
}

impl State {
    /// The version of the stored form that this crate writes.
    pub const FORMAT: u32 = 1;

    pub(super) fn blank(flow: &Workflow) -> Self {
        Self {
            format: Self::FORMAT,
            fingerprint: flow.fingerprint(),
            seq: 0,
            stage: Stage::Running,
            paused: false,
            deadline: None,
            seed: 0,
            steps: vec![StepState::Idle; flow.graph().nodes.len()],
            edges: vec![EdgeState::Open; flow.index().edges.len()],
            mailbox: Vec::new(),
            letters: 0,
            undoable: Vec::new(),
            not_undone: Vec::new(),
            attributes: Arc::default(),
        }
    }

    /// The state in one word.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.stage {
            Stage::Ended { outcome, .. } => outcome.status(),
            _ if self.paused => Status::Paused,
            Stage::Stopping { .. } => Status::Stopping,
            Stage::Running if self.steps.iter().any(StepState::is_out) => Status::Running,
            Stage::Running => Status::Waiting,
        }
    }

    /// Whether the run ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    /// What a step is; `None` when the graph has no such step.
    #[must_use]
    pub fn step(&self, flow: &Workflow, key: &StepKey) -> Option<&StepState> {
        self.steps.get(flow.index().node(key)?)
    }

    /// The steps, in the order of the graph.
    #[must_use]
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// The edges, in the order of the graph's routes and their targets.
    #[must_use]
    pub fn edges(&self) -> &[EdgeState] {
        &self.edges
    }

    /// The signals that nobody has waited for yet, oldest first.
    #[must_use]
    pub fn mailbox(&self) -> &[Letter] {
        &self.mailbox
    }

    /// What the run is found by: what it was started with, and what its steps added since.
    #[must_use]
    pub fn attributes(&self) -> &Arc<Map<String, Value>> {
        &self.attributes
    }

    /// Adds what the run was started with and its history does not tell of. What the history says goes before it.
    pub(crate) fn began_with(&mut self, attributes: Map<String, Value>) {
        let untold: Vec<_> =
            attributes.into_iter().filter(|(name, _)| !self.attributes.contains_key(name)).collect();
        if !untold.is_empty() {
            Arc::make_mut(&mut self.attributes).extend(untold);
        }
    }

    /// The steps that had succeeded and were undone.
    #[must_use]
    pub fn undone(&self, flow: &Workflow) -> Vec<StepKey> {
        if matches!(self.stage, Stage::Running | Stage::Ended { outcome: Outcome::Completed, .. }) {
            return Vec::new();
        }
        let nodes = flow.graph().nodes.iter().zip(&self.steps).enumerate();
        let undone = nodes.filter(|(at, (node, step))| {
            // One that ended by its failure had perhaps nothing to undo.
            matches!(step, StepState::Ended(event) if *event != node.on_failure)
                && node.compensate.is_some()
                && !self.undoable.contains(at)
                && !self.not_undone.contains(at)
        });
        undone.map(|(_, (node, _))| node.key.clone()).collect()
    }

    /// The steps whose compensation failed: somebody has to look at these.
    #[must_use]
    pub fn not_undone(&self, flow: &Workflow) -> Vec<StepKey> {
        self.not_undone.iter().filter_map(|at| flow.node(*at)).map(|node| node.key.clone()).collect()
    }

    pub(super) fn at(&self, node: usize) -> &StepState {
        self.steps.get(node).unwrap_or(&StepState::Idle)
    }

    pub(super) fn edge(&self, edge: usize) -> EdgeState {
        self.edges.get(edge).copied().unwrap_or_default()
    }
}

impl StepState {
    /// Whether an attempt of it is out.
    #[must_use]
    pub fn is_out(&self) -> bool {
        match self {
            Self::Working(trial) => trial.out,
            Self::Mapping(items) => items.iter().any(Item::is_out),
            _ => false,
        }
    }

    /// Whether it began and has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Working(_) | Self::Mapping(_) | Self::Waiting { .. })
    }

    /// The word for it in pictures.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Skipped => "skipped",
            Self::Working(_) | Self::Mapping(_) => "running",
            Self::Waiting { .. } => "waiting",
            Self::Ended(_) => "ended",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Item {
    fn is_out(&self) -> bool {
        matches!(self, Self::Open(trial) if trial.out)
    }
}
