//! Migration steps: one transaction each, behind an advisory lock, and what is applied is read again inside.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::Timestamp;
use tokio::time::Instant;

use super::error::Fault;
use super::pool::{Lent, Pool};
use super::session::{Begin, Desk};
use crate::error::{Error, ErrorKind, MigrationProblem, Result};
use crate::migrate::{Applied, Direction, FORMAT, FORMAT_COMPONENT, MigrationStep, StepOutcome};
use crate::row::Row;
use crate::statement::Statement;

/// The lock that whoever migrates this database holds: "mainstay" in ASCII.
const LOCK: i64 = 0x6d61_696e_7374_6179;
/// How long one node waits for another's migration.
const LOCK_LIMIT: Duration = Duration::from_secs(600);
/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS mainstay_migrations (
    component text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL,
    PRIMARY KEY (component, version)
)";
const LIST: &str = "SELECT version, name, checksum, applied_at, applied_by
    FROM mainstay_migrations WHERE component = $1 ORDER BY version";
const RECORD: &str = "INSERT INTO mainstay_migrations (component, version, name, checksum, applied_by)
    VALUES ($1, $2, $3, $4, $5)";
const ERASE: &str = "DELETE FROM mainstay_migrations WHERE component = $1 AND version = $2";

/// Refuses a database whose own format is newer than this driver.
pub(super) async fn check_format(pool: &Arc<Pool>) -> Result<()> {
    let newest = applied(pool, FORMAT_COMPONENT).await?.last().map_or(0, |applied| applied.version);
    if newest <= FORMAT {
        return Ok(());
    }
    let problem = MigrationProblem::FutureVersion { component: FORMAT_COMPONENT.to_owned(), version: newest };
    Err(Error::new(
        ErrorKind::Migration(problem),
        format!("the database is of format {newest}; this program knows formats up to {FORMAT}"),
    )
    .with_help("start the newer program that wrote it"))
}

/// What is applied of a component; nothing when the table is not there yet.
pub(super) async fn applied(pool: &Arc<Pool>, component: &str) -> Result<Vec<Applied>> {
    let mut again = true;
    loop {
        let mut lent = pool.lend(Instant::now() + CONNECT_LIMIT).await?;
        let session = &mut lent.session;
        let outcome = session.wire.drive(list_in_transaction(&session.desk, component)).await;
        match outcome {
            Ok(rows) => {
                lent.give_back().await;
                return rows.iter().map(read_applied).collect();
            }
            Err(fault) => {
                let repeat = again && (fault.is_stale_plan() || (lent.reused && !fault.leaves_connection()));
                let missing = fault.sqlstate() == Some("42P01");
                if fault.leaves_connection() {
                    lent.session.desk.statements.clear();
                    lent.give_back().await;
                }
                if missing {
                    return Ok(Vec::new());
                }
                if !repeat {
                    return Err(fault.into_error(&pool.link.place));
                }
                again = false;
            }
        }
    }
}

async fn list_in_transaction(desk: &Desk, component: &str) -> Result<Vec<Row>, Fault> {
    desk.simple(&desk.link.begin(Begin::Read, None)).await?;
    let rows = list(desk, component).await;
    end(desk, rows).await
}

async fn list(desk: &Desk, component: &str) -> Result<Vec<Row>, Fault> {
    run(desk, Statement::new(LIST).bind(component)).await
}

async fn run(desk: &Desk, statement: Statement) -> Result<Vec<Row>, Fault> {
    let bound = desk.bind(&statement, &[]).await?;
    Ok(desk.execute(&bound).await?.into_rows())
}

/// Commits after success and rolls back after an error.
async fn end<T>(desk: &Desk, outcome: Result<T, Fault>) -> Result<T, Fault> {
    if desk.link.pooler {
        desk.statements.clear();
    }
    match &outcome {
        Ok(_) => desk.simple("COMMIT").await?,
        Err(fault) if fault.leaves_connection() => desk.simple("ROLLBACK").await?,
        Err(_) => {}
    }
    outcome
}

