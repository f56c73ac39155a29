//! Lease holders.

use super::state::{DIGESTS, Holder, State};
use super::{Action, Party, Setup, Step, Steps};

impl Setup {
    pub(super) fn holder_steps(&self, state: &State, place: u8, into: &mut Steps) {
        let holder = state.holders[usize::from(place)];
        let mut push = |step, image, changed| {
            let mut after = *state;
            after.holders[usize::from(place)] = changed;
            into.push((Action::new(Party::Holder(place), step).image(image), after));
        };
        for image in (0_u8..).take(self.images.len()) {
            if !self.is_whole(state, image) {
                continue;
            }
            if holder == Holder::default() {
                let paths = self.paths(state, image);
                push(Step::LeaseAcquire, image, Holder { uses: Some(image), lease: Some(image), paths });
            }
            if let (Some(used), Some(leased)) = (holder.uses, holder.lease)
                && used != image
            {
                let lease = if self.rules.claims_what_it_uses { image } else { leased };
                let paths = self.paths(state, image);
                push(Step::LeaseSwap, image, Holder { uses: Some(image), lease: Some(lease), paths });
            }
        }
        if let Some(image) = holder.uses {
            push(Step::LeaseStop, image, Holder { lease: holder.lease, ..Holder::default() });
        }
        if let Some(image) = holder.lease {
            if holder.uses.is_none() {
                push(Step::LeaseExpire, image, Holder::default());
            } else if !self.rules.margin {
                push(Step::LeaseTakeOver, image, Holder { lease: None, ..holder });
            }
        }
    }

    /// The files of an image, by its rows.
    fn paths(&self, state: &State, image: u8) -> [Option<u8>; DIGESTS] {
        let mut paths = [None; DIGESTS];
        for digest in self.images[usize::from(image)] {
            let index = usize::from(*digest);
            paths[index] = state.rows[index].incarnation();
        }
        paths
    }
}
