//! How the databases find rows: every statement of the store by an index, JSON search too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use mainstay_core::PageSize;
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Dialect, Operation, Outcome, Result as RepoResult, Row, Sql, Statement};
use mainstay_testkit::{TestDatabase, for_each_database, golden};
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::json;

use super::support::{SECOND, World};

/// Remembers one statement of each name.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<BTreeMap<String, Statement>>>);

#[async_trait]
impl Middleware for Watch {
    async fn process(&self, operation: Operation, next: Next<'_>) -> RepoResult<Outcome> {
        for statement in operation.statements() {
            if let Some(name) = statement.name() {
                self.0.lock().unwrap().insert(name.to_owned(), statement.clone());
            }
        }
        next.run(operation).await
    }
}

/// All that a store does, once.
async fn everything(database: &TestDatabase) -> (World, BTreeMap<String, Statement>) {
    let watch = Watch::default();
    World::new(database).await;
    let repo = database.options().with(watch.clone()).connect().await.unwrap();
    let world = World::on(repo.clone(), "tests", super::support::flow()).await;
    let mut start = world.keyed("a");
    start.lane.fairness = Some("f".into());
    let head = world.begin_with(start).await;
    world.begin_with(world.keyed("b")).await;
    world.started(world.keyed("b")).await;
    world
        .store
        .queue_set("default", QueueLimits { concurrency: Some(9), ..QueueLimits::default() })
        .await
        .unwrap();
    let task = world.claim(world.node, "default", 1).await.remove(0);
    world.store.release(world.node, std::slice::from_ref(&task.key), world.now()).await.unwrap();
    world.store.set_aside(world.node, std::slice::from_ref(&task.key)).await.unwrap();
    world.store.beat(world.node).await.unwrap();
    world.store.leased(world.node).await.unwrap();
    world.store.release_all(world.node).await.unwrap();
    world.store.take_over(world.node, 9, &[world.definition]).await.unwrap();
    world.store.bury(SECOND).await.unwrap();
    let stale = world.step(&head, "check", "good", json!(1));
    world.go(&head, "check", "bad").await;
    world.store.commit(vec![stale]).await.unwrap();
    let head = world.waiting().await;
    let run = head.meta.run;
    world.send(world.signal(run, Some("s"), json!(1))).await;
    world.send(world.signal(run, Some("s"), json!(1))).await;
    world.store.mail(&[run]).await.unwrap();
    world.wake().await;
    world.next_due().await;
    world.store.standing().await.unwrap();
    world.repo.write(Statement::new("UPDATE wf_mail SET definition_id = NULL")).await.unwrap();
    world.store.adopt().await.unwrap();
    world.store.load_with_history(&[run]).await.unwrap();
    world.store.history(run, PageSize::DEFAULT, None).await.unwrap();
    world.store.position(run).await.unwrap();
    let noted = json!({"seen": true}).as_object().unwrap().clone();
    let head = world.commit(world.commit_of(&head, Input::Noted { attributes: noted, result: None })).await;
    world.store.list(&Filter::new().tag("sales"), Order::Newest, PageSize::DEFAULT, None).await.unwrap();
    let head = world.commit(world.commit_of(&head, Input::Pause)).await;
    world.read_mail(run).await;
    world.store.settle(&[task.key], &[]).await.unwrap();
    world.store.ended(head.meta.run).await.unwrap();
    world.store.get(run).await.unwrap();
    world.store.definition_of(run).await.unwrap();
    world.store.counts().await.unwrap();
    world.store.held(world.node, 9).await.unwrap();
    world.store.queues().await.unwrap();
    world.store.nodes().await.unwrap();
    world.store.schedules().await.unwrap();
    live_nodes(&repo).await.unwrap();
    let caller = mainstay_core::Caller::system(mainstay_core::Actor::new("ada").unwrap());
    let control = Control::of(world.store.clone(), Arc::clone(&world.clock) as _).acting(caller);
    control.pause_workflow(Some("order")).await.unwrap();
    control.resume_workflow(Some("order")).await.unwrap();
    control.acts(None, PageSize::DEFAULT, None).await.unwrap();
    world.store.pause_workflow(None, world.now()).await.unwrap();
    world.begin().await;
    world.claim(world.node, "default", 9).await;
    world.store.resume_workflow(None).await.unwrap();
    world.store.schedules_due(world.now(), vec!["order".into()], None, 9).await.unwrap();
    world.clock.advance(SECOND);
    world.store.prune(world.now(), 9).await.unwrap();
    world.store.prune_acts(world.now(), 9).await.unwrap();
    world.store.leave(world.node).await.unwrap();
    let statements = watch.0.lock().unwrap().clone();
    assert!(statements.len() >= 52, "{}: {:?}", statements.len(), statements.keys());
    (world, statements)
}

