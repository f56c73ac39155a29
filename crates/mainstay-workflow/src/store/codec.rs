//! How the plain core's values are written down, and read again. Results of steps and the input have rows of their own: the history does not
//! repeat them.

use std::collections::HashMap;

use mainstay_core::Timestamp;
use mainstay_repo::Value as Column;
use serde_json::{Map, Value};

use super::filter::document;
use super::limits::{MAX_ATTRIBUTES_BYTES, MAX_INPUT_BYTES, MAX_LIST_BYTES, MAX_OUTPUT_BYTES, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::StepKey;
use crate::plan::{Attempt, Fact, Part, Record, Status, Transition};

/// An active status first, as in every list of these.
pub(super) const STATUSES: [(Status, &str); 7] = [
    (Status::Running, "running"),
    (Status::Waiting, "waiting"),
    (Status::Paused, "paused"),
    (Status::Stopping, "stopping"),
    (Status::Completed, "completed"),
    (Status::Failed, "failed"),
    (Status::Cancelled, "cancelled"),
];

pub(super) fn status_text(status: Status) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("failed", |(_, text)| text)
}

pub(super) fn status(text: &str) -> Result<Status> {
    let found = STATUSES.iter().find(|(_, known)| *known == text).map(|(status, _)| *status);
    found.ok_or_else(|| corrupt(format!("a run has the status {text:?}, which this program does not know")))
}

/// What is stored is not what this program writes.
pub(super) fn corrupt(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_help("was it written by a later version of this program?")
}

/// Reads a stored JSON text.
pub(super) fn decode<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| corrupt(format!("a stored {what} cannot be read")).with_source(error))
}

/// The part of a step as a number: items from 0, the others below.
pub(super) fn part_number(part: Part) -> i64 {
    match part {
        Part::Body => -1,
        Part::Items => -2,
        Part::Undo => -3,
        Part::Item(item) => i64::from(item),
    }
}

pub(super) fn part(number: i64) -> Result<Part> {
    match number {
        -1 => Ok(Part::Body),
        -2 => Ok(Part::Items),
        -3 => Ok(Part::Undo),
        item => u32::try_from(item)
            .map(Part::Item)
            .map_err(|_| corrupt(format!("a task is at the part {item}, which this program does not know"))),
    }
}

/// What an output row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i64)]
pub(super) enum Slot {
    /// The result of a step.
    Step = 0,
    /// One element of a map's list.
    Element = 1,
    /// The result of one item of a map.
    Item = 2,
    /// A map's list that is not an array of as many elements.
    List = 3,
    /// The result of the run; its step is empty.
    Run = 4,
}

impl Slot {
    pub(super) const fn number(self) -> i64 {
        self as i64
    }

    pub(super) fn from_number(number: i64) -> Result<Self> {
        [Self::Step, Self::Element, Self::Item, Self::List, Self::Run]
            .into_iter()
            .find(|slot| slot.number() == number)
            .ok_or_else(|| {
                corrupt(format!("an output is of the kind {number}, which this program does not know"))
            })
    }
}

/// A row of outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutputRow {
    pub(super) step: String,
    pub(super) slot: Slot,
    pub(super) item: u32,
    pub(super) value: String,
}

impl OutputRow {
    fn new(step: &StepKey, slot: Slot, item: u32, value: String) -> Self {
        Self { step: step.to_string(), slot, item, value }
    }

    pub(super) fn columns(self, run: i64) -> [Column; 5] {
        [run.into(), self.step.into(), self.slot.number().into(), self.item.into(), self.value.into()]
    }
}

/// Refuses what the store would refuse to keep: for runs that are kept elsewhere.
pub(crate) fn check_kept(next: &Transition) -> Result<()> {
    take_outputs(&mut next.records.clone(), &mut Vec::new())?;
    encode("attributes", &**next.state.attributes(), MAX_ATTRIBUTES_BYTES)?;
    // Runs are found by these, so both databases have to read them.
    document(&Value::Object(Map::clone(next.state.attributes())))?;
    let input = next.records.iter().find_map(|record| match &record.fact {
        Fact::Started { input, .. } => Some(input),
        _ => None,
    });
    let Some(input) = input else { return Ok(()) };
    encode("input", input, MAX_INPUT_BYTES)?;
    document(input).map(drop)
}

/// Takes the results and the input out of records.
pub(super) fn take_outputs(records: &mut [Record], rows: &mut Vec<OutputRow>) -> Result<()> {
    for record in records {
        match &mut record.fact {
            Fact::Ended { step, output, .. } if !output.is_null() => {
                let value = encode("result of a step", output, MAX_OUTPUT_BYTES)?;
                rows.push(OutputRow::new(step, Slot::Step, 0, value));
                *output = Value::Null;
            }
            Fact::ItemSucceeded { step, item, output } if !output.is_null() => {
                let value = encode("result of an item", output, MAX_OUTPUT_BYTES)?;
                rows.push(OutputRow::new(step, Slot::Item, *item, value));
                *output = Value::Null;
            }
            Fact::Listed { step, items, output } if !output.is_null() => {
                take_list(step, *items, std::mem::take(output), rows)?;
            }
            Fact::Started { input, .. } => *input = Value::Null,
            _ => {}
        }
    }
    Ok(())
}

