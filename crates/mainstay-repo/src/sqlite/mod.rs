//! The SQLite driver: one writer thread with the only write connection, and threads that read.
//!
//! | room | what |
//! |---|---|
//! | `config` | URLs |
//! | `open` | what is refused before opening, and each connection's settings |
//! | `queue` | callers to threads: bounded, two lanes |
//! | `writer`, `group` | many callers, one commit |
//! | `transaction` | interactive transactions on the writer |
//! | `reader` | reads in snapshots |
//! | `statement`, `types` | prepare, bind, step |
//! | `migrate` | the migrations table |
//! | `error` | what SQLite's errors mean |

mod checkpoint;
mod config;
mod error;
mod group;
mod migrate;
mod open;
mod queue;
mod reader;
mod statement;
mod transaction;
mod types;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use self::config::SqliteConfig;

use self::config::Synchronous;
use self::group::{Member, Work};
use self::queue::Queue;
use self::reader::ReadJob;
use self::statement::Session;
use self::transaction::{Ended, SqliteTransaction};
use self::writer::{BeginJob, Job, Writer};
use crate::batch::{Batch, BatchOutcome, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Applied, MigrationStep, StepOutcome};
use crate::operation::Call;
use crate::options::Limits;
use crate::row::Row;
use crate::statement::Statement;
use crate::ticket::{Ticket, answer};
use crate::topology::{Capability, Position, Role};
use crate::transaction::TransactionDriver;

/// An open SQLite database.
pub(crate) struct Sqlite {
    writes: Arc<Queue<Job>>,
    reads: Arc<Queue<ReadJob>>,
    limits: Limits,
    waits_for_disk: bool,
    lineage: u64,
    commits: Arc<AtomicU64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sqlite {
    pub(crate) async fn open(config: SqliteConfig, limits: Limits) -> Result<Self> {
        // Opening may recover a log and wait for another process: not on an async thread.
        tokio::task::spawn_blocking(move || Self::open_blocking(&config, limits)).await.map_err(|source| {
            Error::new(ErrorKind::Internal, "opening the database ended early").with_source(source)
        })?
    }

    fn open_blocking(config: &SqliteConfig, limits: Limits) -> Result<Self> {
        open::check_path(config)?;
        let (connection, watch) = open::writer(config)?;
        let session = Session::new(connection);
        migrate::check_format(session.connection()).map_err(|error| session.translate(error))??;
        let writes = Queue::new(limits.queue);
        let reads = Queue::new(limits.queue);
        let commits = Arc::new(AtomicU64::new(0));
        let mut threads =
            vec![Writer::start(session, watch, limits, Arc::clone(&writes), Arc::clone(&commits))?];
        for number in 0..config.readers() {
            let (connection, watch) = open::reader(config)?;
            threads.push(reader::start(Session::new(connection), watch, Arc::clone(&reads), number)?);
        }
        let threads = Mutex::new(threads);
        let waits_for_disk = config.synchronous() == Synchronous::Full;
        Ok(Self { writes, reads, limits, waits_for_disk, lineage: random_lineage()?, commits, threads })
    }

    /// Whether a commit waits for the disk.
    pub(crate) const fn waits_for_disk(&self) -> bool {
        self.waits_for_disk
    }

    pub(crate) async fn read(&self, statements: Vec<Statement>, call: &Call) -> Result<Vec<Vec<Row>>> {
        let ticket = Ticket::default();
        let (reply, receiver) = oneshot::channel();
        self.reads.push(ReadJob { statements, call: *call, ticket: ticket.clone(), reply }, call).await?;
        answer(receiver, &ticket, call, false).await
    }

    pub(crate) async fn write(&self, statement: Statement, call: &Call) -> Result<Written> {
        let mut written = self.submit(Work::Statement(statement), call).await?;
        written.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "the writer answered without a result"))
    }

    pub(crate) async fn batch(&self, batch: Batch, call: &Call) -> Result<BatchOutcome> {
        self.submit(Work::Batch(batch), call).await.map(BatchOutcome::new)
    }

    async fn submit(&self, work: Work, call: &Call) -> Result<Vec<Written>> {
        let ticket = Ticket::default();
        let (reply, receiver) = oneshot::channel();
        let member = Member { work, call: *call, ticket: ticket.clone(), reply };
        self.writes.push(Job::Write(member), call).await?;
        answer(receiver, &ticket, call, true).await
    }

    pub(crate) async fn begin(&self, call: &Call) -> Result<Box<dyn TransactionDriver>> {
        let ticket = Ticket::default();
        let ended = Arc::new(Ended::default());
        let (commands, received) = std::sync::mpsc::channel();
        let (reply, receiver) = oneshot::channel();
        let job = BeginJob {
            ticket: ticket.clone(),
            deadline: call.deadline,
            commands: received,
            ended: Arc::clone(&ended),
            reply,
        };
        self.writes.push(Job::Begin(job), call).await?;
        answer(receiver, &ticket, call, false).await?;
        let limits = self.limits.transaction;
        Ok(Box::new(SqliteTransaction { commands, ended, limits, request_id: call.request_id }))
    }

    pub(crate) const fn role(&self) -> Role {
        Role::Standalone
    }

    #[allow(clippy::unused_async, reason = "every driver's position is asked for in the same way")]
    pub(crate) async fn position(&self) -> Result<Position> {
        Ok(Position { lineage: self.lineage, sequence: self.commits.load(Ordering::Acquire) })
    }

    pub(crate) const fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::ManyWriters
            | Capability::SkipLocked
            | Capability::MergedWrites
            | Capability::SchemaPrefix
            | Capability::StatementCap => false,
        }
    }

    pub(crate) async fn applied(&self, component: &str) -> Result<Vec<Applied>> {
        let call = Call::internal(self.limits.deadline);
        let exists = self.read(vec![Statement::new(migrate::TABLE_EXISTS)], &call).await?;
        if exists.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let rows = self.read(vec![Statement::new(migrate::APPLIED).bind(component)], &call).await?;
        rows.iter().flatten().map(migrate::applied_row).collect()
    }

    pub(crate) async fn migrate_step(&self, step: MigrationStep) -> Result<StepOutcome> {
        let (reply, receiver) = oneshot::channel();
        let call = Call::internal(self.limits.deadline);
        self.writes.push(Job::Migrate(Box::new(step), reply), &call).await?;
        // A migration may rebuild a large table: it has no deadline once it runs.
        receiver.await.unwrap_or_else(|_closed| Err(Error::closed()))
    }

    pub(crate) async fn close(&self) {
        self.shut();
        let threads =
            self.threads.lock().map(|mut threads| std::mem::take(&mut *threads)).unwrap_or_default();
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| {
                if thread.join().is_err() {
                    tracing::error!("a database thread panicked");
                }
            });
        });
        if joined.await.is_err() {
            tracing::error!("closing the database ended early");
        }
    }

    fn shut(&self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The threads end by themselves once their queues are empty; waiting here would block an async thread.
        self.shut();
    }
}

fn random_lineage() -> Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_unspecified| Error::new(ErrorKind::Internal, "the system gave no random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}
