//! What steps read: the input of the run and the results of the steps so far.

use serde_json::{Map, Value, json};

use super::{Fact, Record};

/// The input under `initial` and each step's latest result under `steps` and its key. Items of a map are under their number.
#[must_use]
pub fn context(history: &[Record]) -> Value {
    let mut initial = Value::Null;
    let mut steps = Map::new();
    for record in history {
        match &record.fact {
            Fact::Started { input, .. } => initial = input.clone(),
            Fact::Ended { step, output, .. } if !output.is_null() => {
                steps.insert(step.to_string(), output.clone());
            }
            Fact::ItemSucceeded { step, item, output } => {
                let items = steps.entry(step.to_string()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(items) = items {
                    items.insert(item.to_string(), output.clone());
                }
            }
            _ => {}
        }
    }
    json!({"initial": initial, "steps": steps})
}
