//! The PostgreSQL driver: what an operation becomes on PostgreSQL.
//!
//! | module | what it does |
//! |---|---|
//! | `config`, `tls` | the URL: servers, schema, certificates, how many connections |
//! | `session`, `cancel`, `pool` | one connection, how it is stopped, and those that are lent out |
//! | `statement`, `types`, `row`, `error` | statements, values, rows and errors between Rust and the wire |
//! | `reader` | reads, on the pool |
//! | `writer`, `committer`, `plan`, `group`, `aside` | the queue of writes, who empties it, in which transactions |
//! | `notify` | bells between processes |
//! | `transaction`, `migrate` | interactive transactions and migrations, on the pool |

mod aside;
mod cancel;
mod committer;
mod config;
mod error;
mod group;
mod migrate;
mod notify;
mod plan;
mod pool;
mod reader;
mod row;
mod session;
mod statement;
mod tls;
mod transaction;
mod types;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::SystemClock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::config::PostgresConfig;

use self::aside::Aside;
use self::error::Fault;
use self::notify::Notifier;
use self::pool::Pool;
use self::session::{Access, Begin, Desk, LOCK_TIMEOUT, Link};
use self::writer::{Work, Writer};
use crate::batch::{Batch, BatchOutcome, Written};
use crate::bell::Listeners;
use crate::error::{Error, Result};
use crate::migrate::{Applied, MigrationStep, StepOutcome};
use crate::operation::{Call, Priority, RequestId};
use crate::options::Limits;
use crate::row::Row;
use crate::statement::Statement;
use crate::topology::{Capability, Position, Role};
use crate::transaction::TransactionDriver;

/// The oldest server that is tested; older ones get no security updates.
const OLDEST_VERSION: i64 = 130_000;
/// How long asking for the position may take.
const POSITION_LIMIT: Duration = Duration::from_secs(5);

/// The system and its timeline, and how far the log is written or, on a standby, replayed.
const POSITION: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system()) AS system,
        CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id::bigint FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END AS timeline,
        pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END, '0/0')::bigint AS sequence";

/// The PostgreSQL driver.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Arc<Pool>,
    writer: Writer,
    /// Interactive transactions at a time: half of the pool, so that they do not starve reads.
    transactions: Arc<Semaphore>,
    notifier: Notifier,
    limits: Limits,
}

impl Postgres {
    pub(crate) async fn open(
        config: PostgresConfig,
        limits: Limits,
        listeners: Arc<Listeners>,
    ) -> Result<Self> {
        let link = Arc::new(Link::new(&config, &limits)?);
        let mut session = link.connect(Access::Write).await?;
        let checked = session.wire.drive(check_database(&session.desk, config.schema.as_deref())).await;
        checked.map_err(|fault| fault.into_error(&link.place))?;
        let pool = Arc::new(Pool::new(Arc::clone(&link), config.pool_size));
        migrate::check_format(&pool).await?;
        let aside = Arc::new(Aside::new(Arc::clone(&pool), config.pool_size));
        let writer = Writer::start(&link, session, config.committers, limits, aside);
        let transactions = Arc::new(Semaphore::new(config.pool_size.div_ceil(2)));
        let notifier = Notifier::start(&pool, config.schema.as_deref(), listeners)?;
        Ok(Self { pool, writer, transactions, notifier, limits })
    }

    pub(crate) async fn read(&self, statements: Vec<Statement>, call: &Call) -> Result<Vec<Vec<Row>>> {
        reader::read(&self.pool, &statements, call).await
    }

    pub(crate) async fn write(&self, statement: Statement, call: &Call) -> Result<Written> {
        let mut written = self.writer.submit(Work::One(statement), call).await?;
        Ok(written.pop().unwrap_or_else(|| Written::new(0, Vec::new())))
    }

    pub(crate) async fn batch(&self, batch: Batch, call: &Call) -> Result<BatchOutcome> {
        self.writer.submit(Work::Batch(batch), call).await.map(BatchOutcome::new)
    }

