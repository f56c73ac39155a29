//! What a host holds: the builder, the handle, and what it asks of a run.

pub(crate) mod birth;
pub(crate) mod output;
pub(crate) mod registry;
mod request;
mod source;

use crate::error::{Error, ErrorKind, Result};

pub use request::StartRequest;
pub use source::{Version, WorkflowSource};

use registry::Registry;

/// Refuses what does not fit together, all of it at once.
pub(crate) fn setup(mut problems: Vec<String>, registry: &Registry) -> Result<()> {
    problems.extend(registry.problems());
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Setup, problems.join("; ")))
}
