//! One suite of behaviour that every database must pass: the tests are in `tests/it`, one room a subject.
//!
//! Each test takes a database and is run for SQLite and for PostgreSQL. Where the two differ, the test asks for a
//! `Capability` and never for the database's name; SQL that must differ stands side by side.
//!
//! This library holds what the tests share with the programs that they kill: the [`linked`] tables of `crash-writer`, the [`trips`] and
//! [`stays`] of `crash-worker`, the [`content`] of `crash-images`.

#![deny(missing_docs)]

pub mod content;
pub mod linked;
pub mod stays;
pub mod trips;
