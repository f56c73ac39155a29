//! The image store: protocols A2 and A3b, their parties, and their broken variants.
//!
//! One transaction of the database is one step, and so is one call of the file system. Every process may stop for ever between two
//! steps ([`Step::Crash`]) or for as long as it takes the others to do anything; an intent may expire at any moment, whatever its
//! owner's clock says. Runs have no bound: incarnations get new names when nothing remembers the old ones
//! ([`canonical`](crate::check::Model::canonical)), so a finite number of states stands for all of them.

mod canonical;
mod collector;
mod database;
mod drain;
mod holder;
mod invariants;
mod pack;
mod publisher;
mod render;
pub mod rules;
pub mod state;
mod step;
mod storage;

pub use canonical::Renaming;
pub use render::render;
pub use rules::Rules;
pub use step::Step;

use crate::check::Model;
use pack::{Packed, pack, unpack};
use state::{Party, State};

/// Which parties there are, and what may happen to them.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// What they do.
    pub rules: Rules,
    /// One for each publisher: the image that it publishes again and again. Those with the same image stand side by side.
    pub publishers: &'static [u8],
    /// The blobs of each image.
    pub images: &'static [&'static [u8]],
    /// How many collectors.
    pub collectors: u8,
    /// How many lease holders.
    pub holders: u8,
    /// How many incarnations of a blob may be alive at the same time; a publisher that needs one more waits.
    pub incarnations: u8,
    /// Whether processes may end at any step.
    pub crashes: bool,
    /// Whether the machine may lose power.
    pub power_loss: bool,
    /// Whether the medium may lose files by itself; of each blob at most one that is not repaired.
    pub loses_files: bool,
    /// Whether collectors evict.
    pub evicts: bool,
    /// Whether steps are left out that nobody else can see: writing and syncing a temporary file, syncing a directory when the power
    /// stays, and seeing a file before asking whose it is.
    pub is_reduced: bool,
    /// Whether everything that a sound protocol promises is asked for, or only that nothing in use is damaged.
    pub is_strict: bool,
}

impl Setup {
    /// One publisher of one image with one blob, one collector, crashes.
    pub const SMALL: Self = Self {
        rules: Rules::A2,
        publishers: &[0],
        images: &[&[0]],
        collectors: 1,
        holders: 0,
        incarnations: 4,
        crashes: true,
        power_loss: false,
        loses_files: false,
        evicts: false,
        is_reduced: false,
        is_strict: true,
    };
}

/// A step of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Who.
    pub party: Party,
    /// What.
    pub step: Step,
    /// The blob that it is about.
    pub digest: Option<u8>,
    /// The incarnation that it is about.
    pub incarnation: Option<u8>,
    /// The image that it is about.
    pub image: Option<u8>,
    /// Whether the incarnation was given out by this step.
    pub is_fresh: bool,
    /// What happened, in a few words.
    pub note: &'static str,
}

impl Action {
    const fn new(party: Party, step: Step) -> Self {
        Self { party, step, digest: None, incarnation: None, image: None, is_fresh: false, note: "" }
    }

    const fn file(self, digest: u8, incarnation: u8) -> Self {
        Self { digest: Some(digest), incarnation: Some(incarnation), ..self }
    }

    const fn image(self, image: u8) -> Self {
        Self { image: Some(image), ..self }
    }

    const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }
}

/// Steps and what they lead to.
type Steps = Vec<(Action, State)>;

impl Model for Setup {
    type State = State;
    type Key = Packed;
    type Action = Action;
    type Renaming = Renaming;

    fn initial(&self) -> State {
        State::default()
    }

    fn successors(&self, state: &State, into: &mut Steps) {
        for place in 0..self.publisher_count() {
            self.publisher_steps(state, place, into);
        }
        for place in 0..self.collectors {
            self.collector_steps(state, place, into);
        }
        for place in 0..self.holders {
            self.holder_steps(state, place, into);
        }
        self.user_steps(state, into);
        if self.loses_files {
            self.loss_steps(state, into);
        }
        if self.power_loss {
            self.power_loss_steps(state, into);
        }
    }

    fn canonical(&self, state: &State) -> (State, Renaming) {
        self.canonical_state(state)
    }

    fn violation(&self, state: &State) -> Option<String> {
        self.first_violation(state)
    }

    fn key(&self, state: &State) -> Packed {
        pack(state)
    }

    fn state(&self, key: Packed) -> State {
        unpack(key)
    }
}

impl Setup {
    fn publisher_count(&self) -> u8 {
        u8::try_from(self.publishers.len()).unwrap_or(u8::MAX)
    }

    /// The blobs of the image that a publisher publishes.
    fn job(&self, publisher: u8) -> &'static [u8] {
        self.images[usize::from(self.publishers[usize::from(publisher)])]
    }

    /// The user removes images; so does an eviction that looks again before it removes.
    fn user_steps(&self, state: &State, into: &mut Steps) {
        for image in (0_u8..).take(self.images.len()) {
            if let Some(after) = self.remove_image(state, image) {
                into.push((Action::new(Party::User, Step::ImageRemove).image(image), after));
            }
        }
    }
}
