//! What only the PostgreSQL driver does: merging, stepping aside for locks, living behind a pooler.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::time::{Duration, Instant};

use mainstay_repo::{
    Batch, Component, Durability, ErrorKind, Expect, Limits, Migration, Priority, Repo, RepoOptions, Row,
    Script, Sql, Statement, Target, TransactionLimits,
};
use mainstay_testkit::{PostgresDatabase, TestDatabase};

const PLAIN: &str =
    "INSERT INTO kv (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = kv.n + excluded.n";
const MERGEABLE: Sql = Sql::mergeable(
    PLAIN,
    PLAIN,
    "INSERT INTO kv (id, n) SELECT * FROM unnest($1::bigint[], $2::bigint[])
     ON CONFLICT (id) DO UPDATE SET n = kv.n + excluded.n",
);

async fn open(db: &TestDatabase, options: &str) -> Repo {
    let separator = if db.url().contains('?') { '&' } else { '?' };
    let repo = Repo::connect(&format!("{}{separator}{options}", db.url())).await.unwrap();
    repo.write(Statement::new("CREATE TABLE IF NOT EXISTS kv (id bigint PRIMARY KEY, n bigint NOT NULL)"))
        .await
        .unwrap();
    repo
}

async fn sum(repo: &Repo) -> (i64, i64) {
    let statement = Statement::new("SELECT count(*) AS rows, coalesce(sum(n), 0)::bigint AS sum FROM kv");
    let row: Row = repo.read_one(statement).await.unwrap();
    (row.get("rows").unwrap(), row.get("sum").unwrap())
}

/// Sends many upserts at the same moment, over so many keys.
async fn upsert_many(repo: &Repo, keys: i64) {
    let callers: Vec<_> = (0..100_i64)
        .map(|caller| {
            let repo = repo.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    let id = (caller * 5 + round) % keys;
                    let written = repo.write(Statement::new(MERGEABLE).bind(id).bind(1_i64)).await.unwrap();
                    assert_eq!(written.rows_affected(), 1);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_writes_all_count() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "committers=1").await;
    upsert_many(&repo, 500).await;
    assert_eq!(sum(&repo).await, (500, 500));
    // Keys that repeat within a group cannot be merged, and are written all the same.
    upsert_many(&repo, 3).await;
    assert_eq!(sum(&repo).await, (500, 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misfit_among_merged_writes_fails_alone() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "committers=1").await;
    let callers: Vec<_> = (0..60_i64)
        .map(|id| {
            let repo = repo.clone();
            tokio::spawn(async move {
                let statement = Statement::new(MERGEABLE).bind(id);
                let statement = if id % 10 == 0 { statement.bind("text") } else { statement.bind(1_i64) };
                (id, repo.write(statement).await)
            })
        })
        .collect();
    for caller in callers {
        let (id, result) = caller.await.unwrap();
        match result {
            Ok(_) => assert_ne!(id % 10, 0),
            Err(error) => assert_eq!((id % 10, error.kind()), (0, &ErrorKind::InvalidInput)),
        }
    }
    assert_eq!(sum(&repo).await, (54, 54));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waits_for_a_lock_does_not_hold_others_up() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "committers=1").await;
    repo.write(Statement::new(PLAIN).bind(1_i64).bind(0_i64)).await.unwrap();
    let patient = TransactionLimits { idle: Duration::from_secs(10), total: Duration::from_secs(20) };
    let limits = Limits { transaction: patient, ..Limits::DEFAULT };
    let other = RepoOptions::new(db.url()).unwrap().with_limits(limits).connect().await.unwrap();
    let mut holder = other.begin().await.unwrap();
    holder.write(Statement::new("UPDATE kv SET n = 10 WHERE id = 1")).await.unwrap();
    let waiting = {
        let repo = repo.clone();
        tokio::spawn(async move { repo.write(Statement::new(PLAIN).bind(1_i64).bind(1_i64)).await })
    };
    let started = Instant::now();
    // It stays in its transaction for longer than the committer waits for one statement.
    while started.elapsed() < Duration::from_millis(1200) {
        repo.write(Statement::new(PLAIN).bind(2_i64).bind(1_i64)).await.unwrap();
    }
    assert!(!waiting.is_finished());
    holder.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    let row: Row = repo.read_one(Statement::new("SELECT n FROM kv WHERE id = 1")).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 11);
}

