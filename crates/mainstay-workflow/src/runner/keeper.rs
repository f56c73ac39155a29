//! What happens because time passes: heartbeats, polls, timers, the comparison of leases.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use futures_util::FutureExt as _;
use mainstay_core::Timestamp;
use tokio::time::Instant;

use super::core::{Core, Taken};
use super::flight::{Beaten, Landed, Polled};
use crate::error::Result;
use crate::id::RunId;
use crate::store::{Claim, Fate, Lane, TaskKey};

/// How many runs are woken by one poll.
pub(super) const WAKE_BATCH: u32 = 512;
/// How many attempts of dead nodes are taken over at a time.
const TAKE_OVER: u32 = 1_024;
/// How long a woken run is not given to another node.
const HOLD: Duration = Duration::from_secs(5);
/// At least so much work is asked for, however much there is already, so that urgent work is seen.
const LEAST_CLAIM: usize = 16;
/// The first pause after a failure of the database, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long rings cause no look after one that found nothing; doubled with each further one.
const FIRST_DEAF: Duration = Duration::from_millis(100);
/// The longest such time.
const LAST_DEAF: Duration = Duration::from_millis(400);
/// How often at the most leases are compared with what is in memory.
const COMPARE_EVERY: Duration = Duration::from_millis(500);
/// How many times are remembered; beyond these the polls find out.
const DUES: usize = 4_096;

/// What is to be done when.
#[derive(Debug)]
pub(super) struct Keeper {
    poll_at: Instant,
    beat_at: Instant,
    heard_at: Instant,
    dues: BinaryHeap<Reverse<Timestamp>>,
    next_due: Option<Timestamp>,
    held_until: Option<Instant>,
    failures: u32,
    /// What the database says may differ from what is in memory.
    is_suspect: bool,
    /// It is being asked what it says.
    is_comparing: bool,
    compared_at: Instant,
    /// Leases that nobody here knew of at the last comparison.
    strangers: HashSet<TaskKey>,
    /// Runs of which something was taken over from a dead node that is not to be found where it was looked for.
    missed: HashSet<RunId>,
    /// A beat failed, which may have taken over what nobody here was told of.
    may_have_taken_over: bool,
    is_dead: bool,
    /// Somebody rang since the last look: what this node holds may not be wanted any more.
    has_heard: bool,
    /// Rings cause no look before: those that did found nothing, as what was left was for other nodes.
    deaf_until: Instant,
    deaf_for: Duration,
}

impl Keeper {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            poll_at: now,
            beat_at: now,
            heard_at: now,
            dues: BinaryHeap::new(),
            next_due: None,
            held_until: None,
            failures: 0,
            is_suspect: false,
            is_comparing: false,
            compared_at: now,
            strangers: HashSet::new(),
            missed: HashSet::new(),
            may_have_taken_over: false,
            is_dead: false,
            has_heard: false,
            deaf_until: now,
            deaf_for: Duration::ZERO,
        }
    }

    /// The others have given this life up, and the next one has not begun.
    pub(super) const fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Nothing of this life counts any more.
    pub(super) const fn die(&mut self) {
        self.is_dead = true;
    }

    pub(super) fn look_at(&mut self, at: Instant) {
        self.poll_at = self.poll_at.min(at);
    }

    /// Somebody rang. A node without room leaves the look to the others, and to the next poll.
    pub(super) fn hear(&mut self, now: Instant, has_room: bool) {
        self.has_heard = true;
        if has_room {
            self.look_at(now.max(self.deaf_until));
        }
    }

    /// A look that somebody rang for has ended. While nothing is found, fewer and fewer follow: of many nodes that hear, few find something, and
    /// the others must not stand in their way.
    pub(super) fn has_looked(&mut self, now: Instant, found: bool) {
        let doubled = self.deaf_for.saturating_mul(2).clamp(FIRST_DEAF, LAST_DEAF);
        self.deaf_for = if found { Duration::ZERO } else { doubled };
        self.deaf_until = now + self.deaf_for;
    }

    pub(super) fn expect(&mut self, at: Timestamp) {
        if self.dues.len() < DUES {
            self.dues.push(Reverse(at));
        } else {
            self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
        }
    }

    pub(super) fn refill(&mut self, next_due: Option<Timestamp>) {
        self.next_due = next_due;
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.is_dead || self.is_resting(now)
    }

    /// Whether nothing is sent for a while, because the database failed.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| until > now)
    }

    /// Whether others may think that this node is dead.
    pub(super) fn is_silent(&self, now: Instant, ttl: Duration) -> bool {
        self.is_dead || now.saturating_duration_since(self.heard_at) >= ttl
    }

    pub(super) fn was_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn is_well(&mut self) {
        self.failures = 0;
    }

    /// So many attempts of dead nodes were taken over. As many as one beat takes: there may be more, and they have waited for long enough.
    pub(super) fn took_over(&mut self, count: usize) {
        if u32::try_from(count).unwrap_or(u32::MAX) >= TAKE_OVER {
            self.beat_at = Instant::now();
        }
    }

    /// What was leased of a run is not what it was taken for.
    pub(super) fn miss(&mut self, run: RunId, fate: Fate) {
        self.is_suspect = true;
        if fate == Fate::Lost {
            self.missed.insert(run);
        }
    }

    /// Nobody knows whether a take-over is there.
    pub(super) fn may_have_taken_over(&mut self) {
        self.may_have_taken_over = true;
    }

    pub(super) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// The database failed: nothing is sent for a while.
    pub(super) fn ail(&mut self, now: Instant) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << self.failures.min(10)).min(LONGEST_PAUSE);
        if self.held_until.is_none_or(|until| until <= now) {
            self.failures = self.failures.saturating_add(1);
            self.held_until = Some(now + pause);
        }
        pause
    }

    /// The next known time at which something is due.
    fn due(&self) -> Option<Timestamp> {
        let own = self.dues.peek().map(|Reverse(at)| *at);
        own.into_iter().chain(self.next_due).min()
    }
}

