//! Workflows as the surface tells of them: the documents, the attempts of a run on a line of time, and what may be asked of them.
//!
//! Nothing here decides whether a run moves. That is `mainstay-workflow`'s, and the code of the steps is the host application's, which shares the
//! database.

pub(crate) mod command;
pub mod document;
mod error;
pub(crate) mod search;
pub mod settings;
pub mod timeline;

/// The namespace of hosts that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A namespace as it was asked for; that of hosts that name none when nothing was said.
pub(crate) fn named(namespace: Option<&str>) -> &str {
    namespace.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}
