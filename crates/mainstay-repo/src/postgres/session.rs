//! One connection: what opens it, and what keeps it running.
//!
//! A connection is not given a task of its own: whoever uses it drives it ([`Wire::drive`]). That saves a hop between
//! threads each way, and all that was queued before the first answer goes out in one packet.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cancel::{Canceller, Way};
use super::config::PostgresConfig;
use super::error::{Fault, from_connect, no_answer};
use super::statement::Statements;
use super::tls;
use super::writer::Job;
use crate::error::Result;
use crate::options::Limits;

/// How long a statement may wait for a lock before the error is `Busy`: as long as SQLite's busy timeout.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The server ends a transaction whose client fell silent after this or twice the longest transaction.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);
/// How long a connection may take to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);
/// What makes a pooled session as it was: settings of the URL, and reads only unless a transaction says otherwise.
const RESET: &str = "RESET ALL;SET default_transaction_read_only=on";

/// What all connections to one database share.
pub(super) struct Link {
    client: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    /// The servers, for error texts.
    pub(super) place: String,
    /// How many servers the URL names.
    pub(super) servers: usize,
    /// Nothing may outlive a transaction: PgBouncer gives the next one another connection.
    pub(super) pooler: bool,
    /// Whether a connection may be opened to hear other processes.
    pub(super) listens: bool,
    schema: Option<String>,
    synchronous_commit: &'static str,
    pub(super) connect_limit: Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("place", &self.place)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// A committer's: statements outside of a transaction write.
    Write,
    /// The pool's: statements outside of a transaction only read.
    Read,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Writing what is known beforehand.
    Write,
    /// Looking and then writing: as if it were alone, as it is on SQLite, or `Busy`.
    Interactive,
    /// One statement that reads.
    Read,
    /// Several statements that read the same snapshot.
    Snapshot,
}

impl Link {
    pub(super) fn new(config: &PostgresConfig, limits: &Limits) -> Result<Self> {
        let mut client = config.client.clone();
        if !config.pooler {
            let silent = IDLE_IN_TRANSACTION.max(limits.transaction.total.saturating_mul(2));
            let mut options = client.get_options().map(|given| format!("{given} ")).unwrap_or_default();
            // What was acknowledged is durable, also where a role or the server would not wait for the disk.
            options.push_str(&format!(
                "-c lock_timeout={} -c idle_in_transaction_session_timeout={} -c synchronous_commit={}",
                LOCK_TIMEOUT.as_millis(),
                silent.as_millis(),
                config.synchronous_commit
            ));
            if let Some(schema) = &config.schema {
                options.push_str(" -c search_path=");
                options.push_str(schema);
            }
            client.options(options);
        }
        Ok(Self {
            client,
            tls: tls::connector(config)?,
            place: config.place(),
            servers: config.servers(),
            pooler: config.pooler,
            listens: config.listens,
            schema: config.schema.clone(),
            synchronous_commit: config.synchronous_commit,
            connect_limit: config.connect_limit(),
        })
    }

    /// The statements that begin a transaction, in one text. `cap` ends each statement after so long.
    pub(super) fn begin(&self, begin: Begin, cap: Option<Duration>) -> String {
        let mut text = match begin {
            Begin::Write => "BEGIN READ WRITE",
            Begin::Interactive => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
            Begin::Read => "BEGIN READ ONLY",
            Begin::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
        .to_owned();
        if self.pooler {
            text.push_str(&format!(";SET LOCAL lock_timeout={}", LOCK_TIMEOUT.as_millis()));
            if let Some(schema) = &self.schema {
                text.push_str(&format!(";SET LOCAL search_path={schema}"));
            }
            if matches!(begin, Begin::Write | Begin::Interactive) {
                text.push_str(&format!(";SET LOCAL synchronous_commit={}", self.synchronous_commit));
            }
        }
        if let Some(cap) = cap {
            // Zero would mean no limit; the server's own limit is that of a signed 32-bit number.
            let millis = cap.as_millis().clamp(1, 2_147_483_647);
            text.push_str(&format!(";SET LOCAL statement_timeout={millis}"));
        }
        text
    }

    /// The same for a group of writes.
    pub(super) fn begin_group(&self, jobs: &[Job], cap: Option<Duration>) -> String {
        let mut text = self.begin(Begin::Write, cap);
        if jobs.iter().any(Job::plans_anew) {
            text.push_str(";SET LOCAL plan_cache_mode=force_custom_plan");
        }
        text
    }

    /// How a request to cancel reaches the server.
    fn way(&self) -> Way {
        if self.pooler { Way::to_pooler(&self.client) } else { Way::Direct(self.tls.clone()) }
    }

    /// Opens a connection.
    pub(super) async fn connect(self: &Arc<Self>, access: Access) -> Result<Session> {
        let opened = timeout(self.connect_limit, self.open(access)).await;
        opened.unwrap_or_else(|_elapsed| Err(no_answer(&self.place, self.connect_limit)))
    }

    /// Connects and signs in; the caller limits how long that may take, and carries the connection's messages.
    pub(super) async fn dial(&self) -> Result<(Client, Dialled)> {
        self.client.connect(self.tls.clone()).await.map_err(|source| from_connect(source, &self.place))
    }

    async fn open(self: &Arc<Self>, access: Access) -> Result<Session> {
        let (client, connection) = self.dial().await?;
        let wire = Wire {
            canceller: Canceller::new(client.cancel_token(), self.way()),
            connection: Some(Box::pin(connection)),
            busy: false,
        };
        let desk = Desk {
            client,
            canceller: wire.canceller.clone(),
            statements: Statements::default(),
            tainted: AtomicBool::new(false),
            link: Arc::clone(self),
        };
        let mut session = Session { desk, wire };
        if access == Access::Read && !self.pooler {
            session.reset().await.map_err(|fault| fault.into_error(&self.place))?;
        }
        Ok(session)
    }
}

/// A connection: the desk takes orders, the wire carries them.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) desk: Desk,
    pub(super) wire: Wire,
}

