//! Where log lines go: to standard error, as text or as JSON.

use mainstay_server::{Config, LogFormat};
use tracing_subscriber::EnvFilter;

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;

/// Begins to log.
pub(crate) fn begin(config: &Config, output: Output) -> Outcome {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        Failure::new(Exit::Usage, format!("the log filter {:?} cannot be read: {error}", config.log))
            .with_help("write a level such as info, or mainstay_server=debug,info")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match config.log_format {
        LogFormat::Text => lines.with_ansi(output.has_colour()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
    begun.map_err(|error| Failure::new(Exit::Unavailable, format!("logging cannot begin: {error}")))
}
