//! The handle of operators: sees and steers the runs of every host that shares a database, without any of their code.

mod runs;
mod settings;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::view::{MAX_SHOWN_BYTES, Picture, RunView, WorkflowSummary};
use mainstay_core::{Caller, Clock, Cursor, Page, PageSize, SystemClock};
use mainstay_repo::{Bell, Repo};

use crate::action::Action;
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, RunId};
use crate::plan::{Record, Status};
use crate::render;
use crate::store::{
    Act, CURSOR_HELP, Filter, Mail, NodeView, Order, Pause, Queue, RunSummary, Schedule, Sent, Store,
    StoredDefinition, StoredRun, TaskKey,
};
use crate::typed::Said;

/// Sees and steers the runs of a namespace. Cheap to clone.
///
/// What it asks of a run is written into the run's mail; an engine that works on the namespace is told and takes it up. Nothing is lost while none does.
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
    caller: Option<Caller>,
    /// What it wrote is for nodes to take up: they are told.
    bell: Bell,
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
        Self { bell: store.bell(), store, clock, caller: None }
    }

    /// The same for a caller with a name, as an administrator at a console: each action is refused unless they have the access that it
    /// [needs](Action::needs), and is written down with their name in the transaction that carries it out ([`Control::acts`]). Without a
    /// caller it is the host's own code that acts: it may do everything, and leaves no act.
    #[must_use]
    pub fn acting(&self, caller: Caller) -> Self {
        let store = self.store.acting(caller.actor.clone(), Arc::clone(&self.clock));
        Self { store, clock: Arc::clone(&self.clock), caller: Some(caller), bell: self.bell.clone() }
    }

    /// Who acts; nobody for the host's own code.
    #[must_use]
    pub const fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The store beneath.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// All workflows that were ever registered here, by name, with how many runs they have, counted as far as
    /// [`MAX_COUNTED`](crate::store::MAX_COUNTED).
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn workflows(&self) -> Result<Vec<WorkflowSummary>> {
        let pauses = self.store.pauses().await?;
        let is_paused = |name: &str| pauses.iter().any(|pause| holds(pause, name));
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

    /// A workflow as it was registered: of a version, or of the current one.
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
        let mut known: Vec<String> = all.iter().map(|stored| stored.version.to_string()).collect();
        // One version may have had several contents.
        known.dedup();
        // The host's own starts get the same one. None says so when only versions before it have worked here: then it is the highest.
        let current = all.iter().find(|stored| stored.is_current).map(|stored| stored.version);
        let version = version.or(current);
        let found = all.into_iter().find(|stored| version.is_none_or(|version| stored.version == version));
        found.ok_or_else(|| {
            let version = version.unwrap_or_default();
            Error::new(ErrorKind::UnknownVersion, format!("{name} has no version {version} here"))
                .with_help(format!("it has {}; a host that has another makes it known", known.join(", ")))
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

    /// A run with all that is to be seen of it. A context larger than [`MAX_SHOWN_BYTES`] is left out; [`RunView::context_bytes`] says how
    /// large it is, [`Control::get`] has it whole and [`Control::history`] page by page.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn show(&self, run: RunId) -> Result<RunView> {
        let mut view = self.outline(run).await?;
        if view.context_bytes <= MAX_SHOWN_BYTES {
            view.context = self.store.get(run).await?.context;
        }
        Ok(view)
    }

    /// The same without the context, which can be large: for whoever asks often.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn outline(&self, run: RunId) -> Result<RunView> {
        let (summary, context_bytes) = self.store.summary(run).await?;
        let children = Filter::new().parent(run);
        let children =
            self.store.list(&children, Order::Oldest, PageSize::clamped(PageSize::MAX), None).await?.items;
        let mut view = RunView::kept(summary, context_bytes, children);
        if let Some(loaded) = self.store.load(&[run]).await?.pop() {
            let definition = self.store.definition(loaded.meta.definition).await?;
            let definition = definition.ok_or_else(|| missing(run))?;
            let flow = read(&definition)?;
            view.telemetry = loaded.meta.telemetry.clone();
            let (head, mail) = loaded.into_head(&flow)?;
            view.scheduled = mail.iter().filter_map(Mail::scheduled).collect();
            view.unread = mail.len() - view.scheduled.len();
            view.move_in(flow, head.state);
            view.workflow_paused = view.summary.ended_at.is_none() && {
                let pauses = self.store.pauses().await?;
                pauses.iter().any(|pause| holds(pause, &view.summary.workflow))
            };
        }
        Ok(view)
    }

    /// The namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.store.namespace()
    }

    /// A run's status, and a number that grows with each commit: for a page that wants to know whether to look again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn position(&self, run: RunId) -> Result<(Status, u64)> {
        self.store.position(run).await
    }

    /// The beginning of a run's history without its input and results: what a line of time shows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn beginning(&self, run: RunId, size: PageSize) -> Result<Page<Record>> {
        self.store.beginning(run, size).await
    }

    /// A page of a run's history, from its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] for a cursor of something else.
    pub async fn history(&self, run: RunId, size: PageSize, after: Option<&Cursor>) -> Result<Page<Record>> {
        let after = after.map(|cursor| cursor.as_str().parse::<u64>()).transpose().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "the cursor is not one of a history")
                .with_help(CURSOR_HELP)
                .with_source(error)
        })?;
        self.store.history(run, size, after).await
    }

    /// What the steps of a run of this workflow have said so far. The whole history is read.
    pub(crate) async fn said_of(&self, workflow: &str, run: RunId) -> Result<Said> {
        let Some((loaded, history)) = self.store.load_with_history(&[run]).await?.pop() else {
            return Err(Error::unknown_run(run));
        };
        if loaded.meta.workflow != workflow {
            let text = format!("{run} is a run of {}, not of {workflow}", loaded.meta.workflow);
            return Err(
                Error::new(ErrorKind::InvalidInput, text).with_help("ask the workflow that it is a run of")
            );
        }
        Ok(Said::of(&history))
    }

    /// The picture of a run.
    ///
    /// # Errors
    /// As [`Control::show`]; [`ErrorKind::NotFound`] also for a run that is only kept: nobody knows its graph.
    pub async fn picture(&self, run: RunId, picture: Picture) -> Result<String> {
        let view = self.outline(run).await?;
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

    /// A page of what named callers did, the latest first: about one run, or about everything.
    ///
    /// # Errors
    /// As [`Store::acts`].
    pub async fn acts(
        &self,
        run: Option<RunId>,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<Act>> {
        self.store.acts(run, size, after).await
    }

    /// What is held back.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        self.store.pauses().await
    }

    /// The queues that have limits, or tasks.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn queues(&self) -> Result<Vec<Queue>> {
        self.store.queues().await
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedules(&self) -> Result<Vec<Schedule>> {
        self.store.schedules().await
    }

    /// The nodes that work on this namespace.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        self.store.nodes().await
    }

    /// What is in a node's hands, at most so many.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn held(&self, node: NodeId, limit: u32) -> Result<Vec<TaskKey>> {
        self.store.held(node, limit).await
    }

    /// Something was written: those who work on the namespace look at once.
    fn told<T>(&self, written: Result<T>) -> Result<T> {
        if written.is_ok() {
            self.bell.ring();
        }
        written
    }

    /// Refuses what the caller may not do. The host's own code may do everything.
    fn may(&self, action: Action) -> Result<()> {
        self.caller.as_ref().map_or(Ok(()), |caller| Ok(caller.require(action.needs())?))
    }
}

