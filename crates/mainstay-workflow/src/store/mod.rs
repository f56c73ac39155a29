//! Where runs live: the only SQL of this crate.
//!
//! | table | a row is | written |
//! |---|---|---|
//! | `wf_runs` | a run: what it is, and its status in one word | at its start, when the status changes |
//! | `wf_history` | what one commit appended; its key is the fence | each commit, never changed |
//! | `wf_outputs` | the result of a step, an item or the run | once |
//! | `wf_contexts` | the input and attributes, to search by; `wf_terms` is SQLite's index of it, `wf_terms_before` what earlier versions left there | at the start, when a step adds attributes |
//! | `wf_definitions`, `wf_tags` | the content that runs are pinned to; the words to find them by | when an engine first has it |
//! | `wf_snapshots` | a state as a whole | every so many records |
//! | `wf_tasks` | an attempt that is out, or a run's baton | comes and goes with commits |
//! | `wf_timers` | when a run is to be looked at | when it changes |
//! | `wf_mail` | a letter to a run that it has not read | by its sender; goes with the commit that read it |
//! | `wf_nodes` | one life of one node | each beat |
//! | `wf_acts` | what a named caller did | with what they did |

mod acts;
mod baton;
mod claim;
mod codec;
mod commit;
mod definitions;
mod filter;
mod import;
mod limits;
mod load;
mod locks;
mod mail;
mod migrations;
mod nodes;
mod pauses;
mod query;
mod queues;
mod rows;
mod runs;
mod schedules;
mod standing;
mod start;
mod terms;
mod types;
mod upgrade;
mod wake;
mod write;

use std::collections::HashSet;
use std::sync::Arc;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Bell, Dialect, Repo, Row, Sql, Statement, Transaction};

pub use self::acts::Act;
pub(crate) use self::acts::NewAct;
pub(crate) use self::codec::check_kept;
pub use self::commit::Commit;
pub use self::definitions::{MAX_COUNTED, StoredDefinition};
pub use self::filter::{Filter, Order};
pub use self::import::{IMPORT_PAGE, ImportNote, ImportReport, MAX_IMPORT_NOTES};
pub(crate) use self::limits::{CURSOR_HELP, encode};
pub use self::limits::{
    MAX_ACT_BYTES, MAX_ATTRIBUTES_BYTES, MAX_COMMANDS, MAX_GROUP, MAX_GROUP_BYTES, MAX_INPUT_BYTES,
    MAX_KEY_BYTES, MAX_LIST_BYTES, MAX_MAILBOX, MAX_NAME_BYTES, MAX_NAMESPACE_BYTES, MAX_OUTPUT_BYTES,
    MAX_REASON_BYTES, MAX_SIGNAL_BYTES, MAX_TELEMETRY_BYTES,
};
pub(crate) use self::mail::OwnTurn;
pub use self::migrations::COMPONENT;
pub use self::nodes::{LIVE_WITHIN, LiveNode, NodeView, live_nodes};
pub use self::pauses::Pause;
pub use self::query::RunSummary;
pub use self::queues::{MAX_RATE_PERIOD, Queue, QueueLimits, Rate};
pub use self::runs::{MAX_PRUNE, StoredRun};
pub use self::schedules::{Fired, Schedule};
pub use self::standing::Standing;
pub use self::types::{
    Baton, Beat, Claim, Claimed, Committed, Ended, Fate, Head, Lane, Letter, Loaded, Mail, Message, Meta,
    Parent, Sent, Start, Started, Takeover, TaskKey,
};
pub use self::upgrade::{migrate, refuse_beside_nodes};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{RunId, RunIds};

/// How often a group is written again because others came first, before it is given up as too busy.
const ATTEMPTS: usize = 8;

/// The number of a namespace that is not there: numbers begin with one.
const NOWHERE: i64 = 0;

