//! Stores in memory: for tests and the first five minutes. They forget everything at a restart and share nothing with
//! another node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mainstay_core::Timestamp;

use crate::ids::TraceId;
use crate::store::intents::{NewIntent, StoredIntent};

/// The most entries that a store holds; the oldest make room.
pub(crate) const MAX_ENTRIES: usize = 100_000;

/// Says once what a store in memory does not do.
pub(crate) fn warn(store: &str, replacement: &str) {
    tracing::warn!(
        store,
        replacement,
        "the store of {store} is in memory: single-node and non-durable; logins in flight are lost at a restart and \
         other nodes do not see them; use {replacement} instead"
    );
}

struct Held<V> {
    entries: HashMap<String, (V, Instant)>,
    order: VecDeque<String>,
}

/// Entries that expire, by a clock that never goes back.
struct Expiring<V>(Mutex<Held<V>>);

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self(Mutex::new(Held { entries: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<V> Expiring<V> {
    fn lock(&self) -> MutexGuard<'_, Held<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry unless there is one with this key.
    fn insert(&self, key: &str, value: V, ttl: Duration) -> bool {
        let mut held = self.lock();
        if held.entries.contains_key(key) {
            return false;
        }
        while held.order.len() >= MAX_ENTRIES {
            let oldest = held.order.pop_front();
            oldest.and_then(|key| held.entries.remove(&key));
        }
        held.order.push_back(key.to_owned());
        held.entries.insert(key.to_owned(), (value, Instant::now() + ttl));
        true
    }

    fn prune(&self) -> u64 {
        let mut held = self.lock();
        let before = held.entries.len();
        let now = Instant::now();
        held.entries.retain(|_, (_, until)| *until > now);
        let Held { entries, order } = &mut *held;
        order.retain(|key| entries.contains_key(key));
        u64::try_from(before - entries.len()).unwrap_or(u64::MAX)
    }
}

/// Request intents in memory.
#[derive(Default)]
pub(crate) struct MemoryIntents(Expiring<(StoredIntent, Option<TraceId>)>);

impl MemoryIntents {
    pub(crate) fn insert(&self, intent: &NewIntent, ttl: Duration, now: Timestamp) -> bool {
        let stored = StoredIntent {
            request_id: intent.request_id.clone(),
            connection: intent.connection,
            browser_hash: intent.browser_hash.clone(),
            return_path: intent.return_path.clone(),
            force_authn: intent.force_authn,
            issued_at: now,
            consumed: false,
            expired: false,
        };
        self.0.insert(&intent.relay_state, (stored, None), ttl)
    }

    pub(crate) fn find(&self, relay_state: &str) -> Option<StoredIntent> {
        let held = self.0.lock();
        let ((intent, _), until) = held.entries.get(relay_state)?;
        Some(StoredIntent { expired: *until <= Instant::now(), ..intent.clone() })
    }

    /// Uses an intent up; false unless every value fits and it is neither expired nor used by another login.
    pub(crate) fn consume(
        &self,
        relay_state: &str,
        expected: &StoredIntent,
        browser_hash: &[u8],
        trace: TraceId,
    ) -> bool {
        let mut held = self.0.lock();
        let Some(((intent, used_by), until)) = held.entries.get_mut(relay_state) else { return false };
        if *used_by == Some(trace) {
            return true;
        }
        let fits = intent.request_id == expected.request_id
            && intent.connection == expected.connection
            && intent.browser_hash == browser_hash
            && !intent.consumed
            && *until > Instant::now();
        if fits {
            intent.consumed = true;
            *used_by = Some(trace);
        }
        fits
    }

    pub(crate) fn prune(&self) -> u64 {
        self.0.prune()
    }
}

/// Replay keys in memory.
#[derive(Default)]
pub(crate) struct MemoryReplayKeys(Expiring<TraceId>);

impl MemoryReplayKeys {
    /// Marks an assertion as used; false when another login used it before.
    pub(crate) fn insert(&self, key: &str, trace: TraceId, ttl: Duration) -> bool {
        self.0.insert(key, trace, ttl) || self.holder(key) == Some(trace)
    }

    pub(crate) fn holder(&self, key: &str) -> Option<TraceId> {
        self.0.lock().entries.get(key).map(|(trace, _)| *trace)
    }

    pub(crate) fn prune(&self) -> u64 {
        self.0.prune()
    }
}
