//! Images on both databases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "tests"
)]
#![allow(unreachable_pub, missing_docs, missing_debug_implementations, reason = "tests")]

mod care;
mod command;
mod defects;
mod gc;
mod lease;
mod limits;
mod lost;
mod medium;
mod oci;
mod plan;
mod plans;
mod publish;
mod resolve;
mod restore;
mod room;
mod scrub;
mod support;
