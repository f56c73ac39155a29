//! `mainstay serve`.

use mainstay_server::{Ended, Server, Started};
use tokio::signal::unix::{SignalKind, signal};

use super::args::Serve;
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::log;

pub(super) fn run(args: &Serve, context: &Context) -> Outcome {
    let config = context.config(&args.settings, Some(&args.server))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Unavailable, format!("no runtime: {error}")))?;
    let traces = runtime.block_on(async { log::begin(&config, context.output) })?;
    let outcome = runtime.block_on(async {
        // Before anything is begun, so that no signal is lost.
        let asked_to_end = asked_to_end()?;
        let server = Server::start(&config).await?;
        context.output.result("mainstay.serve.started/1", server.started(), || welcome(server.started()));
        match server.run(asked_to_end).await {
            Ended::CutOff => {
                Err(Failure::new(Exit::Unavailable, "some requests did not end in time and were cut off")
                    .with_help("raise drain_timeout, or look for what makes requests slow"))
            }
            Ended::PeerJoined(peer) => Err(Failure::new(Exit::Refused, peer)),
            _ => Ok(()),
        }
    });
    if let Some(traces) = traces {
        traces.end();
    }
    outcome
}

/// Ends with the first SIGTERM or SIGINT.
pub(super) fn asked_to_end() -> Outcome<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(Exit::Unavailable, error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn welcome(started: &Started) -> String {
    let mut text = format!("Mainstay {} is ready.\n\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("  Console   {}\n", started.url));
    text.push_str(&format!("  Database  {}\n", started.database));
    if started.dev {
        text.push_str(
            "  Sign-in   as alice or bob, with the built-in identity provider; for development only\n",
        );
    }
    if let Some(link) = &started.setup_link {
        text.push_str(&format!("\nBecome the first administrator, once, within the hour:\n\n  {link}\n"));
    }
    text.push_str("\nEnd it with Ctrl-C.\n");
    text
}
