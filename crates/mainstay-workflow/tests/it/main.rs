//! The crate from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod driver;
mod engine;
mod forks;
mod kit;
mod lives;
mod probes;
mod problems;
mod properties;
mod render;
mod semantics;
mod store;
mod telemetry;
mod traces;
mod typed;
mod typed_runs;
mod ui;
