//! Starts alone: runs that wait for a signal at once; started by themselves, and together with a write of the host.

use std::time::Duration;

use mainstay_benches::{Row, load};
use mainstay_repo::{Batch, Repo, Statement};
use mainstay_workflow::{Definition, Engine, Handlers, Node, StartRequest, Workflow};
use serde_json::json;

/// Callers that start runs.
const CALLERS: usize = 2_000;
/// Callers that hold a transaction of their own meanwhile.
const TRANSACTIONS: usize = 64;

fn flow() -> Workflow {
    let hold = Node::wait("hold").signal("go", "gone").on("gone", ["end"]);
    Definition::new("starts", 1).node(hold).done("end").build().expect("a workflow")
}

fn host(id: u64) -> Statement {
    let id = i64::try_from(id % 10_000).expect("small") + 1_000_000;
    Statement::new(
        "INSERT INTO bench_accounts (id, balance) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET balance = bench_accounts.balance + 1",
    )
    .bind(id)
}

fn request(number: u64) -> StartRequest {
    StartRequest::new("starts", json!(number))
}

/// A write of the host in a transaction of its own, with the start of a run if there is an engine.
async fn transact(repo: &Repo, number: u64, engine: Option<&Engine>) -> Result<(), String> {
    let text = |error: mainstay_repo::Error| error.to_string();
    let mut tx = repo.begin().await.map_err(text)?;
    tx.write(host(number)).await.map_err(text)?;
    if let Some(engine) = engine {
        engine.start_in(&mut tx, request(number)).await.map_err(|error| error.to_string())?;
    }
    tx.commit().await.map_err(text)
}

/// Starts a second; those that come with a write of the host stand beside the same write without a start.
pub(crate) async fn run(repo: &Repo, name: &str, target: f64, time: Duration, json: bool) -> f64 {
    let builder = Engine::builder(repo.clone()).namespace("starts").workflow(flow(), Handlers::new());
    let engine = builder.start().await.expect("an engine");
    let starts = load(CALLERS, time, |_| {
        let engine = engine.clone();
        move |number| {
            let engine = engine.clone();
            async move {
                engine.start(request(number)).await.expect("started");
            }
        }
    })
    .await
    .rate;
    let in_transaction = async |with_start: bool| {
        let make = |_| {
            let (engine, repo) = (engine.clone(), repo.clone());
            move |number| {
                let (engine, repo) = (engine.clone(), repo.clone());
                async move {
                    // PostgreSQL lets one of two that meet go first; the other one begins again, as a host would.
                    while let Err(error) = transact(&repo, number, with_start.then_some(&engine)).await {
                        assert!(error.contains("40001"), "{error}");
                    }
                }
            }
        };
        load(TRANSACTIONS, time, make).await.rate
    };
    let in_batch = async |with_start: bool| {
        let make = |_| {
            let (engine, repo) = (engine.clone(), repo.clone());
            move |number| {
                let (engine, repo) = (engine.clone(), repo.clone());
                async move {
                    let mut batch = Batch::new("bench.start");
                    batch.push(host(number));
                    if with_start {
                        engine.start_into(&mut batch, request(number)).expect("a start");
                    }
                    repo.batch(batch).await.expect("committed");
                }
            }
        };
        load(CALLERS, time, make).await.rate
    };
    Row::rate(format!("engine_starts_{name}"), starts, "target for runs of five", target).print(json);
    let (ours, bare) = (in_transaction(true).await, in_transaction(false).await);
    Row::rate(format!("engine_start_in_transaction_{name}"), ours, "the host's write alone", bare)
        .print(json);
    let (ours, bare) = (in_batch(true).await, in_batch(false).await);
    Row::rate(format!("engine_start_into_batch_{name}"), ours, "the host's write alone", bare).print(json);
    engine.stop().await;
    starts
}
