//! The handle to a running engine.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, Timestamp};
use mainstay_repo::{Batch, Bell, Repo, Transaction};
use serde_json::Value;
use tokio::sync::oneshot;

use super::birth::Birth;
use super::builder::EngineBuilder;
use super::registry::Registry;
use super::schedule::request;
use super::{CronSchedule, StartRequest, start_of};
use crate::control::{Control, delivered};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::SignalName;
use crate::id::RunId;
use crate::runner::{Command, Config, Runner, random};
use crate::store::{Ended, Letter, Message, OwnTurn, Start, Started, Store};

/// How often the database is asked whether a run has ended on another node.
const WAIT_POLL: Duration = Duration::from_millis(250);
/// After so long a silence of a run that this node knows, the database is asked whether another node has ended it; then after twice as
/// long, and so on up to the last.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(30);
/// How long a letter is left to the node of its sender before others take it up, when that node has the definition of its run.
const OWN_FIRST: Duration = Duration::from_secs(2);

/// A running engine: starts runs, speaks to them, and runs their steps. Cheap to clone.
///
/// Dropping the last handle stops it as a crash would: nothing is lost. [`stop`](Self::stop) lets what runs end first.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    registry: Arc<Registry>,
    config: Config,
    clock: Arc<dyn Clock>,
    runner: Option<Runner>,
    /// The runner's own, if there is one: it is told what is for it, and the others hear.
    bell: Bell,
}

impl Engine {
    /// Begins to put an engine together.
    #[must_use]
    pub fn builder(repo: Repo) -> EngineBuilder {
        EngineBuilder::new(repo)
    }

    pub(super) fn new(
        store: Store,
        registry: Arc<Registry>,
        config: Config,
        clock: Arc<dyn Clock>,
        runner: Option<Runner>,
        bell: Bell,
    ) -> Self {
        Self(Arc::new(Inner { store, registry, config, clock, runner, bell }))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn birth(&self, mut request: StartRequest) -> Result<Birth> {
        let now = self.now();
        self.0.config.traces.carry(&mut request);
        Birth::new(&self.0.registry, request, random(), now)
    }

    fn start_from(&self, birth: &Birth) -> Result<Start> {
        let unset = || Error::internal("a workflow is registered without being defined");
        start_of(birth, &self.0.config, self.now(), None).ok_or_else(unset)
    }

    /// Starts a run. When this returns, it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyRunning`] when a run with the same business key is active, decided by a unique index;
    /// [`ErrorKind::UnknownWorkflow`], [`ErrorKind::UnknownVersion`], [`ErrorKind::BadKey`], [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Database`]: after `Unknown` it may be there or not.
    pub async fn start(&self, request: StartRequest) -> Result<RunId> {
        let birth = self.birth(request)?;
        let Some(runner) = &self.0.runner else {
            let start = self.start_from(&birth)?;
            let mut started = self.0.store.start(&birth.registered.flow, vec![start]).await?;
            let run = began(started.pop())?;
            self.0.bell.ring();
            return Ok(run);
        };
        let (reply, answer) = oneshot::channel();
        runner.tell(Command::Start { birth: Box::new(birth), reply })?;
        answer.await.map_err(|_| Error::closed())?
    }

    /// Starts a run together with what the host writes in the same transaction: both are there, or neither.
    ///
    /// The run begins when a node looks for work after the commit, within half a second; [`nudge`](Self::nudge) makes that at once.
    ///
    /// # Errors
    /// As [`start`](Self::start). After [`ErrorKind::AlreadyRunning`] the transaction can go on.
    pub async fn start_in(&self, transaction: &mut Transaction, request: StartRequest) -> Result<RunId> {
        let birth = self.birth(request)?;
        let start = self.start_from(&birth)?;
        let started = self.0.store.start_in(transaction, &birth.registered.flow, start).await?;
        began(Some(started))
    }

    /// Adds the start of a run to a batch of the host, which fails as a whole when its business key is taken.
    ///
    /// # Errors
    /// As [`start`](Self::start), except what only the database knows.
    pub fn start_into(&self, batch: &mut Batch, request: StartRequest) -> Result<RunId> {
        let birth = self.birth(request)?;
        let start = self.start_from(&birth)?;
        self.0.store.start_into(batch, &birth.registered.flow, start)
    }

    /// Lets this node and all others look for work now: after the commit of what [`start_in`](Self::start_in) wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub fn nudge(&self) -> Result<()> {
        self.0.bell.ring();
        self.tell(Command::Look)
    }

