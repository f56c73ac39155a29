//! Collectors: tombstones, unlinks, the sweep of orphans, evictions.

use super::rules::Sweep;
use super::state::{Collector, INCARNATIONS, Row, State};
use super::{Action, Party, Setup, Step, Steps};

/// One collector in one state.
struct Scene<'a> {
    setup: &'a Setup,
    state: &'a State,
    place: u8,
}

impl Setup {
    pub(super) fn collector_steps(&self, state: &State, place: u8, into: &mut Steps) {
        let scene = Scene { setup: self, state, place };
        let collector = state.collectors[usize::from(place)];
        if self.crashes && collector.is_busy() {
            let mut after = scene.put(Collector::Idle);
            after.unlock(Party::Collector(place));
            into.push((scene.action(Step::Crash, ""), after));
        }
        match collector {
            Collector::Idle => scene.begin(into),
            Collector::Unlink(digest, incarnation) if self.rules.lock => {
                into.extend(scene.lock(digest, incarnation));
            }
            Collector::Unlink(digest, incarnation) | Collector::UnlinkLocked(digest, incarnation) => {
                let mut after = scene.put(Collector::Forget(digest, incarnation));
                self.unlink(&mut after, digest, incarnation);
                into.push((scene.action(Step::CollectUnlink, "").file(digest, incarnation), after));
            }
            Collector::Forget(digest, incarnation) => into.push(scene.forget(digest, incarnation)),
            Collector::Seen(digest, incarnation) => into.extend(scene.judge(digest, incarnation)),
            Collector::Doomed(digest, incarnation) => {
                let mut after = scene.put(Collector::Idle);
                self.unlink(&mut after, digest, incarnation);
                after.unlock(Party::Collector(place));
                into.push((scene.action(Step::SweepUnlink, "").file(digest, incarnation), after));
            }
            Collector::Known(digest, known) => scene.compare(digest, known, into),
            Collector::Victim(image) => into.push(scene.evict(image)),
            Collector::Missing(digest, incarnation) => into.push(scene.mark(digest, incarnation)),
        }
    }
}

