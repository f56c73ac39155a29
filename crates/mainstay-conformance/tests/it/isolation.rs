//! Concurrent callers: no lost update, no skew past a condition, reads in one snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use mainstay_repo::{Batch, ErrorKind, Expect, Repo, Row, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{create_kv, n_of, put, scalar, soon};

on_every_database!(
    increments_are_not_lost,
    guarded_updates_are_not_lost,
    transactions_do_not_lose_updates,
    a_condition_prevents_write_skew,
    several_reads_are_one_snapshot,
    an_open_transaction_is_not_seen,
);

async fn all(tasks: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    for result in soon(join_all(tasks.map(tokio::spawn).collect::<Vec<_>>())).await {
        result.unwrap();
    }
}

async fn increments_are_not_lost(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 0)).await.unwrap();
    all((0..32).map(|_| {
        let repo = repo.clone();
        async move {
            for _ in 0..25 {
                repo.write(Statement::new("UPDATE kv SET n = n + 1 WHERE id = 1")).await.unwrap();
            }
        }
    }))
    .await;
    assert_eq!(n_of(&repo, 1).await, Some(800));
}

async fn guarded_updates_are_not_lost(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 0)).await.unwrap();
    all((0..8).map(|_| {
        let repo = repo.clone();
        async move {
            for _ in 0..10 {
                while !try_guarded(&repo).await {}
            }
        }
    }))
    .await;
    assert_eq!(n_of(&repo, 1).await, Some(80));
}

/// Reads, computes and writes if nothing has changed in between.
async fn try_guarded(repo: &Repo) -> bool {
    let old = n_of(repo, 1).await.unwrap();
    let mut batch = Batch::new("guarded");
    let update = Statement::new("UPDATE kv SET n = $1 WHERE id = 1 AND n = $2").bind(old + 1).bind(old);
    batch.expect(Expect::ONE, update);
    match repo.batch(batch).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.condition_failed(), Some(0), "{error:?}");
            false
        }
    }
}

async fn transactions_do_not_lose_updates(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 0)).await.unwrap();
    all((0..8).map(|_| {
        let repo = repo.clone();
        async move {
            for _ in 0..5 {
                while !try_transaction(&repo).await {}
            }
        }
    }))
    .await;
    assert_eq!(n_of(&repo, 1).await, Some(40));
}

/// Looks before it writes; a database that cannot keep the two apart from others says that it is busy.
async fn try_transaction(repo: &Repo) -> bool {
    let attempt = async {
        let mut tx = repo.begin().await?;
        let row: Row = tx.read_one(Statement::new("SELECT n FROM kv WHERE id = 1")).await?;
        let n: i64 = row.get("n")?;
        tokio::task::yield_now().await;
        tx.write(Statement::new("UPDATE kv SET n = $1 WHERE id = 1").bind(n + 1)).await?;
        tx.commit().await
    };
    match attempt.await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::Busy, "{error:?}");
            false
        }
    }
}

async fn a_condition_prevents_write_skew(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    for round in 0..20_i64 {
        let (first, second) = (round * 2, round * 2 + 1);
        repo.write(put(first, 1)).await.unwrap();
        repo.write(put(second, 1)).await.unwrap();
        // Each may leave only while the other is on duty; the rows are touched, so that each sees the other.
        let leave = |who: i64, other: i64| {
            let repo = repo.clone();
            async move {
                let mut batch = Batch::new("leave");
                batch.expect(
                    Expect::Rows(2),
                    Statement::new("UPDATE kv SET n = n WHERE id IN ($1, $2) AND n = 1")
                        .bind(first)
                        .bind(second),
                );
                batch.expect(Expect::ONE, Statement::new("UPDATE kv SET n = 0 WHERE id = $1").bind(who));
                match repo.batch(batch).await {
                    Ok(_) => true,
                    Err(error) => {
                        assert!(
                            error.condition_failed() == Some(0) || error.is_retryable(),
                            "{other} {error:?}"
                        );
                        false
                    }
                }
            }
        };
        let (one, two) = soon(async { tokio::join!(leave(first, second), leave(second, first)) }).await;
        assert!(one != two || !one, "both left");
        let on_duty =
            Statement::new("SELECT count(*) FROM kv WHERE id IN ($1, $2) AND n = 1").bind(first).bind(second);
        assert!(scalar::<i64>(&repo, on_duty).await >= 1);
    }
}

async fn several_reads_are_one_snapshot(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(1, 500)).await.unwrap();
    repo.write(put(2, 500)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (repo, stop) = (repo.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut moved = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = if moved.is_multiple_of(2) { (1_i64, 2_i64) } else { (2, 1) };
                let mut batch = Batch::new("move");
                batch.push(Statement::new("UPDATE kv SET n = n - 100 WHERE id = $1").bind(from));
                batch.push(Statement::new("UPDATE kv SET n = n + 100 WHERE id = $1").bind(to));
                repo.batch(batch).await.unwrap();
                moved += 1;
            }
            moved
        })
    };
    let one = |id: i64| Statement::new("SELECT n FROM kv WHERE id = $1").bind(id);
    let (mut different, mut last, mut rounds) = (0, 0, 0);
    soon(async {
        while rounds < 500 || different < 20 {
            let results = repo.read_many(vec![one(1), one(2), one(1)]).await.unwrap();
            let n: Vec<i64> = results.iter().map(|rows| rows[0].get("n").unwrap()).collect();
            assert_eq!((n[0] + n[1], n[0]), (1_000, n[2]), "{n:?} in round {rounds}");
            different += usize::from(n[0] != last);
            last = n[0];
            rounds += 1;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() >= 10);
}

async fn an_open_transaction_is_not_seen(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let mut tx = repo.begin().await.unwrap();
    tx.write(put(1, 1)).await.unwrap();
    assert_eq!(soon(n_of(&repo, 1)).await, None);
    tx.commit().await.unwrap();
    assert_eq!(n_of(&repo, 1).await, Some(1));
}
