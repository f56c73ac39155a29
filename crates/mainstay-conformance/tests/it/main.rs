//! The conformance suite. Each test runs on every database: `subject::sqlite::name` and `subject::postgres::name`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::large_futures,
    reason = "tests: a panic is how they fail"
)]

#[macro_use]
mod support;

mod bad_files;
mod bad_servers;
mod bad_urls;
mod batches;
mod cancellation;
mod close;
mod crashes;
mod deadlines;
mod errors;
mod faults;
mod groups;
mod histories;
mod images_crashes;
mod isolation;
mod json;
mod middleware;
mod migrations;
mod poolers;
mod rows;
mod schema;
mod statements;
mod tls;
mod topology;
mod transactions;
mod values;
mod workflow_stalls;
mod workflow_stays;
mod workflows;
