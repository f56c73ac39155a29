//! What a host holds: the builder, the handle, and what it asks of a run.

pub(crate) mod birth;
mod builder;
mod cron;
mod handle;
pub(crate) mod output;
pub(crate) mod queues;
pub(crate) mod registry;
mod request;
pub(crate) mod schedule;
mod source;
pub(crate) mod trace;

use crate::error::{Error, ErrorKind, Result};

pub use builder::EngineBuilder;
pub use handle::Engine;
pub use request::StartRequest;
pub use schedule::{CatchUp, CronSchedule};
pub use source::{Version, WorkflowSource};
pub use trace::TraceContext;

use birth::Birth;
use mainstay_core::Timestamp;
use registry::Registry;

use crate::id::NodeId;
use crate::runner::Config;
use crate::store::{Lane, Parent, Start, TaskKey};

/// Refuses what does not fit together, all of it at once.
pub(crate) fn setup(mut problems: Vec<String>, registry: &Registry) -> Result<()> {
    problems.extend(registry.problems());
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Setup, problems.join("; ")))
}

/// What the store needs to start a run; none when its workflow is not known there.
pub(crate) fn start_of(
    birth: &Birth,
    config: &Config,
    now: Timestamp,
    lease: Option<NodeId>,
) -> Option<Start> {
    let request = &birth.request;
    let lane = Lane {
        priority: request.priority,
        fairness: request.fairness.as_deref().map(Into::into),
        ..Lane::default()
    };
    let queues = config.queues.of_effects(&birth.registered.flow, &birth.transition.effects);
    let parent = birth.parent.clone();
    Some(Start {
        definition: *birth.registered.definition.get()?,
        business_key: birth.key.clone(),
        token: birth.token.clone(),
        transition: birth.transition.clone(),
        lane,
        queues,
        attributes: request.attributes.clone(),
        telemetry: request.telemetry.clone(),
        consumes: parent.clone().map(|(run, attempt)| TaskKey { run, attempt }),
        parent: parent.map(|(run, attempt)| Parent { run, attempt }),
        lease,
        now,
    })
}
