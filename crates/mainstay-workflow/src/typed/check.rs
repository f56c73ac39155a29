//! What is compared while the host's code is compiled: what one macro cannot see of another's items. A message names the step.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a constant has no other way to tell what is wrong, and none to walk a slice; nothing of this runs in a program"
)]

use super::{Step, TypedVersion};

/// Each event that a step declares has a route.
#[doc(hidden)]
pub const fn all_routed(step: &str, declared: &[&str], routes: &[&str]) {
    let mut missing = Text::new();
    let mut at = 0;
    let mut many = false;
    while at < declared.len() {
        if !has(routes, declared[at]) {
            many = missing.length > 0;
            missing = missing.and(if many { ", " } else { "" }).and(declared[at]);
        }
        at += 1;
    }
    if missing.length > 0 {
        let text = Text::new().and(step).and(" declares ").and(missing.as_str());
        let text = text.and(if many { ", which lead nowhere" } else { ", which leads nowhere" });
        panic!("{}", text.as_str());
    }
}

/// An event that is routed is declared.
#[doc(hidden)]
pub const fn is_declared(step: &str, declared: &[&str], event: &str) {
    if has(declared, event) {
        return;
    }
    let mut text =
        Text::new().and(step).and(" routes ").and(event).and(", which it does not declare; it declares ");
    let mut at = 0;
    while at < declared.len() {
        text = text.and(if at == 0 { "" } else { ", " }).and(declared[at]);
        at += 1;
    }
    panic!("{}", text.as_str());
}

/// A version of `versions!` has the name and the number that it stands under.
#[doc(hidden)]
pub const fn is_version<V: TypedVersion>(name: &str, number: u32) {
    if !equal(V::NAME, name) {
        let text =
            Text::new().and("this version is of the workflow ").and(V::NAME).and(", not of ").and(name);
        panic!("{}", text.as_str());
    }
    if V::VERSION != number {
        let text = Text::new().and("this is version ").number(V::VERSION).and(" of ").and(name);
        let text = text.and(", not version ").number(number);
        panic!("{}", text.as_str());
    }
}

/// A function that does not commit together with its result does not say that it does.
#[doc(hidden)]
pub const fn is_plain<S: Step>(what: &str) {
    if S::TX {
        let text = Text::new().and(S::NAME).and(" is a `#[step(tx)]`, but ").and(what);
        let text = text.and(" does not commit together with its result");
        panic!("{}", text.as_str());
    }
}

const fn has(all: &[&str], one: &str) -> bool {
    let mut at = 0;
    while at < all.len() {
        if equal(all[at], one) {
            return true;
        }
        at += 1;
    }
    false
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A text that is put together in a constant. What does not fit is left out.
struct Text {
    bytes: [u8; Text::LIMIT],
    length: usize,
}

impl Text {
    const LIMIT: usize = 1_024;

    const fn new() -> Self {
        Self { bytes: [0; Self::LIMIT], length: 0 }
    }

    const fn and(mut self, more: &str) -> Self {
        let more = more.as_bytes();
        if more.len() > Self::LIMIT - self.length {
            return self;
        }
        let mut at = 0;
        while at < more.len() {
            self.bytes[self.length] = more[at];
            self.length += 1;
            at += 1;
        }
        self
    }

    const fn number(self, number: u32) -> Self {
        let text = if number >= 10 { self.number(number / 10) } else { self };
        let digits = "0123456789".as_bytes();
        let digit = [digits[(number % 10) as usize]];
        match core::str::from_utf8(&digit) {
            Ok(digit) => text.and(digit),
            Err(_) => text,
        }
    }

    const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_what_fits_and_no_half_words() {
        let long = "ä".repeat(Text::LIMIT / 2);
        let full = Text::new().and(&long);
        assert_eq!(full.as_str().len(), Text::LIMIT);
        assert_eq!(Text::new().and("a").and(&long).and("b").as_str(), "ab");
        assert_eq!(Text::new().number(0).and(" ").number(1_024).as_str(), "0 1024");
    }

    #[test]
    fn events_with_a_route_are_fine() {
        all_routed("charge", &["Paid", "Declined"], &["Declined", "Broken", "Paid"]);
        is_declared("charge", &["Paid", "Declined"], "Declined");
    }

    #[test]
    #[should_panic(expected = "charge declares Paid, Late, which lead nowhere")]
    fn events_without_a_route_are_told() {
        all_routed("charge", &["Paid", "Declined", "Late"], &["Declined", "Pai"]);
    }

    #[test]
    #[should_panic(expected = "charge routes Pai, which it does not declare; it declares Paid, Declined")]
    fn events_that_are_not_declared_are_told() {
        is_declared("charge", &["Paid", "Declined"], "Pai");
    }
}
