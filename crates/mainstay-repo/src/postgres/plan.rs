//! What a group will do: its statements bound, merged where they are equal, and put in order.

use std::cmp::Ordering;

use super::error::Fault;
use super::session::Desk;
use super::statement::Bound;
use super::types::Encoded;
use super::writer::{Job, Work};
use crate::batch::Batch;
use crate::statement::{Dialect, Param, Statement};
use crate::value::Value;

/// A part of the transaction.
#[derive(Debug)]
pub(super) enum Unit {
    /// Several members' equal statements as one.
    Merged { bound: Bound, members: Vec<usize> },
    /// One member, all of whose parameters are known.
    Flat { at: usize, bounds: Vec<Bound> },
    /// One member whose statements are prepared and bound in turn: it refers back, or creates what it uses.
    Staged { at: usize },
}

/// Who failed, and how.
pub(super) struct Failure {
    pub(super) at: Option<usize>,
    pub(super) fault: Fault,
}

/// Prepares what can be prepared, merges what can be merged, and puts rows in an order in which two committers lock
/// them alike.
pub(super) async fn plan(desk: &Desk, jobs: &[Job], merge: bool) -> std::result::Result<Vec<Unit>, Failure> {
    let mut singles: Vec<(usize, &Statement)> = Vec::new();
    let mut units = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        match &job.work {
            Work::One(statement) => singles.push((at, statement)),
            Work::Batch(batch) => units.push(plan_batch(desk, at, batch).await?),
        }
    }
    // Staged members wait for answers, so they come last.
    units.sort_by_key(|unit| matches!(unit, Unit::Staged { .. }));
    singles.sort_by(|(_, one), (_, other)| lock_order(one, other));
    let mut planned = Vec::with_capacity(singles.len() + units.len());
    for chunk in singles.chunk_by(|(_, one), (_, other)| is_same_text(one, other)) {
        match plan_merged(desk, chunk, merge).await? {
            Some(unit) => planned.push(unit),
            None => {
                for (at, statement) in chunk {
                    let bound = desk.bind(statement, &[]).await;
                    let bound = bound.map_err(|fault| Failure { at: Some(*at), fault })?;
                    planned.push(Unit::Flat { at: *at, bounds: vec![bound] });
                }
            }
        }
    }
    planned.extend(units);
    Ok(planned)
}

async fn plan_merged(
    desk: &Desk,
    chunk: &[(usize, &Statement)],
    merge: bool,
) -> std::result::Result<Option<Unit>, Failure> {
    let Some(bulk) = chunk.first().and_then(|(_, statement)| statement.sql().bulk()) else {
        return Ok(None);
    };
    if !merge || chunk.len() < 2 {
        return Ok(None);
    }
    let rows: Option<Vec<Vec<&Value>>> = chunk.iter().map(|(_, statement)| scalars(statement)).collect();
    let Some(rows) = rows else { return Ok(None) };
    let prepared = match desk.prepare(bulk).await {
        Ok(prepared) => prepared,
        Err(fault) if fault.leaves_connection() && !desk.link.pooler => {
            let error = fault.into_error(&desk.link.place);
            tracing::warn!(%error, bulk, "the bulk text of a mergeable statement is refused; it runs unmerged");
            return Ok(None);
        }
        Err(fault) => return Err(Failure { at: None, fault }),
    };
    // A value that does not fit is found again, and its owner with it, when each is bound alone.
    let Ok(encoded) = Encoded::transposed(&rows, prepared.statement.params()) else { return Ok(None) };
    let members = chunk.iter().map(|(at, _)| *at).collect();
    Ok(Some(Unit::Merged { bound: Bound { prepared, encoded }, members }))
}

async fn plan_batch(desk: &Desk, at: usize, batch: &Batch) -> std::result::Result<Unit, Failure> {
    // Behind a pooler a text that does not parse would abort the transaction before those that come first.
    if desk.link.pooler || batch.steps().iter().any(|step| refers_back(&step.statement)) {
        return Ok(Unit::Staged { at });
    }
    let mut bounds = Vec::with_capacity(batch.steps().len());
    for step in batch.steps() {
        match desk.bind(&step.statement, &[]).await {
            Ok(bound) => bounds.push(bound),
            // An earlier statement of the batch may create its table, or not meet its condition, which counts first.
            Err(fault) if fault.leaves_connection() => return Ok(Unit::Staged { at }),
            Err(fault) => return Err(Failure { at: Some(at), fault }),
        }
    }
    Ok(Unit::Flat { at, bounds })
}

pub(super) fn refers_back(statement: &Statement) -> bool {
    statement.params().iter().any(|param| matches!(param, Param::Back(_)))
}

/// The values of a statement that can be merged: no lists, which would need lists of lists.
fn scalars(statement: &Statement) -> Option<Vec<&Value>> {
    statement
        .params()
        .iter()
        .map(|param| match param {
            Param::Value(Value::Array(_)) | Param::Back(_) => None,
            Param::Value(value) => Some(value),
        })
        .collect()
}

fn is_same_text(one: &Statement, other: &Statement) -> bool {
    one.sql().text(Dialect::Postgres) == other.sql().text(Dialect::Postgres)
        && one.sql().bulk() == other.sql().bulk()
}

/// Equal statements together, and their rows by key: two groups that lock the same rows lock them in the same order.
fn lock_order(one: &Statement, other: &Statement) -> Ordering {
    let text = |statement: &Statement| {
        (statement.sql().text(Dialect::Postgres).as_ptr(), statement.sql().bulk().is_some())
    };
    let texts = one.sql().text(Dialect::Postgres).cmp(other.sql().text(Dialect::Postgres));
    let texts = if text(one) == text(other) { Ordering::Equal } else { texts };
    texts.then_with(|| one.sql().bulk().cmp(&other.sql().bulk())).then_with(|| {
        let mut places = one.params().iter().zip(other.params());
        places.find_map(|(a, b)| compare(a, b)).unwrap_or(Ordering::Equal)
    })
}

/// How two keys differ, if they do and it can be said.
fn compare(one: &Param, other: &Param) -> Option<Ordering> {
    let order = match (one, other) {
        (Param::Value(Value::Text(a)), Param::Value(Value::Text(b))) => a.cmp(b),
        (Param::Value(Value::Int(a)), Param::Value(Value::Int(b))) => a.cmp(b),
        _ => return None,
    };
    (order != Ordering::Equal).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Sql;

    #[test]
    fn rows_are_locked_in_the_order_of_their_keys() {
        let row = |id: i64, tenant: &str| {
            Statement::new("UPDATE t SET a = 1 WHERE b = $1 AND c = $2").bind(tenant).bind(id)
        };
        let mut rows = [row(2, "b"), row(1, "b"), row(3, "a")];
        rows.sort_by(lock_order);
        assert_eq!(rows, [row(3, "a"), row(1, "b"), row(2, "b")]);
    }

    #[test]
    fn equal_statements_come_together() {
        let merge = || Statement::new(Sql::mergeable("a", "a", "bulk"));
        let mut mixed = [Statement::new("b"), merge(), Statement::new("a"), merge()];
        mixed.sort_by(lock_order);
        let chunks: Vec<usize> = mixed.chunk_by(is_same_text).map(<[Statement]>::len).collect();
        assert_eq!(chunks, [1, 2, 1]);
    }

    #[test]
    fn lists_are_not_merged() {
        assert!(scalars(&Statement::new("x").bind(1_i64).bind("a")).is_some());
        assert!(scalars(&Statement::new("x").bind(vec![1_i64])).is_none());
    }
}
