//! What a workflow is, as data, and the one validator behind every way to write it down; use it from `mainstay-workflow`.
//!
//! It stands apart so that the macro `workflow!` can run the same checks while the host's code is compiled: a crate of macros cannot use
//! the crate that re-exports it.

#![deny(missing_docs)]

pub mod definition;
pub mod graph;
pub mod render;
