//! The attempts of a run on a line of time, from its history alone.

use mainstay_core::Timestamp;
use mainstay_workflow::{Attempt, Fact, Part, Record};
use serde::Serialize;

/// How an attempt, or a wait, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has not.
    Open,
    /// With a result.
    Good,
    /// With an error.
    Bad,
    /// It was given up.
    Dropped,
}

impl End {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Good => "ended",
            Self::Bad => "failed",
            Self::Dropped => "given up",
        }
    }
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What: an attempt such as `charge#2`, or a step that waits.
    pub name: String,
    /// Of which step.
    pub step: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; none while it goes on.
    pub to: Option<Timestamp>,
    /// How it ended.
    pub end: End,
    /// By which event, or why not.
    pub word: String,
}

/// The attempts and waits of a history, in the order in which they began. An attempt counts from when it was given out, or from
/// when it might begin if that is later.
#[must_use]
pub fn bars(history: &[Record]) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for Record { at, fact, .. } in history {
        match fact {
            Fact::Scheduled { attempt, ready_at } => bars.push(Bar {
                name: attempt.to_string(),
                step: attempt.step.to_string(),
                from: *ready_at.max(at),
                to: None,
                end: End::Open,
                word: String::new(),
            }),
            Fact::Waiting { step, .. } => bars.push(Bar {
                name: step.to_string(),
                step: step.to_string(),
                from: *at,
                to: None,
                end: End::Open,
                word: String::new(),
            }),
            Fact::AttemptFailed { attempt, fault, .. } => {
                close(&mut bars, *at, End::Bad, &fault.to_string(), |bar| bar.name == attempt.to_string());
            }
            Fact::Drained { attempt, ran } => {
                let word = if *ran { "may have run" } else { "did not run" };
                close(&mut bars, *at, End::Dropped, word, |bar| bar.name == attempt.to_string());
            }
            Fact::ItemSucceeded { step, item, .. } => {
                let of = format!("{step}/{item}#");
                close(&mut bars, *at, End::Good, "", |bar| bar.name.starts_with(&of));
            }
            Fact::Listed { step, items, .. } => {
                let (of, word) = (format!("{step}/items#"), format!("{items} items"));
                close(&mut bars, *at, End::Good, &word, |bar| bar.name.starts_with(&of));
            }
            Fact::Ended { step, event, .. } => {
                let word = event.as_ref().map(ToString::to_string).unwrap_or_default();
                close(&mut bars, *at, End::Good, &word, |bar| is_body(bar, step.as_str()));
                // What is left of a map's items cannot matter any more.
                close(&mut bars, *at, End::Dropped, "", |bar| is_item(bar, step.as_str()));
            }
            Fact::Failed { step, .. } | Fact::Abandoned { step } => {
                close(&mut bars, *at, End::Dropped, "", |bar| bar.step == step.as_str());
            }
            Fact::Undone { step } => {
                let undo = undo_of(step.as_str());
                close(&mut bars, *at, End::Good, "undone", |bar| bar.name.starts_with(&undo));
            }
            Fact::Finished { .. } => close(&mut bars, *at, End::Dropped, "", |_| true),
            _ => {}
        }
    }
    bars
}

fn undo_of(step: &str) -> String {
    Attempt { step: step.into(), part: Part::Undo, number: 0 }.idempotency_key() + "#"
}

/// Whether a bar is the step itself: an attempt at its body, or its wait.
fn is_body(bar: &Bar, step: &str) -> bool {
    bar.step == step
        && (bar.name == step || bar.name.strip_prefix(step).is_some_and(|rest| rest.starts_with('#')))
}

fn is_item(bar: &Bar, step: &str) -> bool {
    bar.step == step && !bar.name.starts_with(&undo_of(step))
}

