//! Interactive transactions: kept, undone, left, failed, and too long.

use std::time::Duration;

use mainstay_repo::{Batch, ErrorKind, Expect, Limits, Repo, Row, Statement, TransactionLimits};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, check_error, create_kv, kind, put, soon};

on_every_database!(
    what_is_committed_stays,
    what_is_not_committed_goes,
    it_sees_its_own_writes,
    after_an_error_only_rollback_is_left,
    batches_inside,
    it_may_not_idle,
    it_may_not_last,
    many_at_once,
);

async fn open(db: &TestDatabase, idle_ms: u64, total_ms: u64) -> Repo {
    let transaction =
        TransactionLimits { idle: Duration::from_millis(idle_ms), total: Duration::from_millis(total_ms) };
    let repo = db.options().with_limits(Limits { transaction, ..Limits::DEFAULT }).connect().await.unwrap();
    create_kv(&repo).await;
    repo
}

async fn what_is_committed_stays(db: &TestDatabase) {
    let repo = open(db, 10_000, 10_000).await;
    let mut tx = repo.begin().await.unwrap();
    assert_eq!(tx.dialect(), repo.dialect());
    let written = tx.write(Statement::new("INSERT INTO kv (id, n) VALUES (1, 2) RETURNING n")).await.unwrap();
    assert_eq!((written.rows_affected(), written.rows()[0].get::<i64>("n").unwrap()), (1, 2));
    tx.write(put(2, 4)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 2), (2, 4)]);
    let empty = repo.begin().await.unwrap();
    empty.commit().await.unwrap();
}

async fn what_is_not_committed_goes(db: &TestDatabase) {
    let repo = open(db, 10_000, 10_000).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    drop(tx);
    soon(repo.write(put(1, 9))).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 9)]);
    drop(repo.begin().await.unwrap());
    soon(repo.write(put(2, 9))).await.unwrap();
}

async fn it_sees_its_own_writes(db: &TestDatabase) {
    let repo = open(db, 10_000, 10_000).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 5)).await.unwrap();
    let n = || Statement::new("SELECT n FROM kv WHERE id = 1");
    assert_eq!(tx.read_one::<Row>(n()).await.unwrap().get::<i64>("n").unwrap(), 5);
    tx.write(Statement::new("UPDATE kv SET n = n + 1")).await.unwrap();
    assert_eq!(tx.read_one::<Row>(n()).await.unwrap().get::<i64>("n").unwrap(), 6);
    let none = Statement::new("SELECT n FROM kv WHERE id = 9");
    assert!(tx.read_optional::<Row>(none.clone()).await.unwrap().is_none());
    assert!(tx.read_one::<Row>(none).await.unwrap_err().is_not_found());
    tx.write(put(2, 2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 6), (2, 2)]);
}

async fn after_an_error_only_rollback_is_left(db: &TestDatabase) {
    let repo = open(db, 10_000, 10_000).await;
    repo.write(put(1, 1)).await.unwrap();
    for bad in [put(1, 1), put(3, -1), Statement::new("SELECT nonsense"), put(3, 3).bind(1_i64)] {
        for commits in [true, false] {
            let mut tx = repo.begin().await.unwrap();
            tx.write(put(2, 2)).await.unwrap();
            tx.write(bad.clone()).await.unwrap_err();
            let error = tx.write(put(4, 4)).await.unwrap_err();
            check_error(
                &error,
                &ErrorKind::InvalidInput,
                &["earlier statement", "rolled back", "begin another"],
            );
            assert_eq!(
                kind(&tx.read(Statement::new("SELECT 1 AS one")).await.unwrap_err()),
                ErrorKind::InvalidInput
            );
            if commits {
                let error = tx.commit().await.unwrap_err();
                assert_eq!(kind(&error), ErrorKind::InvalidInput, "{error:?}");
            } else {
                tx.rollback().await.unwrap();
            }
            assert_eq!(all_kv(&repo).await, [(1, 1)]);
        }
    }
}

async fn batches_inside(db: &TestDatabase) {
    let repo = open(db, 10_000, 10_000).await;
    let pair = |id: i64, expect: Expect| {
        let mut batch = Batch::new("inside");
        let first = batch.push(Statement::new("INSERT INTO kv (id, n) VALUES ($1, 8) RETURNING n").bind(id));
        batch.expect(
            expect,
            Statement::new("INSERT INTO kv (id, n) VALUES ($1, $2)").bind(id + 1).bind(first.column("n")),
        );
        batch
    };
    let mut tx = repo.begin().await.unwrap();
    assert_eq!(tx.batch(pair(1, Expect::ONE)).await.unwrap().written().len(), 2);
    assert!(tx.batch(Batch::new("empty")).await.unwrap().written().is_empty());
    tx.write(put(5, 5)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 8), (2, 8), (5, 5)]);
    let mut tx = repo.begin().await.unwrap();
    let error = tx.batch(pair(10, Expect::NONE)).await.unwrap_err();
    assert_eq!(error.condition_failed(), Some(1));
    assert_eq!(kind(&tx.write(put(7, 7)).await.unwrap_err()), ErrorKind::InvalidInput);
    assert!(tx.commit().await.is_err());
    assert_eq!(all_kv(&repo).await.len(), 3);
}

async fn it_may_not_idle(db: &TestDatabase) {
    let repo = open(db, 100, 20_000).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    // Another caller gets its turn although the transaction was never ended.
    soon(repo.write(put(1, 2))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = soon(tx.write(put(3, 3))).await.unwrap_err();
    check_error(&error, &ErrorKind::Timeout, &["rolled back", "idle", "100ms"]);
    let error = soon(tx.commit()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::InvalidInput), "{error:?}");
    assert_eq!(all_kv(&repo).await, [(1, 2)]);
}

async fn it_may_not_last(db: &TestDatabase) {
    let repo = open(db, 10_000, 400).await;
    let mut tx = repo.begin().await.unwrap();
    let mut id = 0;
    let error = soon(async {
        loop {
            id += 1;
            if let Err(error) = tx.write(put(id, 1)).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(id > 1, "the first statement is within the limit");
    check_error(&error, &ErrorKind::Timeout, &["rolled back", "400ms"]);
    drop(tx);
    soon(repo.write(put(1, 7))).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 7)]);

    let mut tx = repo.begin().await.unwrap();
    tx.write(put(2, 2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(soon(tx.commit()).await.is_err(), "a commit past the limit");
    assert_eq!(all_kv(&repo).await, [(1, 7)]);
}

async fn many_at_once(db: &TestDatabase) {
    let repo = open(db, 20_000, 20_000).await;
    let tasks: Vec<_> = (0..40_i64)
        .map(|id| {
            let repo = repo.clone();
            tokio::spawn(async move {
                let mut tx = repo.begin().await.unwrap();
                tx.write(put(id, id)).await.unwrap();
                match id % 3 {
                    0 => tx.commit().await.unwrap(),
                    1 => tx.rollback().await.unwrap(),
                    _ => drop(tx),
                }
                repo.write(put(id + 1_000, id)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    let kept = all_kv(&repo).await;
    let expected: Vec<(i64, i64)> = (0..40)
        .filter(|id| id % 3 == 0)
        .map(|id| (id, id))
        .chain((0..40).map(|id| (id + 1_000, id)))
        .collect();
    assert_eq!(kept, expected);
}
