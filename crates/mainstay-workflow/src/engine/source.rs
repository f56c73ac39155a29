//! Workflows that bring their own code: what the typed front door makes.

use crate::definition::{Problems, Workflow};
use crate::handler::Handlers;

/// One version of a workflow with the code of its steps.
#[derive(Debug)]
pub struct Version {
    /// The workflow, or what is wrong with it.
    pub workflow: Result<Workflow, Problems>,
    /// The code of its steps.
    pub handlers: Handlers,
}

/// A workflow in all its versions.
pub trait WorkflowSource {
    /// The versions that runs may be pinned to.
    fn versions() -> Vec<Version>;

    /// The version for starts that name none; the highest when this says nothing.
    fn current() -> Option<u32> {
        None
    }
}
