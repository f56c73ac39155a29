//! The workflow benchmark's load, on durare: `peer-durare URL --synchronous normal|full --connections N --callers N --millis N --idle N`.
//!
//! Prints one JSON object with what it came to; `cargo xtask bench workflow` starts it and puts the figures beside ours. The database
//! exists and is empty.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use durare::{
    DurableContext, DurableEngine, PostgresProvider, Result, SqliteProvider, StateProvider, Tx,
    WorkflowOptions, WorkflowQueue, params,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Steps of a run.
const STEPS: u64 = 5;
/// A queue that nobody listens to.
const UNHEARD: &str = "unheard";
/// The system's tables lie where durare puts them itself.
const SCHEMA: &str = "dbos";
const ACCOUNTS: &str = "CREATE TABLE bench_accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)";

#[durare::step]
async fn nothing(ctx: &DurableContext) -> Result<()> {
    Ok(())
}

#[durare::workflow]
async fn noop(ctx: DurableContext, _caller: i64) -> Result<()> {
    for _ in 0..STEPS {
        nothing(&ctx).await?;
    }
    Ok(())
}

#[durare::transaction]
async fn add_one(ctx: &DurableContext, tx: &mut Tx<'_>, id: i64) -> Result<()> {
    let upsert = "INSERT INTO bench_accounts (id, balance) VALUES (?, 1) \
                  ON CONFLICT (id) DO UPDATE SET balance = bench_accounts.balance + 1";
    tx.execute(upsert, &params![id]).await.map(drop)
}

#[durare::workflow]
async fn booked(ctx: DurableContext, caller: i64) -> Result<()> {
    for _ in 0..STEPS {
        add_one(&ctx, caller).await?;
    }
    Ok(())
}

struct Arguments {
    url: String,
    synchronous: SqliteSynchronous,
    connections: u32,
    callers: usize,
    time: Duration,
    idle: usize,
}

impl Arguments {
    fn read() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| word == name);
            at.and_then(|at| words.get(at + 1)).ok_or_else(|| format!("{name} is missing"))
        };
        Ok(Self {
            url: words.first().ok_or("the URL is missing")?.clone(),
            synchronous: SqliteSynchronous::from_str(after("--synchronous")?)?,
            connections: after("--connections")?.parse()?,
            callers: after("--callers")?.parse()?,
            time: Duration::from_millis(after("--millis")?.parse()?),
            idle: after("--idle")?.parse()?,
        })
    }
}

/// durare's own connection options, but for what the arguments say.
async fn provider(arguments: &Arguments) -> Result<Arc<dyn StateProvider>> {
    if arguments.url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(&arguments.url)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(arguments.synchronous)
            .busy_timeout(Duration::from_secs(60));
        let pool = SqlitePoolOptions::new()
            .max_connections(arguments.connections)
            .acquire_timeout(Duration::from_secs(60))
            .connect_with(options)
            .await?;
        sqlx::query(ACCOUNTS).execute(&pool).await?;
        Ok(Arc::new(SqliteProvider::from_pool(pool)))
    } else {
        let options = PgConnectOptions::from_str(&arguments.url)?.options([("search_path", SCHEMA)]);
        let pool = PgPoolOptions::new()
            .max_connections(arguments.connections)
            .acquire_timeout(Duration::from_secs(60))
            .connect_with(options)
            .await?;
        sqlx::query("CREATE SCHEMA IF NOT EXISTS dbos").execute(&pool).await?;
        sqlx::query(ACCOUNTS).execute(&pool).await?;
        Ok(Arc::new(PostgresProvider::from_pool_with_schema(pool, SCHEMA)?))
    }
}

/// How long one run takes when nothing else goes on: the median, in milliseconds.
async fn idle(engine: &DurableEngine, runs: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        engine.start_with(Noop, 0, WorkflowOptions::default()).await?.await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Operations a second of so many callers, after a quarter of the time to get going.
async fn rate<F, R>(arguments: &Arguments, operation: F) -> Result<f64>
where
    F: Fn(i64) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..arguments.callers)
        .map(|caller| {
            let (stop, ended, operation) = (Arc::clone(&stop), Arc::clone(&ended), operation.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    operation(i64::try_from(caller).unwrap_or_default()).await?;
                    ended.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, durare::Error>(())
            })
        })
        .collect();
    tokio::time::sleep(arguments.time / 4).await;
    let (from, began) = (ended.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(arguments.time).await;
    let rate = (ended.load(Ordering::Relaxed) - from) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("a caller panicked")?;
    }
    Ok(rate)
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::read()?;
    let mut engine = DurableEngine::new(provider(&arguments).await?).await?;
    engine.register_queue(WorkflowQueue::new(UNHEARD));
    engine.listen_queues(["nobody's"]);
    let engine = Arc::new(engine);
    engine.launch().await?;
    let idle_ms = idle(&engine, arguments.idle).await?;
    let noop = {
        let engine = Arc::clone(&engine);
        let run = move |caller| {
            let engine = Arc::clone(&engine);
            async move { engine.start_with(Noop, caller, WorkflowOptions::default()).await?.await }
        };
        rate(&arguments, run).await?
    };
    let tx = {
        let engine = Arc::clone(&engine);
        let run = move |caller| {
            let engine = Arc::clone(&engine);
            async move { engine.start_with(Booked, caller, WorkflowOptions::default()).await?.await }
        };
        rate(&arguments, run).await?
    };
    // Into a queue that nobody listens to: the start alone.
    let starts = {
        let engine = Arc::clone(&engine);
        let start = move |caller| {
            let engine = Arc::clone(&engine);
            let options = WorkflowOptions { queue: Some(UNHEARD.to_owned()), ..WorkflowOptions::default() };
            async move { engine.start_with(Noop, caller, options).await.map(drop) }
        };
        rate(&arguments, start).await?
    };
    let steps = STEPS as f64;
    println!(
        "{}",
        serde_json::json!({"noop_steps": noop * steps, "tx_steps": tx * steps, "starts": starts, "idle_ms": idle_ms})
    );
    engine.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
