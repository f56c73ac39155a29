//! The handle.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::SystemClock;
use tokio::time::Instant;

use crate::batch::{Batch, BatchOutcome, Written};
use crate::bell::{Bell, Listeners};
use crate::engine::Engine;
use crate::error::Result;
use crate::middleware::{Middleware, Next};
use crate::operation::{Call, Operation, Outcome, Payload, Priority, RequestId};
use crate::options::RepoOptions;
use crate::row::{FromRow, Row, no_row};
use crate::statement::{Dialect, Statement};
use crate::topology::{Capability, Position, Role, Topology};
use crate::transaction::Transaction;

/// The component of a handle that was not told which it serves.
const HOST: &str = "host";

/// A handle to one database: cheap to clone, shared by all who use the database.
///
/// A handle carries the circumstances of the operations made through it: component, deadline, priority. Change them on a
/// clone: `repo.for_component("sso").within(Duration::from_secs(2))`.
#[derive(Clone)]
pub struct Repo {
    shared: Arc<Shared>,
    component: &'static str,
    within: Duration,
    priority: Priority,
    request_id: Option<RequestId>,
}

struct Shared {
    engine: Engine,
    listeners: Arc<Listeners>,
    middleware: Vec<Arc<dyn Middleware>>,
    description: String,
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repo")
            .field("database", &self.shared.description)
            .field("component", &self.component)
            .field("within", &self.within)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

impl Repo {
    /// Opens the database that a URL names, without middleware; [`RepoOptions`] opens it with.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the URL, the directory or the file is not usable;
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy): another process writes to the file;
    /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied): wrong password;
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable): no server answers;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): the file is not a database;
    /// [`ErrorKind::Migration`](crate::ErrorKind::Migration): the database is newer than this program.
    pub async fn connect(url: &str) -> Result<Self> {
        RepoOptions::new(url)?.connect().await
    }

    pub(crate) async fn open(options: RepoOptions) -> Result<Self> {
        let listeners = Arc::new(Listeners::default());
        let engine = Engine::open(&options, &listeners).await?;
        let description = options.url().to_string();
        let within = options.limits().deadline;
        let shared = Shared { engine, listeners, description, middleware: options.into_middleware() };
        Ok(Self {
            shared: Arc::new(shared),
            component: HOST,
            within,
            priority: Priority::Normal,
            request_id: None,
        })
    }

    /// The same database, for the operations of a component; it shows in traces and metrics.
    #[must_use]
    pub const fn for_component(mut self, component: &'static str) -> Self {
        self.component = component;
        self
    }

    /// The same database, for operations that must end within so long.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// The same database, for operations of a priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same database, for one operation whose id the caller chose.
    #[must_use]
    pub const fn with_request_id(mut self, request_id: RequestId) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// Which SQL the database speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.shared.engine.dialect()
    }

    /// What and where the database is, for people; without secrets.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.shared.description
    }

    /// Runs a statement that only reads.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly) when it would write;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it does not parse or a parameter does not fit;
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn read(&self, statement: Statement) -> Result<Vec<Row>> {
        self.read_many(vec![statement]).await.map(|mut results| results.pop().unwrap_or_default())
    }

    /// Runs statements that only read, all on one snapshot.
    ///
    /// # Errors
    /// As [`Repo::read`].
    pub async fn read_many(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
        statements.iter().try_for_each(|statement| statement.check(0))?;
        self.run(Payload::Read(statements)).await?.into_rows()
    }

    /// All rows as a Rust type.
    ///
    /// # Errors
    /// As [`Repo::read`].
    pub async fn read_all<T: FromRow>(&self, statement: Statement) -> Result<Vec<T>> {
        self.read(statement).await?.iter().map(T::from_row).collect()
    }

    /// The first row as a Rust type, if there is one.
    ///
    /// # Errors
    /// As [`Repo::read`].
    pub async fn read_optional<T: FromRow>(&self, statement: Statement) -> Result<Option<T>> {
        self.read(statement).await?.first().map(T::from_row).transpose()
    }

    /// The first row as a Rust type.
    ///
    /// # Errors
    /// As [`Repo::read`]; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none.
    pub async fn read_one<T: FromRow>(&self, statement: Statement) -> Result<T> {
        self.read_optional(statement).await?.ok_or_else(no_row)
    }

    /// Runs one statement that writes. When this returns, what it did is durable.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) and [`ErrorKind::Constraint`](crate::ErrorKind::Constraint)
    /// by the schema's rules; [`ErrorKind::Unknown`](crate::ErrorKind::Unknown) when it is not known whether it is
    /// there; every other kind means that it is not.
    pub async fn write(&self, statement: Statement) -> Result<Written> {
        statement.check(0)?;
        self.run(Payload::Write(statement)).await?.into_written()
    }

    /// Runs a batch: all of it or nothing. When this returns, what it did is durable.
    ///
    /// # Errors
    /// As [`Repo::write`]; [`ErrorKind::ConditionFailed`](crate::ErrorKind::ConditionFailed) with the statement's place.
    pub async fn batch(&self, batch: Batch) -> Result<BatchOutcome> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(BatchOutcome::new(Vec::new()));
        }
        self.run(Payload::Batch(batch)).await?.into_batch()
    }

    /// Begins an interactive transaction. Prefer a [`Batch`]: it is one round trip and holds nobody up.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn begin(&self) -> Result<Transaction> {
        let operation = self.operation(Payload::Begin);
        let driver = self.send(operation.clone()).await?.into_begun()?;
        Ok(Transaction::new(driver, self.clone(), operation))
    }

    /// A bell of its own for a topic: to tell others who use the database that there is something to look at, and to be told.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): a topic is 1 to [`MAX_TOPIC_BYTES`](crate::MAX_TOPIC_BYTES) lower-case
    /// letters, digits and `_ - . /`.
    pub fn bell(&self, topic: &str) -> Result<Bell> {
        Bell::new(self, topic)
    }

    /// Closes the database: waits for what runs, refuses what comes later. Dropping the last handle closes it too.
    pub async fn close(&self) {
        self.shared.engine.close().await;
    }

    pub(crate) fn middleware(&self) -> &[Arc<dyn Middleware>] {
        &self.shared.middleware
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.shared.listeners
    }

    fn operation(&self, payload: Payload) -> Operation {
        let call = Call {
            request_id: self.request_id.unwrap_or_else(|| RequestId::generate(&SystemClock)),
            deadline: Instant::now() + self.within,
            priority: self.priority,
        };
        Operation { call, component: self.component, attempt: 1, payload }
    }

    async fn run(&self, payload: Payload) -> Result<Outcome> {
        self.send(self.operation(payload)).await
    }

    async fn send(&self, operation: Operation) -> Result<Outcome> {
        Next::to_engine(self.middleware(), self.engine()).run(operation).await
    }
}

#[async_trait::async_trait]
impl Topology for Repo {
    fn role(&self) -> Role {
        self.engine().role()
    }

    async fn position(&self) -> Result<Position> {
        self.engine().position().await
    }

    fn has(&self, capability: Capability) -> bool {
        self.engine().has(capability)
    }
}
