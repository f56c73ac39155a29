//! Lease holders.

use super::state::{Holder, State};
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
                push(Step::LeaseAcquire, image, Holder { uses: Some(image), lease: Some(image) });
            }
            if let (Some(used), Some(leased)) = (holder.uses, holder.lease)
                && used != image
            {
                let lease = if self.rules.claims_what_it_uses { image } else { leased };
                push(Step::LeaseSwap, image, Holder { uses: Some(image), lease: Some(lease) });
            }
        }
        if let Some(image) = holder.uses {
            push(Step::LeaseStop, image, Holder { uses: None, ..holder });
        }
        if let Some(image) = holder.lease {
            if holder.uses.is_none() {
                push(Step::LeaseExpire, image, Holder::default());
            } else if !self.rules.margin {
                push(Step::LeaseTakeOver, image, Holder { lease: None, ..holder });
            }
        }
    }
}
