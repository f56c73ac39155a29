//! The peers, each with the settings that its users are told to choose, and the same durability as ours.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::{future::join_all, join};
use mainstay_benches::{Random, Sample, load, sample};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement as SeaStatement};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use tokio_postgres::types::ToSql;

use crate::workload::{self, READ, UPSERT_POSTGRES, UPSERT_SQLITE};

/// sqlx on SQLite: WAL, `synchronous=FULL`, a busy time-out of 30 s.
pub async fn sqlx_sqlite(path: &Path, pool: u32) -> SqlitePool {
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))
        .expect("a path")
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new()
        .max_connections(pool)
        .acquire_timeout(Duration::from_secs(120))
        .connect_with(options)
        .await
        .expect("opened")
}

pub async fn sqlx_sqlite_writes(pool: &SqlitePool, callers: usize, time: Duration) -> Sample {
    load(callers, time, |_| {
        let pool = pool.clone();
        move |random| {
            let pool = pool.clone();
            async move {
                sqlx::query(UPSERT_SQLITE)
                    .bind(workload::key_of(random))
                    .bind(workload::state())
                    .execute(&pool)
                    .await
                    .expect("written");
            }
        }
    })
    .await
}

pub async fn sqlx_sqlite_reads(pool: &SqlitePool, callers: usize, time: Duration) -> Sample {
    load(callers, time, |_| {
        let pool = pool.clone();
        move |random| {
            let pool = pool.clone();
            async move {
                let row: (String, i64) =
                    sqlx::query_as(READ).bind(workload::key_of(random)).fetch_one(&pool).await.expect("read");
                std::hint::black_box(row);
            }
        }
    })
    .await
}

/// sqlx on PostgreSQL.
pub async fn sqlx_postgres(url: &str, pool: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(pool)
        .min_connections(pool)
        .acquire_timeout(Duration::from_secs(120))
        .connect(url)
        .await
        .expect("connected")
}

pub async fn sqlx_postgres_writes(pool: &PgPool, callers: usize, time: Duration) -> Sample {
    load(callers, time, |_| {
        let pool = pool.clone();
        let state: serde_json::Value = serde_json::from_str(&workload::state()).expect("JSON");
        move |random| {
            let pool = pool.clone();
            let state = state.clone();
            async move {
                sqlx::query(UPSERT_POSTGRES)
                    .bind(workload::key_of(random))
                    .bind(state)
                    .execute(&pool)
                    .await
                    .expect("written");
            }
        }
    })
    .await
}

/// sea-orm over the same pools.
pub async fn sea_orm_sqlite(pool: &SqlitePool) -> DatabaseConnection {
    sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone())
}

pub async fn sea_orm_postgres(url: &str, pool: u32) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url.to_owned());
    options.max_connections(pool).min_connections(pool).sqlx_logging(false);
    Database::connect(options).await.expect("connected")
}

pub async fn sea_orm_writes(db: &DatabaseConnection, callers: usize, time: Duration) -> Sample {
    load(callers, time, |_| {
        let db = db.clone();
        move |random| {
            let db = db.clone();
            async move {
                let backend = db.get_database_backend();
                let state: sea_orm::Value = match backend {
                    DbBackend::Postgres => {
                        serde_json::from_str::<serde_json::Value>(&workload::state()).expect("JSON").into()
                    }
                    _ => workload::state().into(),
                };
                let sql = if backend == DbBackend::Postgres { UPSERT_POSTGRES } else { UPSERT_SQLITE };
                let statement =
                    SeaStatement::from_sql_and_values(backend, sql, [workload::key_of(random).into(), state]);
                db.execute_raw(statement).await.expect("written");
            }
        }
    })
    .await
}

/// The bare limit on SQLite: one thread that does nothing else, so many upserts in each transaction.
pub fn bare_sqlite(path: &Path, per_transaction: usize, time: Duration) -> Sample {
    let connection = rusqlite::Connection::open(path).expect("opened");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16000",
        )
        .expect("settings");
    let mut random = Random::new(0);
    let mut latencies = Vec::new();
    let started = Instant::now();
    let state = workload::state();
    while started.elapsed() < time {
        let before = Instant::now();
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).expect("begun");
        for _ in 0..per_transaction {
            connection
                .prepare_cached(UPSERT_SQLITE)
                .and_then(|mut upsert| upsert.execute((workload::key_of(random.next()), &state)))
                .expect("written");
        }
        connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).expect("committed");
        let each = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
        latencies.extend(std::iter::repeat_n(each, per_transaction));
    }
    sample(latencies, started.elapsed())
}

/// What PostgreSQL can take at best from one connection that does nothing else: a prepared statement, autocommitted when it
/// is alone, otherwise so many of them pipelined in each transaction.
pub async fn bare_postgres(url: &str, per_transaction: usize, time: Duration) -> Sample {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
    let driver = tokio::spawn(connection);
    let upsert = client
        .prepare_typed(
            &UPSERT_POSTGRES.replace("$2", "$2::text::jsonb"),
            &[tokio_postgres::types::Type::INT8, tokio_postgres::types::Type::TEXT],
        )
        .await
        .expect("prepared");
    let mut random = Random::new(0);
    let mut latencies = Vec::new();
    let state = workload::state();
    let started = Instant::now();
    while started.elapsed() < time {
        let before = Instant::now();
        let keys: Vec<i64> = (0..per_transaction).map(|_| workload::key_of(random.next())).collect();
        let parameters: Vec<[&(dyn ToSql + Sync); 2]> =
            keys.iter().map(|key| [key as &(dyn ToSql + Sync), &state as _]).collect();
        let upserts = join_all(parameters.iter().map(|parameters| client.execute(&upsert, parameters)));
        if per_transaction == 1 {
            upserts.await.into_iter().for_each(|written| assert_eq!(written.expect("written"), 1));
        } else {
            let (begun, written, committed) =
                join!(client.batch_execute("BEGIN"), upserts, client.batch_execute("COMMIT"));
            begun.and(committed).expect("committed");
            written.into_iter().for_each(|written| assert_eq!(written.expect("written"), 1));
        }
        let each = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
        latencies.extend(std::iter::repeat_n(each, per_transaction));
    }
    let measured = sample(latencies, started.elapsed());
    drop(client);
    driver.abort();
    measured
}
