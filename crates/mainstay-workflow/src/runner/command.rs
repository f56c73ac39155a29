//! What the runner is told.

use serde_json::Value;
use tokio::sync::oneshot;

use super::flight::Reserved;
use crate::engine::StartRequest;
use crate::engine::birth::Birth;
use crate::error::Result;
use crate::handler::{StepError, StepResult};
use crate::id::RunId;
use crate::store::Ended;

/// What the runner is told from outside of it and by its workers.
pub(crate) enum Command {
    /// Start a run.
    Start {
        /// The run.
        birth: Box<Birth>,
        /// Who wants to know.
        reply: oneshot::Sender<Result<RunId>>,
    },
    /// There is mail for a run, or it was changed from outside.
    Wake(RunId),
    /// The database was changed from outside of the runner: look for work at once.
    Look,
    /// Another node or an operator left something in the database, perhaps for this node.
    Rung,
    /// Say how a run ends.
    Watch {
        /// The run.
        run: RunId,
        /// Who wants to know. `None` when this node does not know and the database has to be asked.
        reply: oneshot::Sender<Option<Ended>>,
    },
    /// A worker ended.
    Told {
        /// Which.
        worker: u64,
        /// How.
        told: Told,
    },
    /// A handler says that it is alive.
    Beat {
        /// Its worker.
        worker: u64,
        /// How far it is.
        progress: Value,
    },
    /// Begin nothing new, let what runs end, give the rest back.
    Stop {
        /// Who waits for the end.
        reply: oneshot::Sender<()>,
    },
}

/// How a worker ended.
pub(crate) enum Told {
    /// A handler answered.
    Answer(StepResult),
    /// The input of a child is known.
    Child(Result<StartRequest, StepError>),
    /// A handler with a transaction answered, and its transaction was committed or rolled back.
    Transaction(Box<Reserved>),
}