/// What to tell the sender of a letter: whether it is new.
pub(crate) fn delivered(run: RunId, sent: Sent) -> Result<bool> {
    match sent {
        Sent::Accepted => Ok(true),
        Sent::Duplicate => Ok(false),
        Sent::NotFound => Err(Error::unknown_run(run)),
        Sent::Ended => {
            Err(Error::new(ErrorKind::Ended, format!("{run} has ended; nothing reaches it any more"))
                .with_help("begin it again: retry a failed or cancelled run, fork any from one of its steps"))
        }
        Sent::Foreign => {
            let text = format!(
                "{run} came from elsewhere, and no engine moves it: nothing would read what is sent to it"
            );
            Err(Error::new(ErrorKind::Foreign, text)
                .with_help("start it anew with its input, and remove what is kept of it"))
        }
        Sent::Full => {
            let text = format!("{} signals wait in {run} already", crate::store::MAX_MAILBOX);
            Err(Error::new(ErrorKind::MailboxFull, text).with_help("send more once it has taken some"))
        }
        Sent::TooManyCommands => {
            let text =
                format!("{} cancels, pauses and resumes wait in {run} already", crate::store::MAX_COMMANDS);
            Err(Error::new(ErrorKind::MailboxFull, text)
                .with_help("start a host that has the run's workflow and works: it reads them"))
        }
    }
}

/// Whether a pause holds a workflow back.
fn holds(pause: &Pause, workflow: &str) -> bool {
    pause.workflow.as_deref().is_none_or(|name| name == workflow)
}

fn read(stored: &StoredDefinition) -> Result<Workflow> {
    Workflow::stored(stored.graph.clone()).map_err(|problems| {
        let text = format!("the stored {} v{} is not sound: {problems}", stored.name, stored.version);
        Error::new(ErrorKind::Corrupt, text)
    })
}

fn missing(run: RunId) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the definition that {run} is pinned to is not there"))
}