const NOTES: Component = Component {
    name: "notes",
    migrations: &[Migration {
        version: 1,
        name: "create notes",
        sqlite: Script::irreversible(""),
        postgres: Script::reversible("CREATE TABLE notes (id bigint PRIMARY KEY)", "DROP TABLE notes"),
    }],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_nothing_outlives_a_transaction() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "pooler=transaction&schema=app&pool_size=2&committers=1").await;
    assert_eq!(repo.migrator().migrate(&NOTES, Target::Latest).await.unwrap(), 1);
    upsert_many(&repo, 50).await;
    let mut batch = Batch::new("pair");
    let first =
        batch.push(Statement::new("INSERT INTO notes (id) VALUES ($1) RETURNING id + 1 AS next").bind(1_i64));
    batch
        .expect(Expect::ONE, Statement::new("INSERT INTO notes (id) VALUES ($1)").bind(first.column("next")));
    repo.batch(batch).await.unwrap();
    let conflict = repo.write(Statement::new("INSERT INTO notes (id) VALUES (1)")).await.unwrap_err();
    assert_eq!(conflict.conflict(), Some("notes_pkey"));
    let mut tx = repo.begin().await.unwrap();
    tx.write(Statement::new("INSERT INTO notes (id) VALUES ($1)").bind(3_i64)).await.unwrap();
    tx.commit().await.unwrap();
    let low = repo.clone().with_priority(Priority::Low { cap: Duration::from_secs(1) });
    low.write(Statement::new("INSERT INTO notes (id) VALUES ($1)").bind(4_i64)).await.unwrap();
    let error = repo.read(Statement::new("DELETE FROM notes")).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ReadOnly);
    assert_eq!(sum(&repo).await, (50, 500));
    // The question is itself a prepared statement, the only one.
    let left = Statement::new("SELECT count(*) AS n FROM pg_prepared_statements");
    for _ in 0..4 {
        let rows =
            repo.read_many(vec![left.clone(), Statement::new("SELECT count(*) AS n FROM app.notes")]).await;
        let rows = rows.unwrap();
        assert_eq!(rows[0][0].get::<i64>("n").unwrap(), 2);
        assert_eq!(rows[1][0].get::<i64>("n").unwrap(), 4);
    }
    repo.close().await;
    assert_eq!(repo.read(left).await.unwrap_err().kind(), &ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_wait_for_the_disk_whatever_the_database_is_set_to() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "committers=1").await;
    repo.write(Statement::new("CREATE TABLE told (what text NOT NULL)")).await.unwrap();
    let name = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    repo.write(Statement::new(name)).await.unwrap();
    repo.close().await;
    for options in ["pool_size=1", "pooler=transaction"] {
        let repo = open(&db, options).await;
        let tell = || Statement::new("INSERT INTO told VALUES (current_setting('synchronous_commit'))");
        repo.write(tell()).await.unwrap();
        let mut batch = Batch::new("two");
        batch.push(tell());
        batch.push(tell());
        repo.batch(batch).await.unwrap();
        let mut tx = repo.begin().await.unwrap();
        tx.write(tell()).await.unwrap();
        tx.commit().await.unwrap();
        let told: Vec<Row> = repo.read(Statement::new("SELECT DISTINCT what FROM told")).await.unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].get::<String>("what").unwrap(), "on", "{options}");
        assert_eq!(repo.durability().await.unwrap(), Durability::Power);
        repo.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_without_a_value_are_refused_before_anything_is_written() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "committers=1").await;
    let statement = Statement::new("INSERT INTO kv (id, n) VALUES (1, 1) RETURNING n::numeric AS total");
    let error = repo.write(statement).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    assert!(error.to_string().contains("numeric") && error.to_string().contains("::bigint"), "{error}");
    assert_eq!(sum(&repo).await, (0, 0));
    let nan = repo.read(Statement::new("SELECT 'NaN'::float8 AS n")).await.unwrap_err();
    assert_eq!(nan.kind(), &ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_table_is_altered_a_statement_is_prepared_anew() {
    let db = TestDatabase::postgres();
    let repo = open(&db, "pool_size=1&committers=1").await;
    let read = || Statement::new("SELECT * FROM kv");
    let write = || Statement::new("UPDATE kv SET n = n RETURNING *");
    repo.write(Statement::new(PLAIN).bind(1_i64).bind(1_i64)).await.unwrap();
    repo.read(read()).await.unwrap();
    repo.write(write()).await.unwrap();
    repo.write(Statement::new("ALTER TABLE kv ADD COLUMN word text")).await.unwrap();
    assert_eq!(repo.read(read()).await.unwrap()[0].columns().count(), 3);
    assert_eq!(repo.write(write()).await.unwrap().rows()[0].columns().count(), 3);
}

/// A plan that was made while the table was small reads all of it, once it has grown, for each element of the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_plans_anew_reads_no_grown_table_from_end_to_end() {
    const FEW: i64 = 20;
    const ROWS: i64 = 200_000;
    const LIST: i64 = 200;
    let db = PostgresDatabase::create();
    let repo = Repo::connect(&format!("{}?committers=1", db.url())).await.unwrap();
    let write = async |text: &'static str| repo.write(Statement::new(text)).await.unwrap();
    let fill = async |from: i64, to: i64| {
        let text = "INSERT INTO grown SELECT g, 0 FROM generate_series($1::bigint, $2::bigint) AS g";
        repo.write(Statement::new(text).bind(from).bind(to)).await.unwrap()
    };
    // Nothing looks at the table meanwhile, which would make the server plan anew.
    write("CREATE TABLE grown (id bigint PRIMARY KEY, n bigint NOT NULL) WITH (autovacuum_enabled = off)")
        .await;
    fill(1, FEW).await;
    write("ANALYZE grown").await;
    let change = async || {
        let ids: Vec<i64> = (1..=LIST).collect();
        let mut batch = Batch::new("test.grown");
        batch.plan_anew();
        let text = "UPDATE grown SET n = n + 1 WHERE ctid = ANY (ARRAY (SELECT g.ctid FROM unnest($1::bigint[]) AS u (id) \
            CROSS JOIN LATERAL (SELECT t.ctid FROM grown t WHERE t.id = u.id OFFSET 0) AS g))";
        batch.push(Statement::new(text).bind(ids));
        i64::try_from(repo.batch(batch).await.unwrap().written()[0].rows_affected()).unwrap()
    };
    for _ in 0..8 {
        assert_eq!(change().await, FEW);
    }
    fill(FEW + 1, ROWS).await;
    assert_eq!(change().await, LIST);
    // A session tells what it did at the latest when it ends.
    repo.close().await;
    let read = "SELECT seq_tup_read::text FROM pg_stat_user_tables WHERE relname = 'grown' AND n_tup_upd > 0";
    mainstay_testkit::eventually("the server has counted", async || !db.query(read).is_empty()).await;
    let read: i64 = db.query(read)[0].parse().unwrap();
    assert!(read < ROWS, "{read} rows were read one after the other");
}