/// Elements have rows of their own, so that an item reads its own element only.
fn take_list(step: &StepKey, items: u32, list: Value, rows: &mut Vec<OutputRow>) -> Result<()> {
    match list {
        Value::Array(elements) if u32::try_from(elements.len()) == Ok(items) => {
            let mut size = 0;
            for (item, element) in (0..).zip(&elements) {
                let value = encode("element of a list", element, MAX_OUTPUT_BYTES)?;
                size += value.len();
                super::limits::check_size("list of a map", size, MAX_LIST_BYTES)?;
                rows.push(OutputRow::new(step, Slot::Element, item, value));
            }
        }
        other => {
            rows.push(OutputRow::new(step, Slot::List, 0, encode("list of a map", &other, MAX_LIST_BYTES)?));
        }
    }
    Ok(())
}

/// The results of a run, by what they are of.
#[derive(Debug, Default)]
pub(super) struct Results(HashMap<(String, Slot, u32), Value>);

impl Results {
    pub(super) fn insert(&mut self, step: String, slot: Slot, item: u32, value: Value) {
        self.0.insert((step, slot, item), value);
    }

    pub(super) fn take(&mut self, step: &str, slot: Slot, item: u32) -> Option<Value> {
        self.0.remove(&(step.to_owned(), slot, item))
    }

    /// Puts the results and the input back into records.
    pub(super) fn give_back(&mut self, records: &mut [Record], initial: &Value) {
        for record in records {
            match &mut record.fact {
                Fact::Ended { step, output, .. } => {
                    *output = self.take(step.as_str(), Slot::Step, 0).unwrap_or_default();
                }
                Fact::ItemSucceeded { step, item, output } => {
                    *output = self.take(step.as_str(), Slot::Item, *item).unwrap_or_default();
                }
                Fact::Listed { step, items, output } => {
                    *output = self.take(step.as_str(), Slot::List, 0).unwrap_or_else(|| {
                        let element =
                            |item| self.take(step.as_str(), Slot::Element, item).unwrap_or_default();
                        Value::Array((0..*items).map(element).collect())
                    });
                }
                Fact::Started { input, .. } => input.clone_from(initial),
                _ => {}
            }
        }
    }
}

/// An attempt from a task's columns.
pub(super) fn attempt(step: String, part_at: i64, number: i64) -> Result<Attempt> {
    let number = u32::try_from(number).map_err(|_| corrupt(format!("a task has the number {number}")))?;
    Ok(Attempt { step: step.into(), part: part(part_at)?, number })
}

pub(super) const fn instant(at: Timestamp) -> Column {
    Column::Timestamp(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fact: Fact) -> Record {
        Record { seq: 0, at: Timestamp::UNIX_EPOCH, fact }
    }

    #[test]
    fn what_is_taken_out_is_put_back() {
        let listed = |output, items| Fact::Listed { step: "map".into(), items, output };
        let ended = |step: &str, output| Fact::Ended {
            step: step.into(),
            event: Some("ok".into()),
            targets: vec![],
            output,
            letter: None,
        };
        for list in [json!([1, null, "x"]), json!({"not": "an array"}), json!([]), json!([1])] {
            let records = vec![
                record(listed(list.clone(), 3)),
                record(Fact::ItemSucceeded { step: "map".into(), item: 2, output: json!({"a": 1}) }),
                record(Fact::ItemSucceeded { step: "map".into(), item: 0, output: Value::Null }),
                record(ended("a", json!("out"))),
                record(ended("b", Value::Null)),
            ];
            let (mut stripped, mut rows) = (records.clone(), Vec::new());
            take_outputs(&mut stripped, &mut rows).unwrap();
            assert!(!serde_json::to_string(&stripped).unwrap().contains("out\""), "{stripped:?}");
            let mut results = Results::default();
            for row in rows {
                results.insert(row.step, row.slot, row.item, serde_json::from_str(&row.value).unwrap());
            }
            results.give_back(&mut stripped, &Value::Null);
            assert_eq!(stripped, records);
        }
    }

    #[test]
    fn results_are_bounded() {
        let output = Value::from("x".repeat(MAX_OUTPUT_BYTES - 1));
        let fact = Fact::ItemSucceeded { step: "m".into(), item: 0, output };
        let error = take_outputs(&mut [record(fact)], &mut Vec::new()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: MAX_OUTPUT_BYTES, .. }));
    }

    #[test]
    fn parts_statuses_and_slots_round_trip_and_others_are_refused() {
        for at in [Part::Body, Part::Items, Part::Undo, Part::Item(0), Part::Item(u32::MAX)] {
            assert_eq!(part(part_number(at)).unwrap(), at);
        }
        assert!(part(-4).is_err() && part(i64::from(u32::MAX) + 1).is_err());
        for (each, text) in STATUSES {
            assert_eq!((status(text).unwrap(), status_text(each)), (each, text));
        }
        assert!(status("pending").is_err() && Slot::from_number(5).is_err());
    }
}
