//! How sizes, times and digests read.

use maud::{Markup, html};

use crate::images::document::ActLine;

/// Octets in the unit that fits.
pub(super) fn size(octets: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut tenths = u128::from(octets) * 10;
    let mut unit = None;
    for name in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1_024;
        unit = Some(name);
    }
    match unit {
        None => format!("{octets} B"),
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// A time to the second; the whole of it for programs.
pub(super) fn time(text: &str) -> Markup {
    let shown = text.get(..19).map(|second| second.replace('T', " "));
    html! { time datetime=(text) title=(text) { (shown.as_deref().unwrap_or(text)) } }
}

/// As much of a digest as tells images apart, and where all of it is.
pub(super) fn link(digest: &str) -> Markup {
    html! { a href={ "/images/" (digest) } title=(digest) { code { (short(digest)) } } }
}

/// An image by what people call it: its first name, with the others and its label as a hint, or the beginning of its digest.
pub(super) fn called(digest: &str, names: &[String], label: Option<&str>) -> Markup {
    let others = names.get(1..).unwrap_or_default().iter().map(String::as_str).chain(label);
    let others: Vec<&str> = others.collect();
    html! {
        a href={ "/images/" (digest) } title=(digest) {
            @if let Some(name) = names.first() { (name) } @else { code { (short(digest)) } }
        }
        @if !others.is_empty() { span class="hint" { (others.join(" ")) } }
    }
}

pub(super) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Thousandths of a whole, and one at least of what is there at all.
pub(super) fn share(part: u64, whole: u64) -> u64 {
    if part == 0 || whole == 0 {
        return 0;
    }
    let share = u128::from(part) * 1_000 / u128::from(whole);
    u64::try_from(share).unwrap_or(1_000).clamp(1, 1_000)
}

/// Octets as parts of a bar, each with its class, its size and a text of its own.
pub(super) fn bar(label: &str, parts: &[(&'static str, u64, String)]) -> Markup {
    let whole = parts.iter().fold(0, |sum: u64, (_, octets, _)| sum.saturating_add(*octets));
    let mut at = 0;
    let mut place = |octets: u64| {
        let width = share(octets, whole);
        at += width;
        (at - width, width)
    };
    let placed: Vec<_> =
        parts.iter().map(|(class, octets, text)| (*class, place(*octets), text.as_str())).collect();
    html! {
        svg class="share" viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (class, (x, width), text) in placed {
                @if width > 0 {
                    rect class=(class) x=(x) y="0" width=(width) height="24" { title { (text) } }
                }
            }
        }
    }
}

/// Octets as parts of a bar that is as long as they are beside the largest.
pub(super) fn measure(parts: &[(&'static str, u64)], largest: u64) -> Markup {
    let mut at = 0;
    let mut place = |octets: u64| {
        let width = share(octets, largest);
        at += width;
        (at - width, width)
    };
    let placed: Vec<_> = parts.iter().map(|(class, octets)| (*class, place(*octets))).collect();
    html! {
        // The figures stand beside it.
        svg class="share thin" viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true" {
            @for (class, (x, width)) in placed {
                @if width > 0 { rect class=(class) x=(x) y="0" width=(width) height="24" {} }
            }
        }
    }
}

/// Who did what, the newest first; nothing when nobody did anything.
pub(super) fn acts(title: &str, acts: &[ActLine]) -> Markup {
    html! {
        @if !acts.is_empty() {
            section class="panel section" {
                div class="head" { h2 { (title) } }
                div class="scroll" tabindex="0" role="region" aria-label=(title) {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "When" }
                                th scope="col" { "Who" }
                                th scope="col" { "What" }
                                th scope="col" { "Of what" }
                            }
                        }
                        tbody {
                            @for act in acts {
                                tr role="row" {
                                    td role="cell" { (time(&act.at)) }
                                    td role="cell" data-label="Who" { (act.actor) }
                                    td role="cell" data-label="What" { (act.action) }
                                    td role="cell" data-label="Of what" {
                                        @if let Some(image) = &act.image { (link(image)) " " }
                                        @if let Some(subject) = &act.subject { (subject) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_read_well() {
        for (octets, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(size(octets), text);
        }
        assert_eq!(size(u64::MAX), "16383.9 PiB");
        for (part, whole, expected) in
            [(0, 10, 0), (1, 0, 0), (1, u64::MAX, 1), (5, 10, 500), (10, 10, 1_000)]
        {
            assert_eq!(share(part, whole), expected);
        }
    }
}
