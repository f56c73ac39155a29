//! Integration tests: data in, expectation out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test that cannot go on must fail"
)]

mod attacks;
mod corpora;
mod forgery;
mod keys;
mod limits;
mod metadata;
mod oracle;
mod parser;
mod policy;
mod positives;
mod profile;
mod property;
mod providers;
mod refusals;
mod relay_state;
mod requests;
mod structure;
mod support;
mod wrapping;
