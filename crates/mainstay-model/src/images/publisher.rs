//! Publishers.

use super::rules::{Names, OnTombstone};
use super::state::{Hold, Publisher, Row, Stage, State};
use super::{Action, Party, Setup, Step, Steps};

/// One publisher in one state.
struct Scene<'a> {
    setup: &'a Setup,
    state: &'a State,
    place: u8,
    digest: u8,
    publisher: Publisher,
}

impl Setup {
    pub(super) fn publisher_steps(&self, state: &State, place: u8, into: &mut Steps) {
        let publisher = state.publishers[usize::from(place)];
        let digest = self.job(place)[usize::from(publisher.at)];
        let scene = Scene { setup: self, state, place, digest, publisher };
        scene.endings(into);
        match publisher.stage {
            Stage::Intent if self.rules.intents => into.extend(scene.intent()),
            Stage::Intent => into.push(scene.look()),
            Stage::Check => into.extend(scene.check()),
            Stage::Write => into.push(scene.private(Step::PublishWrite, scene.after_write())),
            Stage::SyncFile => into.push(scene.private(Step::PublishSyncFile, scene.before_rename())),
            Stage::Lock => into.extend(scene.lock()),
            Stage::Rename => into.push(scene.rename()),
            Stage::SyncDir => into.push(scene.sync_dir()),
            Stage::Land => into.push(scene.land()),
            Stage::Commit => scene.commit(into),
            Stage::Discard => into.extend(scene.discard()),
            Stage::Dead => {}
        }
    }
}

