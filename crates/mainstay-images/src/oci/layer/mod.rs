//! Layers: decompressed within limits, checked entry by entry, and read as what they change.

mod check;
mod decode;
mod entry;

pub(crate) use check::{Checked, check};
pub(crate) use decode::open;
pub(crate) use entry::{Attributes, Item, Names, What};
