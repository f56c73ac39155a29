//! `cargo xtask test`: one command that passes every test on a fresh machine, and one line that says how it went.

mod count;
mod packages;

use crate::shell::{self, Outcome, cargo};
use count::{Counts, Runner};
use std::path::Path;
use std::process::Command;

/// Which form of the tests to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All of them, as they are.
    Plain,
    /// All of them, writing the golden files anew.
    Golden,
    /// Those of crashes only, for long.
    Soak,
}

/// Installs what is missing, builds the binary, runs the tests and the examples in the documentation.
pub(crate) fn run(root: &Path, kind: Kind) -> Outcome<bool> {
    let missing = packages::install_missing();
    let mut total = Counts::default();
    println!("== build");
    if shell::succeeds(&mut cargo(root, &["build", "--package", "mainstay", "--all-features"]))? {
        for (runner, mut command) in stages(root, kind, shell::has_cargo("nextest")) {
            println!("== {}", shell::shown(&command));
            let mut counts = Counts::default();
            let good = shell::stream(&mut command, &mut |line| counts.read_line(runner, line))?;
            total.add(counts.settled(good));
        }
    } else {
        total.add(Counts::default().settled(false));
    }
    if !missing.is_empty() {
        println!("\nnot installed: {}; tests that need them fail or are skipped", missing.join(" "));
    }
    println!("\n{total}");
    Ok(total.good())
}

fn stages(root: &Path, kind: Kind, has_nextest: bool) -> Vec<(Runner, Command)> {
    let runner = if has_nextest { Runner::Nextest } else { Runner::Harness };
    let mut all = if has_nextest {
        cargo(root, &["nextest", "run", "--workspace", "--all-features"])
    } else {
        let args = ["test", "--workspace", "--all-features", "--no-fail-fast"];
        let mut command = cargo(root, &args);
        // Not the documentation: that is the next stage, as it is with nextest.
        command.args(["--lib", "--bins", "--tests", "--examples"]);
        command
    };
    let doc = cargo(root, &["test", "--doc", "--workspace", "--all-features", "--no-fail-fast"]);
    match kind {
        Kind::Plain => vec![(runner, all), (Runner::Harness, doc)],
        Kind::Golden => {
            all.env("MAINSTAY_GOLDEN", "refresh");
            vec![(runner, all)]
        }
        Kind::Soak => {
            all.env("MAINSTAY_SOAK", "1");
            let filter: &[&str] = if has_nextest { &["--profile", "soak"] } else { &["--", "crash"] };
            all.args(filter);
            vec![(runner, all)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(kind: Kind, has_nextest: bool) -> Vec<String> {
        stages(Path::new("."), kind, has_nextest).iter().map(|(_, command)| shell::shown(command)).collect()
    }

    #[test]
    fn documentation_is_tested_once() {
        for has_nextest in [true, false] {
            let commands = commands(Kind::Plain, has_nextest);
            let with_doc = commands.iter().filter(|c| c.contains("--doc")).count();
            assert_eq!((commands.len(), with_doc), (2, 1), "{commands:?}");
        }
    }

    #[test]
    fn soak_runs_crash_tests_only() {
        assert_eq!(
            commands(Kind::Soak, true),
            ["cargo nextest run --workspace --all-features --profile soak"]
        );
        assert!(commands(Kind::Soak, false)[0].ends_with("-- crash"));
    }
}
