//! Writes pairs until it is killed, and prints the id of each pair that the database has acknowledged.
//!
//! Arguments: the database's URL, a name for this run, the number of writers.

#![allow(clippy::print_stdout, reason = "its output is what the test that kills it reads")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_conformance::linked;
use mainstay_repo::Repo;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, run, writers] = arguments.as_slice() else {
        return complain("crash-writer URL RUN WRITERS");
    };
    let Ok(writers) = writers.parse::<u32>() else { return complain("WRITERS is a number") };
    let repo = match Repo::connect(url).await {
        Ok(repo) => repo,
        Err(error) => return complain(&format!("{:?}: {error}", error.kind())),
    };
    say("ready");
    let tasks: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(repo.clone(), format!("{run}-{writer}")))).collect();
    for task in tasks {
        if let Err(error) = task.await {
            return complain(&error.to_string());
        }
    }
    ExitCode::SUCCESS
}

/// One writer: pair after pair, each under an id of its own; what failed is not repeated.
async fn write(repo: Repo, name: String) {
    for number in 0_u32.. {
        let id = format!("{name}-{number:06}");
        let size = if number % 7 == 0 { 9_000 } else { 40 };
        match repo.clone().within(Duration::from_secs(5)).batch(linked::pair(&id, size)).await {
            Ok(_) => say(&format!("ack {id}")),
            Err(error) => {
                say(&format!("err {id} {:?}", error.kind()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
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
