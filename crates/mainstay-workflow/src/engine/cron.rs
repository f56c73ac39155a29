//! Cron expressions: when a schedule is due next, also in the nights in which the clocks are set.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use mainstay_core::Timestamp;

use crate::error::{Error, ErrorKind, Result};

/// The first time of an expression after an instant; `None` when there is none within four years.
///
/// At hours that are named (`30 2 * * *`) it means the clock on the wall. What the clocks pass over in spring is due at the end of the gap,
/// what they show twice in autumn is due the first time only: each day once. Where the hour has an asterisk (`*/15 * * * *`) time counts as
/// it passes, and an hour that comes twice has its times twice.
pub(super) fn next(cron: &str, after: Timestamp) -> Result<Option<Timestamp>> {
    let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
    let in_zone = parse(cron, cron)?;
    let hour = fields.get(1).copied().unwrap_or_default();
    let Ok(found) = in_zone.find_next(instant(cron, after)?) else { return Ok(None) };
    if hour.contains('*') || asks_for_last(&fields) {
        return Ok(stored(found.timestamp()));
    }
    // The days and hours are looked for on a clock that is never set; then it is told when a clock on the wall shows the same.
    let zone = found.time_zone().clone();
    let on_wall = parse(cron, &fields.iter().take(5).copied().collect::<Vec<_>>().join(" "))?;
    let start = instant(cron, after)?.0;
    let mut shown = start.to_zoned(zone.clone()).datetime();
    loop {
        let Ok(at) = TimeZone::UTC.to_timestamp(shown) else { return Ok(None) };
        let Ok(found) = on_wall.find_next(MakeTimestamp(at)) else { return Ok(None) };
        shown = found.datetime();
        match first_at(shown, &zone) {
            Some(due) if due > start => return Ok(stored(due)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// When a clock on the wall shows this for the first time; the end of the gap when it never does.
fn first_at(shown: DateTime, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    let offset = ambiguous.offset();
    let earlier = ambiguous.earlier().ok()?;
    match offset {
        // With the offset that holds after the gap this is an instant before it.
        AmbiguousOffset::Gap { .. } => zone.following(earlier).next().map(|set| set.timestamp()),
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => Some(earlier),
    }
}

/// Refuses what is read and not reckoned right: the parser's last day of a month, and last weekday, leave December out. What is stored from before
/// goes on as it went.
pub(super) fn check(cron: &str) -> Result<()> {
    if !asks_for_last(&cron.split_ascii_whitespace().collect::<Vec<_>>()) {
        return Ok(());
    }
    let text = format!("{cron:?} asks for a last day by L, which is not reckoned here");
    Err(Error::new(ErrorKind::InvalidInput, text).with_help(
        "name the days, such as the first of the next month, or let a step look whether it is the last",
    ))
}

/// Whether a field of days has an item with an `L` at its end.
fn asks_for_last(fields: &[&str]) -> bool {
    let days = [fields.get(2), fields.get(4)];
    days.into_iter().flatten().any(|field| field.split(',').any(|item| item.ends_with('L')))
}

fn parse(cron: &str, expression: &str) -> Result<Crontab> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    parse_crontab_with(expression, options).map_err(|error| unreadable(cron, &error))
}

fn instant(cron: &str, at: Timestamp) -> Result<MakeTimestamp> {
    MakeTimestamp::from_microsecond(at.as_unix_micros()).map_err(|error| unreadable(cron, &error))
}

fn stored(at: jiff::Timestamp) -> Option<Timestamp> {
    Timestamp::from_unix_micros(at.as_microsecond()).ok()
}

fn unreadable(cron: &str, error: &cronexpr::Error) -> Error {
    let text = format!("{cron:?} is not a cron expression: {error}");
    Error::new(ErrorKind::InvalidInput, text).with_help("write it as \"30 2 * * MON-FRI Europe/Berlin\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The first times of an expression after an instant.
    fn times(cron: &str, after: &str, count: usize) -> Vec<String> {
        let first = next(cron, at(after)).unwrap();
        let all = std::iter::successors(first, |time| next(cron, *time).unwrap());
        all.take(count).map(|time| time.to_string()).collect()
    }

    #[test]
    fn named_hours_come_once_each_day_also_when_clocks_are_set() {
        for (cron, after, expected) in [
            // On that night the clocks of Berlin go from two to three.
            (
                "30 2 * * * Europe/Berlin",
                "2026-03-28T00:00:00Z",
                ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "0,30 2,3 * * * Europe/Berlin",
                "2026-03-28T02:00:00Z",
                ["2026-03-28T02:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
            ),
            // And on that from three to two.
            (
                "30 2 * * * Europe/Berlin",
                "2026-10-24T00:00:00Z",
                ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            // From within the hour that comes again.
            (
                "30 2 * * * Europe/Berlin",
                "2026-10-25T01:10:00Z",
                ["2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z", "2026-10-28T01:30:00Z"],
            ),
            // A gap of half an hour.
            (
                "15 2 * * * Australia/Lord_Howe",
                "2026-10-02T20:00:00Z",
                ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z", "2026-10-05T15:15:00Z"],
            ),
            (
                "30 2 * * *",
                "2026-03-28T12:00:00Z",
                ["2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z", "2026-03-31T02:30:00Z"],
            ),
        ] {
            assert_eq!(times(cron, after, 3), expected, "{cron} after {after}");
        }
    }

    #[test]
    fn at_any_hour_time_counts_as_it_passes() {
        let autumn = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(times("*/30 * * * * Europe/Berlin", "2026-10-25T00:00:00Z", 3), autumn);
        let spring = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(times("*/30 * * * * Europe/Berlin", "2026-03-29T00:00:00Z", 3), spring);
    }

    #[test]
    fn what_is_not_reckoned_right_is_refused() {
        for wrong in ["0 2 L * *", "0 2 1,L * *", "0 2 L 12 *", "0 2 * * 5L Europe/Berlin"] {
            let error = check(wrong).unwrap_err();
            assert!(error.kind() == &ErrorKind::InvalidInput && error.help().is_some(), "{wrong}: {error}");
        }
        // One that is stored goes on.
        assert_eq!(times("0 2 L * *", "2026-11-01T00:00:00Z", 1), ["2026-11-30T02:00:00Z"]);
        // Days and months that have an L in their names are none of these.
        check("0 2 31 JUL *").unwrap();
        assert_eq!(times("0 2 31 JUL *", "2026-01-01T00:00:00Z", 1), ["2026-07-31T02:00:00Z"]);
        assert_eq!(next("0 0 31 2 *", at("2026-01-01T00:00:00Z")).unwrap(), None);
    }
}
