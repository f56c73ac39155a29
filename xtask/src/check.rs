//! `cargo xtask check`: every stage runs, whatever the one before it said; the summary names the failures.

use crate::shell::{self, Outcome, cargo};
use crate::{deps, tidy};
use std::path::Path;
use std::time::{Duration, Instant};

type Stage = (&'static str, fn(&Path) -> Outcome<bool>);

const STAGES: [Stage; 5] =
    [("fmt", fmt), ("clippy", clippy), ("doc", doc), ("tidy", tidy::run), ("deps", deps::run)];

/// Runs all stages.
pub(crate) fn run(root: &Path) -> Outcome<bool> {
    let mut results = Vec::new();
    for (name, stage) in STAGES {
        println!("== {name}");
        let started = Instant::now();
        let good = stage(root).unwrap_or_else(|problem| {
            println!("{problem}");
            false
        });
        results.push((name, good, started.elapsed()));
    }
    println!("\n{}", summary(&results));
    Ok(results.iter().all(|(_, good, _)| *good))
}

fn summary(results: &[(&str, bool, Duration)]) -> String {
    let mut text = String::from("== check\n");
    for (name, good, took) in results {
        let verdict = if *good { "ok" } else { "FAILED" };
        text.push_str(&format!("{name:<8}{verdict:<8}{:>7.1} s\n", took.as_secs_f64()));
    }
    let failed: Vec<&str> = results.iter().filter(|(_, good, _)| !good).map(|(name, _, _)| *name).collect();
    if failed.is_empty() {
        text.push_str("check passed");
    } else {
        text.push_str(&format!("check FAILED in: {}", failed.join(", ")));
    }
    text
}

fn fmt(root: &Path) -> Outcome<bool> {
    shell::succeeds(&mut cargo(root, &["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Outcome<bool> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    shell::succeeds(&mut cargo(root, &args))
}

fn doc(root: &Path) -> Outcome<bool> {
    let mut command = cargo(root, &["doc", "--no-deps", "--workspace", "--all-features"]);
    shell::succeeds(command.env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_each_failure() {
        let took = Duration::from_millis(1500);
        let text = summary(&[("fmt", true, took), ("tidy", false, took), ("deps", false, took)]);
        assert!(text.ends_with("check FAILED in: tidy, deps"), "{text}");
        assert!(text.contains("fmt     ok          1.5 s"), "{text}");
        assert!(summary(&[("fmt", true, took)]).ends_with("check passed"));
    }
}