    fn tell(&self, command: Command) -> Result<()> {
        self.0.runner.as_ref().map_or(Ok(()), |runner| runner.tell(command))
    }

    /// Tells the runner, or the other nodes when there is none.
    fn tell_anybody(&self, command: Command) -> Result<()> {
        if self.0.runner.is_none() {
            self.0.bell.ring();
        }
        self.tell(command)
    }

    /// Sends a signal. It is kept until a step waits for it, and dropped with the run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Ended`] when the run has ended; [`ErrorKind::MailboxFull`]; [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Database`].
    pub async fn signal(&self, run: RunId, signal: &str, payload: Value) -> Result<()> {
        self.send(run, None, Message::Signal { signal: SignalName::from(signal), payload }).await.map(drop)
    }

    /// Sends a signal that counts once, however often it is sent with the same identifier. Returns whether it was new.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn signal_once(&self, run: RunId, sender: &str, signal: &str, payload: Value) -> Result<bool> {
        let message = Message::Signal { signal: SignalName::from(signal), payload };
        self.send(run, Some(sender.to_owned()), message).await
    }

    /// Sends a signal that reaches the run at an instant, not before: it waits in the database, over restarts, and counts as sent from then
    /// on. At an instant that has passed it arrives at once.
    ///
    /// # Errors
    /// As [`signal`](Self::signal); one that waits counts for the bound of the mailbox.
    pub async fn signal_at(&self, run: RunId, at: Timestamp, signal: &str, payload: Value) -> Result<()> {
        let message = Message::Scheduled { at, signal: SignalName::from(signal), payload };
        let letter = Letter { run, sender: None, message, now: self.now(), due: at };
        let sent = self.0.store.send(vec![letter]).await?.pop();
        delivered(run, sent.ok_or_else(|| Error::internal("a letter got no answer"))?)?;
        // This node learns of the instant now; others when they look for work next.
        self.tell_anybody(Command::Look)
    }

    /// Sends a signal that reaches the run after a while; see [`signal_at`](Self::signal_at).
    ///
    /// # Errors
    /// As [`signal_at`](Self::signal_at).
    pub async fn signal_after(
        &self,
        run: RunId,
        after: Duration,
        signal: &str,
        payload: Value,
    ) -> Result<()> {
        self.signal_at(run, self.now().saturating_add(after), signal, payload).await
    }

    /// Sends a signal together with what the host writes in the same transaction.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn signal_in(
        &self,
        tx: &mut Transaction,
        run: RunId,
        signal: &str,
        payload: Value,
    ) -> Result<()> {
        let message = Message::Signal { signal: SignalName::from(signal), payload };
        let now = self.now();
        let sent = self.0.store.send_in(tx, &Letter { run, sender: None, message, now, due: now }).await?;
        delivered(run, sent).map(drop)
    }

    /// Cancels a run: what runs is told to stop, what was done is undone.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<()> {
        self.send(run, None, Message::Cancel { reason: reason.to_owned() }).await.map(drop)
    }

    /// Lets nothing new begin in a run. What runs goes on.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn pause(&self, run: RunId) -> Result<()> {
        self.send(run, None, Message::Pause).await.map(drop)
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn resume(&self, run: RunId) -> Result<()> {
        self.send(run, None, Message::Resume).await.map(drop)
    }

    async fn send(&self, run: RunId, sender: Option<String>, message: Message) -> Result<bool> {
        let now = self.now();
        let definitions = self.0.registry.ids();
        let own = self.0.runner.as_ref().map(|runner| OwnTurn {
            node: runner.node(),
            definitions: &definitions,
            until: now.saturating_add(OWN_FIRST),
        });
        let sent = self.0.store.send_from(&Letter { run, sender, message, now, due: now }, own).await?;
        let is_new = delivered(run, sent)?;
        self.tell_anybody(Command::Wake(run))?;
        Ok(is_new)
    }

    /// Waits for the end of a run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`]; [`ErrorKind::Closed`] when the engine stops meanwhile.
    pub async fn wait(&self, run: RunId) -> Result<Ended> {
        let mut patience = FIRST_LOOK;
        loop {
            let (reply, told) = oneshot::channel();
            self.tell(Command::Watch { run, reply })?;
            let told = tokio::time::timeout(patience, told).await;
            if let Ok(Ok(Some(ended))) = told {
                return Ok(ended);
            }
            // This node does not work on it, or another one may have gone on with it: the database knows.
            if let Some(ended) = self.ended(run).await? {
                return Ok(ended);
            }
            match told {
                Ok(_) => tokio::time::sleep(WAIT_POLL).await,
                Err(_) => patience = patience.saturating_mul(2).min(LAST_LOOK),
            }
        }
    }

    /// How a run ended, or nothing while it goes on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn ended(&self, run: RunId) -> Result<Option<Ended>> {
        self.0.store.ended(run).await
    }

    /// Begins a run with what an ended one did; what failed, was undone or had not ended is done anew. The ended run stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::AlreadyRunning`] when a run with the same business key is active; [`ErrorKind::Refused`] when
    /// the run has not ended; [`ErrorKind::Database`].
    pub async fn retry(&self, run: RunId) -> Result<RunId> {
        self.branch(self.control().retry(run).await)
    }

    /// Begins a run with what another one did before a step: that step and all behind it are done anew.
    ///
    /// # Errors
    /// As [`retry`](Self::retry); [`ErrorKind::Active`] while the other run goes on; [`ErrorKind::Refused`] when it did not come to the
    /// step.
    pub async fn fork(&self, run: RunId, from: &str) -> Result<RunId> {
        self.branch(self.control().fork(run, &from.into()).await)
    }

    fn branch(&self, run: Result<RunId>) -> Result<RunId> {
        self.nudge()?;
        run
    }

    /// Registers a schedule, in place of the one of its name: call it at each start of the host, on every node. What an operator held back
    /// stays held back, and a time that passed while no node was there is still due ([`CatchUp`](super::CatchUp)); with another cron
    /// expression times count from now. Operators have the rest: [`Control::schedule_pause`] and its like, by [`control`](Self::control).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownWorkflow`] and [`ErrorKind::UnknownVersion`]; [`ErrorKind::BadKey`]; [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Database`].
    pub async fn schedule(&self, schedule: CronSchedule) -> Result<()> {
        let stored = schedule.into_stored(self.now())?;
        // What cannot be started later is told now.
        self.birth(request(&stored)?)?;
        self.0.store.schedule_register(&stored).await
    }

    /// Looks at runs and operates them, also those of workflows that are not registered here.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::of(self.0.store.clone(), Arc::clone(&self.0.clock))
    }

    /// The database.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        self.0.store.repo()
    }

    /// Begins nothing new, lets what runs end, gives the rest back to other nodes, and stops.
    pub async fn stop(&self) {
        if let Some(runner) = &self.0.runner {
            runner.stop().await;
        }
    }
}

fn began(started: Option<Started>) -> Result<RunId> {
    match started {
        Some(Started::New(head)) => Ok(head.meta.run),
        Some(Started::AlreadyActive(run)) => {
            let text = format!("{run} is active under the same business key");
            Err(Error::new(ErrorKind::AlreadyRunning { run }, text)
                .with_help("wait for its end, or cancel it"))
        }
        Some(Started::Withdrawn) | None => Err(Error::internal("a start got no answer")),
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.0.store)
            .field("works", &self.0.runner.is_some())
            .finish_non_exhaustive()
    }
}
