//! Batches: statements that happen together or not at all, in one round trip.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::row::Row;
use crate::statement::{Param, Statement};
use crate::value::Value;

/// What must be true of a statement's result, or the whole batch is rolled back.
///
/// Counted are the rows that the statement changed; for one that only reads, the rows that it returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Expect {
    /// Anything.
    Any,
    /// Exactly so many rows.
    Rows(u64),
    /// At least so many rows.
    AtLeast(u64),
    /// At most so many rows.
    AtMost(u64),
}

impl Expect {
    /// Exactly one row: the usual condition of a guarded update.
    pub const ONE: Self = Self::Rows(1);
    /// No row.
    pub const NONE: Self = Self::Rows(0);

    /// Whether `rows` meets the condition.
    #[must_use]
    pub const fn is_met_by(self, rows: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Rows(wanted) => rows == wanted,
            Self::AtLeast(least) => rows >= least,
            Self::AtMost(most) => rows <= most,
        }
    }
}

/// A column of the first row that an earlier statement of the batch returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackReference {
    statement: usize,
    column: Cow<'static, str>,
}

impl BackReference {
    /// Which statement of the batch, from zero.
    #[must_use]
    pub const fn statement(&self) -> usize {
        self.statement
    }

    /// The column's name.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    pub(crate) const fn shift(&mut self, by: usize) {
        self.statement = self.statement.saturating_add(by);
    }

    pub(crate) fn check(&self, index: usize) -> Result<()> {
        if self.statement < index {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "statement {index} refers to statement {}, which does not come before it in the same batch",
            self.statement
        )))
    }

    fn resolve(&self, done: &[Written]) -> Result<Value> {
        let missing = |what: &str| {
            Error::invalid_input(format!(
                "a parameter refers to column {:?} of statement {}, which returned {what}",
                self.column, self.statement
            ))
            .with_help("let that statement return the column, and expect one row of it")
        };
        let row = done.get(self.statement).and_then(|written| written.rows.first());
        let row = row.ok_or_else(|| missing("no row"))?;
        row.value(&self.column).cloned().ok_or_else(|| missing("no such column"))
    }
}

/// A statement's place in its batch, to refer back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementRef(usize);

impl StatementRef {
    /// Which statement of the batch, from zero; what [`ErrorKind::ConditionFailed`] names.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }

    /// A parameter that takes its value from a column of the first row that the statement returned.
    #[must_use]
    pub const fn column(self, name: &'static str) -> BackReference {
        BackReference { statement: self.0, column: Cow::Borrowed(name) }
    }
}

/// One statement of a batch and its condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What to run.
    pub statement: Statement,
    /// What must be true of its result.
    pub expect: Expect,
}

/// Statements that commit together or not at all.
///
/// ```
/// use mainstay_repo::{Batch, Expect, Statement};
///
/// let mut batch = Batch::new("order.place");
/// let order = batch.push(Statement::new("INSERT INTO orders (item) VALUES ($1) RETURNING id").bind("tea"));
/// batch.push(Statement::new("INSERT INTO parcels (order_id) VALUES ($1)").bind(order.column("id")));
/// let paid = batch.expect(
///     Expect::ONE,
///     Statement::new("UPDATE accounts SET balance = balance - 3 WHERE id = $1 AND balance >= 3").bind(9_i64),
/// );
/// assert_eq!(paid.index(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    name: Cow<'static, str>,
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plans_anew: bool,
}

impl Batch {
    /// The most statements in a batch.
    pub const MAX_STATEMENTS: usize = 10_000;
    /// The most octets of parameters in a batch: 64 MiB.
    pub const MAX_BYTES: usize = 64 * 1024 * 1024;

    /// An empty batch; the name shows in traces, metrics and the slow-operation log.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), steps: Vec::new(), plans_anew: false }
    }

    /// Adds a statement without a condition.
    pub fn push(&mut self, statement: Statement) -> StatementRef {
        self.expect(Expect::Any, statement)
    }

    /// Adds a statement that must meet a condition.
    pub fn expect(&mut self, expect: Expect, statement: Statement) -> StatementRef {
        self.steps.push(Step { statement, expect });
        StatementRef(self.steps.len() - 1)
    }

    /// Lets PostgreSQL plan the statements for the values that they have and the tables as they are.
    ///
    /// After a few runs it keeps one plan for all values. For a statement over a list it reckons with ten elements then, and when the table was
    /// small at that moment, it reads the whole table for each list, until the table is analyzed, which may be a minute after it grew. Ask for
    /// it where a list may be longer; planning costs a fraction of a millisecond a statement. Those who share the commit plan anew as well.
    /// Nothing changes on SQLite, nor in an interactive transaction.
    pub const fn plan_anew(&mut self) {
        self.plans_anew = true;
    }

    /// Whether [`Batch::plan_anew`] was asked for.
    #[must_use]
    pub const fn plans_anew(&self) -> bool {
        self.plans_anew
    }

    /// Adds all statements of another batch, with their conditions, behind these. Its references keep meaning its own statements.
    pub fn append(&mut self, other: Self) {
        let before = self.steps.len();
        self.plans_anew |= other.plans_anew;
        self.steps.extend(other.steps.into_iter().map(|mut step| {
            step.statement.shift(before);
            step
        }));
    }

    /// The batch's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The statements, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// About how much memory the parameters take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.steps.iter().map(|step| step.statement.size_bytes()).sum()
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.steps.len() > Self::MAX_STATEMENTS || self.size_bytes() > Self::MAX_BYTES {
            return Err(Error::invalid_input(format!(
                "batch {:?} has {} statements and {} octets of parameters; the most is {} and {}",
                self.name,
                self.steps.len(),
                self.size_bytes(),
                Self::MAX_STATEMENTS,
                Self::MAX_BYTES
            ))
            .with_help("split it; each part is atomic of itself"));
        }
        self.steps.iter().enumerate().try_for_each(|(index, step)| step.statement.check(index))
    }
}

