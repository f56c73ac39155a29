//! The mainstay command, and the facade library that re-exports its crates.
