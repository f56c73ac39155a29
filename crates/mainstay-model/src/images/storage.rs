//! The directory and the disk: what a power loss may take away.

use super::state::{Collector, DIGESTS, File, Holder, INCARNATIONS, Publisher, Row, Stage, State};
use super::{Action, Party, Setup, Step, Steps};

impl Setup {
    /// A temporary file, with its content synced or not, gets its name.
    pub(super) fn rename(&self, state: &mut State, digest: u8, incarnation: u8) {
        let lost = &mut state.lost[usize::from(digest)];
        *lost = lost.filter(|lost| *lost != incarnation);
        let file = &mut state.files[usize::from(digest)][usize::from(incarnation)];
        if !file.is_there {
            file.name_is_loose = self.power_loss;
        }
        file.is_there = true;
        file.is_damaged = false;
        file.content_is_loose = self.power_loss && !self.rules.syncs_file;
    }

    /// The names of a blob's files become durable as they are.
    pub(super) fn sync_dir(state: &mut State, digest: u8) {
        for file in &mut state.files[usize::from(digest)] {
            file.name_is_loose = false;
            if !file.is_there {
                *file = File::NONE;
            }
        }
    }

    /// A file loses its name; whether it comes back after a power loss is open until the directory is synced.
    pub(super) fn unlink(&self, state: &mut State, digest: u8, incarnation: u8) {
        let file = &mut state.files[usize::from(digest)][usize::from(incarnation)];
        if !file.is_there {
            return;
        }
        if self.power_loss {
            file.is_there = false;
            file.name_is_loose = true;
        } else {
            *file = File::NONE;
        }
    }

    /// The medium loses the file that a row names.
    pub(super) fn loss_steps(&self, state: &State, into: &mut Steps) {
        for (digest, row) in (0_u8..).zip(state.rows) {
            let index = usize::from(digest);
            let Row::Present(incarnation) = row else { continue };
            if state.files[index][usize::from(incarnation)].is_there && state.lost[index].is_none() {
                let mut after = *state;
                after.files[index][usize::from(incarnation)] = File::NONE;
                after.lost[index] = Some(incarnation);
                into.push((Action::new(Party::Machine, Step::Loss).file(digest, incarnation), after));
            }
        }
    }

    /// Every way in which a power loss can end.
    pub(super) fn power_loss_steps(&self, state: &State, into: &mut Steps) {
        let mut before = *state;
        for publisher in &mut before.publishers {
            *publisher = publisher.dead();
        }
        before.collectors = Default::default();
        before.locks = Default::default();
        before.holders = before.holders.map(|holder| Holder { lease: holder.lease, ..Holder::default() });
        let mut ends = vec![before];
        for (digest, incarnation) in
            (0..DIGESTS).flat_map(|digest| (0..INCARNATIONS).map(move |n| (digest, n)))
        {
            let outcomes = outcomes(before.files[digest][incarnation]);
            ends = ends
                .into_iter()
                .flat_map(|end| {
                    outcomes.iter().flatten().map(move |outcome| {
                        let mut end = end;
                        end.files[digest][incarnation] = *outcome;
                        end
                    })
                })
                .collect();
        }
        let action = Action::new(Party::Machine, Step::PowerLoss);
        into.extend(ends.into_iter().filter(|end| end != state).map(|end| (action, end)));
    }
}

/// What can become of a file.
fn outcomes(file: File) -> [Option<File>; 3] {
    let kept = File { is_there: true, is_damaged: file.is_damaged, ..File::NONE };
    let may_stay = file.is_there || file.name_is_loose;
    let may_go = !file.is_there || file.name_is_loose;
    [
        may_go.then_some(File::NONE),
        may_stay.then_some(kept),
        (may_stay && file.content_is_loose).then_some(File { is_damaged: true, ..kept }),
    ]
}

impl Publisher {
    /// What is left of it when its process ends: its intents.
    pub(super) fn dead(&self) -> Self {
        if !self.intents.contains(&true) {
            return Self::default();
        }
        let mut dead = Self { stage: Stage::Dead, intents: self.intents, ..Self::default() };
        for (index, hold) in self.holds.iter().enumerate() {
            if self.intents[index] {
                dead.holds[index] = *hold;
            }
        }
        dead
    }
}

impl Collector {
    /// Whether it is in the middle of something.
    pub(super) fn is_busy(self) -> bool {
        self != Self::Idle
    }
}