    pub(crate) async fn begin(&self, call: &Call) -> Result<Box<dyn TransactionDriver>> {
        transaction::begin(&self.pool, &self.transactions, self.limits.transaction, call).await
    }

    #[expect(clippy::unused_self, reason = "the same for each driver; others look")]
    pub(crate) fn role(&self) -> Role {
        Role::Standalone
    }

    pub(crate) async fn position(&self) -> Result<Position> {
        let call = Call {
            request_id: RequestId::generate(&SystemClock),
            deadline: Instant::now() + POSITION_LIMIT,
            priority: Priority::Normal,
        };
        let results = self.read(vec![Statement::new(POSITION)], &call).await?;
        let row = results.first().and_then(|rows| rows.first()).ok_or_else(crate::row::no_row)?;
        let number = |column| row.get::<i64>(column).map(i64::cast_unsigned);
        Ok(Position { lineage: number("system")? ^ number("timeline")?, sequence: number("sequence")? })
    }

    #[expect(clippy::unused_self, reason = "the same for each driver; others look")]
    pub(crate) fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::ManyWriters
            | Capability::SkipLocked
            | Capability::MergedWrites
            | Capability::SchemaPrefix
            | Capability::StatementCap => true,
        }
    }

    pub(crate) fn ring(&self, topic: &Arc<str>) {
        self.notifier.ring(topic);
    }

    pub(crate) fn listen(&self) {
        self.notifier.listen();
    }

    pub(crate) async fn applied(&self, component: &str) -> Result<Vec<Applied>> {
        migrate::applied(&self.pool, component).await
    }

    pub(crate) async fn migrate_step(&self, step: MigrationStep) -> Result<StepOutcome> {
        migrate::migrate_step(&self.pool, step).await
    }

    pub(crate) async fn close(&self) {
        self.transactions.close();
        self.writer.close().await;
        self.notifier.close().await;
        self.pool.close().await;
    }
}

/// Refuses a server that is too old, and creates the schema if it is missing.
async fn check_database(desk: &Desk, schema: Option<&str>) -> Result<(), Fault> {
    desk.simple(&desk.link.begin(Begin::Read, None)).await?;
    let missing = look(desk, schema).await;
    desk.statements.clear();
    desk.simple("COMMIT").await?;
    let (Some(schema), true) = (schema, missing?) else { return Ok(()) };
    // The name is a plain identifier: the configuration saw to that.
    match desk.simple(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await {
        // Another node created it at this moment.
        Err(fault) if matches!(fault.sqlstate(), Some("23505" | "42P06")) => Ok(()),
        other => other,
    }
}

/// Whether the schema is missing.
async fn look(desk: &Desk, schema: Option<&str>) -> Result<bool, Fault> {
    let question = Statement::new(
        "SELECT current_setting('server_version_num')::bigint AS version, current_setting('server_version') AS words,
            (SELECT setting FROM pg_settings WHERE name = 'lock_timeout') AS lock_timeout,
            EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) AS found",
    )
    .bind(schema.unwrap_or_default());
    let bound = desk.bind(&question, &[]).await?;
    let row = desk.execute(&bound).await?.into_row().map_err(Fault::Unreadable)?;
    let version: i64 = row.get("version").map_err(Fault::Unreadable)?;
    if version < OLDEST_VERSION {
        let words: String = row.get("words").map_err(Fault::Unreadable)?;
        return Err(Fault::Unfit(
            Error::configuration(format!("PostgreSQL {words} at {} is too old", desk.link.place))
                .with_help("use PostgreSQL 13 or newer"),
        ));
    }
    let lock_timeout: String = row.get("lock_timeout").map_err(Fault::Unreadable)?;
    if lock_timeout != LOCK_TIMEOUT.as_millis().to_string() {
        return Err(Fault::Unfit(settings_are_lost(&desk.link.place)));
    }
    Ok(!row.get::<bool>("found").map_err(Fault::Unreadable)?)
}

/// A pooler took the connection's settings and threw them away: the next user of a session would find another's.
fn settings_are_lost(place: &str) -> Error {
    Error::configuration(format!("the server at {place} does not keep the settings of a connection"))
        .with_help(error::POOLER_HELP)
}
