//! What is on its way to the database, and what comes back.

use futures_util::future::BoxFuture;
use mainstay_core::Timestamp;
use mainstay_repo::ErrorKind as RepoErrorKind;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cell::Item;
use crate::engine::birth::Birth;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, RunId};
use crate::plan::{Attempt, Record};
use crate::store::{
    Beat, Claimed, Commit, Committed, Fired, Head, Loaded, Mail, Schedule, Standing, Started, TaskKey,
};

/// Something on its way.
pub(super) type Flight = BoxFuture<'static, Landed>;

/// Something that came back.
pub(super) enum Landed {
    /// Runs were moved.
    Commits { decided: Vec<Decided>, result: Result<Vec<Committed>> },
    /// Runs were moved together with statements of their steps.
    Batches { decided: Vec<Decided>, results: Vec<BatchResult> },
    /// Runs were started.
    Starts { births: Vec<Begun>, sent: Timestamp, result: Result<Vec<Started>> },
    /// Runs were read.
    Loads { runs: Vec<RunId>, result: Result<Vec<(Loaded, Vec<Record>)>> },
    /// Mail was read.
    Mail { runs: Vec<RunId>, result: Result<Vec<(RunId, Vec<Mail>)>> },
    /// The database was asked for work.
    Poll { asked: usize, result: Result<Polled> },
    /// The node said that it is alive.
    Beat { sent: Instant, result: Result<Beaten> },
    /// What is leased to this node according to the database.
    Leased { result: Result<Vec<crate::store::TaskKey>> },
    /// The node has begun another life.
    Joined { result: Result<NodeId> },
    /// Schedules that are due.
    Schedules { result: Result<Vec<Schedule>> },
    /// A schedule was fired.
    Fired { name: String, begun: Option<Box<Begun>>, sent: Timestamp, result: Result<Fired> },
    /// Runs that were kept for long enough were removed.
    Pruned { result: Result<u64> },
    /// Acts that were kept for long enough were removed.
    PrunedActs { result: Result<u64> },
    /// Tasks that had been set aside came back.
    CameBack { result: Result<u64> },
    /// It was noted that attempts begin.
    Noted { notes: Vec<super::dispatch::Ready>, result: Result<Vec<TaskKey>> },
    /// Attempts that must not begin now were given back.
    GivenBack { runs: Vec<RunId>, result: Result<()> },
    /// Nobody waits for it.
    Settled { result: Result<()> },
}

/// A run that is being started.
pub(super) struct Begun {
    pub(super) birth: Birth,
    pub(super) leased: Vec<Attempt>,
    pub(super) reply: Option<oneshot::Sender<Result<RunId>>>,
}

/// What there is to do.
pub(super) struct Polled {
    pub(super) claimed: Vec<Claimed>,
    pub(super) woken: Vec<RunId>,
    pub(super) next_due: Option<Timestamp>,
    pub(super) standing: Standing,
    /// What of this node's is not wanted any more; asked for when somebody rang, else the next beat says so.
    pub(super) revoked: Option<Vec<TaskKey>>,
}

/// What a node hears when it says that it is alive.
pub(super) struct Beaten {
    pub(super) beat: Beat,
    /// How many others it gave up: what they kept for themselves is due.
    pub(super) buried: u64,
    pub(super) taken_over: Vec<Claimed>,
}

/// A run's next commit, and what to do when it is there.
pub(crate) struct Decided {
    pub(super) run: RunId,
    pub(super) commit: Option<Commit>,
    /// What was decided, to decide it again when the run has moved.
    pub(super) taken: Vec<Item>,
    pub(super) records: Vec<Record>,
    /// Attempts that are leased to this node with the commit.
    pub(super) leased: Vec<Attempt>,
    /// Attempts that are taken back.
    pub(super) revoked: Vec<Attempt>,
    /// Times at which there is something to do.
    pub(super) due: Vec<Timestamp>,
    /// Attempts that may begin at once.
    pub(super) ready: Vec<Attempt>,
    /// Whether something of it may begin now and is leased to nobody.
    pub(super) leaves: bool,
    /// Whether a step's own statements commit with it.
    pub(super) with_batch: bool,
    /// When it was decided.
    pub(super) began: tokio::time::Instant,
}

/// How a commit with a step's own statements ended.
pub(super) enum BatchResult {
    /// It is there.
    Done(Box<Head>),
    /// The run has moved, or it is not known whether it is there: read it and decide again.
    Again(Option<Error>),
    /// The step's statements were refused: its attempt failed.
    Refused(crate::handler::StepError),
}

/// How an attempt with a transaction ended.
pub(crate) enum Reserved {
    /// It is there.
    Done {
        /// The run.
        head: Box<Head>,
        /// What was decided.
        decided: Box<Decided>,
    },
    /// The run has moved, or it is not known whether it is there: read it and decide again.
    Again(Option<Error>),
    /// The run refuses its answer, as far as this node knows; nothing of it is there.
    Refused,
    /// The attempt failed; nothing of it is there.
    Failed(crate::handler::StepError),
}

/// Whether an operation may be there although it failed, or did not happen for a reason that passes.
pub(super) fn is_unsure(error: &mainstay_repo::Error) -> bool {
    matches!(
        error.kind(),
        RepoErrorKind::Unknown { .. }
            | RepoErrorKind::Unavailable
            | RepoErrorKind::Busy
            | RepoErrorKind::Closed
            | RepoErrorKind::StorageFull
    )
}

/// Whether an error says that the run has moved.
pub(super) fn is_stale(error: &Error) -> bool {
    *error.kind() == ErrorKind::Stale
}
