//! The migrations table on SQLite, and one step in one transaction.
//!
//! What is applied is read again inside `BEGIN IMMEDIATE`: before that, another process may have migrated.

use mainstay_core::{Clock as _, SystemClock, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::group::{commit, roll_back};
use super::open::Watch;
use super::statement::Session;
use crate::error::{Error, ErrorKind, MigrationProblem, Result};
use crate::migrate::{Applied, Direction, FORMAT, FORMAT_COMPONENT, MigrationStep, StepOutcome};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS mainstay_migrations (
    component TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (component, version)
) STRICT";

/// What is applied of a component, as a read for the reader threads; the table may not exist yet.
pub(super) const TABLE_EXISTS: &str =
    "SELECT 1 AS found FROM sqlite_schema WHERE type = 'table' AND name = 'mainstay_migrations'";
/// The same component's rows.
pub(super) const APPLIED: &str = "SELECT version, name, checksum, applied_at, applied_by \
     FROM mainstay_migrations WHERE component = $1 ORDER BY version";

/// Refuses a file whose own format is newer than this driver.
pub(super) fn check_format(connection: &Connection) -> rusqlite::Result<Result<()>> {
    if connection.query_row(TABLE_EXISTS, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Ok(()));
    }
    let newest: Option<u32> = connection.query_row(
        "SELECT max(version) FROM mainstay_migrations WHERE component = ?1",
        [FORMAT_COMPONENT],
        |row| row.get(0),
    )?;
    Ok(match newest {
        Some(version) if version > FORMAT => Err(newer_format(version)),
        _ => Ok(()),
    })
}

fn newer_format(version: u32) -> Error {
    let problem = MigrationProblem::FutureVersion { component: FORMAT_COMPONENT.to_owned(), version };
    Error::new(
        ErrorKind::Migration(problem),
        format!("the database is of format {version}; this program knows formats up to {FORMAT}"),
    )
    .with_help("start the newer program that wrote it")
}

/// Runs a step, unless somebody else was there first.
pub(super) fn step(session: &Session, watch: &Watch, step: &MigrationStep) -> Result<StepOutcome> {
    session.run("BEGIN IMMEDIATE")?;
    match in_transaction(session, watch, step) {
        Ok(StepOutcome::Done) => commit(session).map(|()| StepOutcome::Done),
        other => {
            roll_back(session);
            other
        }
    }
}

fn in_transaction(session: &Session, watch: &Watch, step: &MigrationStep) -> Result<StepOutcome> {
    let connection = session.connection();
    let sql = |error| session.translate(error);
    connection.execute_batch(CREATE).map_err(sql)?;
    if applied_versions(connection, step.component).map_err(sql)? != step.planned_on {
        return Ok(StepOutcome::Replan);
    }
    watch.in_script(true);
    let ran = connection.execute_batch(step.script);
    watch.in_script(false);
    ran.map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::AuthorizationForStatementDenied) => ends_transaction(),
        _ => sql(error),
    })?;
    record(connection, step).map_err(sql)?;
    Ok(StepOutcome::Done)
}

fn ends_transaction() -> Error {
    Error::invalid_input("the script would end the transaction that it runs in").with_help(
        "remove BEGIN, COMMIT, ROLLBACK and SAVEPOINT from it; each version is a transaction already",
    )
}

fn applied_versions(connection: &Connection, component: &str) -> rusqlite::Result<Vec<u32>> {
    connection
        .prepare("SELECT version FROM mainstay_migrations WHERE component = ?1 ORDER BY version")?
        .query_map([component], |row| row.get(0))?
        .collect()
}

fn record(connection: &Connection, step: &MigrationStep) -> rusqlite::Result<()> {
    let now: Timestamp = SystemClock.now();
    match step.direction {
        Direction::Up => connection.execute(
            "INSERT INTO mainstay_migrations (component, version, name, checksum, applied_at, applied_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (step.component, step.version, step.name, &step.checksum, now.as_unix_micros(), &step.applied_by),
        )?,
        Direction::Down => connection.execute(
            "DELETE FROM mainstay_migrations WHERE component = ?1 AND version = ?2",
            (step.component, step.version),
        )?,
    };
    Ok(())
}

/// Reads a row of [`APPLIED`].
pub(super) fn applied_row(row: &crate::row::Row) -> Result<Applied> {
    Ok(Applied {
        version: row.get("version")?,
        name: row.get("name")?,
        checksum: row.get("checksum")?,
        applied_at: row.get("applied_at")?,
        applied_by: row.get("applied_by")?,
    })
}
