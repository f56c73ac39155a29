//! A caller that leaves at any await point leaves all or nothing behind, and nobody else notices.

use std::time::Duration;

use mainstay_repo::{Batch, Expect, Repo, Row, Statement};
use mainstay_testkit::{Polled, Random, TestDatabase, at_most_polls};

use crate::support::{create_kv, n_of, put, soon};

on_every_database!(
    a_write_at_every_await,
    a_batch_at_every_await,
    a_read_at_every_await,
    a_transaction_at_every_await,
    batches_at_random_moments,
    opening_and_migrating_at_every_await,
);

/// More await points than any operation has.
const MOST_POLLS: usize = 200;

fn pair(id: i64) -> Batch {
    let mut batch = Batch::new("pair");
    let first = batch.push(Statement::new("INSERT INTO kv (id, n) VALUES ($1, 1) RETURNING n").bind(id));
    batch.expect(
        Expect::ONE,
        Statement::new("INSERT INTO kv (id, n) VALUES ($1, $2)").bind(id + 1).bind(first.column("n")),
    );
    batch
}

/// How many of the two rows are there, in one snapshot.
async fn rows_of_pair(repo: &Repo, id: i64) -> usize {
    let find = Statement::new("SELECT id FROM kv WHERE id IN ($1, $2)").bind(id).bind(id + 1);
    soon(repo.read(find)).await.unwrap().len()
}

/// Runs an operation with ever more polls until it ends by itself; after each, others must get on.
async fn at_every_await<T>(repo: &Repo, mut operation: impl AsyncFnMut(usize) -> Polled<T>) -> usize {
    for polls in 0..MOST_POLLS {
        let polled = soon(operation(polls)).await;
        let id = -1 - i64::try_from(polls).unwrap();
        soon(repo.write(put(id, 0))).await.unwrap();
        assert_eq!(soon(n_of(repo, id)).await, Some(0));
        if let Polled::Ready(_) = polled {
            return polls;
        }
    }
    panic!("it did not end within {MOST_POLLS} polls");
}

async fn a_write_at_every_await(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let polls = at_every_await(&repo, async |polls| {
        let polled = at_most_polls(polls, repo.write(put(i64::try_from(polls).unwrap(), 7))).await;
        if let Polled::Ready(result) = &polled {
            assert!(result.is_ok(), "{result:?}");
        }
        polled
    })
    .await;
    assert!(polls >= 2, "the last one waited at least once");
    assert_eq!(n_of(&repo, i64::try_from(polls).unwrap()).await, Some(7));
    assert_eq!(n_of(&repo, 0).await, None, "what was never polled never ran");
}

async fn a_batch_at_every_await(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let id_of = |polls: usize| i64::try_from(polls).unwrap() * 2;
    let polls = at_every_await(&repo, async |polls| {
        let polled = at_most_polls(polls, repo.batch(pair(id_of(polls)))).await;
        assert_ne!(rows_of_pair(&repo, id_of(polls)).await, 1, "half a batch after {polls} polls");
        polled
    })
    .await;
    for polls in 0..=polls {
        assert_ne!(rows_of_pair(&repo, id_of(polls)).await, 1, "half a batch after {polls} polls");
    }
    assert_eq!(rows_of_pair(&repo, id_of(polls)).await, 2);
}

async fn a_read_at_every_await(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    for _ in 0..10 {
        at_every_await_reading(&repo).await;
    }
}

async fn at_every_await_reading(repo: &Repo) {
    for polls in 0..MOST_POLLS {
        let several = vec![Statement::new("SELECT count(*) AS n FROM kv"), Statement::new("SELECT 1 AS one")];
        if let Polled::Ready(result) = soon(at_most_polls(polls, repo.read_many(several))).await {
            assert_eq!(result.unwrap().len(), 2);
            return;
        }
    }
    panic!("it did not end within {MOST_POLLS} polls");
}

async fn a_transaction_at_every_await(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let id_of = |polls: usize| i64::try_from(polls).unwrap() * 2;
    let polls = at_every_await(&repo, async |polls| {
        let id = id_of(polls);
        let whole = async {
            let mut tx = repo.begin().await.unwrap();
            tx.write(put(id, 1)).await.unwrap();
            let seen: Row =
                tx.read_one(Statement::new("SELECT n FROM kv WHERE id = $1").bind(id)).await.unwrap();
            assert_eq!(seen.get::<i64>("n").unwrap(), 1);
            tx.write(put(id + 1, 1)).await.unwrap();
            tx.commit().await.unwrap();
        };
        at_most_polls(polls, whole).await
    })
    .await;
    for polls in 0..=polls {
        assert_ne!(rows_of_pair(&repo, id_of(polls)).await, 1, "half a transaction after {polls} polls");
    }
    assert_eq!(rows_of_pair(&repo, id_of(polls)).await, 2);
}

async fn batches_at_random_moments(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let mut random = Random::from_environment("batches_at_random_moments");
    let mut running = Vec::new();
    for number in 0..300_i64 {
        let (repo, patience) = (repo.clone(), Duration::from_micros(random.below(3_000)));
        running.push(tokio::spawn(async move {
            let ended = tokio::time::timeout(patience, repo.batch(pair(number * 2))).await;
            assert_ne!(rows_of_pair(&repo, number * 2).await, 1, "half a batch");
            if let Ok(result) = ended {
                result.unwrap();
                assert_eq!(rows_of_pair(&repo, number * 2).await, 2, "an acknowledged batch is not there");
            }
        }));
    }
    for task in running {
        soon(task).await.unwrap();
    }
    soon(repo.write(put(-1, 1))).await.unwrap();
    for number in 0..300 {
        assert_ne!(rows_of_pair(&repo, number * 2).await, 1, "half a batch");
    }
}

async fn opening_and_migrating_at_every_await(db: &TestDatabase) {
    let component = &mainstay_conformance::linked::COMPONENT;
    for polls in 0..MOST_POLLS {
        let whole = async {
            let repo = db.repo().await;
            repo.migrator().migrate(component, mainstay_repo::Target::Latest).await.unwrap();
            repo.close().await;
        };
        if soon(at_most_polls(polls, whole)).await == Polled::Ready(()) {
            break;
        }
    }
    let repo = soon(db.repo()).await;
    assert_eq!(repo.migrator().migrated_version(component).await.unwrap(), 1);
    soon(repo.batch(mainstay_conformance::linked::pair("a", 10))).await.unwrap();
}