fn read_applied(row: &Row) -> Result<Applied> {
    Ok(Applied {
        version: row.get("version")?,
        name: row.get("name")?,
        checksum: row.get("checksum")?,
        applied_at: row.get::<Timestamp>("applied_at")?,
        applied_by: row.get("applied_by")?,
    })
}

/// Runs a step. It goes on when its caller leaves: half a migration is worse than one that nobody waits for.
pub(super) async fn migrate_step(pool: &Arc<Pool>, step: MigrationStep) -> Result<StepOutcome> {
    let pool = Arc::clone(pool);
    let task = tokio::spawn(async move {
        let mut lent = begun(&pool).await?;
        let session = &mut lent.session;
        let outcome = session.wire.drive(in_transaction(&session.desk, &step)).await;
        let outcome = match outcome {
            Err(fault) if !fault.leaves_connection() => return Err(fault.into_error(&pool.link.place)),
            outcome => outcome,
        };
        // Plans may be about tables as they were.
        lent.session.desk.statements.clear();
        if lent.session.reset().await.is_ok() {
            lent.give_back().await;
        }
        outcome.map_err(|fault| fault.into_error(&pool.link.place))
    });
    task.await.map_err(|_| Error::closed())?
}

/// A session in a transaction that holds the lock.
async fn begun(pool: &Arc<Pool>) -> Result<Lent> {
    let text = format!(
        "{};SET LOCAL lock_timeout={};SELECT pg_advisory_xact_lock({LOCK})",
        pool.link.begin(Begin::Write, None),
        LOCK_LIMIT.as_millis()
    );
    loop {
        let mut lent = pool.lend(Instant::now() + CONNECT_LIMIT).await?;
        let session = &mut lent.session;
        match session.wire.drive(session.desk.simple(&text)).await {
            Ok(()) => return Ok(lent),
            Err(fault) if lent.reused && !fault.leaves_connection() => {}
            // Dropping the session rolls back.
            Err(fault) => return Err(fault.into_error(&pool.link.place)),
        }
    }
}

async fn in_transaction(desk: &Desk, step: &MigrationStep) -> Result<StepOutcome, Fault> {
    let outcome = take(desk, step).await;
    end(desk, outcome).await
}

async fn take(desk: &Desk, step: &MigrationStep) -> Result<StepOutcome, Fault> {
    desk.simple(TABLE).await?;
    let rows = list(desk, step.component).await?;
    let versions: Result<Vec<u32>> = rows.iter().map(|row| row.get("version")).collect();
    if versions.map_err(Fault::Unreadable)? != step.planned_on {
        return Ok(StepOutcome::Replan);
    }
    let before = transaction_id(desk).await?;
    match desk.simple(step.script).await {
        // Outside of this transaction the session only reads, so the script has left it.
        Err(fault) if fault.sqlstate() == Some("25006") => return Err(transaction_ended()),
        other => other?,
    }
    if transaction_id(desk).await? != before {
        return Err(transaction_ended());
    }
    let statement = match step.direction {
        Direction::Up => Statement::new(RECORD)
            .bind(step.component)
            .bind(i64::from(step.version))
            .bind(step.name)
            .bind(step.checksum.as_str())
            .bind(step.applied_by.as_str()),
        Direction::Down => Statement::new(ERASE).bind(step.component).bind(i64::from(step.version)),
    };
    run(desk, statement).await?;
    Ok(StepOutcome::Done)
}

fn transaction_ended() -> Fault {
    Fault::Unfit(Error::invalid_input("the migration's SQL ended the transaction that it runs in").with_help(
        "remove BEGIN, COMMIT and ROLLBACK from it; what it committed is there: see to it by hand",
    ))
}

async fn transaction_id(desk: &Desk) -> Result<Option<i64>, Fault> {
    let rows = run(desk, Statement::new("SELECT txid_current() AS id")).await?;
    Ok(rows.first().and_then(|row| row.get("id").ok()))
}
