//! Sign-in on both databases, with responses that are really signed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "tests"
)]
#![allow(unreachable_pub, missing_docs, missing_debug_implementations, reason = "tests")]

mod audit;
mod certificates;
mod commands;
mod faults;
mod login;
mod memory;
mod metadata;
mod migrations;
mod plans;
mod policy;
mod probe;
mod prune;
mod refusals;
mod sessions;
mod setup;
mod support;
