//! How runs are put into words.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_workflow::Status;
use maud::{Markup, html};

/// The word for a status.
pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Waiting => "waiting",
        Status::Paused => "paused",
        Status::Stopping => "stopping",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

/// Every status, in the order of a run's life.
pub(super) const STATUSES: [Status; 7] = [
    Status::Running,
    Status::Waiting,
    Status::Paused,
    Status::Stopping,
    Status::Completed,
    Status::Failed,
    Status::Cancelled,
];

/// A status as a coloured word.
pub(super) fn tag(of: Status) -> Markup {
    let class = match of {
        Status::Running | Status::Waiting => "tag busy",
        Status::Paused | Status::Stopping => "tag warn",
        Status::Completed => "tag good",
        Status::Failed => "tag bad",
        Status::Cancelled => "tag",
    };
    html! { span class=(class) { (status(of)) } }
}

/// A time to the second; the whole of it for programs.
pub(super) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown = text.get(..19).map(|second| second.replace('T', " "));
    html! { time datetime=(text) title=(text) { (shown.as_deref().unwrap_or(&text)) } }
}

/// How long something took, in the unit that fits.
pub(super) fn took(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => format!("{} µs", time.as_micros()),
        1..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        for (micros, expected) in [
            (300, "300 µs"),
            (12_000, "12 ms"),
            (1_250_000, "1.2 s"),
            (59_999_000, "59.9 s"),
            (60_000_000, "1 min 0 s"),
            (3_661_000_000, "1 h 1 min"),
            (90_000_000_000, "1 d 1 h"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), expected);
        }
    }
}
