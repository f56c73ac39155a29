//! What two transactions do at the same time. On PostgreSQL one waits for the other's rows and goes on with what they have become; here
//! the other one is held open until the first one waits. SQLite lets one transaction write at a time.

use std::time::Duration;

use mainstay_repo::{Repo, Statement, Transaction};
use mainstay_testkit::{PostgresDatabase, TestDatabase};
use mainstay_workflow::store::*;
use mainstay_workflow::*;
use serde_json::Value;

use super::support::{SECOND, World};

/// Somebody else's transaction that has written and not committed.
async fn other(repo: &Repo, statement: Statement) -> Transaction {
    let mut transaction = repo.begin().await.unwrap();
    transaction.write(statement).await.unwrap();
    transaction
}

/// Waits until a statement of this database waits for a row.
async fn waits(repo: &Repo) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..2_000 {
        let row: mainstay_repo::Row = repo.read_one(Statement::new(sql)).await.unwrap();
        if row.get_at::<i64>(0).unwrap() > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits: what is tested here did not happen");
}

/// Runs something of the store that has to wait for a transaction, and ends this one meanwhile.
async fn beside<T: Send + 'static>(
    repo: &Repo,
    transaction: Transaction,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let work = tokio::spawn(work);
    waits(repo).await;
    transaction.commit().await.unwrap();
    work.await.unwrap()
}

async fn world() -> (World, TestDatabase) {
    let database = TestDatabase::Postgres(PostgresDatabase::create());
    (World::new(&database).await, database)
}

fn limits(concurrency: u32) -> QueueLimits {
    QueueLimits { concurrency: Some(concurrency), ..QueueLimits::default() }
}

fn leased_to(node: i64) -> Statement {
    Statement::new("UPDATE wf_tasks SET state = 2, node_id = $1").bind(node)
}

#[tokio::test]
async fn a_task_that_is_claimed_while_it_is_taken_back_is_marked() {
    let (world, _database) = world().await;
    let head = world.begin().await;
    let claims = other(&world.repo, leased_to(77)).await;
    let cancel = world.commit_of(&head, Input::Cancel { reason: "enough".into() });
    let store = world.store.clone();
    let committed =
        beside(&world.repo, claims, async move { store.commit(vec![cancel]).await.unwrap() }).await;
    assert!(matches!(committed[..], [Committed::Done(_)]));
    assert_eq!(
        world.count("SELECT count(*) FROM wf_tasks WHERE revoked AND state = 2 AND node_id = 77").await,
        1
    );
}

#[tokio::test]
async fn a_task_that_is_taken_over_while_it_is_answered_goes() {
    let (world, _database) = world().await;
    let head = world.begin().await;
    let takes = other(&world.repo, leased_to(77)).await;
    let ends = world.step(&head, "check", "bad", Value::Null);
    let store = world.store.clone();
    beside(&world.repo, takes, async move { store.commit(vec![ends]).await.unwrap() }).await;
    assert_eq!(world.tasks().await, 0);
}

#[tokio::test]
async fn what_is_released_while_it_is_taken_back_is_in_nobodys_hands() {
    let (world, _database) = world().await;
    world.begin().await;
    let task = world.claim(world.node, "default", 1).await.remove(0);
    let revokes = other(&world.repo, Statement::new("UPDATE wf_tasks SET revoked = true")).await;
    let (store, node, now, key) = (world.store.clone(), world.node, world.now(), task.key.clone());
    beside(&world.repo, revokes, async move { store.release(node, &[key], now).await.unwrap() }).await;
    assert_eq!(world.count("SELECT count(*) FROM wf_tasks WHERE node_id IS NULL AND revoked").await, 1);
    // And one that is begun in this moment is begun.
    let task = world.claim(world.node, "default", 1).await.remove(0);
    let revokes = other(&world.repo, Statement::new("UPDATE wf_tasks SET revoked = true")).await;
    let (store, key) = (world.store.clone(), task.key.clone());
    let begun = beside(&world.repo, revokes, async move { store.begin(node, &[key]).await.unwrap() }).await;
    assert_eq!(begun, [task.key]);
}

#[tokio::test]
async fn concurrency_holds_for_nodes_that_claim_at_once() {
    let (world, _database) = world().await;
    let starts = (0..10).map(|_| world.start_with(Value::Null)).collect();
    world.store.start(&world.flow, starts).await.unwrap();
    world.store.queue_set("default", limits(3)).await.unwrap();
    // Another node's claim, which has not committed: it holds the limits and takes all that they allow.
    let mut claims = other(&world.repo, Statement::new("UPDATE wf_queues SET granted = 3")).await;
    let three = "UPDATE wf_tasks SET state = 2, node_id = 77 WHERE run_id IN (SELECT run_id FROM wf_tasks ORDER BY run_id LIMIT 3)";
    claims.write(Statement::new(three)).await.unwrap();
    let (store, node, now, definition) = (world.store.clone(), world.node, world.now(), world.definition);
    let claimed = beside(&world.repo, claims, async move {
        let claim = Claim { node, now, queues: &[("default", 9)], definitions: &[definition] };
        store.claim(&claim).await.unwrap().len()
    });
    assert_eq!(claimed.await, 0);
}

#[tokio::test]
async fn claims_wait_for_queues_in_one_order() {
    let (world, _database) = world().await;
    for queue in ["a", "b"] {
        world.store.queue_set(queue, limits(3)).await.unwrap();
    }
    let holds = other(&world.repo, Statement::new("UPDATE wf_queues SET granted = 0 WHERE name = 'a'")).await;
    let (store, node, now, definition) = (world.store.clone(), world.node, world.now(), world.definition);
    let claim = tokio::spawn(async move {
        let claim = Claim { node, now, queues: &[("b", 1), ("a", 1)], definitions: &[definition] };
        store.claim(&claim).await.unwrap()
    });
    waits(&world.repo).await;
    // It waits for the first, and does not hold the second meanwhile.
    let mut third = world.repo.begin().await.unwrap();
    let free = Statement::new("SELECT name FROM wf_queues WHERE name = 'b' FOR UPDATE NOWAIT");
    assert_eq!(third.read(free).await.unwrap().len(), 1);
    third.commit().await.unwrap();
    holds.commit().await.unwrap();
    tokio::time::timeout(60 * SECOND, claim).await.unwrap().unwrap();
}
