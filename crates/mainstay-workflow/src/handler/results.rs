//! What steps read: the run's input and the results of the steps so far, summed up from the history.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::graph::{EventName, StepKey};
use crate::plan::{Fact, Record};

/// The results of one run. A clone is what an attempt sees: later results do not reach it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    seen: Arc<Seen>,
    /// Items of maps that have not ended; nobody reads these yet.
    gathering: HashMap<StepKey, Vec<Option<Value>>>,
}

/// What attempts read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) input: Arc<Value>,
    steps: HashMap<StepKey, Ended>,
    lists: HashMap<StepKey, Arc<Value>>,
}

#[derive(Debug, Clone)]
struct Ended {
    event: EventName,
    output: Arc<Value>,
    items: Arc<[Option<Value>]>,
}

impl Results {
    pub(crate) fn of(history: &[Record]) -> Self {
        let mut results = Self::default();
        results.add(history);
        results
    }

    pub(crate) fn add(&mut self, records: &[Record]) {
        for record in records {
            self.add_fact(&record.fact);
        }
    }

    fn add_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { input, .. } => Arc::make_mut(&mut self.seen).input = Arc::new(input.clone()),
            Fact::Listed { step, output, items } => {
                let items = usize::try_from(*items).unwrap_or(0);
                self.gathering.insert(step.clone(), vec![None; items]);
                Arc::make_mut(&mut self.seen).lists.insert(step.clone(), Arc::new(output.clone()));
            }
            Fact::ItemSucceeded { step, item, output } => {
                let place = self.gathering.get_mut(step).zip(usize::try_from(*item).ok());
                if let Some(place) = place.and_then(|(items, at)| items.get_mut(at)) {
                    *place = Some(output.clone());
                }
            }
            Fact::Ended { step, event: Some(event), output, .. } => {
                let items = self.gathering.remove(step).unwrap_or_default().into();
                let ended = Ended { event: event.clone(), output: Arc::new(output.clone()), items };
                Arc::make_mut(&mut self.seen).steps.insert(step.clone(), ended);
            }
            _ => {}
        }
    }

    /// What an attempt that begins now sees.
    pub(crate) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }
}

impl Seen {
    pub(crate) fn event(&self, step: &str) -> Option<&EventName> {
        self.steps.get(step).map(|ended| &ended.event)
    }

    pub(crate) fn output(&self, step: &str) -> Option<&Value> {
        self.steps.get(step).map(|ended| &*ended.output).filter(|output| !output.is_null())
    }

    pub(crate) fn items(&self, step: &str) -> Option<&[Option<Value>]> {
        self.steps.get(step).map(|ended| &*ended.items).filter(|items| !items.is_empty())
    }

    pub(crate) fn item(&self, step: &str, item: u32) -> Option<&Value> {
        self.lists.get(step)?.get(usize::try_from(item).ok()?)
    }
}
