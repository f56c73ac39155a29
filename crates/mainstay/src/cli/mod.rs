//! The command line: noun, then verb; the same nouns as the crates.

mod args;
mod config;
mod context;
mod doctor;
mod exit;
mod images;
mod log;
mod migrate;
mod output;
mod serve;
mod sso;
mod workflow;

use std::process::ExitCode;

use clap::Parser as _;
use serde::Serialize;

use self::args::{Cli, Command, ConfigCommand};
use self::context::Context;
use self::exit::{Exit, Failure, Outcome};
use self::output::Output;

/// Reads the arguments, runs the command, and says how it went by its exit code.
pub(crate) fn main() -> ExitCode {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let no_colour = environment.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help is no error; what is one goes to standard error, with exit code 2.
        Err(error) => return unreadable(&error),
    };
    let output = Output::new(cli.json, no_colour);
    match run(cli.command, &Context::new(output, environment)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Says why the arguments cannot be read, as the caller wants to be told; or prints the help, which is no error.
fn unreadable(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        let (message, help) = text.split_once("\n\n").unwrap_or((text, "try --help"));
        Output::new(true, true).failure(&Failure::new(Exit::Usage, message).with_help(help));
        return Exit::Usage.into();
    }
    // A closed pipe is the reader's choice.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
}

fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(&args, context),
        Command::Config { command: ConfigCommand::Check(args) } => config::check(&args, context),
        Command::Migrate { command } => block_on(migrate::run(command, context), context),
        Command::Sso { command } => block_on(sso::run(command, context), context),
        Command::Workflow { command } => block_on(workflow::run(command, context), context),
        Command::Images { command } => block_on(images::run(command, context), context),
        Command::Doctor(args) => block_on(doctor::run(&args, context), context),
        Command::Version => {
            version(context);
            Ok(())
        }
    }
}

/// Runs a short command to its end; one thread is enough.
fn block_on(command: impl Future<Output = Outcome>, context: &Context) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Unavailable, format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let outcome = command.await;
        context.close().await;
        outcome
    })
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

fn version(context: &Context) {
    let body = Version { version: env!("CARGO_PKG_VERSION") };
    context.output.result("mainstay.version/1", &body, || format!("mainstay {}", body.version));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
