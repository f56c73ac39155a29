//! Starts trips and runs them until it is killed; prints the id of each start that was acknowledged and of each run that ended.
//!
//! Arguments: the database's URL, how many runs to keep going (0: only end what is there), the handlers' pause in milliseconds.

#![allow(clippy::print_stdout, reason = "its output is what the test that kills it reads")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_conformance::trips;
use mainstay_repo::Repo;
use mainstay_workflow::{Engine, RunId, StartRequest};
use serde_json::Value;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, runs, pause] = arguments.as_slice() else { return complain("crash-worker URL RUNS PAUSE_MS") };
    let (Ok(runs), Ok(pause)) = (runs.parse::<u32>(), pause.parse::<u64>()) else {
        return complain("RUNS and PAUSE_MS are numbers");
    };
    let repo = match Repo::connect(url).await {
        Ok(repo) => repo,
        Err(error) => return complain(&format!("{:?}: {error}", error.kind())),
    };
    let builder =
        Engine::builder(repo.clone()).leases(Duration::from_millis(200), Duration::from_millis(1_000));
    let engine = match trips::engine(builder, &repo, Duration::from_millis(pause)) {
        Ok(builder) => builder.start().await,
        Err(problems) => return complain(&problems.to_string()),
    };
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return complain(&error.to_string()),
    };
    say("ready");
    let tasks: Vec<_> = (0..runs).map(|_| tokio::spawn(travel(engine.clone()))).collect();
    for task in tasks {
        if let Err(error) = task.await {
            return complain(&error.to_string());
        }
    }
    // Others' runs are ended until the kill comes.
    std::future::pending::<()>().await;
    ExitCode::SUCCESS
}

/// One trip after the other.
async fn travel(engine: Engine) {
    loop {
        if let Err(error) = one(&engine).await {
            say(&format!("err {:?}", error.kind()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn one(engine: &Engine) -> mainstay_workflow::Result<()> {
    let run: RunId = engine.start(StartRequest::new("trip", Value::Null)).await?;
    say(&format!("started {run}"));
    engine.signal(run, "go", Value::Null).await?;
    say(&format!("signalled {run}"));
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
