//! The `mainstay` command: reads its arguments, calls a crate, prints what came of it.
#![deny(missing_docs)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a command line tool prints is its result"
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
