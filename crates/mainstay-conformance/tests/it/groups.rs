//! Many callers in one commit: the failure of one is its own.

use std::time::Duration;

use futures_util::future::join_all;
use mainstay_repo::{Batch, ConstraintKind, ErrorKind, Expect, Repo, Sql, Statement};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, create_kv, ddl, kind, n_of, put, soon};

on_every_database!(
    a_conflict_is_its_own,
    a_failed_condition_is_its_own,
    a_failure_at_commit_is_its_own,
    a_trigger_that_undoes_everything_is_its_own,
    merged_statements_are_still_single,
    a_caller_that_leaves_is_its_own,
    readers_see_what_was_acknowledged,
    many_waiting_writers,
);

/// Runs all at once, on tasks of their own, and gives the results in order.
async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    soon(join_all(running)).await.into_iter().map(|result| result.unwrap()).collect()
}

fn write(
    repo: &Repo,
    statement: Statement,
) -> impl Future<Output = mainstay_repo::Result<u64>> + Send + 'static {
    let repo = repo.clone();
    async move { repo.write(statement).await.map(|written| written.rows_affected()) }
}

async fn a_conflict_is_its_own(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    repo.write(put(0, 0)).await.unwrap();
    for round in 0..5_i64 {
        let results = at_once((0..64_i64).map(|place| {
            let id = if place % 4 == 3 { 0 } else { 1 + round * 64 + place };
            write(&repo, put(id, place))
        }))
        .await;
        for (place, result) in results.iter().enumerate() {
            match result {
                Ok(rows) => assert!(place % 4 != 3 && *rows == 1, "{place}"),
                Err(error) => {
                    assert!(place % 4 == 3 && error.conflict() == Some("kv_pkey"), "{place} {error:?}")
                }
            }
        }
    }
    assert_eq!(all_kv(&repo).await.len(), 1 + 5 * 48);
}

async fn a_failed_condition_is_its_own(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let results = at_once((0..64_i64).map(|place| {
        let repo = repo.clone();
        async move {
            let mut batch = Batch::new("pair");
            batch.push(put(place * 2, 1));
            batch.expect(Expect::Rows(u64::from(place % 3 != 0)), put(place * 2 + 1, 1));
            repo.batch(batch).await
        }
    }))
    .await;
    let good: Vec<i64> = (0..64).filter(|place| place % 3 != 0).collect();
    for (place, result) in results.iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(place % 3, 0),
            Err(error) => assert_eq!((place % 3, error.condition_failed()), (0, Some(1)), "{error:?}"),
        }
    }
    let expected: Vec<(i64, i64)> =
        good.iter().flat_map(|place| [(place * 2, 1), (place * 2 + 1, 1)]).collect();
    assert_eq!(all_kv(&repo).await, expected);
}

async fn a_failure_at_commit_is_its_own(db: &TestDatabase) {
    let repo = db.repo().await;
    ddl(
        &repo,
        &[
            (
                "CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT",
                "CREATE TABLE parents (id bigint PRIMARY KEY)",
            ),
            (
                "CREATE TABLE kids (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents (id) \
                 DEFERRABLE INITIALLY DEFERRED) STRICT",
                "CREATE TABLE kids (id bigint PRIMARY KEY, parent bigint NOT NULL REFERENCES parents (id) \
                 DEFERRABLE INITIALLY DEFERRED)",
            ),
        ],
    )
    .await;
    let results = at_once((0..64_i64).map(|place| {
        let repo = repo.clone();
        async move {
            let mut batch = Batch::new("deferred");
            batch.push(Statement::new("INSERT INTO kids (id, parent) VALUES ($1, $1)").bind(place));
            if place % 8 != 0 {
                batch.push(Statement::new("INSERT INTO parents (id) VALUES ($1)").bind(place));
            }
            repo.batch(batch).await
        }
    }))
    .await;
    for (place, result) in results.iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(place % 8, 0, "a kid without a parent was acknowledged"),
            Err(error) => {
                assert_eq!(place % 8, 0, "{error:?}");
                let foreign = matches!(
                    error.kind(),
                    ErrorKind::Constraint { constraint: ConstraintKind::ForeignKey, .. }
                );
                assert!(foreign, "{error:?}");
            }
        }
    }
    assert_eq!(repo.read(Statement::new("SELECT id FROM kids")).await.unwrap().len(), 56);
}

