//! Test support: temporary databases, faults, killed processes, golden files.
//!
//! | what | where |
//! |---|---|
//! | a database of either kind, gone after the test | [`TestDatabase`], [`for_each_database`] |
//! | a PostgreSQL server that a test may kill | [`PrivateCluster`] |
//! | PostgreSQL behind a pooler | [`PgBouncer`], [`TestDatabase::pooled`] |
//! | a connection that breaks or stalls | [`Proxy`] |
//! | a process that is killed at a random moment | [`Victim`] |
//! | a future that is dropped after so many polls | [`at_most_polls`] |
//! | a disk that is full | [`SmallDisk`] |
//! | a file system that loses what was not made durable | [`FaultFs`] |
//! | expected text in a file | [`golden`] |
//! | randomness that can be repeated | [`Random`] |
//! | time that stands still | [`FakeClock`] |
//!
//! PostgreSQL is started on demand, once for all test processes of a test command, and stopped when the command ends.
//! `MAINSTAY_TEST_POSTGRES=postgres://…` names a server to use instead; its user must be allowed to create databases.

#![deny(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a panic is how a test says that its surroundings are broken"
)]

mod database;
mod disk;
pub mod environment;
pub mod fault_fs;
pub mod golden;
mod polls;
pub mod postgres;
mod process;
mod proxy;
mod random;
mod wait;

pub use database::{SqliteFile, TestDatabase, for_each_database};
pub use disk::SmallDisk;
pub use fault_fs::FaultFs;
pub use mainstay_core::FixedClock as FakeClock;
pub use polls::{Polled, at_most_polls};
pub use postgres::{PgBouncer, PostgresDatabase, PrivateCluster};
pub use process::Victim;
pub use proxy::Proxy;
pub use random::Random;
pub use wait::{eventually, pause};
