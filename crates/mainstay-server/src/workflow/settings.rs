//! Queues, schedules, nodes, pauses and acts as JSON documents: the same from the command line and from the HTTP interface.

use std::time::Duration;

use mainstay_core::Page;
use mainstay_workflow::Control;
use mainstay_workflow::store::{Act, NodeView, Pause, Queue, Rate, Schedule, TaskKey};
use serde::Serialize;
use serde_json::Value;

use crate::limits;
use crate::problem::{Problem, ProblemKind};

/// A queue with limits or tasks.
#[derive(Debug, Clone, Serialize)]
pub struct QueueDocument {
    /// Its name.
    pub queue: String,
    /// How many run at a time; null for any number.
    pub concurrency: Option<u32>,
    /// How many begin in `rate_seconds`; null for as many as can.
    pub rate: Option<u32>,
    /// In how many seconds.
    pub rate_seconds: Option<f64>,
    /// Whether none begins.
    pub paused: bool,
    /// How many of its tasks can be claimed; 10001 stands for any number above 10000.
    pub ready: u64,
    /// How many are in workers' hands.
    pub leased: u64,
}

/// A schedule.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleDocument {
    /// Its name.
    pub schedule: String,
    /// The workflow.
    pub workflow: String,
    /// Exactly this version; null for the current one when it is due.
    pub version: Option<u32>,
    /// Whether it is held back.
    pub paused: bool,
    /// When it starts a run next; null for never.
    pub next_at: Option<String>,
    /// When it was due last.
    pub last_at: Option<String>,
    /// When and with what: `cron`, `catch_up`, `input`, `key`, `priority`, `fairness`.
    pub plan: Value,
}

/// A node of a host application.
#[derive(Debug, Clone, Serialize)]
pub struct NodeDocument {
    /// Its number: nodes may have one name, and a node that starts again has another number.
    pub node: i64,
    /// Its name.
    pub name: String,
    /// When it began.
    pub started_at: String,
    /// When it was heard of last.
    pub seen_at: String,
    /// Since when it is given up; null while it lives.
    pub dead_at: Option<String>,
    /// How many tasks are in its hands.
    pub tasks: u64,
    /// The first of these.
    pub held: Vec<HeldDocument>,
}

/// A task in a node's hands.
#[derive(Debug, Clone, Serialize)]
pub struct HeldDocument {
    /// The run.
    pub run: String,
    /// The attempt, such as `charge#2`.
    pub attempt: String,
}

/// What is held back.
#[derive(Debug, Clone, Serialize)]
pub struct PauseDocument {
    /// The workflow; null for everything.
    pub workflow: Option<String>,
    /// Since when.
    pub since: String,
}

/// Something that somebody did.
#[derive(Debug, Clone, Serialize)]
pub struct ActDocument {
    /// Its number; later ones are larger.
    pub number: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What, such as `run.cancel`.
    pub action: String,
    /// The run that it was about.
    pub run: Option<String>,
    /// The workflow, queue or schedule that it was about; empty for the run alone, or for everything.
    pub subject: String,
    /// How.
    pub detail: Value,
}

/// A page of acts, the latest first.
#[derive(Debug, Clone, Serialize)]
pub struct ActPage {
    /// The acts.
    pub acts: Vec<ActDocument>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
}

/// A rate of so many in so many seconds; none when neither is said.
pub(crate) fn rate(count: Option<u32>, seconds: Option<f64>) -> Result<Option<Rate>, Problem> {
    let wrong = |detail: &str| Problem::new(ProblemKind::Malformed, detail);
    match (count, seconds) {
        (None, None) => Ok(None),
        (Some(count), Some(seconds)) => {
            let per = Duration::try_from_secs_f64(seconds)
                .map_err(|_| wrong("A rate is so many in so many seconds, a number that is not negative."))?;
            Ok(Some(Rate { count, per }))
        }
        _ => Err(wrong("A rate is so many in so many seconds: rate and rate_seconds go together.")),
    }
}

/// The nodes of a namespace with the first tasks in their hands.
///
/// # Errors
/// [`mainstay_workflow::ErrorKind::Database`].
pub async fn nodes(control: &Control) -> mainstay_workflow::Result<Vec<NodeDocument>> {
    let mut documents = Vec::new();
    for node in control.nodes().await? {
        let held = control.held(node.node, limits::TASKS_NAMED).await?;
        documents.push(NodeDocument::new(&node, &held));
    }
    Ok(documents)
}

impl QueueDocument {
    /// From what the store says.
    #[must_use]
    pub fn new(queue: &Queue) -> Self {
        let limits = &queue.limits;
        Self {
            queue: queue.name.clone(),
            concurrency: limits.concurrency,
            rate: limits.rate.map(|rate| rate.count),
            rate_seconds: limits.rate.map(|rate| rate.per.as_secs_f64()),
            // A concurrency of nothing cannot be set any more, but may be stored.
            paused: limits.paused || limits.concurrency == Some(0),
            ready: queue.ready,
            leased: queue.leased,
        }
    }

    /// The rate in words; none when there is none.
    #[must_use]
    pub fn rate_text(&self) -> Option<String> {
        let (count, seconds) = self.rate.zip(self.rate_seconds)?;
        Some(format!("{count} in {seconds} s"))
    }
}

impl ScheduleDocument {
    /// From what the store says.
    #[must_use]
    pub fn new(schedule: &Schedule) -> Self {
        Self {
            schedule: schedule.name.clone(),
            workflow: schedule.workflow.clone(),
            version: schedule.version,
            paused: schedule.paused,
            next_at: schedule.next_at.map(|at| at.to_string()),
            last_at: schedule.last_at.map(|at| at.to_string()),
            plan: schedule.plan.clone(),
        }
    }

    /// The cron expression.
    #[must_use]
    pub fn cron(&self) -> &str {
        self.plan.get("cron").and_then(Value::as_str).unwrap_or_default()
    }
}

impl NodeDocument {
    /// From what the store says of it and of what it holds.
    #[must_use]
    pub fn new(node: &NodeView, held: &[TaskKey]) -> Self {
        let held = held
            .iter()
            .map(|task| HeldDocument { run: task.run.to_string(), attempt: task.attempt.to_string() });
        Self {
            node: node.node.get(),
            name: node.name.clone(),
            started_at: node.started_at.to_string(),
            seen_at: node.seen_at.to_string(),
            dead_at: node.dead_at.map(|at| at.to_string()),
            tasks: node.tasks,
            held: held.collect(),
        }
    }
}

impl PauseDocument {
    /// From what the store says.
    #[must_use]
    pub fn new(pause: &Pause) -> Self {
        Self { workflow: pause.workflow.clone(), since: pause.since.to_string() }
    }
}

impl ActDocument {
    /// From what the store says.
    #[must_use]
    pub fn new(act: &Act) -> Self {
        Self {
            number: act.number,
            at: act.at.to_string(),
            actor: act.actor.to_string(),
            action: act.action.clone(),
            run: act.run.map(|run| run.to_string()),
            subject: act.subject.clone(),
            detail: act.detail.clone(),
        }
    }
}

impl ActPage {
    /// From what the store says.
    #[must_use]
    pub fn new(page: &Page<Act>) -> Self {
        Self {
            acts: page.items.iter().map(ActDocument::new).collect(),
            next: page.next.as_ref().map(|cursor| cursor.as_str().to_owned()),
        }
    }
}
