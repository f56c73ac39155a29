//! Threads that read, each with a connection of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group::roll_back;
use super::open::Watch;
use super::queue::{Mark, Queue};
use super::statement::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Call;
use crate::row::Row;
use crate::statement::Statement;
use crate::ticket::Ticket;

/// A read in the queue.
pub(super) struct ReadJob {
    pub(super) statements: Vec<Statement>,
    pub(super) call: Call,
    pub(super) ticket: Ticket,
    pub(super) reply: oneshot::Sender<Result<Vec<Vec<Row>>>>,
}

/// The most reads that share a snapshot.
const SNAPSHOT_READS: usize = 32;
/// A snapshot is given up after so long, so that it does not hold up checkpoints.
const SNAPSHOT_TIME: Duration = Duration::from_millis(2);

/// Starts a reader.
pub(super) fn start(
    session: Session,
    watch: Watch,
    queue: Arc<Queue<ReadJob>>,
    number: usize,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("mainstay-reader-{number}"))
        .spawn(move || {
            while let Some(job) = queue.pop() {
                match queue.mark() {
                    Some(mark) => share(&session, &watch, &queue, mark, job),
                    None => serve(&session, &watch, job),
                }
            }
        })
        .map_err(|source| {
            Error::new(ErrorKind::Unavailable, "a reader thread cannot be started").with_source(source)
        })
}

/// Runs a read and others that wait in one snapshot: opening one costs as much as a point read.
///
/// Only reads that were queued before the snapshot opens share it. One that came later may follow a write that the
/// snapshot does not hold, and must see it.
fn share(session: &Session, watch: &Watch, queue: &Queue<ReadJob>, mark: Mark, first: ReadJob) {
    let opened = session.run("BEGIN");
    let until = Instant::now() + SNAPSHOT_TIME;
    serve(session, watch, first);
    let mut served = 1;
    while opened.is_ok() && served < SNAPSHOT_READS && Instant::now() < until {
        let Some(job) = queue.pop_arrived(mark) else { break };
        serve(session, watch, job);
        served += 1;
    }
    roll_back(session);
}

fn serve(session: &Session, watch: &Watch, job: ReadJob) {
    if !job.ticket.start() {
        return;
    }
    let result = if job.call.deadline <= Instant::now() {
        Err(Error::not_started_in_time())
    } else {
        watch.until(Some(job.call.deadline));
        read(session, &job.statements)
    };
    watch.until(None);
    let _ = job.reply.send(result);
}

fn read(session: &Session, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
    let all = || statements.iter().map(|statement| session.read(statement)).collect();
    if statements.len() == 1 || !session.connection().is_autocommit() {
        return all();
    }
    session.run("BEGIN")?;
    let result = all();
    roll_back(session);
    result
}