/// The runs of one namespace. Namespaces share the tables and nothing else: no operation of one sees a row of another.
#[derive(Clone)]
pub struct Store {
    repo: Repo,
    namespace: i64,
    name: Arc<str>,
    ids: Arc<RunIds>,
    bell: Bell,
    by: Option<acts::By>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("repo", &self.repo)
            .field("namespace", &self.name)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a namespace, which is made if it is not there. The tables have to be: migrate [`COMPONENT`] first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] and [`ErrorKind::TooLarge`] for the name; [`ErrorKind::Database`].
    pub async fn open(repo: &Repo, namespace: &str) -> Result<Self> {
        limits::check_name("namespace", namespace, MAX_NAMESPACE_BYTES)?;
        let repo = repo.clone().for_component("workflow");
        let find = || {
            Statement::new("SELECT id FROM wf_namespaces WHERE name = $1")
                .named("workflow.namespace")
                .bind(namespace)
        };
        let mut found: Option<Row> = repo.read_optional(find()).await?;
        if found.is_none() {
            let insert =
                Statement::new("INSERT INTO wf_namespaces (name) VALUES ($1) ON CONFLICT DO NOTHING")
                    .bind(namespace);
            repo.write(insert.named("workflow.namespace_new")).await?;
            found = repo.read_optional(find()).await?;
        }
        let row = found.ok_or_else(|| Error::internal("a namespace that was just made is not there"))?;
        Self::of(repo, row.get("id")?, namespace)
    }

    /// Opens a namespace without making it: where it is not there, nothing is found in it, and nothing can be kept in it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn look(repo: &Repo, namespace: &str) -> Result<Self> {
        limits::check_name("namespace", namespace, MAX_NAMESPACE_BYTES)?;
        let repo = repo.clone().for_component("workflow");
        let find = Statement::new("SELECT id FROM wf_namespaces WHERE name = $1").named("workflow.namespace");
        let row: Option<Row> = repo.read_optional(find.bind(namespace)).await?;
        let id = row.map(|row| row.get("id")).transpose()?.unwrap_or(NOWHERE);
        Self::of(repo, id, namespace)
    }

    fn of(repo: Repo, number: i64, name: &str) -> Result<Self> {
        let bell = repo.bell(&format!("workflow/{number}"))?;
        Ok(Self { repo, namespace: number, name: name.into(), ids: Arc::default(), bell, by: None })
    }

    /// Refuses to keep something in a namespace that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn require(&self) -> Result<()> {
        if self.namespace != NOWHERE {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no namespace {:?}", self.name))
            .with_help("start the host that works on it once, or mend the name"))
    }

    /// The database.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// A bell that tells those who work on this namespace that something may be for them, and that hears the others'.
    pub(crate) fn bell(&self) -> Bell {
        self.bell.another()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.repo.dialect()
    }

    /// An identifier that no run has.
    pub fn next_run_id(&self, now: Timestamp) -> RunId {
        let random = mainstay_core::Ulid::from_datetime(std::time::UNIX_EPOCH).random();
        self.ids.next(now, u64::try_from(random & u128::from(u64::MAX)).unwrap_or_default())
    }

    /// Writes commits of different runs. Those that lost against somebody else's change nothing and do not hold up the others.
    ///
    /// # Errors
    /// [`ErrorKind::Database`]; after `Unknown` any of them may be there: load the runs again.
    pub async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let mut done = Vec::with_capacity(commits.len());
        for group in groups(commits, Commit::size) {
            self.commit_group(group, &mut done).await?;
        }
        Ok(done)
    }

    async fn commit_group(&self, group: Vec<Commit>, done: &mut Vec<Committed>) -> Result<()> {
        let mut fresh: Vec<&Commit> = group.iter().collect();
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new("workflow.commit");
            write::write(&mut batch, self.dialect(), self.namespace, &fresh)?;
            match self.repo.batch(batch).await {
                Ok(_) => {
                    let won: HashSet<RunId> = fresh.iter().map(|commit| commit.run()).collect();
                    done.extend(group.into_iter().map(|commit| {
                        let head = if won.contains(&commit.run()) { commit.into_head() } else { None };
                        head.map_or(Committed::Stale, Committed::Done)
                    }));
                    return Ok(());
                }
                Err(error) if is_refused(&error) => {
                    let lost = self.repo.read(write::lost(self.dialect(), self.namespace, &fresh)).await?;
                    let lost =
                        lost.iter().map(|row| row.get("run_id")).collect::<Result<HashSet<i64>, _>>()?;
                    fresh.retain(|commit| !lost.contains(&commit.run().get()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// Writes a commit inside a transaction of the host.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`]: somebody else moved the run; the transaction has to be rolled back.
    pub async fn commit_in(&self, transaction: &mut Transaction, commit: Commit) -> Result<Head> {
        let mut batch = Batch::new("workflow.commit_in");
        self.commit_into(&mut batch, &commit)?;
        match transaction.batch(batch).await {
            Ok(_) => commit.into_head().ok_or_else(|| Error::internal("a commit had no transition")),
            Err(error) if is_refused(&error) => Err(stale(commit.run())),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds commits of different runs to a batch. It fails with `ConditionFailed` when somebody else moved one of them.
    ///
    /// # Errors
    /// A defect of this crate.
    pub fn commit_all_into(&self, batch: &mut Batch, commits: &[&Commit]) -> Result<()> {
        write::write(batch, self.dialect(), self.namespace, commits)
    }

    /// Adds a commit to a batch of the host. The batch fails with `ConditionFailed` when somebody else moved the run.
    ///
    /// # Errors
    /// A defect of this crate.
    pub fn commit_into(&self, batch: &mut Batch, commit: &Commit) -> Result<()> {
        write::write(batch, self.dialect(), self.namespace, &[commit])
    }
}

/// Whether the tables are there and can be read, all of them; costs as much as reading nothing from each.
///
/// # Errors
/// Those of the database.
pub async fn probe(repo: &Repo) -> mainstay_repo::Result<()> {
    macro_rules! probe {
        ($more:literal) => {
            concat!(
                "SELECT 1 AS one FROM (SELECT 1 FROM wf_namespaces, wf_definitions, wf_runs, wf_history, wf_outputs, wf_contexts, ",
                $more,
                "wf_snapshots, wf_tasks, wf_timers, wf_mail, wf_nodes, wf_queues, wf_fairness, wf_pauses, wf_schedules, wf_tags, wf_acts \
                 WHERE 1 = 0) AS probed"
            )
        };
    }
    const PROBE: Sql = Sql::per_dialect(probe!("wf_terms, wf_terms_before, "), probe!(""));
    let statement = Statement::new(PROBE).named("workflow.probe");
    repo.clone().for_component("workflow").read_optional::<Row>(statement).await.map(drop)
}

/// Whether a condition of the batch was not met.
fn is_refused(error: &mainstay_repo::Error) -> bool {
    matches!(error.kind(), mainstay_repo::ErrorKind::ConditionFailed { .. })
}

fn busy() -> Error {
    Error::new(
        ErrorKind::Database(mainstay_repo::ErrorKind::Busy),
        "others change the same runs all the time; nothing was written",
    )
    .with_help("try again; if it persists, fewer nodes should work on the same run")
}

pub(crate) fn stale(run: RunId) -> Error {
    Error::new(
        ErrorKind::Stale,
        format!("{run} was moved by somebody else since it was read; nothing was written"),
    )
    .with_help("read it again and decide again")
}

/// Cuts a list into groups that are small enough for one batch.
fn groups<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut groups, mut bytes) = (vec![Vec::new()], 0);
    for item in items {
        let more = size(&item);
        let full = groups.last().is_some_and(|group: &Vec<T>| {
            !group.is_empty() && (group.len() >= MAX_GROUP || bytes + more > MAX_GROUP_BYTES)
        });
        if full {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(group) = groups.last_mut() {
            group.push(item);
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_cut_at_their_limits() {
        let lengths =
            |items: Vec<usize>| -> Vec<usize> { groups(items, |size| *size).iter().map(Vec::len).collect() };
        assert_eq!(lengths(vec![0; MAX_GROUP]), [MAX_GROUP]);
        assert_eq!(lengths(vec![0; MAX_GROUP + 1]), [MAX_GROUP, 1]);
        assert_eq!(lengths(vec![MAX_GROUP_BYTES / 2, MAX_GROUP_BYTES / 2, 1]), [2, 1]);
        assert_eq!(lengths(vec![MAX_GROUP_BYTES * 2, 1]), [1, 1]);
        assert!(lengths(vec![]).is_empty());
    }
}
