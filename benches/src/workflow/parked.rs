//! Up to five million runs that wait for a signal or for a time a year away: what it costs to wake one among so many.
//!
//! One run is started by the engine; the others are copies of its rows under other identifiers, written by the database itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainstay_benches::{Random, Row};
use mainstay_repo::{Dialect, Limits, Repo, RepoOptions, Sql, Statement, Target};
use mainstay_workflow::store::COMPONENT;
use mainstay_workflow::{Definition, Engine, Handlers, Node, RunId, StartRequest};
use serde_json::Value;
use tokio::sync::Notify;

/// How many runs are written by one statement.
const CHUNK: u64 = 50_000;
/// How many are woken by signals, at a time and one by one.
const WOKEN: usize = 2_000;
const WOKEN_ALONE: usize = 200;
/// Callers that signal.
const CALLERS: usize = 64;
/// How many runs sleep for a second beside the parked ones.
const NAPS: usize = 200;
const NAP: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// A database that gives a bulk statement its time.
pub(crate) async fn open(url: &str) -> Repo {
    let limits = Limits { deadline: Duration::from_secs(600), ..Limits::DEFAULT };
    RepoOptions::new(url).expect("a URL").with_limits(limits).connect().await.expect("opened")
}

pub(crate) async fn run(repo: &Repo, name: &str, quick: bool, json: bool) {
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("migrated");
    let mut parked = Parked::new(repo).await;
    let sizes: &[u64] = if quick { &[5_000, 50_000] } else { &[5_000, 50_000, 500_000, 5_000_000] };
    let mut base: Option<Costs> = None;
    for size in sizes {
        let began = Instant::now();
        parked.fill(repo, *size).await;
        eprintln!("parked: {size} runs on {name}, written in {:.0} s", began.elapsed().as_secs_f64());
        let awake = Awake::default();
        let engine = engine(repo, &awake).await;
        let costs = Costs::measure(&engine, &awake, &mut parked).await;
        engine.stop().await;
        let first = base.get_or_insert(costs);
        let row = |what: &str, unit: &'static str, cost: f64, first: f64| {
            Row::less(
                format!("parked_{size}_{what}_{name}"),
                unit,
                cost,
                format!("with {} parked", sizes[0]),
                first,
            )
            .print(json);
        };
        row("wake", "us", costs.wake_us, first.wake_us);
        row("wake_alone", "ms", costs.wake_alone_ms, first.wake_alone_ms);
        row("timer_late", "ms", costs.timer_late_ms, first.timer_late_ms);
    }
}

/// How many woken runs have come to their step.
#[derive(Clone, Default)]
struct Awake(Arc<AtomicUsize>, Arc<Notify>);

impl Awake {
    fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.notify_one();
    }

    async fn wait_for(&self, count: usize) {
        while self.0.load(Ordering::Relaxed) < count {
            self.1.notified().await;
        }
    }
}

async fn engine(repo: &Repo, awake: &Awake) -> Engine {
    let hold = Node::wait("hold")
        .signal("go", "gone")
        .expires(YEAR, "late")
        .on("gone", ["work"])
        .on("late", ["work"]);
    let work = || Node::task("work", ["ok"]).on("ok", ["end"]);
    let parked =
        Definition::new("parked", 1).node(hold).node(work()).done("end").build().expect("a workflow");
    let nap = Node::timer("nap", NAP, "over").on("over", ["work"]);
    let naps = Definition::new("nap", 1).node(nap).node(work()).done("end").build().expect("a workflow");
    let awake = awake.clone();
    let count = Handlers::new().handler("work", move |_cx| {
        awake.one();
        async { Ok("ok".into()) }
    });
    let nothing = Handlers::new().handler("work", async |_cx| Ok("ok".into()));
    let builder = Engine::builder(repo.clone()).workflow(parked, count).workflow(naps, nothing);
    builder.start().await.expect("an engine")
}

/// What waking costs.
#[derive(Clone, Copy)]
struct Costs {
    /// One of many that are signalled at a time, until its step runs.
    wake_us: f64,
    /// One signalled while nothing else goes on, until its step runs: the median.
    wake_alone_ms: f64,
    /// How much later than its time a sleeping run ended: the median.
    timer_late_ms: f64,
}

