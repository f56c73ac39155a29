//! What is told of a run when a wait is over and when it ends, summed up from its history: a restart of the process loses nothing of it.

use std::collections::HashMap;
use std::time::Duration;

use mainstay_core::Timestamp;

use crate::graph::StepKey;
use crate::plan::{Fact, Record};

/// What is summed up of one run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many commits moved it. Records of one commit have one time.
    moves: u64,
    last: Option<Timestamp>,
    /// Since when its steps wait.
    waits: HashMap<StepKey, Timestamp>,
}

impl Tally {
    pub(super) fn of(history: &[Record]) -> Self {
        let mut tally = Self::default();
        for record in history {
            tally.add(record);
        }
        tally
    }

    /// Adds a record. For the end of a wait it returns how long that was.
    pub(super) fn add(&mut self, record: &Record) -> Option<Duration> {
        if self.last != Some(record.at) {
            (self.moves, self.last) = (self.moves + 1, Some(record.at));
        }
        match &record.fact {
            Fact::Waiting { step, .. } => {
                self.waits.insert(step.clone(), record.at);
                None
            }
            Fact::Ended { step, .. } | Fact::Abandoned { step } if !self.waits.is_empty() => {
                Some(record.at.saturating_since(self.waits.remove(step)?))
            }
            _ => None,
        }
    }

    /// How many commits moved the run so far.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    #[test]
    fn waits_and_moves_are_the_same_whether_the_run_was_read_or_watched() {
        let step = StepKey::from("ask");
        let ended = Fact::Ended {
            step: step.clone(),
            event: None,
            targets: Vec::new(),
            output: 1.into(),
            letter: None,
        };
        let facts = [
            (1, Fact::Skipped { step: "other".into() }),
            (1, Fact::Waiting { step, deadline: None }),
            (5, Fact::Paused),
            (9, ended),
        ];
        let history: Vec<Record> =
            (0..).zip(facts).map(|(seq, (seconds, fact))| Record { seq, at: at(seconds), fact }).collect();
        for read in 0..history.len() {
            let (before, after) = history.split_at(read);
            let mut tally = Tally::of(before);
            let waits: Vec<_> = after.iter().filter_map(|record| tally.add(record)).collect();
            assert_eq!((waits, tally.moves()), (vec![Duration::from_secs(8)], 3), "read up to {read}");
        }
    }
}
