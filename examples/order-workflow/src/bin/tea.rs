//! A first durable workflow, in one file: kill it at any moment, start it again, and there is exactly one cup.

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::time::Duration;

use mainstay_repo::{Batch, Repo, Row, Statement, Target};
use mainstay_workflow::typed::TypedWorkflow as _;
use mainstay_workflow::{Engine, ErrorKind, Events, RunId, StepContext, StepError, step, workflow};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Guest {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Pot {
    tea: String,
}

#[derive(Events)]
enum Water {
    Boils,
}

#[derive(Events)]
enum Tea {
    Ready(Pot),
}

#[derive(Events)]
enum Cup {
    Served,
}

#[step]
async fn boil(_cx: &StepContext, _guest: &Guest) -> Result<Water, StepError> {
    println!("the water is on the stove");
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(Water::Boils)
}

#[step]
async fn brew(_cx: &StepContext, guest: &Guest) -> Result<Tea, StepError> {
    println!("the leaves are in the pot");
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(Tea::Ready(Pot { tea: format!("green, for {}", guest.name) }))
}

/// A `tx` step: the statement that it returns and the end of the step are one commit.
#[step(tx)]
fn serve(_cx: &StepContext, guest: &Guest, pot: &Pot) -> Result<(Cup, Batch), StepError> {
    let mut batch = Batch::new("tea.serve");
    let cup = Statement::new("INSERT INTO cups (guest, tea) VALUES ($1, $2)");
    batch.push(cup.bind(guest.name.as_str()).bind(pot.tea.as_str()));
    Ok((Cup::Served, batch))
}

workflow! {
    /// From cold water to a cup.
    struct TeaTime = "tea" version 1;
    input Guest;
    unique guest = |guest| guest.name.clone();

    step boil(input) { Boils -> brew; }
    step brew(input) { Ready -> serve; }
    step serve(input, brew.Ready) { Served -> end; }
    done end;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite://tea.db".to_owned());
    let repo = Repo::connect(&url).await?;
    mainstay_workflow::migrate(&repo, Target::Latest).await?;
    let table = "CREATE TABLE IF NOT EXISTS cups (guest text NOT NULL, tea text NOT NULL)";
    repo.write(Statement::new(table)).await?;

    let engine = Engine::builder(repo.clone()).register::<TeaTime>().start().await?;
    let run = start(&engine, &Guest { name: "ann".to_owned() }).await?;
    let ended = engine.wait(run).await?;
    let cups: Row = repo.read_one(Statement::new("SELECT count(*) AS cups FROM cups")).await?;
    println!("{run} {}, cups so far: {}", ended.outcome, cups.get::<i64>("cups")?);
    engine.stop().await;
    repo.close().await;
    Ok(())
}

/// Starts a run, or finds the one that a killed process left.
async fn start(engine: &Engine, guest: &Guest) -> Result<RunId, mainstay_workflow::Error> {
    let started = TeaTime::start(engine, guest).await;
    if let Err(error) = &started
        && let ErrorKind::AlreadyRunning { run } = error.kind()
    {
        println!("{run} goes on");
        return Ok(*run);
    }
    started
}