impl Session {
    /// Whether the next user may have it: it is alive and no request to cancel is on its way to it.
    pub(super) async fn is_usable(&mut self) -> bool {
        !self.desk.is_tainted() && self.wire.is_alive().await
    }

    /// Forgets what an interactive transaction may have set for the session.
    pub(super) async fn reset(&mut self) -> Result<(), Fault> {
        if self.desk.link.pooler {
            return Ok(());
        }
        self.wire.drive(self.desk.simple(RESET)).await
    }

    /// Says goodbye, so that the server does not log a broken connection.
    pub(super) async fn close(self) {
        let Self { desk, mut wire } = self;
        drop(desk);
        if let Some(connection) = wire.connection.take() {
            // A server that does not take the goodbye notices the closed socket.
            let _ = timeout(GOODBYE_LIMIT, connection).await;
        }
    }
}

/// Where statements are handed in. It needs its wire to be driven.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) client: Client,
    pub(super) statements: Statements,
    pub(super) link: Arc<Link>,
    canceller: Canceller,
    tainted: AtomicBool,
}

impl Desk {
    /// Runs a text without parameters and without rows.
    pub(super) async fn simple(&self, text: &str) -> Result<(), Fault> {
        self.client.batch_execute(text).await.map_err(|source| Fault::of(source, false))
    }

    /// Whether a request to cancel was sent.
    pub(super) fn is_tainted(&self) -> bool {
        self.tainted.load(Ordering::Relaxed)
    }

    /// Ends what runs. The request may arrive late and hit a later statement, so the session is not used again.
    pub(super) fn cancel(&self) {
        self.tainted.store(true, Ordering::Relaxed);
        self.canceller.send(());
    }
}

/// A connection as the client library makes it.
pub(super) type Dialled =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// The connection's input and output.
pub(super) struct Wire {
    connection: Option<Connection>,
    canceller: Canceller,
    busy: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("alive", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Wire {
    /// Runs `work`, which talks to the desk, while carrying its messages.
    pub(super) async fn drive<F: Future>(&mut self, work: F) -> F::Output {
        self.busy = true;
        let output = self.wait(work).await;
        self.busy = false;
        output
    }

    /// Waits for something else, and notices meanwhile when the connection ends.
    pub(super) async fn wait<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            // The work first, so that what it queues goes out at once; again at last, for what came in meanwhile.
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            self.carry(context);
            work.as_mut().poll(context)
        })
        .await
    }

    /// Whether the connection still stands, as far as is known here.
    pub(super) async fn is_alive(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.carry(context);
            Poll::Ready(())
        })
        .await;
        self.connection.is_some()
    }

    fn carry(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = connection.as_mut().poll(context)
        {
            if let Err(error) = ended {
                tracing::debug!(%error, "a PostgreSQL connection ended");
            }
            // Dropping it makes every order that waits for an answer fail.
            self.connection = None;
        }
    }
}

impl Drop for Wire {
    /// A caller who left in the middle of a statement does not leave it running.
    fn drop(&mut self) {
        if self.busy
            && let Some(connection) = self.connection.take()
        {
            self.canceller.send(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str) -> Link {
        Link::new(&PostgresConfig::from_url(url).unwrap(), &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn a_session_is_set_up_by_its_start_options() {
        let link = link("postgres://h/d?schema=jobs&options=-c%20work_mem%3D1MB");
        let options = link.client.get_options().unwrap();
        assert!(options.starts_with("-c work_mem=1MB -c lock_timeout=5000"), "{options}");
        assert!(options.ends_with("-c search_path=jobs"), "{options}");
        assert_eq!(link.begin(Begin::Read, None), "BEGIN READ ONLY");
    }

    #[test]
    fn behind_a_pooler_each_transaction_is_set_up() {
        let link = link("postgres://h/d?schema=jobs&pooler=transaction");
        assert_eq!(link.client.get_options(), None);
        assert_eq!(
            link.begin(Begin::Write, Some(Duration::ZERO)),
            "BEGIN READ WRITE;SET LOCAL lock_timeout=5000;SET LOCAL search_path=jobs;SET LOCAL synchronous_commit=on;\
             SET LOCAL statement_timeout=1"
        );
    }
}