/// What a statement did.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    rows_affected: u64,
    pub(crate) rows: Vec<Row>,
}

impl Written {
    pub(crate) const fn new(rows_affected: u64, rows: Vec<Row>) -> Self {
        Self { rows_affected, rows }
    }

    /// How many rows were changed; for a statement that only reads, how many were returned.
    #[must_use]
    pub const fn rows_affected(&self) -> u64 {
        self.rows_affected
    }

    /// The rows that `RETURNING` or a read gave.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The same, owned.
    #[must_use]
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// The only row.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none.
    pub fn into_row(self) -> Result<Row> {
        self.rows
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "the statement returned no row"))
    }
}

/// What each statement of a batch did, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchOutcome {
    written: Vec<Written>,
}

impl BatchOutcome {
    pub(crate) const fn new(written: Vec<Written>) -> Self {
        Self { written }
    }

    /// What a statement did.
    #[must_use]
    pub fn get(&self, statement: StatementRef) -> Option<&Written> {
        self.written.get(statement.0)
    }

    /// What each statement did.
    #[must_use]
    pub fn written(&self) -> &[Written] {
        &self.written
    }

    /// The same, owned.
    #[must_use]
    pub fn into_written(self) -> Vec<Written> {
        self.written
    }
}

/// The values of a statement's parameters, given the results of the statements before it.
pub(crate) fn resolve_params<'a>(statement: &'a Statement, done: &[Written]) -> Result<Vec<Cow<'a, Value>>> {
    statement
        .params()
        .iter()
        .map(|param| match param {
            Param::Value(value) => Ok(Cow::Borrowed(value)),
            Param::Back(reference) => reference.resolve(done).map(Cow::Owned),
        })
        .collect()
}

/// The error of a statement that did not meet its condition.
pub(crate) fn condition_failed(batch: &str, index: usize, expect: Expect, rows: u64) -> Error {
    Error::new(
        ErrorKind::ConditionFailed { index },
        format!(
            "statement {index} of batch {batch:?} came to {rows} rows and had to meet {expect:?}; all of it is rolled back"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_at_their_limits() {
        for (expect, rows, met) in [
            (Expect::Any, 0, true),
            (Expect::ONE, 1, true),
            (Expect::ONE, 2, false),
            (Expect::NONE, 0, true),
            (Expect::AtLeast(2), 1, false),
            (Expect::AtLeast(2), 2, true),
            (Expect::AtMost(2), 2, true),
            (Expect::AtMost(2), 3, false),
        ] {
            assert_eq!(expect.is_met_by(rows), met, "{expect:?} {rows}");
        }
    }

    #[test]
    fn a_batch_at_its_limits_passes_and_one_beyond_is_refused() {
        let mut batch = Batch::new("limit");
        for _ in 0..Batch::MAX_STATEMENTS {
            batch.push(Statement::new("SELECT 1"));
        }
        assert!(batch.check().is_ok());
        batch.push(Statement::new("SELECT 1"));
        assert_eq!(batch.check().unwrap_err().kind(), &ErrorKind::InvalidInput);

        let mut wide = Batch::new("wide");
        wide.push(Statement::new("SELECT $1").bind(vec![0_u8; Batch::MAX_BYTES]));
        assert!(wide.check().is_ok());
        wide.push(Statement::new("SELECT $1").bind(vec![0_u8]));
        assert!(wide.check().is_err());
    }

    #[test]
    fn references_of_an_appended_batch_keep_meaning_its_own_statements() {
        let mut first = Batch::new("first");
        first.push(Statement::new("SELECT 1"));
        let mut second = Batch::new("second");
        let row = second.push(Statement::new("INSERT INTO t DEFAULT VALUES RETURNING id"));
        second.expect(Expect::ONE, Statement::new("SELECT $1").bind(row.column("id")));
        first.append(second);
        let params = |at: usize| first.steps()[at].statement.params().to_vec();
        assert_eq!(params(2), [Param::Back(StatementRef(1).column("id"))]);
        assert_eq!((first.steps()[2].expect, first.name()), (Expect::ONE, "first"));
        assert!(first.check().is_ok());
    }

    #[test]
    fn a_reference_points_back_or_is_refused() {
        let mut batch = Batch::new("back");
        let itself = StatementRef(0).column("id");
        batch.push(Statement::new("SELECT $1").bind(itself));
        assert!(batch.check().is_err());
    }

    #[test]
    fn parameters_at_the_limit_pass_and_one_more_is_refused() {
        let most = Statement::new("SELECT 1").bind_all(vec![0_i64; Statement::MAX_PARAMS]);
        assert!(most.check(0).is_ok());
        assert!(most.bind(0_i64).check(0).is_err());
    }
}
