//! Reads tar archives from strangers: a stream of entries within limits, no part of which is held in memory but one header.

mod header;
mod path;
mod pax;
mod reader;

pub(crate) use path::clean_path;
pub(crate) use reader::{Entry, EntryKind, Seeking, Streaming, TarReader};
