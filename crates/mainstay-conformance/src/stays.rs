//! A workflow that is cancelled as often as it completes: a room that is given back, and a desk that few may stand at at a time. Its steps
//! write down in the database what they do, so that a test sees it as others would.

use std::time::Duration;

use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Component, Migration, Repo, Row, Script, Statement};
use mainstay_workflow::{
    Definition, Done, EngineBuilder, Handlers, Node, Problems, StepContext, StepError, Workflow,
};

use crate::trips::{effect, patient};

const ROOMS: &str = "CREATE TABLE stay_rooms (run text PRIMARY KEY, held integer NOT NULL)";
const DESKS: &str = "CREATE TABLE stay_desks (worker bigint NOT NULL, run text NOT NULL, began bigint NOT NULL, ended bigint)";

/// The tables of the steps.
pub const COMPONENT: Component = Component {
    name: "stays",
    migrations: &[
        Migration {
            version: 1,
            name: "rooms",
            sqlite: Script::reversible(ROOMS, "DROP TABLE stay_rooms"),
            postgres: Script::reversible(ROOMS, "DROP TABLE stay_rooms"),
        },
        Migration {
            version: 2,
            name: "who stood at the desk from when to when",
            sqlite: Script::reversible(DESKS, "DROP TABLE stay_desks"),
            postgres: Script::reversible(DESKS, "DROP TABLE stay_desks"),
        },
    ],
};

/// The queue of the desk, whose concurrency the test sets.
pub const QUEUE: &str = "desk";

/// A room, the desk, a signal, and an effect that commits with its step.
///
/// # Errors
/// Never, as long as the crate is right.
pub fn stay() -> Result<Workflow, Problems> {
    Definition::new("stay", 1)
        .node(Node::task("room", ["ok"]).retry(patient()).compensate("release").on("ok", ["desk"]))
        .node(Node::task("desk", ["ok"]).queue(QUEUE).retry(patient()).compensate("leave").on("ok", ["go"]))
        .node(Node::wait("go").signal("go", "gone").on("gone", ["pay"]))
        .node(Node::tx("pay", ["ok"]).retry(patient()).on("ok", ["end"]))
        .done("end")
        .build()
}

/// An engine that knows it; its ordinary steps take `pause`.
///
/// # Errors
/// Never, as long as the crate is right.
pub fn engine(builder: EngineBuilder, repo: &Repo, pause: Duration) -> Result<EngineBuilder, Problems> {
    let (rooms, released, desks) = (repo.clone(), repo.clone(), repo.clone());
    let handlers = Handlers::new()
        .handler("room", move |cx| {
            let repo = rooms.clone();
            async move {
                // Whoever was given up and comes late finds that the room was given back.
                let take = "INSERT INTO stay_rooms (run, held) VALUES ($1, 1) ON CONFLICT (run) DO NOTHING";
                repo.write(Statement::new(take).bind(cx.run_id().to_string())).await?;
                tokio::time::sleep(pause).await;
                Ok::<Done, StepError>("ok".into())
            }
        })
        .handler("release", move |cx| {
            let repo = released.clone();
            async move {
                let give = "INSERT INTO stay_rooms (run, held) VALUES ($1, 0) ON CONFLICT (run) DO UPDATE SET held = 0";
                repo.write(Statement::new(give).bind(cx.run_id().to_string())).await?;
                Ok::<Done, StepError>(Done::nothing())
            }
        })
        .handler("desk", move |cx| stand(desks.clone(), cx, pause))
        .handler("leave", async |_cx| Ok(Done::nothing()))
        .handler("pay", async |cx| Ok(effect(&cx, "pay")));
    Ok(builder.workflow(stay()?, handlers))
}

/// From and until when it stands there lies within the time in which it holds its place in the queue.
async fn stand(repo: Repo, cx: StepContext, pause: Duration) -> Result<Done, StepError> {
    let (run, began) = (cx.run_id().to_string(), micros());
    let enter = Statement::new("INSERT INTO stay_desks (worker, run, began) VALUES ($1, $2, $3)");
    repo.write(enter.bind(i64::from(std::process::id())).bind(run.clone()).bind(began)).await?;
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = cx.cancelled() => {}
    }
    let leave = Statement::new("UPDATE stay_desks SET ended = $3 WHERE run = $1 AND began = $2");
    repo.write(leave.bind(run).bind(began).bind(micros())).await?;
    Ok("ok".into())
}

/// The time, by the clock that all processes of this machine have, in microseconds.
#[must_use]
pub fn micros() -> i64 {
    SystemClock.now().as_unix_micros()
}

/// Notes that a process was killed at an instant: what it had not ended, it did until then.
///
/// # Errors
/// The database's.
pub async fn killed(repo: &Repo, worker: i64, at: i64) -> mainstay_repo::Result<()> {
    let left = Statement::new("UPDATE stay_desks SET ended = $2 WHERE worker = $1 AND ended IS NULL");
    repo.write(left.bind(worker).bind(at)).await.map(drop)
}

/// From when to when somebody stood at the desk. One whose end nobody knows counts for no time.
///
/// # Errors
/// The database's.
pub async fn desks(repo: &Repo) -> mainstay_repo::Result<Vec<(i64, i64)>> {
    let rows: Vec<Row> =
        repo.read(Statement::new("SELECT began, coalesce(ended, began) AS ended FROM stay_desks")).await?;
    rows.iter().map(|row| Ok((row.get("began")?, row.get("ended")?))).collect()
}

/// The runs that have a room, or had one that was given back.
///
/// # Errors
/// The database's.
pub async fn rooms(repo: &Repo) -> mainstay_repo::Result<Vec<(String, bool)>> {
    let rows: Vec<Row> = repo.read(Statement::new("SELECT run, held FROM stay_rooms")).await?;
    rows.iter().map(|row| Ok((row.get("run")?, row.get::<i64>("held")? == 1))).collect()
}
