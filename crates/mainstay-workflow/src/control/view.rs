//! What operators see.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Timestamp;
use serde_json::Value;

use crate::definition::Workflow;
use crate::graph::{SignalName, StepKey};
use crate::plan::{Awaited, Effect, State, Status, awaited, outstanding};
use crate::store::RunSummary;

/// A workflow in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowSummary {
    /// Its name.
    pub name: String,
    /// Its versions, the highest first.
    pub versions: Vec<u32>,
    /// Whether it is held back.
    pub paused: bool,
    /// How many runs it has, by status; [`MAX_COUNTED`](crate::store::MAX_COUNTED) + 1 stands for more than that.
    pub runs: BTreeMap<Status, u64>,
}

/// The largest context that is shown with its run: 16 MiB.
pub const MAX_SHOWN_BYTES: u64 = 16 * 1024 * 1024;

/// A run with all that is to be seen of it.
#[derive(Debug, Clone)]
pub struct RunView {
    /// What it is and how far it came.
    pub summary: RunSummary,
    /// The workflow that it is pinned to; none for a run that came from elsewhere.
    pub workflow: Option<Workflow>,
    /// Its state; none for a run that came from elsewhere.
    pub state: Option<State>,
    /// What is under way: tasks, children, timers.
    pub outstanding: Vec<Effect>,
    /// The signals that would wake it.
    pub awaited: Vec<Awaited>,
    /// Steps whose compensation failed: somebody has to look at these.
    pub not_undone: Vec<StepKey>,
    /// Input, attributes, results; as in [`StoredRun::context`](crate::store::StoredRun::context). Null where it was not asked for or is
    /// larger than [`MAX_SHOWN_BYTES`].
    pub context: Value,
    /// How many bytes the context has, as JSON texts.
    pub context_bytes: u64,
    /// What the host wants on each telemetry event.
    pub telemetry: Value,
    /// Words to find the workflow by.
    pub tags: BTreeSet<String>,
    /// What the host remembers with the workflow.
    pub metadata: BTreeMap<String, Value>,
    /// The runs that it started, the earliest first; at most a page of the largest size.
    pub children: Vec<RunSummary>,
    /// Whether its workflow is held back as a whole, or everything: it goes on when that is resumed.
    pub workflow_paused: bool,
    /// How many letters it has not read, without those that are to arrive later.
    pub unread: usize,
    /// The signals that are to arrive later, and when.
    pub scheduled: Vec<(Timestamp, SignalName)>,
}

impl RunView {
    /// A run that is kept, as far as every run is.
    pub(super) fn kept(summary: RunSummary, context_bytes: u64, children: Vec<RunSummary>) -> Self {
        Self {
            summary,
            workflow: None,
            state: None,
            outstanding: Vec::new(),
            awaited: Vec::new(),
            not_undone: Vec::new(),
            context: Value::Null,
            context_bytes,
            telemetry: Value::Null,
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            children,
            workflow_paused: false,
            unread: 0,
            scheduled: Vec::new(),
        }
    }

    /// Adds what only a run that the engine moves has.
    pub(super) fn move_in(&mut self, flow: Workflow, state: State) {
        self.outstanding = outstanding(&flow, &state);
        self.awaited = awaited(&flow, &state);
        self.not_undone = state.not_undone(&flow);
        self.tags.clone_from(&flow.graph().tags);
        self.metadata.clone_from(&flow.graph().metadata);
        self.workflow = Some(flow);
        self.state = Some(state);
    }
}

/// How to draw a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// A static picture with words.
    Svg,
    /// The same without its style, for a page that has [`STYLE`](crate::render::STYLE) already.
    SvgUnstyled,
    /// For Graphviz.
    Dot,
    /// For a terminal.
    Text,
}
