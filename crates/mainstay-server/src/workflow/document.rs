//! Runs and workflows as JSON documents: the same from the command line and from the HTTP interface.
//!
//! The types are their own, so that a change inside does not change them by accident. Fields may be added.

use mainstay_core::{Page, Timestamp};
use mainstay_workflow::graph::{Kind, Node};
use mainstay_workflow::plan::{Awaited, Item};
use mainstay_workflow::store::RunSummary;
use mainstay_workflow::{Fact, Fault, Record, RunView, State, Status, StepState, Workflow, WorkflowSummary};
use serde::Serialize;
use serde_json::Value;

/// A run in a list.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    /// Its identifier, `run_…`.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version that the run is pinned to.
    pub version: u32,
    /// The business key, `key::value`.
    pub key: Option<String>,
    /// `running`, `waiting`, `paused`, `stopping`, `completed`, `failed` or `cancelled`.
    pub status: Status,
    /// Why it ended so, or stops.
    pub reason: Option<String>,
    /// Smaller numbers go first.
    pub priority: i16,
    /// The run that it is a child of.
    pub parent: Option<String>,
    /// Whether an engine moves it; a run that was imported is only kept.
    pub managed: bool,
    /// When it began.
    pub created_at: String,
    /// When its status changed last.
    pub updated_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A page of runs.
#[derive(Debug, Clone, Serialize)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

/// A run as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct RunDocument {
    /// What a list says of it.
    #[serde(flatten)]
    pub line: RunLine,
    /// The workflow as a whole is held back, or everything is: no step of it begins until that is resumed.
    pub workflow_paused: bool,
    /// How many records its history has.
    pub seq: Option<u64>,
    /// When it is given up.
    pub deadline: Option<String>,
    /// Its steps, in an order in which they can run; none for a run that is only kept.
    pub steps: Vec<StepDocument>,
    /// The signals that would move it on.
    pub awaits: Vec<AwaitedDocument>,
    /// Steps whose compensation failed: somebody has to look at these.
    pub not_undone: Vec<String>,
    /// Signals that came and that no step has taken yet.
    pub mailbox: Vec<LetterDocument>,
    /// Letters that the run has not read yet: they wait for a node.
    pub unread: usize,
    /// Signals that reach the run at an instant to come.
    pub scheduled: Vec<ScheduledDocument>,
    /// The runs that it started.
    pub children: Vec<RunLine>,
    /// What it was given, and the results of its steps; null when it is larger than 16 MiB.
    pub context: Value,
    /// How many bytes the context has.
    pub context_bytes: u64,
    /// The workflow's tags.
    pub tags: Vec<String>,
    /// What each event of telemetry about it carries.
    pub telemetry: Value,
}

/// A step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepDocument {
    /// Its name in the graph.
    pub step: String,
    /// `task`, `tx`, `wait`, `timer`, `child`, `map` or `done`.
    pub kind: &'static str,
    /// `idle`, `skipped`, `running`, `waiting`, `ended`, `failed` or `abandoned`.
    pub state: &'static str,
    /// Whether it had succeeded and was undone, because the run failed or was cancelled.
    pub undone: bool,
    /// The event by which it ended.
    pub event: Option<String>,
    /// How many attempts there were; null where nothing is attempted, or no longer known.
    pub attempts: Option<u32>,
    /// Not before this instant is it tried again, or until then it waits.
    pub until: Option<String>,
    /// How far the items of a map are.
    pub items: Option<ItemsDocument>,
}

/// How far the items of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ItemsDocument {
    /// How many there are.
    pub all: usize,
    /// How many succeeded.
    pub succeeded: usize,
    /// How many failed.
    pub failed: usize,
}

/// A step that waits for signals.
#[derive(Debug, Clone, Serialize)]
pub struct AwaitedDocument {
    /// The step.
    pub step: String,
    /// The signals.
    pub signals: Vec<String>,
}

/// A signal that nobody has waited for yet.
#[derive(Debug, Clone, Serialize)]
pub struct LetterDocument {
    /// Its name.
    pub signal: String,
    /// What it says.
    pub payload: Value,
}

/// A signal that is to come.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduledDocument {
    /// When it reaches the run.
    pub at: String,
    /// Its name.
    pub signal: String,
}

/// A line of a run's history.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryLine {
    /// Its place, from 0.
    pub seq: u64,
    /// When it was decided.
    pub at: String,
    /// What happened, in one word.
    pub is: String,
    /// To which step, if to one.
    pub step: Option<String>,
    /// What happened, for people.
    pub text: String,
    /// Everything about it.
    pub fact: Value,
}