async fn a_trigger_that_undoes_everything_is_its_own(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    ddl(
        &repo,
        &[
            (
                "CREATE TRIGGER no_sevens BEFORE INSERT ON kv WHEN new.n % 7 = 0 \
                 BEGIN SELECT RAISE(ROLLBACK, 'sevens are refused'); END",
                "CREATE FUNCTION no_sevens() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF new.n % 7 = 0 THEN RAISE 'sevens are refused'; END IF; RETURN new; END $$",
            ),
            ("", "CREATE TRIGGER no_sevens BEFORE INSERT ON kv FOR EACH ROW EXECUTE FUNCTION no_sevens()"),
        ],
    )
    .await;
    let results = at_once((0..64_i64).map(|n| write(&repo, put(n, n)))).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), n % 7 != 0, "{n} {result:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains("sevens are refused") && !error.is_unknown(), "{error:?}");
        }
    }
    let expected: Vec<(i64, i64)> = (0..64).filter(|n| n % 7 != 0).map(|n| (n, n)).collect();
    assert_eq!(all_kv(&repo).await, expected);
}

/// One row a caller; where the database can, many callers become one statement.
const MERGEABLE: Sql = Sql::mergeable(
    "INSERT INTO kv (id, n, tag) VALUES ($1, $2, $3)",
    "INSERT INTO kv (id, n, tag) VALUES ($1, $2, $3)",
    "INSERT INTO kv (id, n, tag) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])",
);

async fn merged_statements_are_still_single(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let put = |id: i64, tag: Option<String>| Statement::new(MERGEABLE).bind(id).bind(id).bind(tag);
    let results = at_once((0..200_i64).map(|id| write(&repo, put(id, Some(format!("t{id}")))))).await;
    assert!(results.iter().all(|result| matches!(result, Ok(1))), "{results:?}");
    let results = at_once((200..264_i64).map(|id| {
        let tag = match id % 16 {
            0 => Some("t0".to_owned()),
            1 => None,
            _ => Some(format!("日本 '{id}' \"x\" {{,}}")),
        };
        write(&repo, put(id, tag))
    }))
    .await;
    for (id, result) in (200..).zip(results) {
        match result {
            Ok(rows) => assert!(id % 16 != 0 && rows == 1),
            Err(error) => assert_eq!((id % 16, error.conflict()), (0, Some("kv_tag_key")), "{error:?}"),
        }
    }
    let stored = repo.read(Statement::new("SELECT tag FROM kv WHERE id = 203")).await.unwrap();
    assert_eq!(stored[0].get::<String>("tag").unwrap(), "日本 '203' \"x\" {,}");
    let stored = repo.read(Statement::new("SELECT tag FROM kv WHERE id = 209")).await.unwrap();
    assert_eq!(stored[0].get::<Option<String>>("tag").unwrap(), None);
    assert_eq!(all_kv(&repo).await.len(), 260);
}

async fn a_caller_that_leaves_is_its_own(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let results = at_once((0..128_i64).map(|id| {
        let repo = repo.clone();
        async move {
            let write = repo.write(put(id, id));
            if id % 2 == 0 {
                return write.await.map(|_| true);
            }
            let patience = Duration::from_micros(u64::try_from(id).unwrap() * 20);
            Ok(tokio::time::timeout(patience, write).await.is_ok_and(|result| result.is_ok()))
        }
    }))
    .await;
    for (id, result) in (0..).zip(&results) {
        assert!(result.is_ok(), "{result:?}");
        if let Ok(true) = result {
            assert_eq!(n_of(&repo, id).await, Some(id), "{id} was acknowledged");
        }
    }
}

async fn readers_see_what_was_acknowledged(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    at_once((0..16_i64).map(|task| {
        let repo = repo.clone();
        async move {
            for number in 0..25 {
                let id = task * 100 + number;
                repo.write(put(id, id)).await.unwrap();
                assert_eq!(n_of(&repo, id).await, Some(id), "an acknowledged write is not read back");
            }
        }
    }))
    .await;
}

async fn many_waiting_writers(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    // Three times as many as the queue has places.
    let results = at_once((0..12_000_i64).map(|id| write(&repo, put(id, id)))).await;
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).map(|error| kind(&error)).collect();
    assert_eq!(errors, []);
    assert_eq!(all_kv(&repo).await.len(), 12_000);
}
