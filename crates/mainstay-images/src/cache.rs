//! Chains that were resolved before. A chain never changes and a number is never given twice, so nothing here gets old. What has no
//! layers is not remembered: it may yet turn out to be an image that has some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::ImageId;
use crate::image::Chain;

/// The most chains that are remembered; at their deepest they take about 5 KiB each.
const MAX_CHAINS: usize = 8_192;
/// Locks, so that readers on many threads seldom wait.
const SHARDS: usize = 16;

/// Remembers chains by image.
#[derive(Debug, Default)]
pub(crate) struct Chains([Mutex<HashMap<ImageId, Arc<Chain>>>; SHARDS]);

impl Chains {
    fn shard(&self, image: ImageId) -> Option<&Mutex<HashMap<ImageId, Arc<Chain>>>> {
        let place = usize::try_from(image.get().rem_euclid(16)).unwrap_or(0);
        self.0.get(place)
    }

    pub(crate) fn get(&self, image: ImageId) -> Option<Arc<Chain>> {
        self.shard(image)?.lock().unwrap_or_else(PoisonError::into_inner).get(&image).cloned()
    }

    pub(crate) fn put(&self, image: ImageId, chain: Arc<Chain>) {
        let Some(shard) = self.shard(image).filter(|_| chain.depth() > 0) else { return };
        let mut chains = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // Any one may go: it is one row to read again.
        if chains.len() >= MAX_CHAINS / SHARDS
            && let Some(other) = chains.keys().next().copied()
        {
            chains.remove(&other);
        }
        chains.insert(image, chain);
    }

    pub(crate) fn forget(&self, image: ImageId) {
        if let Some(shard) = self.shard(image) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).remove(&image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::image::Layer;

    #[test]
    fn it_holds_no_more_than_its_limit() {
        let chains = Chains::default();
        let chain =
            Arc::new(Chain::new(vec![Layer { digest: Digest::of(b"layer"), size_bytes: 5 }]).unwrap());
        let last = 3 * i64::try_from(MAX_CHAINS).unwrap() - 1;
        for number in 0..=last {
            chains.put(ImageId(number), Arc::clone(&chain));
        }
        let held: usize = chains.0.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(held, MAX_CHAINS);
        let last = ImageId(last);
        assert!(chains.get(last).is_some());
        chains.forget(last);
        assert!(chains.get(last).is_none());
        chains.put(last, Arc::new(Chain::default()));
        assert!(chains.get(last).is_none(), "what has no layers yet");
    }
}
