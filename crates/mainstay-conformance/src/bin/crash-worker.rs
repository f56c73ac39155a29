//! Starts trips or stays and runs them until it is killed; prints its own process id, the id of each start, signal and cancel that was
//! acknowledged and of each run that ended, and which moves of runs were refused because somebody else had moved them. Of the stays every
//! other one is cancelled.
//!
//! Arguments: the database's URL, `trip` or `stay`, how many runs to keep going (0: only end what is there), the handlers' pause in
//! milliseconds; and a path, if it is to start nothing more from when there is a file: what it had begun ends, and it says that it rests.

#![allow(clippy::print_stdout, reason = "its output is what the test that kills it reads")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_conformance::{stays, trips};
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome, Param, RepoOptions, Value as Column};
use mainstay_workflow::{Engine, RunId, StartRequest};
use serde_json::Value;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, workflow, runs, pause, rest) = match arguments.as_slice() {
        [url, workflow, runs, pause] => (url, workflow, runs, pause, None),
        [url, workflow, runs, pause, rest] => (url, workflow, runs, pause, Some(PathBuf::from(rest))),
        _ => return complain("crash-worker URL trip|stay RUNS PAUSE_MS [REST]"),
    };
    let is_stay = workflow == "stay";
    let (Ok(runs), Ok(pause)) = (runs.parse::<u32>(), pause.parse::<u64>()) else {
        return complain("RUNS and PAUSE_MS are numbers");
    };
    let repo = match RepoOptions::new(url) {
        Ok(options) => options.with(Refusals).connect().await,
        Err(error) => Err(error),
    };
    let repo = match repo {
        Ok(repo) => repo,
        Err(error) => return complain(&format!("{:?}: {error}", error.kind())),
    };
    // A node that is only slow must not be given up where its places in a queue count: its handlers would stand there beside their heirs.
    let ttl = Duration::from_secs(if is_stay { 4 } else { 1 });
    let (builder, pause) =
        (Engine::builder(repo.clone()).leases(Duration::from_millis(200), ttl), Duration::from_millis(pause));
    let builder =
        if is_stay { stays::engine(builder, &repo, pause) } else { trips::engine(builder, &repo, pause) };
    let engine = match builder {
        Ok(builder) => builder.start().await,
        Err(problems) => return complain(&problems.to_string()),
    };
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return complain(&error.to_string()),
    };
    say(&format!("ready {}", std::process::id()));
    let tasks: Vec<_> =
        (0..runs).map(|_| tokio::spawn(travel(engine.clone(), is_stay, rest.clone()))).collect();
    for task in tasks {
        if let Err(error) = task.await {
            return complain(&error.to_string());
        }
    }
    if rest.is_some() {
        say("resting");
    }
    // Others' runs are ended until the kill comes.
    std::future::pending::<()>().await;
    ExitCode::SUCCESS
}

/// Says of each move that was refused which run it was of, and to which place in its history it belonged.
struct Refusals;

#[async_trait]
impl Middleware for Refusals {
    async fn process(&self, operation: Operation, next: Next<'_>) -> mainstay_repo::Result<Outcome> {
        let moves = moves(&operation);
        let result = next.run(operation).await;
        if result.as_ref().is_err_and(|error| error.condition_failed().is_some()) {
            moves.iter().for_each(|(run, seq)| say(&format!("refused {run} {seq}")));
        }
        result
    }
}

/// The runs that an operation moves, and to which place in the history of each.
fn moves(operation: &Operation) -> Vec<(RunId, i64)> {
    let history = operation.statements().filter(|statement| statement.name() == Some("workflow.history"));
    let mut moves = Vec::new();
    for statement in history {
        match statement.params() {
            [Param::Value(Column::Int(run)), Param::Value(Column::Int(seq)), ..] => {
                moves.push((RunId::from_stored(*run), *seq));
            }
            [Param::Value(Column::Array(runs)), Param::Value(Column::Array(places)), ..] => {
                let pairs = runs.iter().zip(places).filter_map(|pair| match pair {
                    (Column::Int(run), Column::Int(seq)) => Some((RunId::from_stored(*run), *seq)),
                    _ => None,
                });
                moves.extend(pairs);
            }
            _ => {}
        }
    }
    moves
}

/// One run after the other, until it is time to rest.
async fn travel(engine: Engine, is_stay: bool, rest: Option<PathBuf>) {
    let mut is_cancelled = false;
    while rest.as_ref().is_none_or(|rest| !rest.exists()) {
        is_cancelled = is_stay && !is_cancelled;
        let done = if is_stay { one(&engine, "stay", is_cancelled) } else { one(&engine, "trip", false) };
        if let Err(error) = done.await {
            say(&format!("err {:?}", error.kind()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn one(engine: &Engine, workflow: &str, is_cancelled: bool) -> mainstay_workflow::Result<()> {
    let run: RunId = engine.start(StartRequest::new(workflow, Value::Null)).await?;
    say(&format!("started {run}"));
    if is_cancelled {
        // Before a step begins, while it runs or stands in its queue, or when the run waits.
        tokio::time::sleep(Duration::from_millis(run.get().unsigned_abs() % 6 * 60)).await;
        engine.cancel(run, "another hotel").await?;
        say(&format!("cancelled {run}"));
    } else {
        engine.signal(run, "go", Value::Null).await?;
        say(&format!("signalled {run}"));
    }
    engine.wait(run).await?;
    say(&format!("ended {run}"));
    Ok(())
}

/// One line at once: a kill between two lines leaves both whole.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        // Nobody listens any more; the kill comes.
    }
}

fn complain(problem: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{problem}"));
    ExitCode::FAILURE
}
