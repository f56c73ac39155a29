//! Threads that read, each with a connection of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::Watch;
use super::queue::Queue;
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
                serve(&session, &watch, job);
            }
        })
        .map_err(|source| {
            Error::new(ErrorKind::Unavailable, "a reader thread cannot be started").with_source(source)
        })
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
    if let [only] = statements {
        return session.read(only).map(|rows| vec![rows]);
    }
    session.run("BEGIN")?;
    let result = statements.iter().map(|statement| session.read(statement)).collect();
    super::group::roll_back(session);
    result
}
