//! The arguments of `mainstay workflow …`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum, value_parser};
use mainstay_workflow::{CatchUp, StartRequest};
use serde_json::Value;

use crate::cli::args::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// List runs, the latest first
    List(Box<List>),
    /// List the workflows that the database knows, with their runs
    Workflows(Where),
    /// Print a run: its steps, what it waits for, what it knows
    Show(One),
    /// Start a run; a host application that has the workflow moves it
    Start(Box<Start>),
    /// Send a run a signal; it is kept until a step waits for it
    Signal(Signal),
    /// Cancel a run: what it did is undone
    Cancel(Cancel),
    /// Do a failed or cancelled run again, as a new run: what ended and was not undone stays done
    Retry(One),
    /// Do an ended run again from a step, as a new run
    Fork(Fork),
    /// Let nothing new begin in a run, in the runs of a workflow, or in all
    Pause(Scope),
    /// Let what was paused go on
    Resume(Scope),
    /// Draw a run or a workflow
    Graph(Graph),
    /// Print what happened to a run, oldest first
    History(History),
    /// Remove an ended run, or all that ended long ago
    Prune(Prune),
    /// Queues: how many steps run at a time, and how fast they begin
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Schedules: when runs begin by themselves
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Bring over the table workflow_instances of Hephaestus, from PostgreSQL
    Import(Import),
    /// The nodes of host applications that work on the namespace
    Nodes(Where),
    /// Print who did what from outside of the applications, the latest first
    Acts(Acts),
}

/// The words for a status.
const STATUSES: [&str; 7] = ["running", "waiting", "paused", "stopping", "completed", "failed", "cancelled"];

/// Which runs.
#[derive(Debug, Args)]
pub(crate) struct Where {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The host application's namespace
    #[arg(long, value_name = "NAME", default_value = mainstay_server::DEFAULT_NAMESPACE)]
    pub(crate) namespace: String,
}

/// One run.
#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The run: run_…, or its business key such as orderid::a17 (the latest run with it)
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Paging {
    /// How many at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on where the page before ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) paging: Paging,
    /// Only with this status, or one of these
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = STATUSES)]
    pub(crate) status: Vec<String>,
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Only of this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<u32>,
    /// Only of workflows whose name begins so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) family: Option<String>,
    /// Only of workflows with this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Only the run with this identifier, or those with this business key
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Only runs that this run started
    #[arg(long, value_name = "RUN")]
    pub(crate) parent: Option<String>,
    /// Only runs that began then or later (2026-11-21T14:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only runs that began before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only runs whose context has this value at this path; may be repeated
    #[arg(long = "where", value_name = "PATH=VALUE")]
    pub(crate) conditions: Vec<String>,
    /// The earliest first
    #[arg(long)]
    pub(crate) oldest: bool,
}

/// How a run is begun, now or by a schedule.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Exactly this version [default: the current one when it begins]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<u32>,
    /// The value of the business key: while a run with it is active, no other begins
    #[arg(long, value_name = "VALUE")]
    pub(crate) key: Option<String>,
    /// Smaller numbers go first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// Among whom the turns of a queue are shared out evenly, such as a tenant
    #[arg(long, value_name = "KEY")]
    pub(crate) fairness: Option<String>,
}

