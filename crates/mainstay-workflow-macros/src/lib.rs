//! The macros of `mainstay-workflow`; use them from there.

#![deny(missing_docs)]
