#![doc = include_str!("../docs/crate.md")]
#![deny(missing_docs)]

mod batch;
mod bell;
mod durability;
mod engine;
mod error;
pub mod json;
pub mod middleware;
mod migrate;
mod operation;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod repo;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod ticket;
mod topology;
mod transaction;
mod url;
mod value;

pub use batch::{BackReference, Batch, BatchOutcome, Expect, StatementRef, Step, Written};
pub use bell::{Bell, MAX_TOPIC_BYTES, Rings};
pub use durability::Durability;
pub use error::{ConstraintKind, Error, ErrorKind, MigrationProblem, Result};
pub use mainstay_repo_macros::FromRow;
pub use migrate::{
    Applied, Component, Direction, Migration, MigrationStatus, Migrator, PlannedStep, Script, Target,
};
pub use operation::{Action, Operation, Outcome, Payload, Priority, RequestId};
pub use options::{Limits, RepoOptions};
#[cfg(feature = "postgres")]
pub use postgres::PostgresConfig;
pub use repo::Repo;
pub use row::{FromRow, Row};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteConfig;
pub use statement::{Dialect, Param, Sql, Statement};
pub use topology::{Capability, Position, Role, Topology};
pub use transaction::{Transaction, TransactionDriver, TransactionLimits};
pub use url::DatabaseUrl;
pub use value::{FromValue, Json, Value};
