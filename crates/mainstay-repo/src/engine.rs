//! The database behind a handle: one of the drivers, chosen by the URL.

use std::sync::Arc;

use crate::bell::Listeners;
use crate::error::{Error, Result};
use crate::migrate::{Applied, MigrationStep, StepOutcome};
use crate::operation::{Call, Outcome, Payload};
use crate::options::RepoOptions;
use crate::statement::Dialect;
use crate::topology::{Capability, Position, Role};
use crate::url::DatabaseUrl;

/// One of the drivers. An enum and not a trait object, so that an operation costs no allocation here.
#[derive(Debug)]
pub(crate) enum Engine {
    #[cfg(feature = "sqlite")]
    Sqlite(crate::sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Postgres>),
}

macro_rules! each {
    ($engine:expr, $driver:ident => $body:expr) => {
        match $engine {
            #[cfg(feature = "sqlite")]
            Engine::Sqlite($driver) => $body,
            #[cfg(feature = "postgres")]
            Engine::Postgres($driver) => $body,
        }
    };
}

macro_rules! run {
    ($driver:expr, $payload:expr, $call:expr) => {
        match $payload {
            Payload::Read(statements) => $driver.read(statements, $call).await.map(Outcome::Rows),
            Payload::Write(statement) => $driver.write(statement, $call).await.map(Outcome::Written),
            Payload::Batch(batch) => $driver.batch(batch, $call).await.map(Outcome::Batch),
            Payload::Begin => $driver.begin($call).await.map(Outcome::Begun),
            Payload::Commit => Err(Error::invalid_input("a commit needs its transaction")),
        }
    };
}

impl Engine {
    pub(crate) async fn open(options: &RepoOptions, listeners: &Arc<Listeners>) -> Result<Self> {
        match options.url() {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(config) => {
                crate::sqlite::Sqlite::open(config.clone(), options.limits()).await.map(Self::Sqlite)
            }
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(config) => {
                crate::postgres::Postgres::open((**config).clone(), options.limits(), Arc::clone(listeners))
                    .await
                    .map(|driver| Self::Postgres(Box::new(driver)))
            }
        }
    }

    pub(crate) async fn run(&self, payload: Payload, call: &Call) -> Result<Outcome> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(driver) => run!(driver, payload, call),
            // In a box, so that a caller who waits for SQLite does not carry room for PostgreSQL's much larger futures;
            // beside a round trip to a server the allocation is nothing.
            #[cfg(feature = "postgres")]
            Self::Postgres(driver) => Box::pin(async { run!(driver, payload, call) }).await,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn role(&self) -> Role {
        each!(self, driver => driver.role())
    }

    pub(crate) async fn position(&self) -> Result<Position> {
        each!(self, driver => driver.position().await)
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        each!(self, driver => driver.has(capability))
    }

    /// Whether a commit waits until its octets are on the disk, as far as this process decides it.
    pub(crate) const fn waits_for_disk(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(driver) => driver.waits_for_disk(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
        }
    }

    /// Tells other processes that a bell rang.
    pub(crate) fn ring(&self, topic: &Arc<str>) {
        match self {
            // Another process that opened the file would have been refused: whoever listens is in this one.
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {}
            #[cfg(feature = "postgres")]
            Self::Postgres(driver) => driver.ring(topic),
        }
    }

    /// Hears other processes' bells from now on.
    pub(crate) fn listen(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {}
            #[cfg(feature = "postgres")]
            Self::Postgres(driver) => driver.listen(),
        }
    }

    pub(crate) async fn applied(&self, component: &str) -> Result<Vec<Applied>> {
        each!(self, driver => driver.applied(component).await)
    }

    pub(crate) async fn migrate_step(&self, step: MigrationStep) -> Result<StepOutcome> {
        each!(self, driver => driver.migrate_step(step).await)
    }

    pub(crate) async fn close(&self) {
        each!(self, driver => driver.close().await);
    }
}
