//! Deadlines: `Timeout` means that nothing was written, `Unknown` that it is not known; nobody hangs.

use std::time::Duration;

use mainstay_repo::{Batch, Capability, ErrorKind, Priority, RequestId, Sql, Statement, Topology as _};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, check_error, create_kv, kind, n_of, put, soon};

on_every_database!(
    a_deadline_in_the_past_runs_nothing,
    a_slow_read_ends,
    a_slow_write_ends_and_says_the_truth,
    a_deadline_while_waiting_for_a_turn,
    low_priority_is_capped_where_it_can_be,
    a_generous_deadline_changes_nothing,
);

/// About a minute of work for either database.
const SLOW_READ: Sql = Sql::per_dialect(
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000000000) SELECT count(*) AS n FROM c",
    "SELECT count(*) AS n FROM pg_sleep(60)",
);
const SLOW_WRITE: Sql = Sql::per_dialect(
    "INSERT INTO kv (id, n) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000000000) \
     SELECT 1, count(*) FROM c",
    "INSERT INTO kv (id, n) SELECT 1, 1 FROM pg_sleep(60)",
);

async fn a_deadline_in_the_past_runs_nothing(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let late = repo.clone().within(Duration::ZERO);
    for id in 0..20 {
        let mut batch = Batch::new("late");
        batch.push(put(id, 1));
        let error = soon(late.batch(batch)).await.unwrap_err();
        check_error(&error, &ErrorKind::Timeout, &["deadline", "not run"]);
        assert_eq!(kind(&soon(late.write(put(id, 1))).await.unwrap_err()), ErrorKind::Timeout);
        assert_eq!(
            kind(&soon(late.read(Statement::new("SELECT 1 AS one"))).await.unwrap_err()),
            ErrorKind::Timeout
        );
        assert_eq!(kind(&soon(late.begin()).await.unwrap_err()), ErrorKind::Timeout);
    }
    repo.write(put(99, 99)).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(99, 99)]);
}

async fn a_slow_read_ends(db: &TestDatabase) {
    let repo = db.repo().await;
    let hurried = repo.clone().within(Duration::from_millis(200));
    let slow: Vec<_> = (0..6)
        .map(|_| {
            let hurried = hurried.clone();
            tokio::spawn(async move { hurried.read(Statement::new(SLOW_READ)).await })
        })
        .collect();
    for task in slow {
        let error = soon(task).await.unwrap().unwrap_err();
        check_error(&error, &ErrorKind::Timeout, &["deadline"]);
    }
    // The readers are free again.
    for _ in 0..20 {
        soon(repo.read(Statement::new("SELECT 1 AS one"))).await.unwrap();
    }
}

async fn a_slow_write_ends_and_says_the_truth(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let request_id = RequestId::generate(&mainstay_core::SystemClock);
    let hurried = repo.clone().within(Duration::from_millis(200)).with_request_id(request_id);
    let error = soon(hurried.write(Statement::new(SLOW_WRITE))).await.unwrap_err();
    let was_unknown = match error.kind() {
        ErrorKind::Timeout => false,
        ErrorKind::Unknown { request_id: named } => {
            assert_eq!(*named, request_id);
            true
        }
        other => panic!("{other:?}"),
    };
    soon(repo.write(put(2, 2))).await.unwrap();
    if !was_unknown {
        assert_eq!(n_of(&repo, 1).await, None, "nothing was to be written");
    }
}

async fn a_deadline_while_waiting_for_a_turn(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 0)).await.unwrap();
    let mut tx = repo.begin().await.unwrap();
    tx.write(Statement::new("UPDATE kv SET n = 100 WHERE id = 1")).await.unwrap();
    // It waits for the row, or for the only writer.
    let hurried = repo.clone().within(Duration::from_millis(100));
    let error =
        soon(hurried.write(Statement::new("UPDATE kv SET n = n + 1 WHERE id = 1"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unknown { .. }), "{error:?}");
    tx.commit().await.unwrap();
    soon(repo.write(Statement::new("UPDATE kv SET n = n WHERE id = 1"))).await.unwrap();
    let n = n_of(&repo, 1).await.unwrap();
    assert!(n == 100 || (n == 101 && error.is_unknown()), "{n} after {error:?}");
}

async fn low_priority_is_capped_where_it_can_be(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let low = repo.clone().with_priority(Priority::Low { cap: Duration::from_millis(200) });
    soon(low.write(put(1, 1))).await.unwrap();
    let mut batch = Batch::new("low");
    batch.push(put(2, 2));
    soon(low.batch(batch)).await.unwrap();
    if repo.has(Capability::StatementCap) {
        let error = soon(low.write(Statement::new(SLOW_WRITE))).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Timeout, "{error:?}");
    }
    soon(repo.write(put(3, 3))).await.unwrap();
    assert_eq!(all_kv(&repo).await, [(1, 1), (2, 2), (3, 3)]);
}

async fn a_generous_deadline_changes_nothing(db: &TestDatabase) {
    let repo = db.repo().await.within(Duration::from_secs(86_400 * 365));
    create_kv(&repo).await;
    repo.write(put(1, 1)).await.unwrap();
    assert_eq!(n_of(&repo, 1).await, Some(1));
}
