//! The `mainstay` command: reads its arguments, calls a crate, prints what came of it.
#![deny(missing_docs)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
