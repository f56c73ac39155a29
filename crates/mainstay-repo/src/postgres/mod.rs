//! The PostgreSQL driver: what an operation becomes on PostgreSQL.

mod config;

pub use self::config::PostgresConfig;

use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, Result};
use crate::migrate::{Applied, MigrationStep, StepOutcome};
use crate::operation::Call;
use crate::options::Limits;
use crate::row::Row;
use crate::statement::Statement;
use crate::topology::{Capability, Position, Role};
use crate::transaction::TransactionDriver;

/// The PostgreSQL driver.
#[derive(Debug)]
pub(crate) struct Postgres {}

fn missing() -> Error {
    Error::configuration("the PostgreSQL driver is being written")
}

impl Postgres {
    pub(crate) async fn open(_config: PostgresConfig, _limits: Limits) -> Result<Self> {
        Err(missing())
    }
    pub(crate) async fn read(&self, _statements: Vec<Statement>, _call: &Call) -> Result<Vec<Vec<Row>>> {
        Err(missing())
    }
    pub(crate) async fn write(&self, _statement: Statement, _call: &Call) -> Result<Written> {
        Err(missing())
    }
    pub(crate) async fn batch(&self, _batch: Batch, _call: &Call) -> Result<BatchOutcome> {
        Err(missing())
    }
    pub(crate) async fn begin(&self, _call: &Call) -> Result<Box<dyn TransactionDriver>> {
        Err(missing())
    }
    pub(crate) fn role(&self) -> Role {
        Role::Standalone
    }
    pub(crate) async fn position(&self) -> Result<Position> {
        Err(missing())
    }
    pub(crate) fn has(&self, _capability: Capability) -> bool {
        false
    }
    pub(crate) async fn applied(&self, _component: &str) -> Result<Vec<Applied>> {
        Err(missing())
    }
    pub(crate) async fn migrate_step(&self, _step: MigrationStep) -> Result<StepOutcome> {
        Err(missing())
    }
    pub(crate) async fn close(&self) {}
}