fn close(bars: &mut [Bar], at: Timestamp, end: End, word: &str, is_it: impl Fn(&Bar) -> bool) {
    for bar in bars.iter_mut().filter(|bar| bar.to.is_none() && is_it(bar)) {
        // An attempt whose time had not come when it was given up took none.
        bar.to = Some(at.max(bar.from));
        bar.end = end;
        word.clone_into(&mut bar.word);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_workflow::{Fault, Outcome};
    use serde_json::Value;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(second))
    }

    fn attempt(step: &str, part: Part, number: u32) -> Attempt {
        Attempt { step: step.into(), part, number }
    }

    fn scheduled(attempt: Attempt, second: u64) -> (u64, Fact) {
        (second, Fact::Scheduled { attempt, ready_at: at(second) })
    }

    fn ended(step: &str, event: &str, second: u64) -> (u64, Fact) {
        let (targets, output) = (Vec::new(), Value::Null);
        (second, Fact::Ended { step: step.into(), event: Some(event.into()), targets, output, letter: None })
    }

    fn check(facts: Vec<(u64, Fact)>, expected: &[(&str, u64, Option<u64>, End, &str)]) {
        let records: Vec<Record> =
            (0..).zip(facts).map(|(seq, (second, fact))| Record { seq, at: at(second), fact }).collect();
        let bars = bars(&records);
        let got: Vec<_> = bars
            .iter()
            .map(|bar| (bar.name.as_str(), bar.from, bar.to, bar.end, bar.word.as_str()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, from, to, end, word)| (*name, at(*from), to.map(at), *end, *word))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_retry_is_a_bar_of_its_own_that_begins_when_it_may() {
        let fault = Fault::Error { message: "away".to_owned(), retry: true, ran: false };
        check(
            vec![
                scheduled(attempt("charge", Part::Body, 1), 0),
                (
                    2,
                    Fact::AttemptFailed {
                        attempt: attempt("charge", Part::Body, 1),
                        fault,
                        retry_at: Some(at(5)),
                        ran: false,
                    },
                ),
                (2, Fact::Scheduled { attempt: attempt("charge", Part::Body, 2), ready_at: at(5) }),
                ended("charge", "paid", 6),
                (6, Fact::Waiting { step: "approve".into(), deadline: None }),
            ],
            &[
                ("charge#1", 0, Some(2), End::Bad, "away"),
                ("charge#2", 5, Some(6), End::Good, "paid"),
                ("approve", 6, None, End::Open, ""),
            ],
        );
    }

    #[test]
    fn items_end_each_for_itself_and_the_rest_with_the_map() {
        check(
            vec![
                scheduled(attempt("parcels", Part::Items, 1), 0),
                (1, Fact::Listed { step: "parcels".into(), items: 2, output: Value::Null }),
                scheduled(attempt("parcels", Part::Item(0), 1), 1),
                scheduled(attempt("parcels", Part::Item(1), 1), 1),
                (3, Fact::ItemSucceeded { step: "parcels".into(), item: 0, output: Value::Null }),
                ended("parcels", "mapped", 4),
            ],
            &[
                ("parcels/items#1", 0, Some(1), End::Good, "2 items"),
                ("parcels/0#1", 1, Some(3), End::Good, ""),
                ("parcels/1#1", 1, Some(4), End::Dropped, ""),
            ],
        );
    }

    #[test]
    fn the_compensation_is_not_the_step() {
        let outcome = Outcome::Cancelled;
        check(
            vec![
                scheduled(attempt("charge", Part::Body, 1), 0),
                ended("charge", "paid", 1),
                (2, Fact::Stopping { outcome, reason: String::new() }),
                scheduled(attempt("charge", Part::Undo, 1), 2),
                (3, Fact::Undone { step: "charge".into() }),
                (3, Fact::Finished { outcome, reason: String::new() }),
            ],
            &[
                ("charge#1", 0, Some(1), End::Good, "paid"),
                ("charge/undo#1", 2, Some(3), End::Good, "undone"),
            ],
        );
    }
}