impl Costs {
    async fn measure(engine: &Engine, awake: &Awake, parked: &mut Parked) -> Self {
        // The first ones read what the database has not in memory yet.
        wake(engine, awake, parked.take(WOKEN / 4)).await;
        let began = Instant::now();
        wake(engine, awake, parked.take(WOKEN)).await;
        let wake_us = began.elapsed().as_secs_f64() * 1e6 / WOKEN as f64;
        let mut alone = Vec::new();
        for run in parked.take(WOKEN_ALONE) {
            let began = Instant::now();
            wake(engine, awake, vec![run]).await;
            alone.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Self { wake_us, wake_alone_ms: median(alone), timer_late_ms: median(naps(engine).await) }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Signals runs from many callers, and waits until the step of each of them runs.
async fn wake(engine: &Engine, awake: &Awake, runs: Vec<RunId>) {
    let enough = awake.0.load(Ordering::Relaxed) + runs.len();
    let share = runs.len().div_ceil(CALLERS);
    let callers: Vec<_> = runs
        .chunks(share)
        .map(|runs| {
            let (engine, runs) = (engine.clone(), runs.to_vec());
            tokio::spawn(async move {
                for run in runs {
                    engine.signal(run, "go", Value::Null).await.expect("signalled");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
    awake.wait_for(enough).await;
}

/// How late each of some sleeping runs ended, in milliseconds.
async fn naps(engine: &Engine) -> Vec<f64> {
    let sleepers: Vec<_> = (0..NAPS)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let run = engine.start(StartRequest::new("nap", Value::Null)).await.expect("started");
                let began = Instant::now();
                engine.wait(run).await.expect("ended");
                began.elapsed().saturating_sub(NAP).as_secs_f64() * 1e3
            })
        })
        .collect();
    let mut late = Vec::new();
    for sleeper in sleepers {
        late.push(sleeper.await.expect("a sleeper"));
    }
    late
}

/// The runs that are parked.
struct Parked {
    /// The run that the others are copies of.
    template: i64,
    tables: Vec<Table>,
    /// The copies have the identifiers below the template's, upwards from here.
    lowest: i64,
    count: u64,
    /// Signalled ones; none is taken twice.
    woken: std::collections::HashSet<i64>,
    random: Random,
}

/// A table that has rows of the run.
struct Table {
    name: String,
    /// The column that names the run.
    run: &'static str,
    others: Vec<String>,
}

impl Parked {
    async fn new(repo: &Repo) -> Self {
        let engine = engine(repo, &Awake::default()).await;
        let template = engine.start(StartRequest::new("parked", Value::Null)).await.expect("started").get();
        engine.stop().await;
        let mut tables = Vec::new();
        for name in tables_of(repo).await {
            let mut others = columns_of(repo, &name).await;
            let run = if name == "wf_runs" { "id" } else { "run_id" };
            if !others.iter().any(|column| column == run) {
                continue;
            }
            others.retain(|column| column != run);
            let rows = Sql::dynamic(
                format!("SELECT count(*) AS rows FROM {name} WHERE {run} = $1"),
                format!("SELECT count(*) AS rows FROM {name} WHERE {run} = $1"),
            );
            let rows = repo.read(Statement::new(rows).bind(template)).await.expect("read");
            if rows[0].get::<i64>("rows").expect("a count") > 0 {
                tables.push(Table { name, run, others });
            }
        }
        let lowest = template - 6_000_000;
        Self { template, tables, lowest, count: 0, woken: Default::default(), random: Random::new(7) }
    }

    /// Writes copies until there are so many.
    async fn fill(&mut self, repo: &Repo, size: u64) {
        while self.count < size {
            let more = CHUNK.min(size - self.count);
            let from = self.lowest + i64::try_from(self.count).expect("small");
            let to = from + i64::try_from(more).expect("small");
            for table in &self.tables {
                let copy = Statement::new(table.copy()).bind(self.template).bind(from).bind(to);
                let written = repo.write(copy).await.expect("copied");
                assert!(written.rows_affected() >= more, "{} has rows of the run", table.name);
            }
            self.count += more;
        }
        if repo.dialect() == Dialect::Postgres {
            // What the autovacuum does a minute later.
            repo.write(Statement::new("ANALYZE")).await.expect("analysed");
        }
    }

    /// Runs that nobody has signalled, from all over the table.
    fn take(&mut self, count: usize) -> Vec<RunId> {
        assert!(
            self.woken.len() + count <= usize::try_from(self.count).expect("small"),
            "so many are not parked any more"
        );
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let id = self.lowest + i64::try_from(self.random.next() % self.count).expect("small");
            if self.woken.insert(id) {
                taken.push(RunId::from_stored(id));
            }
        }
        taken
    }
}

impl Table {
    /// Copies the rows of run `$1` for the runs from `$2` up to `$3`. Times of timers are spread over a month.
    fn copy(&self) -> Sql {
        let Self { name, run, others } = self;
        let into = others.join(", ");
        let values = |spread: &str| {
            let value = |column: &String| {
                if name == "wf_timers" && column == "at" {
                    format!("t.at + {spread}")
                } else {
                    format!("t.{column}")
                }
            };
            others.iter().map(value).collect::<Vec<_>>().join(", ")
        };
        Sql::dynamic(
            format!(
                "WITH RECURSIVE g (id) AS (SELECT $2 UNION ALL SELECT id + 1 FROM g WHERE id + 1 < $3) \
                 INSERT INTO {name} ({run}, {into}) SELECT g.id, {} FROM {name} t CROSS JOIN g WHERE t.{run} = $1",
                values("(g.id % 2592000) * 1000000")
            ),
            format!(
                "INSERT INTO {name} ({run}, {into}) SELECT g.id, {} FROM {name} t \
                 CROSS JOIN generate_series($2::bigint, $3::bigint - 1) AS g (id) WHERE t.{run} = $1",
                values("(g.id % 2592000) * interval '1 second'")
            ),
        )
    }
}

async fn names(repo: &Repo, sql: Sql) -> Vec<String> {
    let rows = repo.read(Statement::new(sql)).await.expect("read");
    rows.iter().map(|row| row.get("name").expect("a name")).collect()
}

async fn tables_of(repo: &Repo) -> Vec<String> {
    let sql = Sql::per_dialect(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'wf\\_%' ESCAPE '\\' ORDER BY name",
        "SELECT CAST(tablename AS text) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'wf\\_%' ORDER BY name",
    );
    names(repo, sql).await
}

async fn columns_of(repo: &Repo, table: &str) -> Vec<String> {
    let sql = Sql::dynamic(
        format!("SELECT name FROM pragma_table_info('{table}')"),
        format!(
            "SELECT CAST(column_name AS text) AS name FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
        ),
    );
    names(repo, sql).await
}
