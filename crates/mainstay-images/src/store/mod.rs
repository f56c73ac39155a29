//! The only SQL of this crate: one room for each table.
