//! The models, explored; their broken variants, refuted.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "test support: a panic is how a test fails, and what was explored is told"
)]

mod code;
mod images;