/// A page of a run's history, oldest first.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryPage {
    /// The lines.
    pub history: Vec<HistoryLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

/// A workflow in a list.
#[derive(Debug, Clone, Serialize)]
pub struct WorkflowLine {
    /// Its name.
    pub workflow: String,
    /// The versions that the database knows, the highest first.
    pub versions: Vec<u32>,
    /// Whether its runs are paused as a whole.
    pub paused: bool,
    /// How many runs have each status.
    pub runs: std::collections::BTreeMap<Status, u64>,
}

/// A workflow as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct WorkflowDocument {
    /// Its name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// Names its content.
    pub fingerprint: String,
    /// Its steps and what leads from one to the next.
    pub graph: Value,
}

impl RunLine {
    /// From what the store says.
    #[must_use]
    pub fn new(run: &RunSummary) -> Self {
        Self {
            run: run.run.to_string(),
            workflow: run.workflow.clone(),
            version: run.version,
            key: run.key.clone(),
            status: run.status,
            reason: run.reason.clone().filter(|reason| !reason.is_empty()),
            priority: run.priority,
            parent: run.parent.as_ref().map(|(parent, _)| parent.to_string()),
            managed: run.managed,
            created_at: run.created_at.to_string(),
            updated_at: run.updated_at.to_string(),
            ended_at: instant(run.ended_at),
        }
    }
}

impl RunPage {
    /// From what the store says.
    #[must_use]
    pub fn new(page: &Page<RunSummary>) -> Self {
        Self {
            runs: page.items.iter().map(RunLine::new).collect(),
            next: page.next.as_ref().map(|cursor| cursor.as_str().to_owned()),
        }
    }
}

impl RunDocument {
    /// From what the control handle says.
    #[must_use]
    pub fn new(view: &RunView) -> Self {
        let state = view.state.as_ref();
        let both = view.workflow.as_ref().zip(state);
        let mailbox = state.into_iter().flat_map(State::mailbox);
        Self {
            line: RunLine::new(&view.summary),
            workflow_paused: view.workflow_paused,
            seq: state.map(|state| state.seq),
            deadline: state.and_then(|state| instant(state.deadline)),
            steps: both.map(|(flow, state)| steps(flow, state)).unwrap_or_default(),
            awaits: view.awaited.iter().map(AwaitedDocument::new).collect(),
            not_undone: texts(&view.not_undone),
            mailbox: mailbox
                .map(|letter| LetterDocument {
                    signal: letter.signal.to_string(),
                    payload: letter.payload.clone(),
                })
                .collect(),
            unread: view.unread,
            scheduled: view
                .scheduled
                .iter()
                .map(|(at, signal)| ScheduledDocument { at: at.to_string(), signal: signal.to_string() })
                .collect(),
            children: view.children.iter().map(RunLine::new).collect(),
            context: view.context.clone(),
            context_bytes: view.context_bytes,
            tags: view.tags.iter().cloned().collect(),
            telemetry: view.telemetry.clone(),
        }
    }
}

impl AwaitedDocument {
    fn new(awaited: &Awaited) -> Self {
        Self { step: awaited.step.to_string(), signals: texts(&awaited.signals) }
    }
}

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn steps(flow: &Workflow, state: &State) -> Vec<StepDocument> {
    let undone = state.undone(flow);
    let of = |(node, step): (&Node, &StepState)| StepDocument::new(node, step, undone.contains(&node.key));
    let all: Vec<(&Node, &StepState)> = flow.graph().nodes.iter().zip(state.steps()).collect();
    flow.index().order.iter().filter_map(|at| all.get(*at).copied()).map(of).collect()
}

impl StepDocument {
    fn new(node: &Node, step: &StepState, undone: bool) -> Self {
        let (event, attempts, until) = match step {
            StepState::Working(trial) => (None, Some(trial.number), trial.at),
            StepState::Waiting { deadline, .. } => (None, None, *deadline),
            StepState::Ended(event) => (event.as_ref().map(ToString::to_string), None, None),
            _ => (None, None, None),
        };
        let items = match step {
            StepState::Mapping(items) => Some(ItemsDocument {
                all: items.len(),
                succeeded: items.iter().filter(|item| **item == Item::Succeeded).count(),
                failed: items.iter().filter(|item| **item == Item::Failed).count(),
            }),
            _ => None,
        };
        Self {
            step: node.key.to_string(),
            kind: kind(node),
            state: step.word(),
            undone,
            event,
            attempts,
            until: instant(until),
            items,
        }
    }
}

