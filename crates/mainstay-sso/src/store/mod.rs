//! The only SQL of this crate: one room for each table.

pub(crate) mod administrators;
pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod connections;
pub(crate) mod intents;
mod migrations;
pub(crate) mod probe;
pub(crate) mod prune;
pub(crate) mod replay;
pub(crate) mod revisions;
pub(crate) mod sessions;
pub(crate) mod setup_tokens;
pub(crate) mod sql;
mod table;
pub(crate) mod traces;

pub use self::migrations::COMPONENT;
pub use self::table::{IntentTable, ReplayTable};

/// Sorts after every identifier: where a listing begins that has the newest first.
const AFTER_ALL: &str = "~";