impl How {
    /// What asks for such a run.
    pub(crate) fn request(&self, workflow: &str, input: Value) -> StartRequest {
        let mut request = StartRequest::new(workflow, input).priority(self.priority);
        if let Some(version) = self.version {
            request = request.version(version);
        }
        if let Some(key) = &self.key {
            request = request.key(key);
        }
        match &self.fairness {
            Some(fairness) => request.fairness(fairness),
            None => request,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The workflow
    pub(crate) workflow: String,
    /// What the run is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub(crate) input: String,
    #[command(flatten)]
    pub(crate) how: How,
    /// What it can be found by besides its input: a JSON object, @FILE, or -
    #[arg(long, value_name = "JSON")]
    pub(crate) attributes: Option<String>,
    /// Begin paused
    #[arg(long)]
    pub(crate) paused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Signal {
    #[command(flatten)]
    pub(crate) one: One,
    /// The signal's name
    pub(crate) signal: String,
    /// What it says: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub(crate) payload: String,
    /// A name for this signal: sent again with it, it changes nothing
    #[arg(long, value_name = "ID")]
    pub(crate) sender: Option<String>,
    /// Not before this instant (2026-11-21T14:00:00Z); the run does not see it until then
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) one: One,
    /// Why, for the history
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Fork {
    #[command(flatten)]
    pub(crate) one: One,
    /// The step: what does not come after it stays done
    #[arg(long, value_name = "STEP")]
    pub(crate) from: String,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The database with the table: postgres://…; MAINSTAY_IMPORT_FROM says it without a trace in the list of processes
    #[arg(long, value_name = "URL", env = "MAINSTAY_IMPORT_FROM", hide_env = true)]
    pub(crate) from: String,
    /// Go on after this identifier: the `last` of an import that broke off
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List schedules
    #[command(visible_alias = "list")]
    Ls(Where),
    /// Keep a schedule, in place of the one of its name; its times count from now
    Add(Box<ScheduleAdd>),
    /// Hold a schedule back; times that pass meanwhile are passed over
    Pause(ScheduleOne),
    /// Let a schedule go on, from the next of its times
    Resume(ScheduleOne),
    /// Start what a schedule starts, now; its times stay as they are
    Trigger(ScheduleOne),
    /// Remove a schedule; runs that it began go on
    #[command(visible_alias = "remove")]
    Rm(ScheduleOne),
}

/// What becomes of times at which no node was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Missed {
    /// One start for all of them
    Latest,
    /// None, if they are more than a minute ago
    Skip,
    /// One start for each
    All,
}

impl From<Missed> for CatchUp {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Latest => Self::Latest,
            Missed::Skip => Self::Skip,
            Missed::All => Self::All,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleAdd {
    #[command(flatten)]
    pub(crate) one: ScheduleOne,
    /// When: minute, hour, day of the month, month, day of the week, and a time zone unless it is UTC
    #[arg(long, value_name = "CRON")]
    pub(crate) cron: String,
    /// The workflow that it starts
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: String,
    /// What each run is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub(crate) input: String,
    #[command(flatten)]
    pub(crate) how: How,
    /// What becomes of times at which no node was there
    #[arg(long, value_enum, default_value = "latest")]
    pub(crate) catch_up: Missed,
}

#[derive(Debug, Args)]
pub(crate) struct Acts {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) paging: Paging,
    /// Only about this run: run_… or its business key
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleOne {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The schedule
    pub(crate) schedule: String,
}

#[derive(Debug, Args)]
#[group(id = "scope", required = true, multiple = false, args = ["run", "workflow", "all"])]
pub(crate) struct Scope {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The run: run_… or its business key
    pub(crate) run: Option<String>,
    /// All runs of a workflow, also those to come
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Everything in the namespace
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    Svg,
    Dot,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    #[command(flatten)]
    pub(crate) place: Where,
    /// A run (run_… or its business key), or a workflow's name
    pub(crate) what: String,
    /// This version of the workflow [default: the current one]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<u32>,
    /// text for terminals, svg for pages, dot for Graphviz
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Form,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) one: One,
    #[command(flatten)]
    pub(crate) paging: Paging,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["run", "ended_before"])]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) place: Where,
    /// One ended run: run_… or its business key
    pub(crate) run: Option<String>,
    /// All runs that ended before (2026-11-21T14:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) ended_before: Option<String>,
    /// The namespace once more: the histories are lost
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the queues that have limits or tasks
    List(Where),
    /// Set the limits of a queue, from the next claim on; what is not said is unlimited
    Set(QueueSet),
    /// Begin none of a queue's steps; its limits stay as they are
    Pause(QueueOne),
    /// Let a queue's steps begin again, within its limits
    Resume(QueueOne),
    /// Take all limits from a queue
    Remove(QueueOne),
}

#[derive(Debug, Args)]
pub(crate) struct QueueOne {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The queue
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
#[group(id = "limits", required = true, multiple = true, args = ["concurrency", "rate", "paused"])]
pub(crate) struct QueueSet {
    #[command(flatten)]
    pub(crate) one: QueueOne,
    /// How many of its steps run at a time, on all nodes together; at least 1
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// How many of its steps begin in how many seconds, such as 100/60
    #[arg(long, value_name = "N/SECONDS")]
    pub(crate) rate: Option<String>,
    /// Begin none of its steps
    #[arg(long)]
    pub(crate) paused: bool,
}