/// What a step is, in one word.
fn kind(node: &Node) -> &'static str {
    match node.kind {
        Kind::Task { tx: false, .. } => "task",
        Kind::Task { tx: true, .. } => "tx",
        Kind::Wait { .. } => "wait",
        Kind::Timer { .. } => "timer",
        Kind::Child { .. } => "child",
        Kind::Map { .. } => "map",
        Kind::Done => "done",
    }
}

impl HistoryPage {
    /// From what the control handle says.
    #[must_use]
    pub fn new(page: &Page<Record>) -> Self {
        Self {
            history: page.items.iter().map(HistoryLine::new).collect(),
            next: page.next.as_ref().map(|cursor| cursor.as_str().to_owned()),
        }
    }
}

impl HistoryLine {
    /// From a record.
    #[must_use]
    pub fn new(record: &Record) -> Self {
        let mut fact = serde_json::to_value(&record.fact).unwrap_or_default();
        let is = fact.as_object_mut().and_then(|fact| fact.remove("is"));
        let (step, text) = told(&record.fact);
        Self {
            seq: record.seq,
            at: record.at.to_string(),
            is: is.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            step,
            text,
            fact,
        }
    }
}

/// The step that a fact is about, and the fact in words.
fn told(fact: &Fact) -> (Option<String>, String) {
    let of = |step: &dyn std::fmt::Display, text: String| (Some(step.to_string()), text);
    match fact {
        Fact::Started { workflow, version, .. } => (None, format!("the run began, of {workflow} v{version}")),
        Fact::Skipped { step } => of(step, format!("{step} is skipped")),
        Fact::Waiting { step, deadline: None } => of(step, format!("{step} waits")),
        Fact::Waiting { step, deadline: Some(at) } => of(step, format!("{step} waits until {at}")),
        Fact::Scheduled { attempt, .. } => of(&attempt.step, format!("{attempt} was given out")),
        Fact::AttemptFailed { attempt, fault, retry_at, .. } => {
            let after = match retry_at {
                Some(at) => format!("tried again at {at}"),
                None => "not tried again".to_owned(),
            };
            of(&attempt.step, format!("{attempt} failed: {}; {after}", because(fault)))
        }
        Fact::Listed { step, items, .. } => of(step, format!("{step} has {items} items")),
        Fact::ItemSucceeded { step, item, .. } => of(step, format!("{step}/{item} succeeded")),
        Fact::Ended { step, event, targets, .. } => {
            let by = event.as_ref().map(|event| format!(" by {event}")).unwrap_or_default();
            let to = match targets.as_slice() {
                [] => String::new(),
                targets => format!(", on to {}", texts(targets).join(" and ")),
            };
            of(step, format!("{step} ended{by}{to}"))
        }
        Fact::Failed { step, fault } => of(step, format!("{step} failed for good: {}", because(fault))),
        Fact::Abandoned { step } => of(step, format!("{step} was given up; its result cannot matter")),
        Fact::Drained { attempt, ran } => {
            let what = if *ran { "may have done something" } else { "did nothing" };
            of(&attempt.step, format!("{attempt} was out when the run stopped and {what}"))
        }
        Fact::Signalled { signal, .. } => (None, format!("the signal {signal} came")),
        Fact::Paused => (None, "the run was paused".to_owned()),
        Fact::Resumed => (None, "the run was resumed".to_owned()),
        Fact::Stopping { outcome, reason } => {
            (None, format!("the run stops and undoes what it did: it {outcome}; {reason}"))
        }
        Fact::Undone { step } => of(step, format!("{step} was undone")),
        Fact::NotUndone { step, fault } => {
            of(step, format!("{step} could not be undone: {}", because(fault)))
        }
        Fact::Finished { outcome, reason } if reason.is_empty() => (None, format!("the run {outcome}")),
        Fact::Finished { outcome, reason } => (None, format!("the run {outcome}: {reason}")),
        _ => (None, "something that this program does not know yet".to_owned()),
    }
}

fn because(fault: &Fault) -> String {
    fault.to_string()
}

impl WorkflowLine {
    /// From what the control handle says.
    #[must_use]
    pub fn new(workflow: &WorkflowSummary) -> Self {
        Self {
            workflow: workflow.name.clone(),
            versions: workflow.versions.clone(),
            paused: workflow.paused,
            runs: workflow.runs.clone(),
        }
    }
}

impl WorkflowDocument {
    /// From a workflow.
    #[must_use]
    pub fn new(flow: &Workflow) -> Self {
        let graph = flow.graph();
        Self {
            workflow: graph.name.clone(),
            version: graph.version,
            fingerprint: flow.fingerprint().to_string(),
            graph: serde_json::to_value(graph).unwrap_or_default(),
        }
    }
}

/// An instant as text.
fn instant(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
