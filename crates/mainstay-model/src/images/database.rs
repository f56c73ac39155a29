//! The questions that transactions ask.

use super::Setup;
use super::state::{INCARNATIONS, Row, State};

impl Setup {
    /// Whether an image that exists has a blob.
    pub(super) fn is_referenced(&self, state: &State, digest: u8) -> bool {
        let mut images = self.images.iter().zip(state.images);
        images.any(|(blobs, exists)| exists && blobs.contains(&digest))
    }

    /// Whether a lease, of whatever image, needs a blob.
    fn is_leased(&self, state: &State, digest: u8) -> bool {
        let mut leases = state.holders.iter().filter_map(|holder| holder.lease);
        leases.any(|image| self.images[usize::from(image)].contains(&digest))
    }

    /// Whether nothing in the database keeps a blob: no image, no intent, no lease.
    pub(super) fn is_unused(&self, state: &State, digest: u8) -> bool {
        let index = usize::from(digest);
        let announced = state.publishers.iter().any(|publisher| publisher.intents[index]);
        !announced && !self.is_referenced(state, digest) && !self.is_leased(state, digest)
    }

    /// Whether a row or an intent names this incarnation.
    pub(super) fn is_known(&self, state: &State, digest: u8, incarnation: u8, with_intents: bool) -> bool {
        let index = usize::from(digest);
        state.rows[index].incarnation() == Some(incarnation)
            || with_intents
                && state.publishers.iter().any(|publisher| {
                    publisher.intents[index] && publisher.holds[index].incarnation() == Some(incarnation)
                })
    }

    /// An incarnation of a blob that nothing in the world remembers.
    pub(super) fn fresh_incarnation(&self, state: &State, digest: u8) -> Option<u8> {
        (0..self.incarnations).find(|incarnation| !is_alive(state, digest, *incarnation))
    }

    /// The state after an image is removed; none when there is no such image or it is claimed.
    pub(super) fn remove_image(&self, state: &State, image: u8) -> Option<State> {
        let is_claimed = state.holders.iter().any(|holder| holder.lease == Some(image));
        if !state.images[usize::from(image)] || is_claimed && self.rules.restricts {
            return None;
        }
        Some(Self::without_image(state, image))
    }

    /// The state after an image is removed with every claim on it.
    pub(super) fn without_image(state: &State, image: u8) -> State {
        let mut after = *state;
        after.images[usize::from(image)] = false;
        for holder in &mut after.holders {
            holder.lease = holder.lease.filter(|leased| *leased != image);
        }
        after
    }

    /// Whether every blob of an image has its row.
    pub(super) fn is_whole(&self, state: &State, image: u8) -> bool {
        let mut blobs = self.images[usize::from(image)].iter();
        state.images[usize::from(image)]
            && blobs.all(|digest| matches!(state.rows[usize::from(*digest)], Row::Present(_)))
    }
}

/// Whether anything remembers an incarnation: a row, a file (also one that may come back), a process.
pub(super) fn is_alive(state: &State, digest: u8, incarnation: u8) -> bool {
    let index = usize::from(digest);
    let file = state.files[index][usize::from(incarnation)];
    file.is_there
        || file.name_is_loose
        || state.rows[index].incarnation() == Some(incarnation)
        || state.publishers.iter().any(|publisher| {
            publisher.holds[index].incarnation() == Some(incarnation)
                || publisher.spare[index] == Some(incarnation)
                || publisher.replaces[index] == Some(incarnation)
        })
        || state.holders.iter().any(|holder| holder.paths[index] == Some(incarnation))
        || state.collectors.iter().any(|collector| match collector {
            super::state::Collector::Known(known, set) => *known == digest && set >> incarnation & 1 == 1,
            other => other.file() == Some((digest, incarnation)),
        })
}

const _: () = assert!(INCARNATIONS <= 6, "a set of incarnations is packed into six bits");
