//! Where log lines go: to standard error, as text or as JSON. Where spans go: to a collector, if one is named.

use mainstay_server::{Config, LogFormat, Traces};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;

/// Begins to log, and to send spans. Call it inside the runtime.
pub(crate) fn begin(config: &Config, output: Output) -> Outcome<Option<Traces>> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        Failure::new(Exit::Usage, format!("the log filter {:?} cannot be read: {error}", config.log))
            .with_help("write a level such as info, or mainstay_server=debug,info")
    })?;
    let traces = config.otlp_endpoint.as_deref().map(Traces::to).transpose();
    let traces = traces.map_err(|error| Failure::new(Exit::Usage, error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => lines.with_ansi(output.has_colour()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let spans = traces.as_ref().map(Traces::layer);
    let begun = Registry::default().with(lines.and_then(spans).with_filter(filter)).try_init();
    begun.map_err(|error| Failure::new(Exit::Unavailable, format!("logging cannot begin: {error}")))?;
    Ok(traces)
}
