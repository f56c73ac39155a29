//! What a collection leaves behind: from every state in which nobody is in the middle of anything, one collector alone must be able to
//! remove all that nothing uses, and then one publisher alone must be able to publish.

use super::invariants::LETTERS;
use super::state::{Collector, DIGESTS, INCARNATIONS, Publisher, Row, Stage, State};
use super::{Party, Setup, Step, Steps};
use crate::check::Model as _;

/// More steps than a publisher needs for an image of two blobs.
const STEPS_TO_PUBLISH: usize = 40;

impl Setup {
    /// What is left after a full collection, or why nothing can be published any more.
    pub(super) fn drain_problem(&self, state: &State) -> Option<String> {
        let is_quiescent = state.collectors.iter().all(|collector| *collector == Collector::Idle)
            && state
                .publishers
                .iter()
                .all(|publisher| publisher.stage == Stage::Dead || *publisher == Publisher::default());
        if !is_quiescent {
            return None;
        }
        let mut end = *state;
        end.publishers = Default::default();
        if self.collectors > 0 {
            end = self.collected(end);
            if let Some(index) = (0..DIGESTS).find(|index| self.is_littered(&end, *index)) {
                return Some(format!("a full collection leaves something of blob {}", LETTERS[index]));
            }
        }
        // Sooner or later the disk has written everything: what is not in the directory cannot come back.
        for digest in (0_u8..).take(DIGESTS) {
            Self::sync_dir(&mut end, digest);
        }
        (!self.can_publish(end)).then(|| "after a full collection nothing can be published".to_owned())
    }

    /// The state after everything that one collector can do alone.
    fn collected(&self, mut state: State) -> State {
        for digest in (0_u8..).take(DIGESTS) {
            for step in [Step::CollectTombstone, Step::CollectResume] {
                if self.take(&mut state, step, digest, None) {
                    self.take(&mut state, Step::CollectLock, digest, None);
                    self.take(&mut state, Step::CollectUnlink, digest, None);
                    self.take(&mut state, Step::CollectForget, digest, None);
                }
            }
            for incarnation in (0_u8..).take(INCARNATIONS) {
                for step in [Step::SweepList, Step::SweepCheck, Step::SweepUnlink] {
                    if !self.take(&mut state, step, digest, Some(incarnation)) && step != Step::SweepList {
                        break;
                    }
                }
            }
        }
        state
    }

    /// Takes a step of the first collector, if it can be taken.
    fn take(&self, state: &mut State, step: Step, digest: u8, incarnation: Option<u8>) -> bool {
        let mut steps = Steps::new();
        self.collector_steps(state, 0, &mut steps);
        let found = steps.into_iter().find(|(action, _)| {
            action.step == step
                && action.digest == Some(digest)
                && (incarnation.is_none() || action.incarnation == incarnation)
        });
        if let Some((_, after)) = found {
            *state = after;
        }
        found.is_some()
    }

    /// Whether there is a tombstone, an unused row, or a file that is not the row's.
    fn is_littered(&self, state: &State, index: usize) -> bool {
        let digest = u8::try_from(index).unwrap_or(0);
        let kept = match state.rows[index] {
            Row::Absent => None,
            Row::Deleting(_) => return true,
            Row::Present(incarnation) | Row::Damaged(incarnation) => Some(usize::from(incarnation)),
        };
        let has_orphan = (0..INCARNATIONS).any(|n| state.files[index][n].is_there && Some(n) != kept);
        has_orphan || kept.is_some() && self.is_unused(state, digest)
    }

    /// Whether the first publisher alone gets its image committed.
    fn can_publish(&self, mut state: State) -> bool {
        let mut steps = Steps::new();
        for _ in 0..STEPS_TO_PUBLISH {
            steps.clear();
            self.successors(&state, &mut steps);
            let next = steps.iter().find(|(action, _)| {
                action.party == Party::Publisher(0)
                    && !matches!(action.step, Step::Crash | Step::IntentExpire)
            });
            let Some((action, after)) = next else { return false };
            if action.step == Step::PublishCommit {
                let image = self.publishers[0];
                return after.images[usize::from(image)] && self.is_intact(after, image);
            }
            state = *after;
        }
        false
    }
}
