//! Interactive transactions: for logic that must look before it writes, when a batch cannot say it.
//!
//! On SQLite a transaction holds the only writer, so both databases cap it: [`TransactionLimits`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, Result};
use crate::middleware::Next;
use crate::operation::{Operation, Payload};
use crate::repo::Repo;
use crate::row::{FromRow, Row, no_row};
use crate::statement::Statement;

/// How long an interactive transaction may hold the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// The longest pause between two of its statements.
    pub idle: Duration,
    /// The longest from begin to commit.
    pub total: Duration,
}

impl TransactionLimits {
    /// 500 ms idle and 2 s in all.
    pub const DEFAULT: Self = Self { idle: Duration::from_millis(500), total: Duration::from_secs(2) };
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A transaction as a driver runs it. Dropping it rolls back.
///
/// After an error of a statement or a batch the transaction can only be rolled back, on both databases.
#[async_trait]
pub trait TransactionDriver: Send {
    /// Runs a statement that may read or write.
    async fn run(&mut self, statement: Statement) -> Result<Written>;

    /// Runs a batch, with its conditions and back references.
    async fn batch(&mut self, batch: Batch) -> Result<BatchOutcome>;

    /// Keeps what was done.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Forgets what was done.
    async fn rollback(self: Box<Self>) -> Result<()>;
}

/// An interactive transaction. Dropping it rolls back.
///
/// ```no_run
/// # async fn example(repo: mainstay_repo::Repo) -> mainstay_repo::Result<()> {
/// use mainstay_repo::Statement;
///
/// let mut tx = repo.begin().await?;
/// let seats: i64 = tx.read_one::<mainstay_repo::Row>(Statement::new("SELECT seats FROM hall")).await?.get("seats")?;
/// if seats > 0 {
///     tx.write(Statement::new("UPDATE hall SET seats = seats - 1")).await?;
///     tx.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Transaction {
    driver: Box<dyn TransactionDriver>,
    repo: Repo,
    operation: Operation,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("request_id", &self.operation.request_id())
            .finish_non_exhaustive()
    }
}

impl Transaction {
    pub(crate) const fn new(driver: Box<dyn TransactionDriver>, repo: Repo, operation: Operation) -> Self {
        Self { driver, repo, operation }
    }

    /// The database behind it.
    #[must_use]
    pub fn dialect(&self) -> crate::Dialect {
        self.repo.dialect()
    }

    /// Runs a statement that reads and sees what the transaction wrote.
    ///
    /// # Errors
    /// As [`Repo::read`]; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when a limit has passed.
    pub async fn read(&mut self, statement: Statement) -> Result<Vec<Row>> {
        self.write(statement).await.map(Written::into_rows)
    }

    /// The first row as a Rust type, if there is one.
    ///
    /// # Errors
    /// As [`Transaction::read`].
    pub async fn read_optional<T: FromRow>(&mut self, statement: Statement) -> Result<Option<T>> {
        self.read(statement).await?.first().map(T::from_row).transpose()
    }

    /// The first row as a Rust type.
    ///
    /// # Errors
    /// As [`Transaction::read`]; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none.
    pub async fn read_one<T: FromRow>(&mut self, statement: Statement) -> Result<T> {
        self.read_optional(statement).await?.ok_or_else(no_row)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// As [`Repo::write`]; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when a limit has passed.
    pub async fn write(&mut self, statement: Statement) -> Result<Written> {
        statement.check(0)?;
        self.driver.run(statement).await
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// As [`Repo::batch`]; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when a limit has passed.
    pub async fn batch(&mut self, batch: Batch) -> Result<BatchOutcome> {
        batch.check()?;
        self.driver.batch(batch).await
    }

    /// Keeps what was done. When this returns, it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`](crate::ErrorKind::Unknown) when the connection broke while committing; other kinds mean
    /// that it was rolled back.
    pub async fn commit(self) -> Result<()> {
        let Self { driver, repo, operation } = self;
        let slot = Mutex::new(Some(driver));
        let middleware: &[Arc<_>] = repo.middleware();
        let next = Next::to_commit(middleware, &slot);
        next.run(operation.with_payload(Payload::Commit)).await.map(drop)
    }

    /// Forgets what was done.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the connection broke; it is rolled back all the same.
    pub async fn rollback(self) -> Result<()> {
        self.driver.rollback().await
    }
}

/// The error of a transaction that is used after one of its statements failed.
pub(crate) fn already_failed() -> Error {
    Error::invalid_input("an earlier statement of this transaction failed, so it can only be rolled back")
        .with_help("begin another transaction")
}

/// The error of a transaction that held the database for too long.
pub(crate) fn limit_passed(limits: &TransactionLimits, which: &'static str) -> Error {
    Error::new(
        crate::ErrorKind::Timeout,
        format!(
            "the transaction was rolled back: it was {which}; the limits are {:?} idle and {:?} in all",
            limits.idle, limits.total
        ),
    )
    .with_help("say it as a Batch, or do slow work before you begin")
}
