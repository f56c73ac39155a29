//! A workflow with a step of every kind, and tables that tell how often each of its steps took effect.

use std::time::Duration;

use mainstay_repo::{Batch, Component, Migration, Repo, Row, Script, Statement};
use mainstay_workflow::graph::Backoff;
use mainstay_workflow::{
    Definition, Done, EngineBuilder, Handlers, Node, Problems, Retry, StepContext, StepError, Workflow,
};
use serde_json::{Value, json};

const EFFECTS: &str = "CREATE TABLE trip_effects (run text NOT NULL, step text NOT NULL)";
const TOUCHED: &str = "CREATE TABLE trip_attempts (run text NOT NULL, step text NOT NULL)";

/// The tables of the workflow's own effects: without keys, so that a repetition shows.
pub const COMPONENT: Component = Component {
    name: "trips",
    migrations: &[
        Migration {
            version: 1,
            name: "effects of tx steps",
            sqlite: Script::reversible(EFFECTS, "DROP TABLE trip_effects"),
            postgres: Script::reversible(EFFECTS, "DROP TABLE trip_effects"),
        },
        Migration {
            version: 2,
            name: "attempts at ordinary steps",
            sqlite: Script::reversible(TOUCHED, "DROP TABLE trip_attempts"),
            postgres: Script::reversible(TOUCHED, "DROP TABLE trip_attempts"),
        },
    ],
};

/// The steps whose effect commits with their result.
pub const TX_STEPS: [&str; 3] = ["book", "pay", "close"];
/// The steps that run at least once.
pub const PLAIN_STEPS: [&str; 3] = ["plan", "pack", "item"];

/// Workers die often here, and that is no fault of a step.
pub(crate) fn patient() -> Retry {
    let pause = Duration::from_millis(5);
    Retry {
        max_losses: 1_000_000,
        ..Retry::attempts(1_000_000).with_backoff(Backoff::Constant, pause, pause)
    }
}

/// Two branches that meet, a timer, a map, a child, a signal, and three steps with effects in the database.
///
/// # Errors
/// Never, as long as the crate is right.
pub fn trip() -> Result<Workflow, Problems> {
    Definition::new("trip", 1)
        .node(Node::task("plan", ["ok"]).retry(patient()).on("ok", ["book", "pack"]))
        .node(Node::tx("book", ["ok"]).retry(patient()).on("ok", ["pay"]))
        .node(Node::task("pack", ["ok"]).retry(patient()).on("ok", ["meet"]))
        .node(Node::tx("pay", ["ok"]).retry(patient()).on("ok", ["meet"]))
        .node(Node::timer("meet", Duration::from_millis(15), "met").on("met", ["item"]))
        .node(Node::map("item", "items", "each").limit(2).retry(patient()).on("mapped", ["leg"]))
        .node(Node::child("leg", "leg").retry(patient()).on("completed", ["go"]))
        .node(Node::wait("go").signal("go", "gone").on("gone", ["close"]))
        .node(Node::tx("close", ["ok"]).retry(patient()).on("ok", ["end"]))
        .done("end")
        .build()
}

/// The child.
///
/// # Errors
/// Never, as long as the crate is right.
pub fn leg() -> Result<Workflow, Problems> {
    Definition::new("leg", 1)
        .node(Node::tx("ride", ["ok"]).retry(patient()).on("ok", ["end"]))
        .done("end")
        .build()
}

/// An engine that knows both; a handler of an ordinary step takes `pause`.
///
/// # Errors
/// Never, as long as the crate is right.
pub fn engine(builder: EngineBuilder, repo: &Repo, pause: Duration) -> Result<EngineBuilder, Problems> {
    let touch = |step: &'static str, done: fn() -> Done| {
        let repo = repo.clone();
        move |cx: StepContext| {
            let repo = repo.clone();
            async move {
                repo.write(insert("INSERT INTO trip_attempts (run, step) VALUES ($1, $2)", &cx, step))
                    .await?;
                tokio::time::sleep(pause).await;
                Ok::<Done, StepError>(done())
            }
        }
    };
    let trips = Handlers::new()
        .handler("plan", touch("plan", || "ok".into()))
        .handler("pack", touch("pack", || "ok".into()))
        .handler("each", touch("item", || Done::value(json!(1))))
        .handler("items", async |_cx| Ok(Done::items(vec![Value::Null; 3])))
        .handler("book", async |cx| Ok(effect(&cx, "book")))
        .handler("close", async |cx| Ok(effect(&cx, "close")))
        .tx("pay", |cx, tx| {
            Box::pin(async move {
                tx.write(insert("INSERT INTO trip_effects (run, step) VALUES ($1, $2)", &cx, "pay")).await?;
                Ok("ok".into())
            })
        });
    let legs = Handlers::new().handler("ride", async |cx| Ok(effect(&cx, "ride")));
    Ok(builder.workflow(trip()?, trips).workflow(leg()?, legs))
}

fn insert(sql: &'static str, cx: &StepContext, step: &str) -> Statement {
    Statement::new(sql).bind(cx.run_id().to_string()).bind(step)
}

pub(crate) fn effect(cx: &StepContext, step: &str) -> Done {
    let mut batch = Batch::new("trips.effect");
    batch.push(insert("INSERT INTO trip_effects (run, step) VALUES ($1, $2)", cx, step));
    Done::event("ok").batch(batch)
}

/// How often each step of each run took effect: of the `tx` steps, and of the ordinary ones.
///
/// # Errors
/// The database's.
pub async fn counts(repo: &Repo) -> mainstay_repo::Result<(Vec<Row>, Vec<Row>)> {
    let effects = Statement::new("SELECT run, step, count(*) AS times FROM trip_effects GROUP BY run, step");
    let attempts =
        Statement::new("SELECT run, step, count(*) AS times FROM trip_attempts GROUP BY run, step");
    Ok((repo.read(effects).await?, repo.read(attempts).await?))
}
