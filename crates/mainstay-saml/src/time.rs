//! `xs:dateTime` as SAML writes it (SAML core 1.3.3).

use mainstay_core::Timestamp;

use crate::refusal::{Fail, Refusal};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Reads `2026-11-21T09:03:00[.fraction]` with `Z` or a numeric offset. No leap second, no missing zone, nothing else.
pub(crate) fn parse(text: &str) -> Result<Timestamp, Fail> {
    read(text).ok_or_else(|| {
        Refusal::TimeMalformed.expecting("an instant such as 2026-11-21T09:03:00Z").found(text)
    })
}

/// The instant to the second, as SAML messages carry it.
pub(crate) fn format(instant: Timestamp) -> String {
    Timestamp::from_unix_seconds(instant.as_unix_seconds()).unwrap_or(instant).to_string()
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn read(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let (clock, offset) = split_zone(clock)?;
    let (clock, micros) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, fraction_micros(fraction)?),
        None => (clock, 0),
    };
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) =
        (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let sane = year >= 1
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    if !sane {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second - offset;
    Timestamp::from_unix_micros(seconds.checked_mul(1_000_000)?.checked_add(micros)?).ok()
}

fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let (clock, zone) = clock.split_at_checked(clock.len().checked_sub(6)?)?;
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let (hours, minutes) = zone.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 14 && minutes <= 59).then_some((clock, sign * (hours * HOUR + minutes * MINUTE)))
}

fn fraction_micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 18 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut micros = fraction.get(..fraction.len().min(6))?.to_owned();
    while micros.len() < 6 {
        micros.push('0');
    }
    micros.parse().ok()
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counting years from March.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_like_the_calendar_library_reads_them() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-21T09:03:00Z",
            "2000-02-29T23:59:59.25Z",
            "1999-12-31T23:59:59+14:00",
            "2026-03-01T00:00:00.123456Z",
            "0001-01-01T00:00:00Z",
            "2026-01-01T00:00:00-05:30",
            "2024-02-29T12:00:00Z",
        ] {
            assert_eq!(read(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T09:03:00",
            "2026-11-21 09:03:00Z",
            "2026-11-21T09:03:60Z",
            "2026-11-21T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T09:03Z",
            "2026-11-21T09:03:00.Z",
            "+2026-11-21T09:03:00Z",
            "2026-11-21T09:03:00Z ",
            "2026-11-21t09:03:00z",
            "2026-11-21T09:03:00+15:00",
            "2026-11-21T09:03:00[UTC]",
            "0000-01-01T00:00:00Z",
            "2026-11-21T09:03:00é00:0",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn messages_carry_whole_seconds() {
        assert_eq!(format("2026-11-21T09:03:00.75Z".parse().unwrap()), "2026-11-21T09:03:00Z");
    }
}
