//! The only SQL of this crate.

pub(crate) mod migrations;
pub(crate) mod nodes;
