//! All states that were reached, each once, with the state from which it was first reached.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Marks a place of the table that is free, and the parent of the first state.
const NONE: u32 = u32::MAX;

/// States in the order in which they were found. Holds at most `u32::MAX - 1` of them.
#[derive(Debug)]
pub(super) struct Arena<K> {
    keys: Vec<K>,
    parents: Vec<u32>,
    /// Open addressing with linear probing: indices into `keys`. Its length is a power of two, at least twice the number of states.
    table: Vec<u32>,
}

impl<K: Copy + Eq + Hash> Arena<K> {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), parents: Vec::new(), table: vec![NONE; 1 << 10] }
    }

    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn key(&self, index: usize) -> K {
        self.keys[index]
    }

    /// The state from which a state was first reached.
    pub(super) fn parent(&self, index: usize) -> Option<usize> {
        let parent = self.parents[index];
        (parent != NONE).then_some(parent as usize)
    }

    /// The index of a state that was not there yet.
    pub(super) fn insert(&mut self, key: K, parent: Option<usize>) -> Option<usize> {
        if (self.keys.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let place = self.place_of(&key);
        if self.table[place] != NONE {
            return None;
        }
        let index = self.keys.len();
        self.table[place] = narrow(index);
        self.keys.push(key);
        self.parents.push(parent.map_or(NONE, narrow));
        Some(index)
    }

    /// Where a state is in the table, or the free place where it belongs.
    fn place_of(&self, key: &K) -> usize {
        let mask = self.table.len() - 1;
        let mut place = slot(key, mask);
        while self.table[place] != NONE && self.keys[self.table[place] as usize] != *key {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        let mut table = vec![NONE; mask + 1];
        for (index, key) in self.keys.iter().enumerate() {
            let mut place = slot(key, mask);
            while table[place] != NONE {
                place = (place + 1) & mask;
            }
            table[place] = narrow(index);
        }
        self.table = table;
    }
}

fn slot<K: Hash>(key: &K, mask: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    #[allow(clippy::cast_possible_truncation, reason = "the table uses the low bits only")]
    let hash = hasher.finish() as usize;
    hash & mask
}

#[allow(clippy::cast_possible_truncation, reason = "memory ends long before 2^32 states do")]
const fn narrow(index: usize) -> u32 {
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_once() {
        let mut arena = Arena::new();
        for round in 0..2 {
            for state in 0..5_000_u32 {
                assert_eq!(arena.insert(state, None).is_some(), round == 0, "{state}");
            }
        }
        assert_eq!((arena.len(), arena.key(4_999)), (5_000, 4_999));
    }
}
