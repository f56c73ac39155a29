//! Workflows as the surface tells of them: the documents, the attempts of a run on a line of time, and who may do what.
//!
//! Nothing here decides whether a run moves. That is `mainstay-workflow`'s, and the code of the steps is the host application's, which shares the
//! database.

pub(crate) mod access;
pub(crate) mod command;
pub mod document;
mod error;
pub(crate) mod search;
pub mod settings;
pub mod timeline;
