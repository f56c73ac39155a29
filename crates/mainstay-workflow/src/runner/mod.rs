//! The runner: carries out what the rules of a run ask for, and keeps each result before it goes on.
//!
//! One task, the [`Core`](core::Core), owns all that is in memory: the runs that this node works on, the attempts that are leased to it, and
//! what is on its way to the database. Handlers run in tasks of their own and only send it messages. While a commit is on its way, what
//! happens meanwhile gathers for the next one, so that under load many runs share a commit, and an idle node waits for nothing.
//!
//! What is in memory may be lost at any moment: the database alone decides. Each commit is fenced by the place of its first record in the
//! run's history, each lease belongs to one life of one node.

mod arrive;
mod batches;
mod cell;
mod command;
mod config;
mod core;
mod decide;
mod dispatch;
mod flight;
mod holds;
mod keeper;
mod land;
mod launch;
mod lives;
mod losses;
mod meters;
mod tally;
pub(crate) mod telemetry;
mod transaction;
mod upkeep;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt as _;
use mainstay_core::Clock;
use mainstay_repo::{Bell, Rings};
use tokio::sync::{mpsc, oneshot};

pub(crate) use command::Command;
pub(crate) use config::Config;
pub(crate) use keeper::random;

use crate::engine::registry::Registry;
use crate::error::{Error, Result};
use crate::handler::{States, panicked};
use crate::id::{DefinitionId, NodeId};
use crate::store::{Standing, Store};

/// What a runner works with.
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) definitions: Vec<(DefinitionId, Arc<crate::engine::registry::Registered>)>,
    pub(crate) states: Arc<States>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) node: NodeId,
    /// What is held back as it begins.
    pub(crate) standing: Standing,
    /// Tells the other nodes that there is work for them, and hears them.
    pub(crate) bell: Bell,
}

/// A running runner. Dropping it stops it like a crash would: nothing is lost, other lives take over.
#[derive(Debug)]
pub(crate) struct Runner {
    commands: mpsc::UnboundedSender<Command>,
    life: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl Runner {
    /// Begins to work.
    pub(crate) fn start(setup: Setup) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        tokio::spawn(listen(setup.bell.listen(), commands.clone()));
        let life = Arc::new(AtomicI64::new(setup.node.0));
        let core = core::Core::new(setup, commands.clone(), Arc::clone(&life));
        let task = tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(core.run(inbox)).catch_unwind().await {
                let panic = panicked(&*panic);
                tracing::error!(%panic, "the workflow runner of this process has stopped by a defect: other nodes take over its runs; start the process anew");
            }
        });
        Self { commands, life, task }
    }

    /// The life that it lives now.
    pub(crate) fn node(&self) -> NodeId {
        NodeId(self.life.load(Ordering::Relaxed))
    }

    /// Tells it something.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) when it has stopped.
    pub(crate) fn tell(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| Error::closed())
    }

    /// Lets what runs end, gives the rest back, and stops.
    pub(crate) async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.tell(Command::Stop { reply }).is_ok() {
            // It may be gone already; then it has stopped.
            let _ = stopped.await;
        }
    }
}

/// Passes on what is heard from other nodes, as long as the runner lives.
async fn listen(mut rings: Rings, runner: mpsc::UnboundedSender<Command>) {
    loop {
        tokio::select! {
            () = rings.heard() => {}
            () = runner.closed() => return,
        }
        if runner.send(Command::Rung).is_err() {
            return;
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}
