//! Statements on a connection: prepared once, bound, run, and run many at a time without waiting between them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Fault;
use super::row;
use super::session::Desk;
use super::types::Encoded;
use crate::batch::{Written, resolve_params};
use crate::statement::{Dialect, Statement};

/// How long the server may take to answer a request to cancel.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// A statement that the server has parsed, for one connection.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: tokio_postgres::Statement,
    names: Arc<[Box<str>]>,
}

/// A prepared statement and its parameters.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) prepared: Arc<Prepared>,
    pub(super) encoded: Encoded,
}

/// The prepared statements of one connection, by their text.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<HashMap<Box<str>, Arc<Prepared>>>);

impl Statements {
    /// The most that a connection keeps; a program that forms texts without end does not fill the server's memory.
    const MAX: usize = 512;

    fn get(&self, text: &str) -> Option<Arc<Prepared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).map(Arc::clone)
    }

    fn insert(&self, text: &str, prepared: Arc<Prepared>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MAX {
            known.clear();
        }
        known.insert(text.into(), prepared);
    }

    /// Whether a text is prepared.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(text)
    }

    /// Forgets them all; the server is told.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Desk {
    /// Lets the server parse a text, once a connection.
    pub(super) async fn prepare(&self, text: &str) -> Result<Arc<Prepared>, Fault> {
        if let Some(prepared) = self.statements.get(text) {
            return Ok(prepared);
        }
        let statement = self.client.prepare(text).await.map_err(|source| Fault::of(source, false))?;
        row::check_columns(statement.columns()).map_err(Fault::Unfit)?;
        let names = statement.columns().iter().map(|column| column.name().into()).collect();
        let prepared = Arc::new(Prepared { statement, names });
        self.statements.insert(text, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Prepares a statement and encodes its parameters; `done` are the results that it may refer back to.
    pub(super) async fn bind(&self, statement: &Statement, done: &[Written]) -> Result<Bound, Fault> {
        let prepared = self.prepare(statement.sql().text(Dialect::Postgres)).await?;
        let encoded = encode(statement, &prepared, done).map_err(Fault::Unfit)?;
        Ok(Bound { prepared, encoded })
    }

    /// Runs a bound statement.
    pub(super) async fn execute(&self, bound: &Bound) -> Result<Written, Fault> {
        let stream = self
            .client
            .query_raw(&bound.prepared.statement, bound.encoded.params())
            .await
            .map_err(|source| Fault::of(source, false))?;
        let mut stream = pin!(stream);
        let (mut rows, mut unreadable) = (Vec::new(), None);
        while let Some(row) = stream.next().await {
            match row {
                Ok(row) => match row::read(&bound.prepared.names, &row) {
                    Ok(row) => rows.push(row),
                    Err(error) => unreadable = Some(error),
                },
                Err(source) => return Err(Fault::of(source, stream.rows_affected().is_some())),
            }
        }
        match unreadable {
            Some(error) => Err(Fault::Unreadable(error)),
            None => Ok(Written::new(stream.rows_affected().unwrap_or_default(), rows)),
        }
    }
}

/// Encodes a statement's parameters for the types that the server found for them.
pub(super) fn encode(statement: &Statement, prepared: &Prepared, done: &[Written]) -> crate::Result<Encoded> {
    let values = resolve_params(statement, done)?;
    Encoded::one(values.iter().map(AsRef::as_ref), prepared.statement.params())
}

/// Something that was sent and whose answer is waited for later. Answers come in the order of sending.
pub(super) enum Sent<'a, T> {
    Waiting(Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>),
    Done(Result<T, Fault>),
}

impl<'a, T> Sent<'a, T> {
    /// Sends it, without waiting: a future's first poll queues its message.
    pub(super) async fn send(work: impl Future<Output = Result<T, Fault>> + Send + 'a) -> Self {
        let mut work: Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>> = Box::pin(work);
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        match first {
            Poll::Ready(done) => Self::Done(done),
            Poll::Pending => Self::Waiting(work),
        }
    }

    /// Waits for the answer.
    pub(super) async fn answer(self) -> Result<T, Fault> {
        match self {
            Self::Waiting(work) => work.await,
            Self::Done(done) => done,
        }
    }

    /// Waits for the answer until `limit`, then asks the server to give up and waits for what it says to that.
    pub(super) async fn answer_by(self, desk: &Desk, limit: Instant) -> Result<T, Fault> {
        let mut work = match self {
            Self::Waiting(work) => work,
            Self::Done(done) => return done,
        };
        if let Ok(answer) = timeout_at(limit, &mut work).await {
            return answer;
        }
        desk.cancel();
        timeout(CANCEL_PATIENCE, work).await.unwrap_or(Err(Fault::Silent))
    }
}
