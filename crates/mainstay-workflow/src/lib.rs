#![doc = include_str!("../docs/tutorial.md")]
#![deny(missing_docs)]

mod action;
mod control;
mod engine;
mod error;
mod handler;
mod id;
pub mod plan;
pub mod render;
mod runner;
pub mod store;
pub mod testing;
pub mod typed;

pub use mainstay_workflow_graph::{definition, graph};
pub use mainstay_workflow_macros::{Events, step, versions, workflow};

pub use action::Action;
pub use control::{Control, MAX_SHOWN_BYTES, Picture, RunView, WorkflowSummary};
pub use definition::{Definition, Problem, Problems, Workflow};
pub use engine::{
    CatchUp, CronSchedule, Engine, EngineBuilder, StartRequest, TraceContext, Version, WorkflowSource,
};
pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Join, Mode, Need, Node, Retry, Scope, Unique};
pub use handler::{BoxFuture, Done, Handler, Handlers, StepContext, StepError, StepResult, TxHandler};
pub use id::{DefinitionId, IdError, MailId, NodeId, RunId};
pub use plan::{
    Attempt, Corrupt, Effect, Fact, Fault, Input, Outcome, Part, Record, Refusal, State, Status, StepState,
    Transition, awaited, fork, outstanding, replay, start, transition,
};
pub use store::{COMPONENT, migrate};
