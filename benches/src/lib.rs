//! What the benchmarks share: load from many callers for a while, medians over rounds, and rows that compare.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// One comparison. `ratio` is ours over the peer's for rates, the peer's over ours for times: above 1 is better.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub name: String,
    pub ours: f64,
    pub peer: f64,
    pub peer_name: String,
    pub unit: &'static str,
    pub ratio: f64,
}

impl Row {
    /// A row of operations per second.
    #[must_use]
    pub fn rate(name: impl Into<String>, ours: f64, peer_name: impl Into<String>, peer: f64) -> Self {
        Self { name: name.into(), ours, peer, peer_name: peer_name.into(), unit: "ops/s", ratio: ours / peer }
    }

    /// A row in a unit of which less is better.
    #[must_use]
    pub fn less(
        name: impl Into<String>,
        unit: &'static str,
        ours: f64,
        peer_name: impl Into<String>,
        peer: f64,
    ) -> Self {
        Self { name: name.into(), ours, peer, peer_name: peer_name.into(), unit, ratio: peer / ours }
    }

    /// Prints the row: as an object a line, or aligned for people.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).unwrap_or_default());
        } else {
            println!(
                "{:<34} {:>12.1} {:<6} {:<28} {:>12.1}   {:>7.2}x",
                self.name, self.ours, self.unit, self.peer_name, self.peer, self.ratio
            );
        }
    }
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Operations per second.
    pub rate: f64,
    /// The median latency in microseconds.
    pub p50_us: f64,
    /// The 99th percentile in microseconds.
    pub p99_us: f64,
}

/// Has `callers` tasks repeat an operation for `time`; `make(caller)` gives each caller its own.
pub async fn load<F, O, R>(callers: usize, time: Duration, make: F) -> Sample
where
    F: Fn(usize) -> O,
    O: FnMut(u64) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let stop = Arc::clone(&stop);
            let mut operation = make(caller);
            tokio::spawn(async move {
                let mut random = Random::new(caller);
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    operation(random.next()).await;
                    latencies.push(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a caller panicked"));
    }
    sample(latencies, started.elapsed())
}

/// Summarises latencies in nanoseconds.
#[must_use]
pub fn sample(mut latencies: Vec<u64>, took: Duration) -> Sample {
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    Sample { rate: latencies.len() as f64 / took.as_secs_f64(), p50_us: at(0.5), p99_us: at(0.99) }
}

/// The sample with the median rate.
#[must_use]
pub fn median(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by(|left, right| left.rate.total_cmp(&right.rate));
    samples[samples.len() / 2]
}

/// Keys for a caller: a plain linear congruence, the same in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each caller.
    #[must_use]
    pub fn new(caller: usize) -> Self {
        Self(caller as u64 * 7919 + 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}
