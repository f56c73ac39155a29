//! Our side.

use std::time::Duration;

use mainstay_benches::{Sample, load};
use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{Operation, Outcome, Repo, RepoOptions, Result, Statement};

use crate::workload;

/// Upserts from many callers.
pub async fn writes(repo: &Repo, callers: usize, time: Duration, merge: bool) -> Sample {
    load(callers, time, |_| {
        let repo = repo.clone();
        move |random| {
            let repo = repo.clone();
            async move {
                repo.write(workload::upsert(random, merge)).await.expect("written");
            }
        }
    })
    .await
}

/// Point reads from many callers.
pub async fn reads(repo: &Repo, callers: usize, time: Duration) -> Sample {
    load(callers, time, |_| {
        let repo = repo.clone();
        move |random| {
            let repo = repo.clone();
            async move {
                let found = repo.read(Statement::new(workload::READ).bind(workload::key_of(random))).await;
                assert_eq!(found.expect("read").len(), 1);
            }
        }
    })
    .await
}

/// Answers without asking the database, so that what is left is the pipeline itself.
struct Answer;

#[async_trait]
impl Middleware for Answer {
    async fn process(&self, _operation: Operation, _next: Next<'_>) -> Result<Outcome> {
        Ok(Outcome::Rows(vec![Vec::new()]))
    }
}

/// Nanoseconds for an operation that the first middleware answers: all that the handle and the pipeline cost.
pub async fn pipeline_ns(url: &str) -> f64 {
    const ROUNDS: u32 = 1_000_000;
    let repo = RepoOptions::new(url).expect("a URL").with(Answer).connect().await.expect("opened");
    let started = std::time::Instant::now();
    for _ in 0..ROUNDS {
        let rows = repo.read(Statement::new(workload::READ)).await.expect("answered");
        std::hint::black_box(rows);
    }
    let took = started.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    repo.close().await;
    took
}

/// The process's resident memory in MiB: (without any caller, with so many that wait for the writer).
pub async fn waiting_writers_mib(repo: &Repo, callers: usize) -> (f64, f64) {
    // What the callers themselves hold: as many tasks with the same statement, that only wait.
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let idle: Vec<_> = (0..callers)
        .map(|caller| {
            let gate = std::sync::Arc::clone(&gate);
            let statement = workload::upsert(caller as u64, false);
            tokio::spawn(async move {
                let _open = gate.acquire().await;
                std::hint::black_box(&statement);
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let callers_only = resident_mib();
    gate.close();
    for task in idle {
        let _ = task.await;
    }
    let writers: Vec<_> = (0..callers)
        .map(|caller| {
            let repo = repo.clone().within(Duration::from_secs(300));
            let statement = workload::upsert(caller as u64, false);
            tokio::spawn(async move { repo.write(statement).await.map(drop) })
        })
        .collect();
    let mut peak = resident_mib();
    for task in writers {
        task.await.expect("no panic").expect("written");
        if one_in_a_thousand() {
            peak = peak.max(resident_mib());
        }
    }
    (callers_only, peak)
}

/// True once in a thousand calls: reading /proc for every writer would be the benchmark.
fn one_in_a_thousand() -> bool {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000)
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1024.0 / 1024.0
}