impl Scene<'_> {
    fn action(&self, step: Step, note: &'static str) -> Action {
        Action::new(Party::Collector(self.place), step).note(note)
    }

    fn put(&self, collector: Collector) -> State {
        let mut after = *self.state;
        after.collectors[usize::from(self.place)] = collector;
        after
    }

    fn begin(&self, into: &mut Steps) {
        for digest in (0_u8..).take(self.state.rows.len()) {
            self.begin_collection(digest, into);
            self.begin_sweep(digest, into);
        }
        if self.setup.evicts {
            for image in (0_u8..).take(self.setup.images.len()) {
                if self.setup.remove_image(self.state, image).is_some() {
                    let action = self.action(Step::EvictPlan, "nobody claims it").image(image);
                    into.push((action, self.put(Collector::Victim(image))));
                }
            }
        }
    }

    fn begin_collection(&self, digest: u8, into: &mut Steps) {
        let row = self.state.rows[usize::from(digest)];
        self.begin_scrub(digest, row, into);
        match row {
            Row::Absent => {}
            Row::Deleting(incarnation) => {
                let action = self.action(Step::CollectResume, "").file(digest, incarnation);
                into.push((action, self.put(Collector::Unlink(digest, incarnation))));
            }
            Row::Present(incarnation) | Row::Damaged(incarnation) => {
                if !self.setup.is_unused(self.state, digest) {
                    return;
                }
                let mut after = self.put(Collector::Unlink(digest, incarnation));
                let step = if self.setup.rules.tombstones {
                    after.rows[usize::from(digest)] = Row::Deleting(incarnation);
                    Step::CollectTombstone
                } else {
                    Step::CollectSnapshot
                };
                into.push((self.action(step, "nothing uses it").file(digest, incarnation), after));
            }
        }
    }

    /// Does a row's file exist?
    fn begin_scrub(&self, digest: u8, row: Row, into: &mut Steps) {
        let Row::Present(incarnation) = row else { return };
        let file = self.state.files[usize::from(digest)][usize::from(incarnation)];
        if self.setup.loses_files && !file.is_there {
            let action = self.action(Step::ScrubLook, "the row's file is missing").file(digest, incarnation);
            into.push((action, self.put(Collector::Missing(digest, incarnation))));
        }
    }

    /// The row is damaged, if it still names the file that is missing.
    fn mark(&self, digest: u8, incarnation: u8) -> (Action, State) {
        let mut after = self.put(Collector::Idle);
        let row = &mut after.rows[usize::from(digest)];
        if *row == Row::Present(incarnation) {
            *row = Row::Damaged(incarnation);
        }
        (self.action(Step::ScrubMark, "").file(digest, incarnation), after)
    }

    fn begin_sweep(&self, digest: u8, into: &mut Steps) {
        match self.setup.rules.sweep {
            Sweep::Off => {}
            Sweep::FilesThenRows | Sweep::WithoutIntents => {
                for incarnation in self.files(digest) {
                    if self.setup.is_reduced {
                        // Whether it was seen before it was asked for, or at that moment, comes to the same.
                        let judged = self.judge(digest, incarnation);
                        into.extend(judged.filter(|(_, after)| after != self.state));
                        continue;
                    }
                    let action = self.action(Step::SweepList, "").file(digest, incarnation);
                    into.push((action, self.put(Collector::Seen(digest, incarnation))));
                }
            }
            Sweep::RowsThenFiles => {
                let known = (0_u8..).take(INCARNATIONS);
                let known =
                    known.filter(|incarnation| self.setup.is_known(self.state, digest, *incarnation, true));
                let known = known.fold(0, |set, incarnation| set | 1 << incarnation);
                let mut action = self.action(Step::SweepCheck, "reads rows and intents");
                action.digest = Some(digest);
                into.push((action, self.put(Collector::Known(digest, known))));
            }
        }
    }

    /// The incarnations of a blob whose files are in the directory.
    fn files(&self, digest: u8) -> impl Iterator<Item = u8> {
        let files = self.state.files[usize::from(digest)];
        (0_u8..).zip(files).filter(|(_, file)| file.is_there).map(|(incarnation, _)| incarnation)
    }

    fn lock(&self, digest: u8, incarnation: u8) -> Option<(Action, State)> {
        if self.state.locks[usize::from(digest)].is_some() {
            return None;
        }
        let action = self.action(Step::CollectLock, "").file(digest, incarnation);
        if self.state.rows[usize::from(digest)] != Row::Deleting(incarnation) {
            return Some((action.note("no tombstone any more: leaves it"), self.put(Collector::Idle)));
        }
        let mut after = self.put(Collector::UnlinkLocked(digest, incarnation));
        after.locks[usize::from(digest)] = Some(Party::Collector(self.place));
        Some((action, after))
    }

    fn forget(&self, digest: u8, incarnation: u8) -> (Action, State) {
        let mut after = self.put(Collector::Idle);
        let row = &mut after.rows[usize::from(digest)];
        let is_deleted = match row {
            Row::Deleting(named) => *named == incarnation,
            Row::Present(named) => *named == incarnation && !self.setup.rules.tombstones,
            Row::Absent | Row::Damaged(_) => false,
        };
        if is_deleted {
            *row = Row::Absent;
        }
        after.unlock(Party::Collector(self.place));
        let note = if is_deleted { "the row is gone" } else { "not this tombstone any more: leaves it" };
        (self.action(Step::CollectForget, note).file(digest, incarnation), after)
    }

    /// Is a file that was seen anybody's?
    fn judge(&self, digest: u8, incarnation: u8) -> Option<(Action, State)> {
        if self.setup.rules.lock && self.state.locks[usize::from(digest)].is_some() {
            return None;
        }
        let with_intents = self.setup.rules.sweep != Sweep::WithoutIntents;
        let action = self.action(Step::SweepCheck, "").file(digest, incarnation);
        if self.setup.is_known(self.state, digest, incarnation, with_intents) {
            return Some((action.note("it is somebody's"), self.put(Collector::Idle)));
        }
        let mut after = self.put(Collector::Doomed(digest, incarnation));
        if self.setup.rules.lock {
            after.locks[usize::from(digest)] = Some(Party::Collector(self.place));
        }
        Some((action.note("it is nobody's"), after))
    }

    /// Which files does the earlier look at rows and intents not know?
    fn compare(&self, digest: u8, known: u8, into: &mut Steps) {
        for incarnation in self.files(digest).filter(|incarnation| known >> incarnation & 1 == 0) {
            let action = self.action(Step::SweepList, "it is nobody's").file(digest, incarnation);
            into.push((action, self.put(Collector::Doomed(digest, incarnation))));
        }
        into.push((self.action(Step::SweepList, "all are known"), self.put(Collector::Idle)));
    }

    fn evict(&self, image: u8) -> (Action, State) {
        let action = self.action(Step::EvictRemove, "").image(image);
        let idle = self.put(Collector::Idle);
        let removed = if self.setup.rules.evicts_guarded {
            self.setup.remove_image(&idle, image)
        } else {
            Some(Setup::without_image(&idle, image))
        };
        match removed {
            Some(after) => (action, after),
            None => (action.note("claimed since, or gone: leaves it"), idle),
        }
    }
}