impl Scene<'_> {
    fn index(&self) -> usize {
        usize::from(self.digest)
    }

    fn action(&self, step: Step, note: &'static str) -> Action {
        Action::new(Party::Publisher(self.place), step).note(note)
    }

    /// The action at the blob's file, with the incarnation that the publisher has.
    fn file_action(&self, step: Step, note: &'static str) -> Action {
        let incarnation = self.publisher.holds[self.index()].incarnation().unwrap_or(0);
        self.action(step, note).file(self.digest, incarnation)
    }

    fn put(&self, publisher: Publisher) -> State {
        let mut after = *self.state;
        after.publishers[usize::from(self.place)] = publisher;
        after
    }

    /// Its process may end, its intents may expire.
    fn endings(&self, into: &mut Steps) {
        if self.setup.crashes && self.publisher.stage != Stage::Dead && self.publisher != Publisher::default()
        {
            let mut after = self.put(self.publisher.dead());
            after.unlock(Party::Publisher(self.place));
            into.push((self.action(Step::Crash, ""), after));
        }
        if self.publisher.intents.contains(&true) {
            let mut publisher = Publisher { intents: Default::default(), ..self.publisher };
            if publisher.stage == Stage::Dead {
                publisher = Publisher::default();
            }
            into.push((self.action(Step::IntentExpire, "its intents are gone"), self.put(publisher)));
        }
    }

    /// T1.
    fn intent(&self) -> Option<(Action, State)> {
        let row = self.state.rows[self.index()];
        let mut publisher = self.publisher;
        publisher.intents[self.index()] = true;
        let adopted = match (row, self.setup.rules.on_tombstone) {
            (Row::Present(incarnation), _) => Some((incarnation, "the row is present: adopts it")),
            (Row::Deleting(incarnation), OnTombstone::TakesOver) => {
                Some((incarnation, "makes the tombstone a row again"))
            }
            (Row::Deleting(_), OnTombstone::Waits) => return None,
            (Row::Deleting(_), OnTombstone::Writes) | (Row::Absent | Row::Damaged(_), _) => None,
        };
        if let Some((incarnation, note)) = adopted {
            publisher.holds[self.index()] = Hold::Adopts(incarnation);
            publisher.stage = Stage::Check;
            let mut after = self.put(publisher);
            after.rows[self.index()] = Row::Present(incarnation);
            return Some((self.action(Step::PublishIntent, note).file(self.digest, incarnation), after));
        }
        let incarnation = self.new_incarnation(row)?;
        publisher.holds[self.index()] = Hold::Owns(incarnation);
        publisher.stage = self.before_write();
        let note = match row {
            Row::Deleting(_) => "a tombstone: will write",
            Row::Damaged(_) => "the row is damaged: will write",
            Row::Absent | Row::Present(_) => "no row: will write",
        };
        let mut action = self.action(Step::PublishIntent, note).file(self.digest, incarnation);
        action.is_fresh = self.setup.rules.names == Names::Incarnation;
        Some((action, self.put(publisher)))
    }

    /// The incarnation of a file that the publisher will write.
    fn new_incarnation(&self, row: Row) -> Option<u8> {
        match (self.setup.rules.names, row) {
            (Names::Incarnation, _) => self.setup.fresh_incarnation(self.state, self.digest),
            (Names::Generation, Row::Deleting(last) | Row::Present(last) | Row::Damaged(last)) => {
                (last + 1 < self.setup.incarnations).then_some(last + 1)
            }
            (Names::Generation, Row::Absent) | (Names::Digest, _) => Some(0),
        }
    }

    /// Without intents: is the file there already?
    fn look(&self) -> (Action, State) {
        let mut publisher = self.publisher;
        if self.state.files[self.index()][0].is_there {
            publisher.holds[self.index()] = Hold::Adopts(0);
            self.advance(&mut publisher);
            let note = "the file is there: adopts it";
            return (self.action(Step::PublishCheck, note).file(self.digest, 0), self.put(publisher));
        }
        publisher.holds[self.index()] = Hold::Owns(0);
        publisher.stage = self.before_write();
        (self.action(Step::PublishCheck, "no file: will write").file(self.digest, 0), self.put(publisher))
    }

    /// Is the adopted file there?
    fn check(&self) -> Option<(Action, State)> {
        let mut publisher = self.publisher;
        let incarnation = publisher.holds[self.index()].incarnation().unwrap_or(0);
        let note = if self.state.files[self.index()][usize::from(incarnation)].is_good() {
            self.advance(&mut publisher);
            "the file is there"
        } else if self.setup.rules.on_tombstone == OnTombstone::TakesOver {
            publisher.holds[self.index()] = Hold::Owns(incarnation);
            publisher.stage = self.before_write();
            "no file: will write"
        } else {
            let own = self.setup.fresh_incarnation(self.state, self.digest);
            let own = if self.setup.rules.names == Names::Incarnation { own? } else { incarnation };
            publisher.holds[self.index()] = Hold::Owns(own);
            publisher.replaces[self.index()] = Some(incarnation);
            publisher.stage = self.before_write();
            let mut action = self.action(Step::PublishCheck, "the row's file is missing: will write");
            action.is_fresh = own != incarnation;
            return Some((action.file(self.digest, own), self.put(publisher)));
        };
        Some((self.file_action(Step::PublishCheck, note), self.put(publisher)))
    }

    /// A step that nobody else can see.
    fn private(&self, step: Step, next: Stage) -> (Action, State) {
        (self.file_action(step, ""), self.put(Publisher { stage: next, ..self.publisher }))
    }

    fn before_write(&self) -> Stage {
        if self.setup.is_reduced { self.before_rename() } else { Stage::Write }
    }

    fn after_write(&self) -> Stage {
        if self.setup.rules.syncs_file { Stage::SyncFile } else { self.before_rename() }
    }

    fn before_rename(&self) -> Stage {
        if self.setup.rules.lock { Stage::Lock } else { Stage::Rename }
    }

    fn lock(&self) -> Option<(Action, State)> {
        let is_refused = matches!(self.state.rows[self.index()], Row::Deleting(_));
        if is_refused || self.state.locks[self.index()].is_some() {
            return None;
        }
        let (action, mut after) = self.private(Step::PublishLock, Stage::Rename);
        after.locks[self.index()] = Some(Party::Publisher(self.place));
        Some((action, after))
    }

    fn rename(&self) -> (Action, State) {
        let mut publisher = self.publisher;
        let incarnation = publisher.holds[self.index()].incarnation().unwrap_or(0);
        let is_seen = self.setup.power_loss || self.setup.rules.lock || !self.setup.is_reduced;
        if self.setup.rules.syncs_dir && is_seen {
            publisher.stage = Stage::SyncDir;
        } else {
            self.ready(&mut publisher);
        }
        let mut after = self.put(publisher);
        let is_there = after.files[self.index()][usize::from(incarnation)].is_there;
        after.name_was_reused |= is_there && self.setup.rules.names == Names::Incarnation;
        self.setup.rename(&mut after, self.digest, incarnation);
        if publisher.stage != Stage::SyncDir {
            after.unlock(Party::Publisher(self.place));
        }
        (self.file_action(Step::PublishRename, "the file is there"), after)
    }

    fn sync_dir(&self) -> (Action, State) {
        let mut publisher = self.publisher;
        self.ready(&mut publisher);
        let mut after = self.put(publisher);
        Setup::sync_dir(&mut after, self.digest);
        after.unlock(Party::Publisher(self.place));
        (self.file_action(Step::PublishSyncDir, ""), after)
    }

    /// The blob's file is there.
    fn ready(&self, publisher: &mut Publisher) {
        if self.setup.rules.lands {
            publisher.stage = Stage::Land;
        } else {
            self.advance(publisher);
        }
    }

    /// On to the next blob, or to the image.
    fn advance(&self, publisher: &mut Publisher) {
        if usize::from(publisher.at) + 1 < self.setup.job(self.place).len() {
            publisher.at += 1;
            publisher.stage = Stage::Intent;
        } else {
            publisher.stage = Stage::Commit;
        }
    }

    /// T2 for one blob: the row is made or adopted, the intent goes on to protect it.
    fn land(&self) -> (Action, State) {
        if self.is_stale(&[self.digest]) {
            return self.give_up(Step::PublishLand);
        }
        let mut after = *self.state;
        let mut publisher = self.publisher;
        let note = self.make_row(&mut after, &mut publisher, self.digest);
        if publisher.spare[self.index()].is_some() {
            publisher.stage = Stage::Discard;
        } else {
            self.advance(&mut publisher);
        }
        after.publishers[usize::from(self.place)] = publisher;
        (self.file_action(Step::PublishLand, note), after)
    }

    /// Makes a blob's row name what the publisher has, unless there is a row.
    fn make_row(&self, after: &mut State, publisher: &mut Publisher, digest: u8) -> &'static str {
        let index = usize::from(digest);
        let hold = publisher.holds[index];
        let replaces = publisher.replaces[index].take();
        if let Row::Present(incarnation) = after.rows[index]
            && replaces != Some(incarnation)
            && (self.setup.rules.keeps_first || !matches!(hold, Hold::Owns(_)))
        {
            if let Hold::Owns(own) = hold
                && own != incarnation
            {
                publisher.spare[index] = Some(own);
            }
            publisher.holds[index] = Hold::Adopts(incarnation);
            return "the row is there";
        }
        if let Some(incarnation) = hold.incarnation() {
            after.rows[index] = Row::Present(incarnation);
            publisher.holds[index] = Hold::Adopts(incarnation);
        }
        "makes the row"
    }

    /// Whether the fence stops a commit that needs these intents, or an adopted row is not what it was.
    fn is_stale(&self, digests: &[u8]) -> bool {
        let rules = &self.setup.rules;
        let is_damaged = |digest: &u8| {
            let index = usize::from(*digest);
            let is_adopted = matches!(self.publisher.holds[index], Hold::Adopts(_));
            is_adopted && matches!(self.state.rows[index], Row::Damaged(_))
        };
        if rules.fence && digests.iter().any(is_damaged) {
            return true;
        }
        let mut needed = digests.iter();
        rules.intents && rules.fence && !needed.all(|digest| self.publisher.intents[usize::from(*digest)])
    }

    /// The fence stopped it: what it wrote is nobody's.
    fn give_up(&self, step: Step) -> (Action, State) {
        let mut publisher = Publisher::default();
        for (index, hold) in self.publisher.holds.iter().enumerate() {
            if let (Hold::Owns(incarnation), Names::Incarnation) = (hold, self.setup.rules.names) {
                publisher.spare[index] = Some(*incarnation);
            }
        }
        self.then_discard(&mut publisher);
        (self.action(step, "refused: its intent is gone, or the row is damaged"), self.put(publisher))
    }

    fn then_discard(&self, publisher: &mut Publisher) {
        let has_spare = publisher.spare.iter().any(Option::is_some);
        publisher.stage = if has_spare { Stage::Discard } else { Stage::Intent };
    }

    /// T2.
    fn commit(&self, into: &mut Steps) {
        let image = self.setup.publishers[usize::from(self.place)];
        let job = self.setup.job(self.place);
        if self.setup.rules.rolls_back && job.iter().any(|digest| self.owns(*digest)) {
            into.push(self.rollback(job));
        }
        if self.is_stale(job) {
            let (action, after) = self.give_up(Step::PublishCommit);
            into.push((action.image(image), after));
            return;
        }
        let mut after = *self.state;
        let mut publisher = self.publisher;
        for digest in job {
            self.make_row(&mut after, &mut publisher, *digest);
        }
        after.images[usize::from(image)] = true;
        if !self.setup.rules.leaves_in_doubt {
            let (action, refused) = self.give_up(Step::PublishCommit);
            let in_doubt = State { publishers: refused.publishers, ..after };
            into.push((action.image(image).note("is done, but the answer is lost"), in_doubt));
        }
        let mut publisher = Publisher { spare: publisher.spare, ..Publisher::default() };
        if self.setup.rules.names != Names::Incarnation {
            publisher.spare = Default::default();
        }
        self.then_discard(&mut publisher);
        after.publishers[usize::from(self.place)] = publisher;
        into.push((self.action(Step::PublishCommit, "the image is there").image(image), after));
    }

    fn owns(&self, digest: u8) -> bool {
        matches!(self.publisher.holds[usize::from(digest)], Hold::Owns(_))
    }

    fn rollback(&self, job: &[u8]) -> (Action, State) {
        let mut after = self.put(Publisher::default());
        for digest in job.iter().filter(|digest| self.owns(**digest)) {
            self.setup.unlink(&mut after, *digest, 0);
        }
        (self.file_action(Step::PublishRollback, "the commit failed: takes the file back"), after)
    }

    /// Removes what it wrote and did not need.
    fn discard(&self) -> Option<(Action, State)> {
        let mut publisher = self.publisher;
        let index = publisher.spare.iter().position(Option::is_some)?;
        let incarnation = publisher.spare[index].take()?;
        if publisher.spare.iter().all(Option::is_none) {
            if publisher.holds == <[Hold; _]>::default() {
                publisher = Publisher::default();
            } else {
                self.advance(&mut publisher);
            }
        }
        let mut after = self.put(publisher);
        let digest = u8::try_from(index).unwrap_or(0);
        self.setup.unlink(&mut after, digest, incarnation);
        Some((self.action(Step::PublishDiscard, "").file(digest, incarnation), after))
    }
}

impl State {
    /// Gives back whatever lock a party has.
    pub(super) fn unlock(&mut self, party: Party) {
        for lock in &mut self.locks {
            *lock = lock.filter(|owner| *owner != party);
        }
    }
}
