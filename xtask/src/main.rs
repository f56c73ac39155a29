//! `cargo xtask`: the house's own tools, one command for each gate.

// A tool talks to a terminal; it is not a library.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of a command line tool is its result"
)]

mod bench;
mod check;
mod deps;
mod metadata;
mod shell;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  check            formatting, clippy, documentation, tidy and deps: the gate before a commit
  tidy             the rules of the house that no other tool knows
  deps             licences, sources and duplicate versions of every dependency, by deny.toml
  test             every test of the workspace; ends with `N passed, N failed`
  golden           run the tests and rewrite the golden files from what they see
  soak             the long form of the crash tests
  bench            list the benchmarks
  bench <name>     run one of them; --json prints machine-readable figures, --quick
                   takes a part of the time, --only=PART,PART some of those that have parts
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` means that it failed and has already said why.
fn run(args: &[&str]) -> shell::Outcome<bool> {
    let root = root()?;
    match args {
        ["check"] => check::run(&root),
        ["tidy"] => tidy::run(&root),
        ["deps"] => deps::run(&root),
        ["test"] => test::run(&root, test::Kind::Plain),
        ["golden"] => test::run(&root, test::Kind::Golden),
        ["soak"] => test::run(&root, test::Kind::Soak),
        ["bench", rest @ ..] => bench::run(&root, rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!("no such command\n\n{USAGE}")),
    }
}

/// The workspace that this tool was built from.
fn root() -> shell::Outcome<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().ok_or("xtask lies outside a workspace")?;
    Ok(root.to_owned())
}
