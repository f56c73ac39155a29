//! The handle of operators: sees and steers the runs of every host that shares a database, without any of their code.

mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::{Clock, Cursor, Page, PageSize, SystemClock, Timestamp};
use mainstay_repo::Repo;
use serde_json::Value;

pub use self::view::{Picture, RunView, WorkflowSummary};

use crate::definition::Workflow;
use crate::engine::StartRequest;
use crate::engine::birth::{Prepared, prepare};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::StepKey;
use crate::id::RunId;
use crate::plan::{Record, Status, fork};
use crate::render;
use crate::store::{
    Filter, ImportReport, Lane, Letter, Message, NodeView, Order, Pause, Queue, QueueLimits, RunSummary,
    Schedule, Sent, Start, Started, Store, StoredDefinition, StoredRun,
};

/// Sees and steers the runs of a namespace. Cheap to clone.
///
/// What it asks of a run is written into the run's mail; an engine that works on the namespace takes it up. Nothing is lost while none does.
///
/// ```no_run
/// # async fn example(repo: mainstay_repo::Repo) -> mainstay_workflow::Result<()> {
/// use mainstay_core::PageSize;
/// use mainstay_workflow::{Control, Status, store::{Filter, Order}};
///
/// let control = Control::open(&repo, "default").await?;
/// let failed = Filter::new().status(Status::Failed).context("context.initial.order_id", serde_json::json!(123))?;
/// for run in control.list(&failed, Order::Newest, PageSize::DEFAULT, None).await?.items {
///     println!("{} {}", run.run, run.reason.unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Control {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Control {
    /// Opens a namespace; its tables have to be there ([`COMPONENT`](crate::store::COMPONENT)). One that is not there is not made: nothing
    /// is found in it.
    ///
    /// # Errors
    /// As [`Store::look`].
    pub async fn open(repo: &Repo, namespace: &str) -> Result<Self> {
        Ok(Self::of(Store::look(repo, namespace).await?, Arc::new(SystemClock)))
    }

    /// The same for a store that is open.
    #[must_use]
    pub fn of(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The store beneath.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// All workflows that were ever registered here, by name, with how many runs they have.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn workflows(&self) -> Result<Vec<WorkflowSummary>> {
        let pauses = self.store.pauses().await?;
        let is_paused = |name: &str| {
            let holds = |pause: &Pause| pause.workflow.as_deref().is_none_or(|workflow| workflow == name);
            pauses.iter().any(holds)
        };
        let mut found: BTreeMap<String, WorkflowSummary> = BTreeMap::new();
        for (name, version) in self.store.versions().await? {
            let summary = found.entry(name.clone()).or_insert_with(|| WorkflowSummary {
                paused: is_paused(&name),
                name,
                versions: Vec::new(),
                runs: BTreeMap::new(),
            });
            summary.versions.push(version);
        }
        for (name, status, count) in self.store.counts().await? {
            if let Some(summary) = found.get_mut(&name) {
                summary.runs.insert(status, count);
            }
        }
        Ok(found.into_values().collect())
    }

    /// A workflow as it was registered last: of a version, or of the highest.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownWorkflow`], [`ErrorKind::UnknownVersion`]; [`ErrorKind::Corrupt`].
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Workflow> {
        read(&self.definition(name, version).await?)
    }

    async fn definition(&self, name: &str, version: Option<u32>) -> Result<StoredDefinition> {
        let all = self.store.definitions(name).await?;
        if all.is_empty() {
            return Err(Error::new(
                ErrorKind::UnknownWorkflow,
                format!("no workflow {name:?} was ever registered here"),
            )
            .with_help("start the host that has it once, so that it is known"));
        }
        let found = all.into_iter().find(|stored| version.is_none_or(|version| stored.version == version));
        found.ok_or_else(|| {
            let version = version.unwrap_or_default();
            Error::new(ErrorKind::UnknownVersion, format!("{name} has no version {version} here"))
        })
    }

    /// A page of the runs that meet a filter.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn list(
        &self,
        filter: &Filter,
        order: Order,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<RunSummary>> {
        self.store.list(filter, order, size, after).await
    }

    /// A run and its context.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn get(&self, run: RunId) -> Result<StoredRun> {
        self.store.get(run).await
    }

    /// A run with all that is to be seen of it.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn show(&self, run: RunId) -> Result<RunView> {
        let stored = self.store.get(run).await?;
        let children = Filter::new().parent(run);
        let children =
            self.store.list(&children, Order::Oldest, PageSize::clamped(PageSize::MAX), None).await?.items;
        let mut view = RunView::kept(stored, children);
        if let Some(loaded) = self.store.load(&[run]).await?.pop() {
            let definition = self.store.definition(loaded.meta.definition).await?;
            let definition = definition.ok_or_else(|| missing(run))?;
            let flow = read(&definition)?;
            view.telemetry = loaded.meta.telemetry.clone();
            let (head, mail) = loaded.into_head(&flow)?;
            view.unread = mail.len();
            view.move_in(flow, head.state);
        }
        Ok(view)
    }

    /// A run's status, and a number that grows with each commit: for a page that wants to know whether to look again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn position(&self, run: RunId) -> Result<(Status, u64)> {
        self.store.position(run).await
    }

    /// A page of a run's history, from its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] for a cursor of something else.
    pub async fn history(&self, run: RunId, size: PageSize, after: Option<&Cursor>) -> Result<Page<Record>> {
        let after = after.map(|cursor| cursor.as_str().parse::<u64>()).transpose().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "the cursor is not one of a history").with_source(error)
        })?;
        self.store.history(run, size, after).await
    }

    /// The picture of a run.
    ///
    /// # Errors
    /// As [`Control::show`]; [`ErrorKind::NotFound`] also for a run that is only kept: nobody knows its graph.
    pub async fn picture(&self, run: RunId, picture: Picture) -> Result<String> {
        let view = self.show(run).await?;
        let flow = view.workflow.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{run} came from elsewhere; its graph is not known"))
        })?;
        let state = view.state.as_ref();
        Ok(match picture {
            Picture::Svg => render::svg(&flow, state),
            Picture::SvgUnstyled => render::svg_unstyled(&flow, state),
            Picture::Dot => render::dot(&flow, state),
            Picture::Text => render::text(&flow, state),
        })
    }

    /// Starts a run of a workflow that was registered here: of the version that is asked for, or of the highest.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyRunning`], [`ErrorKind::BadKey`]; as [`Control::workflow`]; as [`Store::start`].
    pub async fn start(&self, request: StartRequest) -> Result<RunId> {
        let now = self.clock.now();
        let definition = self.definition(&request.workflow, request.version).await?;
        let flow = read(&definition)?;
        let seed = u64::try_from(self.store.next_run_id(now).get()).unwrap_or_default();
        let Prepared { token, key, transition } = prepare(&flow, &request, seed, now)?;
        let start = Start {
            definition: definition.id,
            business_key: key,
            token,
            transition,
            lane: Lane {
                priority: request.priority,
                fairness: request.fairness.as_deref().map(Into::into),
                ..Lane::default()
            },
            queues: Vec::new(),
            attributes: request.attributes,
            telemetry: request.telemetry,
            parent: None,
            consumes: None,
            lease: None,
            now,
        };
        began(self.store.start(&flow, vec![start]).await?.pop())
    }

    /// Does a failed or cancelled run again, as a new run with the same business key: what ended and was not undone stays done.
    ///
    /// # Errors
    /// As [`Control::fork`]; [`ErrorKind::Ended`] when it completed.
    pub async fn retry(&self, run: RunId) -> Result<RunId> {
        self.again(run, &[]).await
    }

    /// Does an ended run again from a step, as a new run with the same business key: what does not come after the step stays done.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Active`]: the run has not ended; [`ErrorKind::Refused`]: it never came to the step;
    /// [`ErrorKind::AlreadyRunning`]: another run has its key; [`ErrorKind::Database`].
    pub async fn fork(&self, run: RunId, from: &StepKey) -> Result<RunId> {
        self.again(run, std::slice::from_ref(from)).await
    }

    async fn again(&self, run: RunId, from: &[StepKey]) -> Result<RunId> {
        let now = self.clock.now();
        let Some((loaded, history)) = self.store.load_with_history(&[run]).await?.pop() else {
            return Err(Error::unknown_run(run));
        };
        let context = self.store.get(run).await?;
        if context.summary.ended_at.is_none() {
            let text = format!("{run} has not ended; only an ended run is done again");
            return Err(Error::new(ErrorKind::Active, text).with_help("cancel it, or wait for its end"));
        }
        if from.is_empty() && context.summary.status == Status::Completed {
            let text = format!("{run} completed; there is nothing of it to do again");
            return Err(Error::new(ErrorKind::Ended, text)
                .with_help("fork it from the step that is to be done again"));
        }
        let meta = loaded.meta;
        let definition = self.store.definition(meta.definition).await?.ok_or_else(|| missing(run))?;
        let flow = read(&definition)?;
        let seed = u64::try_from(self.store.next_run_id(now).get()).unwrap_or_default();
        let transition = fork(&flow, &history, from, seed, now)?;
        let start = Start {
            definition: meta.definition,
            business_key: meta.business_key,
            token: meta.token,
            transition,
            lane: meta.lane,
            queues: Vec::new(),
            attributes: context.context.get("attributes").cloned().unwrap_or_default(),
            telemetry: meta.telemetry,
            parent: None,
            consumes: None,
            lease: None,
            now,
        };
        began(self.store.start(&flow, vec![start]).await?.pop())
    }

    /// Sends a run a signal. With a sender's own identifier a repetition changes nothing, and the answer is false.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ended`], [`ErrorKind::MailboxFull`], [`ErrorKind::TooLarge`]; [`ErrorKind::Database`].
    pub async fn signal(
        &self,
        run: RunId,
        signal: &str,
        payload: Value,
        sender: Option<&str>,
    ) -> Result<bool> {
        let message = Message::Signal { signal: signal.into(), payload };
        self.send(run, sender, message).await
    }

    /// Stops a run and undoes what it did.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ended`]; [`ErrorKind::Database`].
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<()> {
        self.send(run, None, Message::Cancel { reason: reason.to_owned() }).await.map(drop)
    }

    /// Lets a run begin nothing new.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    pub async fn pause(&self, run: RunId) -> Result<()> {
        self.send(run, None, Message::Pause).await.map(drop)
    }

    /// Lets a run go on.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    pub async fn resume(&self, run: RunId) -> Result<()> {
        self.send(run, None, Message::Resume).await.map(drop)
    }

    async fn send(&self, run: RunId, sender: Option<&str>, message: Message) -> Result<bool> {
        let now = self.clock.now();
        let letter = Letter { run, sender: sender.map(str::to_owned), message, now, due: now };
        match self.store.send(vec![letter]).await?.pop() {
            Some(sent) => delivered(run, sent),
            None => Err(Error::internal("a letter got no answer")),
        }
    }

    /// Claims no task of a workflow, or of any, until it is resumed. What is out goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn pause_workflow(&self, workflow: Option<&str>) -> Result<()> {
        self.store.pause_workflow(workflow, self.clock.now()).await
    }

    /// The opposite; says whether it was held back.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn resume_workflow(&self, workflow: Option<&str>) -> Result<bool> {
        self.store.resume_workflow(workflow).await
    }

    /// What is held back.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        self.store.pauses().await
    }

    /// Removes an ended run; says whether it was there.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub async fn delete(&self, run: RunId) -> Result<bool> {
        self.store.delete(run).await
    }

    /// Removes a portion of what ended before an instant; says how many.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn prune(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        self.store.prune(ended_before, limit).await
    }

    /// Brings over the table `workflow_instances` of another database.
    ///
    /// # Errors
    /// As [`Store::import`].
    pub async fn import(&self, source: &Repo, after: Option<&str>) -> Result<ImportReport> {
        self.store.import(source, after, self.clock.now()).await
    }

    /// The queues that have limits, or tasks.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn queues(&self) -> Result<Vec<Queue>> {
        self.store.queues().await
    }

    /// Sets what holds for a queue.
    ///
    /// # Errors
    /// As [`Store::queue_set`].
    pub async fn queue_set(&self, name: &str, limits: QueueLimits) -> Result<()> {
        self.store.queue_set(name, limits).await
    }

    /// Takes all limits from a queue; says whether it had any.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn queue_remove(&self, name: &str) -> Result<bool> {
        self.store.queue_remove(name).await
    }

    /// All schedules, by name. An engine keeps their times; a plan is set there.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedules(&self) -> Result<Vec<Schedule>> {
        self.store.schedules().await
    }

    /// Removes a schedule; says whether it was there.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedule_remove(&self, name: &str) -> Result<bool> {
        self.store.schedule_remove(name).await
    }

    /// The nodes that work on this namespace.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.store.nodes().await
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

/// What to tell the sender of a letter: whether it is new.
pub(crate) fn delivered(run: RunId, sent: Sent) -> Result<bool> {
    match sent {
        Sent::Accepted => Ok(true),
        Sent::Duplicate => Ok(false),
        Sent::NotFound => Err(Error::unknown_run(run)),
        Sent::Ended => {
            Err(Error::new(ErrorKind::Ended, format!("{run} has ended; nothing reaches it any more")))
        }
        Sent::Full => {
            let text = format!("{} signals wait in {run} already", crate::store::MAX_MAILBOX);
            Err(Error::new(ErrorKind::MailboxFull, text).with_help("send more once it has taken some"))
        }
    }
}

fn read(stored: &StoredDefinition) -> Result<Workflow> {
    Workflow::new(stored.graph.clone()).map_err(|problems| {
        let text = format!("the stored {} v{} is not sound: {problems}", stored.name, stored.version);
        Error::new(ErrorKind::Corrupt, text)
    })
}

fn missing(run: RunId) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the definition that {run} is pinned to is not there"))
}
