//! Durable workflows: one graph, checked as a whole, and the pure rules by which a run of it moves.
//!
//! This crate holds the part without I/O: no database, no async runtime, no clock, no randomness of its own.
//!
//! * [`Graph`] is what a workflow is, as data; [`Workflow`] is a graph that passed every check. [`Definition`] builds one from values.
//! * [`start`], [`transition`] and [`replay`] move a run: `(state, input, now) -> (state, effects)`.
//! * [`render`] draws a graph, with the state of a run if there is one.
//!
//! ```
//! use mainstay_core::Timestamp;
//! use mainstay_workflow::{Definition, Effect, Input, Node, Status, start, transition};
//! use serde_json::json;
//!
//! let flow = Definition::new("order", 1)
//!     .node(Node::task("check", ["good", "bad"]).on("good", ["charge", "pack"]).on("bad", ["tell"]))
//!     .node(Node::task("charge", ["paid"]).on("paid", ["ship"]).compensate("refund"))
//!     .node(Node::task("pack", ["packed"]).on("packed", ["ship"]))
//!     .node(Node::tx("ship", ["sent"]).reads("charge").on("sent", ["end"]))
//!     .node(Node::task("tell", ["told"]).on("told", ["end"]))
//!     .done("end")
//!     .build()?;
//!
//! let now = Timestamp::UNIX_EPOCH;
//! let mut run = start(&flow, json!({"order": 123}), 7, now)?;
//! for event in ["good", "paid", "packed", "sent"] {
//!     // A runner would carry the effects out; here every first attempt succeeds.
//!     let work = mainstay_workflow::outstanding(&flow, &run.state);
//!     let Some(Effect::Run { attempt, .. }) = work.first() else { unreachable!() };
//!     run = transition(&flow, &run.state, Input::succeeded(attempt, event), now)?;
//! }
//! assert_eq!(run.state.status(), Status::Completed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

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

pub use control::{Control, Picture, RunView, WorkflowSummary};
pub use definition::{Definition, Problem, Problems, Workflow};
pub use engine::{Engine, EngineBuilder, StartRequest, Version, WorkflowSource};
pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Join, Mode, Need, Node, Retry, Scope, Unique};
pub use handler::{BoxFuture, Done, Handler, Handlers, StepContext, StepError, StepResult, TxHandler};
pub use id::{DefinitionId, IdError, MailId, NodeId, RunId};
pub use plan::{
    Attempt, Corrupt, Effect, Fact, Fault, Input, Outcome, Part, Record, Refusal, State, Status, StepState,
    Transition, awaited, fork, outstanding, replay, start, transition,
};
