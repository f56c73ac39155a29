//! Rows that a batch is about to change by the place where they lie, held first.
//!
//! On PostgreSQL a statement that finds rows by `ctid` passes over one that another transaction has just rewritten: it waits, and then
//! what it found is no longer where it was. A statement before it waits instead, and whatever follows sees the row as it is by then.
//! SQLite lets one transaction write at a time.

use mainstay_repo::{Batch, Dialect, Sql, Statement, Value};

use super::codec::part_number;
use super::rows::{Bulk, Rows};
use crate::id::RunId;
use crate::plan::Attempt;

/// The key is looked up row by row (see [`super::write`]).
const TASK_LOCK: Bulk = Bulk {
    name: "workflow.task_lock",
    // Never run: there is nothing to wait for.
    sqlite: "SELECT run_id FROM wf_tasks WHERE run_id = $1 AND step = $2 AND part = $3",
    postgres: "SELECT 1 FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (run_id, step, part) CROSS JOIN LATERAL \
        (SELECT 1 FROM wf_tasks t WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part OFFSET 0 FOR UPDATE) AS l",
};

const QUEUE_LOCK: Sql = Sql::per_dialect(
    "SELECT name FROM wf_queues WHERE namespace_id = $1 AND name = $2",
    "SELECT name FROM wf_queues WHERE namespace_id = $1 AND name = ANY ($2::text[]) ORDER BY name FOR UPDATE",
);

/// Where a task stands: its run, its step, its part.
pub(super) type Place<'a> = (i64, &'a str, i64);

/// Where the task of an attempt stands.
pub(super) fn place(run: RunId, attempt: &Attempt) -> Place<'_> {
    (run.get(), attempt.step.as_str(), part_number(attempt.part))
}

/// Holds the tasks of these keys until the batch is over, always in the same order: two batches do not wait for each other's tasks.
pub(super) fn tasks<'a>(batch: &mut Batch, dialect: Dialect, keys: impl IntoIterator<Item = Place<'a>>) {
    if dialect == Dialect::Sqlite {
        return;
    }
    let mut keys: Vec<Place<'_>> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    let mut rows = Rows::new();
    rows.extend(keys.into_iter().map(|(run, step, part)| [run.into(), step.into(), part.into()]));
    rows.write(batch, dialect, &TASK_LOCK, &[], false);
}

/// Holds the limits of queues until the batch is over, always in the same order. Whoever counts what is leased does it in a statement
/// that begins after this one: a count in the same statement would be of before the wait.
pub(super) fn queues<'a>(
    batch: &mut Batch,
    dialect: Dialect,
    namespace: i64,
    names: impl IntoIterator<Item = &'a str>,
) {
    if dialect == Dialect::Sqlite {
        return;
    }
    let names: Vec<Value> = names.into_iter().map(Value::from).collect();
    let statement = Statement::new(QUEUE_LOCK).named("workflow.queue_lock").bind(namespace);
    batch.push(statement.bind(Value::Array(names)));
}
