//! `mainstay workflow …`: runs of any host application, without its code, beside it on the same database.

mod act;
mod acts;
pub(crate) mod args;
mod graph;
mod history;
mod import;
mod list;
mod queue;
mod schedule;
mod show;

use std::io::Read as _;

use mainstay_core::{PageSize, Timestamp};
use mainstay_workflow::store::{Filter, Order};
use mainstay_workflow::{Control, RunId};
use serde_json::Value;

use self::args::{One, QueueCommand, ScheduleCommand, Where, WorkflowCommand};
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};

/// The largest JSON document that is read; what may be stored is smaller.
const MAX_JSON_BYTES: u64 = 4 * 1024 * 1024;

pub(super) async fn run(command: WorkflowCommand, context: &Context) -> Outcome {
    match command {
        WorkflowCommand::List(args) => list::runs(&args, context).await,
        WorkflowCommand::Workflows(place) => list::workflows(&place, context).await,
        WorkflowCommand::Acts(args) => acts::run(&args, context).await,
        WorkflowCommand::Nodes(place) => list::nodes(&place, context).await,
        WorkflowCommand::Show(one) => show::run(&one, context).await,
        WorkflowCommand::Start(args) => act::start(&args, context).await,
        WorkflowCommand::Signal(args) => act::signal(&args, context).await,
        WorkflowCommand::Cancel(args) => act::cancel(&args, context).await,
        WorkflowCommand::Retry(one) => act::retry(&one, context).await,
        WorkflowCommand::Fork(args) => act::fork(&args, context).await,
        WorkflowCommand::Pause(scope) => act::pause(&scope, context).await,
        WorkflowCommand::Resume(scope) => act::resume(&scope, context).await,
        WorkflowCommand::Prune(args) => act::prune(&args, context).await,
        WorkflowCommand::Graph(args) => graph::run(&args, context).await,
        WorkflowCommand::History(args) => history::run(&args, context).await,
        WorkflowCommand::Import(args) => import::run(&args, context).await,
        WorkflowCommand::Schedule { command } => match command {
            ScheduleCommand::Ls(place) => schedule::list(&place, context).await,
            ScheduleCommand::Add(args) => schedule::add(&args, context).await,
            ScheduleCommand::Pause(args) => schedule::pause(&args, context).await,
            ScheduleCommand::Resume(args) => schedule::resume(&args, context).await,
            ScheduleCommand::Trigger(args) => schedule::trigger(&args, context).await,
            ScheduleCommand::Rm(args) => schedule::remove(&args, context).await,
        },
        WorkflowCommand::Queue { command } => match command {
            QueueCommand::List(place) => queue::list(&place, context).await,
            QueueCommand::Set(args) => queue::set(&args, context).await,
            QueueCommand::Pause(args) => queue::hold(&args, true, context).await,
            QueueCommand::Resume(args) => queue::hold(&args, false, context).await,
            QueueCommand::Remove(args) => queue::remove(&args, context).await,
        },
    }
}

/// The runs of a namespace.
async fn open(place: &Where, context: &Context) -> Outcome<Control> {
    let control = unchecked(place, context).await?;
    // In a database that no application has used yet there is no namespace at all; to find nothing in it is right.
    if place.namespace != mainstay_server::DEFAULT_NAMESPACE {
        control.store().require()?;
    }
    Ok(control)
}

/// The same for a namespace that need not be there.
async fn unchecked(place: &Where, context: &Context) -> Outcome<Control> {
    let config = context.config(&place.settings, None)?;
    context.control(&config, &place.namespace).await
}

/// The runs, and the one that is meant.
async fn one(one: &One, context: &Context) -> Outcome<(Control, RunId)> {
    let control = open(&one.place, context).await?;
    let run = find(&control, &one.run).await?;
    Ok((control, run))
}

/// The run with an identifier, or the latest with a business key.
async fn find(control: &Control, text: &str) -> Outcome<RunId> {
    if text.starts_with("run_") {
        return identifier(text);
    }
    let filter = Filter::new().id(text);
    let found = control.list(&filter, Order::Newest, PageSize::clamped(1), None).await?;
    match found.items.first() {
        Some(run) => Ok(run.run),
        None => Err(Failure::new(Exit::Refused, format!("no run has the business key {text:?}")).with_help(
            "mainstay workflow list shows the runs and their keys; --namespace names another application's",
        )),
    }
}

/// A run's identifier.
fn identifier(text: &str) -> Outcome<RunId> {
    let wrong = |error| Failure::new(Exit::Usage, error).with_help("mainstay workflow list shows the runs");
    text.parse().map_err(wrong)
}

/// An instant of an argument.
fn instant(name: &str, text: &str) -> Outcome<Timestamp> {
    let wrong = |_| {
        Failure::new(Exit::Usage, format!("{name}: {text:?} is no instant"))
            .with_help("for example 2026-11-21T14:00:00Z")
    };
    text.parse().map_err(wrong)
}

/// A JSON document of an argument: itself, a file after @, or standard input.
fn json(name: &str, text: &str) -> Outcome<Value> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Exit::Usage, format!("{name} cannot be read from {text}: {error}"))
            .with_help("give JSON, @FILE, or - for standard input")
    };
    let mut read = String::new();
    let document = match text.strip_prefix('@') {
        Some(file) => {
            let file = std::fs::File::open(file).map_err(unreadable)?;
            file.take(MAX_JSON_BYTES + 1).read_to_string(&mut read).map_err(unreadable)?;
            read.as_str()
        }
        None if text == "-" => {
            let input = std::io::stdin().lock();
            input.take(MAX_JSON_BYTES + 1).read_to_string(&mut read).map_err(unreadable)?;
            read.as_str()
        }
        None => text,
    };
    if document.len() as u64 > MAX_JSON_BYTES {
        let text = format!("{name} is larger than {MAX_JSON_BYTES} bytes");
        return Err(Failure::new(Exit::Usage, text)
            .with_help("put it where the steps can fetch it, and give the run its place"));
    }
    serde_json::from_str(document).map_err(|error| {
        Failure::new(Exit::Usage, format!("{name} is no JSON: {error}"))
            .with_help(format!("a text stands in quotes of its own: {name} '\"text\"'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_from_the_argument_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("input.json");
        std::fs::write(&file, "{\"order\": 1}").unwrap();
        assert_eq!(json("--input", "[1]").unwrap(), serde_json::json!([1]));
        assert_eq!(
            json("--input", &format!("@{}", file.display())).unwrap(),
            serde_json::json!({"order": 1})
        );
        // Cut off where reading ends, it would be called no JSON.
        let large = "0".repeat(usize::try_from(MAX_JSON_BYTES).unwrap() + 1);
        std::fs::write(&file, &large).unwrap();
        let at_file = format!("@{}", file.display());
        for (wrong, told) in [
            ("{", "no JSON"),
            ("text", "no JSON"),
            ("@/no/such/file", "cannot be read"),
            (&at_file, "larger than"),
        ] {
            let failure = json("--input", wrong).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.message.contains(told), "{failure:?}");
        }
    }
}
