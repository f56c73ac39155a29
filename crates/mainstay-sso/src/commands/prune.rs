//! Pruning: one small step of each table, at low priority.

use std::time::Duration;

use mainstay_repo::{Priority, Statement};

use crate::error::Result;
use crate::options::{IntentStore, ReplayStore};
use crate::sso::Sso;
use crate::store::prune;

/// How many rows of a table one step removes at most.
const STEP: u32 = 500;
/// The longest that one statement may run on PostgreSQL.
const CAP: Duration = Duration::from_secs(2);

/// How many rows a step of pruning removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// Expired request intents.
    pub intents: u64,
    /// Replay keys whose assertions are long invalid.
    pub replay_keys: u64,
    /// Sessions that ended.
    pub sessions: u64,
    /// Setup tokens that expired.
    pub setup_tokens: u64,
    /// Old login traces.
    pub traces: u64,
}

impl Pruned {
    /// Whether there may be more to remove at once.
    #[must_use]
    pub fn more(&self) -> bool {
        [self.intents, self.replay_keys, self.sessions, self.setup_tokens, self.traces]
            .into_iter()
            .any(|removed| removed >= u64::from(STEP))
    }
}

impl Sso {
    /// Removes a few rows of what nobody needs any more. Call it every minute, and again while [`Pruned::more`].
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable); what was removed before stays removed.
    pub async fn prune(&self) -> Result<Pruned> {
        let lifetimes = &self.options().lifetimes;
        let (keep, limit) = (lifetimes.keep_expired, i64::from(STEP));
        let intents = match &self.options().intents {
            IntentStore::Memory => self.shared.memory_intents.prune(),
            IntentStore::Table(table) => self.remove(prune::intents(table, keep, limit)).await?,
        };
        let replay_keys = match &self.options().replay_keys {
            ReplayStore::Memory => self.shared.memory_replay_keys.prune(),
            ReplayStore::Table(table) => {
                self.remove(prune::replay_keys(table, lifetimes.replay_margin, limit)).await?
            }
        };
        let before = self.now().saturating_sub(lifetimes.trace);
        Ok(Pruned {
            intents,
            replay_keys,
            sessions: self.remove(prune::sessions(keep, limit)).await?,
            setup_tokens: self.remove(prune::setup_tokens(keep, limit)).await?,
            traces: self.remove(prune::traces(before, limit)).await?,
        })
    }

    async fn remove(&self, statement: Statement) -> Result<u64> {
        let repo = self.repo().clone().with_priority(Priority::Low { cap: CAP });
        Ok(repo.write(statement).await?.rows_affected())
    }
}