impl Core {
    /// When to look up at the latest.
    pub(super) fn next_instant(&self) -> Instant {
        let now = Instant::now();
        let due = self.keeper.due().map(|due| now + due.saturating_since(self.now()));
        let alarm = self.alarms.peek().map(|Reverse((at, _))| *at);
        let poll = (self.under_way.polls == 0 && !self.is_stopping).then_some(self.keeper.poll_at);
        let due = due.filter(|_| poll.is_some());
        let beat = (self.under_way.beats == 0).then_some(self.keeper.beat_at);
        let times =
            [due, alarm, poll, beat, self.keeper.held_until, self.next_upkeep()].into_iter().flatten();
        let next = times.min().unwrap_or(now + self.config.beat);
        match self.keeper.held_until {
            // Nothing is sent before, except that running handlers are looked after.
            Some(until) if until > now => alarm.map_or(until, |alarm| alarm.min(until)),
            // Nothing is due before the next life, which begins when the last thing of this one has come back.
            _ if self.keeper.is_dead => now + self.config.beat,
            _ => next,
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self) {
        let now = Instant::now();
        self.look_at_workers(now);
        if self.keeper.held_until.is_some_and(|until| until <= now) {
            self.keeper.held_until = None;
        }
        if self.keeper.is_held(now) {
            self.live_again(now);
            return;
        }
        if now >= self.keeper.beat_at && self.under_way.beats == 0 {
            self.beat(now);
        }
        let wall = self.now();
        if self.keeper.due().is_some_and(|due| due <= wall) {
            while self.keeper.dues.peek().is_some_and(|Reverse(at)| *at <= wall) {
                self.keeper.dues.pop();
            }
            self.keeper.next_due = self.keeper.next_due.filter(|due| *due > wall);
            self.keeper.look_at(now);
        }
        // First, because it waits for a moment without a poll, and polls may follow one another.
        self.look_at_leases(now);
        if now >= self.keeper.poll_at && self.under_way.polls == 0 && !self.is_stopping {
            self.poll(now);
        }
        self.look_after(now);
    }

    fn beat(&mut self, now: Instant) {
        self.keeper.beat_at = now + self.config.beat;
        let (store, node, ttl) = (self.store.clone(), self.node, self.config.ttl);
        let takes_over = !self.is_stopping;
        let definitions: Vec<_> = self.definitions.keys().copied().collect();
        self.under_way.beats += 1;
        self.flights.push(
            async move {
                let beat = async {
                    let beat = store.beat(node).await?;
                    if !beat.alive || !takes_over {
                        return Ok(Beaten { beat, buried: 0, taken_over: Vec::new() });
                    }
                    let buried = store.bury(ttl).await?;
                    let taken_over = store.take_over(node, TAKE_OVER, &definitions).await?;
                    Ok(Beaten { beat, buried, taken_over })
                };
                Landed::Beat { sent: now, result: beat.await }
            }
            .boxed(),
        );
    }

    fn poll(&mut self, now: Instant) {
        let (least, most) = self.config.poll;
        let spread = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(0).max(1);
        self.keeper.poll_at = now + least + Duration::from_millis(random() % spread);
        let room = self.config.backlog.saturating_sub(self.load()).max(LEAST_CLAIM);
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let mut names: HashSet<String> = self.config.queues.names().map(|queue| queue.to_string()).collect();
        let definitions: Vec<_> = self.definitions.keys().copied().collect();
        let has_heard = std::mem::take(&mut self.keeper.has_heard);
        let (store, node, wall) = (self.store.clone(), self.node, self.now());
        self.under_way.polls += 1;
        self.flights.push(
            async move {
                let poll = async {
                    let standing = store.standing().await?;
                    // A task stands where the node that made it put it, also when no host names that queue any more.
                    names.extend(standing.queues.iter().cloned());
                    names.insert(Lane::DEFAULT_QUEUE.to_owned());
                    let queues: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), limit)).collect();
                    let claim = Claim { node, now: wall, queues: &queues, definitions: &definitions };
                    let claimed = store.claim(&claim).await?;
                    let woken = store.wake(node, wall, HOLD, WAKE_BATCH, &definitions).await?;
                    // What is due and was not given to a poll that found nothing is nothing that the next one would get.
                    let is_idle = claimed.is_empty() && woken.is_empty();
                    let after = if is_idle { wall } else { Timestamp::UNIX_EPOCH };
                    let next_due = store.next_due(after, &definitions).await?;
                    let revoked = if has_heard { Some(store.revoked(node).await?) } else { None };
                    Ok(Polled { claimed, woken, next_due, standing, revoked })
                };
                Landed::Poll { asked: room, result: poll.await }
            }
            .boxed(),
        );
    }

    /// After a failure nobody knows whether a claim or a commit is there: leases that nobody here knows of are given back.
    fn look_at_leases(&mut self, now: Instant) {
        let is_busy = self.keeper.is_comparing || self.under_way.polls > 0;
        let is_due = self.keeper.is_suspect || !self.keeper.strangers.is_empty();
        if !is_due || is_busy || now < self.keeper.compared_at + COMPARE_EVERY {
            return;
        }
        self.keeper.compared_at = now;
        self.keeper.is_suspect = false;
        self.keeper.is_comparing = true;
        let (store, node) = (self.store.clone(), self.node);
        self.under_way.others += 1;
        self.flights.push(async move { Landed::Leased { result: store.leased(node).await } }.boxed());
    }

    /// What the database says is leased to this node, and was unknown here twice in a row: what came from a dead node is answered as
    /// lost; a baton is looked up, as it stands for something else by now; the rest is given back.
    pub(super) fn compare(&mut self, result: Result<Vec<TaskKey>>) {
        self.keeper.is_comparing = false;
        let leased = match result {
            Ok(leased) => leased,
            Err(error) => return self.ail(&error),
        };
        let is_held = |key: &TaskKey| self.cells.get(&key.run).is_some_and(|cell| cell.holds(key));
        // What is under way may lease it: an answer that has not come back, or a start, whose runs are younger than the oldest of these.
        let births = self.birth_times.keys().next().map(|sent| RunId::first_at(*sent));
        let is_coming = |key: &TaskKey| {
            self.arrivals.contains_key(&key.run)
                || self.cells.get(&key.run).is_some_and(|cell| cell.busy)
                || births.is_some_and(|first| key.run >= first)
        };
        let unheld = leased.into_iter().filter(|key| !is_held(key));
        let (coming, strangers): (HashSet<TaskKey>, HashSet<TaskKey>) = unheld.partition(is_coming);
        let again: Vec<TaskKey> = strangers.intersection(&self.keeper.strangers).cloned().collect();
        let is_lost =
            |key: &TaskKey| self.keeper.may_have_taken_over || self.keeper.missed.contains(&key.run);
        let (kept, again): (Vec<TaskKey>, Vec<TaskKey>) =
            again.into_iter().partition(|key| key.is_baton() || is_lost(key));
        let kept: Vec<Taken> = kept
            .into_iter()
            .map(|key| Taken { fate: if is_lost(&key) { Fate::Lost } else { Fate::Run }, key, begun: true })
            .collect();
        let known = |key: &TaskKey| again.contains(key) || kept.iter().any(|taken| taken.key == *key);
        let strangers: HashSet<TaskKey> = strangers.into_iter().filter(|key| !known(key)).collect();
        // What is not clear yet is looked at again.
        self.keeper.is_suspect |= !coming.is_empty();
        self.keeper.missed.retain(|run| strangers.iter().chain(&coming).any(|key| key.run == *run));
        self.keeper.may_have_taken_over &= !strangers.is_empty() || !coming.is_empty();
        self.keeper.strangers = strangers;
        self.claimed(kept);
        if self.under_way.settles > 0 {
            // They are given back after that.
            self.keeper.strangers.extend(again);
        } else if !again.is_empty() {
            tracing::debug!(count = again.len(), "leases that nobody knows of are given back");
            let (store, node, now) = (self.store.clone(), self.node, self.now());
            self.under_way.settles += 1;
            self.flights.push(
                async move {
                    let released = store.release(node, &again, now).await;
                    Landed::Settled { result: released.map(drop) }
                }
                .boxed(),
            );
            self.keeper.look_at(Instant::now() + self.config.poll.0);
        }
    }
}

/// Any number: only to spread things out.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_that_are_for_others_cause_fewer_and_fewer_looks() {
        let now = Instant::now();
        let mut keeper = Keeper::new(now);
        let far = now + Duration::from_secs(3_600);
        let looks_after = |keeper: &mut Keeper, has_room| {
            keeper.poll_at = far;
            keeper.hear(now, has_room);
            keeper.poll_at - now
        };
        assert_eq!(looks_after(&mut keeper, true), Duration::ZERO);
        for pause in [100, 200, 400, 400] {
            keeper.has_looked(now, false);
            assert_eq!(looks_after(&mut keeper, true), Duration::from_millis(pause));
        }
        keeper.has_looked(now, true);
        assert_eq!(looks_after(&mut keeper, true), Duration::ZERO);
        assert_eq!(looks_after(&mut keeper, false), far - now, "without room it is left to others");
        assert!(keeper.has_heard, "and asked for with the next look");
    }
}
