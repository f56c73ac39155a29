//! A counterexample that a person can read.

use std::fmt::Write as _;

use super::canonical::Renaming;
use super::invariants::LETTERS;
use super::rules::Names;
use super::state::{COLLECTORS, DIGESTS, HOLDERS, INCARNATIONS, PUBLISHERS, Row, State};
use super::{Action, Party, Setup};
use crate::check::Trace;

/// What the places and numbers of a state are called since the beginning.
struct Called {
    publishers: [u8; PUBLISHERS],
    collectors: [u8; COLLECTORS],
    holders: [u8; HOLDERS],
    incarnations: [[u32; INCARNATIONS]; DIGESTS],
    given: [u32; DIGESTS],
}

/// One line a step: who did what, and what database and directory are like afterwards.
#[must_use]
pub fn render(setup: &Setup, trace: &Trace<Setup>) -> String {
    let mut called = Called {
        publishers: [1, 2, 3],
        collectors: [1, 2, 3],
        holders: [1, 2],
        incarnations: [[0, 1, 2, 3, 4, 5]; DIGESTS],
        given: [0; DIGESTS],
    };
    let mut text = String::new();
    for (number, transition) in (1..).zip(&trace.transitions) {
        called.give(&transition.action);
        let action = called.action(setup, &transition.action);
        let state = called.state(setup, &transition.state);
        // A formatter that writes to a string does not fail.
        let _ = writeln!(text, "{number:>2}  {action:<88} {state}");
        called.rename(&transition.renaming);
    }
    let _ = writeln!(text, "=>  {}", trace.reason);
    text
}

impl Called {
    /// A fresh incarnation gets the next number of its blob.
    fn give(&mut self, action: &Action) {
        if let (true, Some(digest), Some(incarnation)) = (action.is_fresh, action.digest, action.incarnation)
        {
            let digest = usize::from(digest);
            self.given[digest] += 1;
            self.incarnations[digest][usize::from(incarnation)] = self.given[digest];
        }
    }

    fn rename(&mut self, renaming: &Renaming) {
        let publishers = self.publishers;
        self.publishers = renaming.publishers.map(|place| publishers[usize::from(place)]);
        let collectors = self.collectors;
        self.collectors = renaming.collectors.map(|place| collectors[usize::from(place)]);
        let holders = self.holders;
        self.holders = renaming.holders.map(|place| holders[usize::from(place)]);
        for digest in 0..DIGESTS {
            let incarnations = self.incarnations[digest];
            self.incarnations[digest] =
                renaming.incarnations[digest].map(|before| incarnations[usize::from(before)]);
        }
    }

    fn file(&self, setup: &Setup, digest: usize, incarnation: u8) -> String {
        match setup.rules.names {
            Names::Digest => LETTERS[digest].to_owned(),
            Names::Generation => format!("{}.{incarnation}", LETTERS[digest]),
            Names::Incarnation => {
                format!("{}.{}", LETTERS[digest], self.incarnations[digest][usize::from(incarnation)])
            }
        }
    }

    fn action(&self, setup: &Setup, action: &Action) -> String {
        let party = match action.party {
            Party::Publisher(place) => format!("publisher {}", self.publishers[usize::from(place)]),
            Party::Collector(place) => format!("collector {}", self.collectors[usize::from(place)]),
            Party::Holder(place) => format!("holder {}", self.holders[usize::from(place)]),
            Party::User => "user".to_owned(),
            Party::Machine => "machine".to_owned(),
        };
        let about = match (action.digest, action.incarnation, action.image) {
            (Some(digest), Some(incarnation), _) => self.file(setup, usize::from(digest), incarnation),
            (Some(digest), None, _) => LETTERS[usize::from(digest)].to_owned(),
            (None, _, Some(image)) => format!("image {}", image + 1),
            (None, _, None) => String::new(),
        };
        let text = format!("{party:<12} {:<18} {about:<8} {}", action.step, action.note);
        text.trim_end().to_owned()
    }

    fn state(&self, setup: &Setup, state: &State) -> String {
        let mut rows = Vec::new();
        let mut files = Vec::new();
        for digest in 0..DIGESTS {
            match state.rows[digest] {
                Row::Absent => {}
                Row::Present(incarnation) => rows.push(self.file(setup, digest, incarnation)),
                Row::Damaged(incarnation) => rows.push(format!("?{}", self.file(setup, digest, incarnation))),
                Row::Deleting(incarnation) => {
                    rows.push(format!("-{}", self.file(setup, digest, incarnation)))
                }
            }
            for (incarnation, file) in (0_u8..).zip(state.files[digest]).filter(|(_, file)| file.is_there) {
                let mark = if file.is_damaged { "!" } else { "" };
                files.push(format!("{}{mark}", self.file(setup, digest, incarnation)));
            }
        }
        let images = (1..)
            .zip(state.images)
            .filter(|(_, there)| *there)
            .map(|(number, _): (u8, _)| number.to_string());
        let images: Vec<String> = images.collect();
        format!("| rows [{}] files [{}] images [{}]", rows.join(" "), files.join(" "), images.join(" "))
    }
}