async fn explain(world: &World, statement: &Statement) -> Vec<String> {
    let dialect = world.repo.dialect();
    let word = if dialect == Dialect::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN (COSTS OFF)" };
    let text = format!("{word} {}", statement.sql().text(dialect));
    let explain = Statement::new(Sql::dynamic(text.clone(), text)).bind_all(statement.params().to_vec());
    let mut tx = world.repo.begin().await.unwrap();
    if dialect == Dialect::Postgres {
        // A small table is read as a whole, however good its indexes: here the question is whether they can be used.
        tx.read(Statement::new("SELECT set_config('enable_seqscan', 'off', true)")).await.unwrap();
    }
    let rows: Vec<Row> = tx.read(explain).await.unwrap();
    tx.rollback().await.unwrap();
    let column = if dialect == Dialect::Sqlite { "detail" } else { "QUERY PLAN" };
    rows.iter().map(|row| row.get(column).unwrap()).collect()
}

/// Lists of what is few: kinds of things, not things.
const FEW: [&str; 4] =
    ["workflow.nodes", "workflow.live_nodes", "workflow.schedules", "workflow.definition_find"];

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    for_each_database(async |database| {
        let (world, statements) = everything(database).await;
        for (name, statement) in statements {
            if FEW.contains(&name.as_str()) {
                continue;
            }
            for line in explain(&world, &statement).await {
                let reads_all = match world.repo.dialect() {
                    Dialect::Sqlite => line.starts_with("SCAN wf_") && !line.contains("USING"),
                    _ => line.contains("Seq Scan on wf_"),
                };
                assert!(!reads_all, "{name}: {line}");
            }
        }
    })
    .await;
}

/// SQLite's plans in full: a change of any of them is seen.
#[tokio::test]
async fn the_plans_of_sqlite_are_known() {
    let database = TestDatabase::sqlite();
    let (world, statements) = everything(&database).await;
    let mut text = String::new();
    for (name, statement) in &statements {
        writeln!(text, "{name}").unwrap();
        for line in explain(&world, statement).await {
            writeln!(text, "  {line}").unwrap();
        }
    }
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/plans.sqlite.txt"), &text);
}

/// PostgreSQL's in a form that does not change with costs and the size of tables: how each statement comes to the rows of each table when
/// it may not read it as a whole.
#[tokio::test]
async fn the_plans_of_postgres_are_known() {
    let database = TestDatabase::postgres();
    let (world, statements) = everything(&database).await;
    let mut text = String::new();
    for (name, statement) in &statements {
        writeln!(text, "{name}").unwrap();
        for way in ways(&explain(&world, statement).await) {
            writeln!(text, "  {way}").unwrap();
        }
    }
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/plans.postgres.txt"), &text);
}

/// The ways to rows that a plan of PostgreSQL takes, each once.
fn ways(plan: &[String]) -> BTreeSet<String> {
    let mut ways = BTreeSet::new();
    for line in plan {
        let line = line.trim_start_matches([' ', '-', '>']);
        let after = |mark: &str| {
            Some(line.split_once(mark)?.1.split_whitespace().next().unwrap_or_default().to_owned())
        };
        if let Some(index) = after("Scan using ")
            .or_else(|| after("Scan Backward using "))
            .or_else(|| after("Bitmap Index Scan on "))
        {
            ways.insert(format!("by {index}"));
        } else if let Some(table) = after("Tid Scan on ") {
            ways.insert(format!("by the place in {table}"));
        } else if let Some(table) = after("Seq Scan on ") {
            ways.insert(format!("all of {table}"));
        }
    }
    ways
}

/// Each search names the index that gives its candidates.
#[tokio::test]
async fn searches_use_the_index_that_is_meant_for_them() {
    for_each_database(async |database| {
        let watch = Watch::default();
        World::new(database).await;
        let repo = database.options().with(watch.clone()).connect().await.unwrap();
        let world = World::on(repo, "tests", super::support::flow()).await;
        let cases = [
            (
                Filter::new().context("context.initial.order_id", json!(123)).unwrap(),
                "wf_terms",
                "wf_contexts_context_idx",
            ),
            (Filter::new().id("orderid::a"), "wf_runs_key_idx", "wf_runs_key_idx"),
            (Filter::new().status(Status::Failed), "wf_runs_status_idx", "wf_runs_status_idx"),
            (
                Filter::new().status_in([Status::Failed, Status::Running]),
                "wf_runs_status_idx",
                "wf_runs_status_idx",
            ),
            (
                Filter::new().workflow("order").workflow_version(1),
                "wf_runs_workflow_idx",
                "wf_runs_workflow_idx",
            ),
            (Filter::new().tag("sales"), "wf_runs_workflow_idx", "wf_runs_workflow_idx"),
            (Filter::new().parent(world.begin().await.meta.run), "wf_runs_parent_idx", "wf_runs_parent_idx"),
        ];
        for (filter, sqlite, postgres) in cases {
            world.store.list(&filter, Order::Newest, PageSize::DEFAULT, None).await.unwrap();
            let statement = watch.0.lock().unwrap().get("workflow.list").unwrap().clone();
            let plan = explain(&world, &statement).await.join("\n");
            let index = if world.repo.dialect() == Dialect::Sqlite { sqlite } else { postgres };
            assert!(plan.contains(index), "{filter:?}:\n{plan}");
            // What is sorted is a few candidates, or one page for each status.
            let sorts = plan.contains("TEMP B-TREE");
            assert!(!sorts || plan.contains("wf_terms") || plan.contains("UNION ALL"), "{filter:?}:\n{plan}");
        }
    })
    .await;
}
