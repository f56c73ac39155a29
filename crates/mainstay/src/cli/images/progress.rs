//! Bars and spinners for long work: on standard error, and only where a person looks at it.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mainstay_images::Digest;
use mainstay_images::oci::progress::{Event, Progress};

use crate::cli::context::Context;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);
const BAR: &str = "{msg:<10} [{bar:30}] {bytes:>10} of {total_bytes}  {binary_bytes_per_sec}  {eta}";
const SPINNER: &str = "{spinner} {msg}";

fn begin(context: &Context, template: &str, message: &'static str) -> ProgressBar {
    let shown = std::io::stderr().is_terminal() && !context.output.is_json();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target).with_message(message);
    // The templates are constants; one that were wrong would show the crate's own.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}

/// Something whose end is not known.
pub(super) fn spinner(context: &Context, message: &'static str) -> ProgressBar {
    let bar = begin(context, SPINNER, message);
    bar.enable_steady_tick(TICK);
    bar
}

/// How much was read, on a spinner.
pub(super) fn read_so_far(bar: &ProgressBar, what: &str, octets: u64) {
    bar.set_message(format!("{what} {}", HumanBytes(octets)));
}

/// A copy between the store and elsewhere.
pub(super) struct Copying {
    bar: ProgressBar,
    /// What arrived of each blob: taken back when its transfer begins again.
    arrived: Mutex<HashMap<Digest, u64>>,
}

impl Copying {
    pub(super) fn new(context: &Context, message: &'static str) -> Self {
        Self { bar: begin(context, BAR, message), arrived: Mutex::default() }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Counts octets of a blob, and says how many there are.
    fn count(&self, digest: Digest, octets: u64) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        *arrived.entry(digest).or_default() += octets;
        self.bar.inc(octets);
    }
}

impl Progress for Copying {
    fn on(&self, event: Event<'_>) {
        match event {
            Event::Planned { octets, .. } => self.bar.set_length(octets),
            Event::Advanced { digest, octets } => self.count(digest, octets),
            Event::Present { digest, size } => self.count(digest, size),
            Event::Restarted { digest } => {
                let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                let lost = arrived.remove(&digest).unwrap_or_default();
                self.bar.set_position(self.bar.position().saturating_sub(lost));
            }
            Event::Done => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}
