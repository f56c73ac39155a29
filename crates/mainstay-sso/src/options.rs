//! How sign-in is set up: clock, randomness, stores, lifetimes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, SystemClock};

use crate::error::{Error, ErrorKind, Result};
use crate::random::{Random, SystemRandom};
use crate::store::{IntentTable, ReplayTable};

/// Where request intents are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentStore {
    /// In the database.
    Table(IntentTable),
    /// In memory: single-node and non-durable.
    Memory,
}

impl Default for IntentStore {
    fn default() -> Self {
        Self::Table(IntentTable::default())
    }
}

/// Where replay keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayStore {
    /// In the database.
    Table(ReplayTable),
    /// In memory: single-node and non-durable.
    Memory,
}

impl Default for ReplayStore {
    fn default() -> Self {
        Self::Table(ReplayTable::default())
    }
}

/// What is said of a store in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryStores {
    /// Nothing: for tests and `--dev`.
    Allow,
    /// A warning, once a store.
    #[default]
    Warn,
    /// It is refused.
    Refuse,
}

/// How long things live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// How long the answer to a request is awaited.
    pub intent: Duration,
    /// How long a session lives without being used.
    pub session_idle: Duration,
    /// How long a session lives at most.
    pub session_absolute: Duration,
    /// How long a session's last use may go unwritten.
    pub session_touch: Duration,
    /// How long a setup token can be used.
    pub setup_token: Duration,
    /// How long login traces are kept.
    pub trace: Duration,
    /// How long replay keys are kept beyond the validity of their assertion. It covers the difference between the clocks of
    /// the nodes and of the database.
    pub replay_margin: Duration,
    /// How long expired intents, sessions and setup tokens are kept, so that a late user is told the exact reason.
    pub keep_expired: Duration,
}

impl Lifetimes {
    /// What holds unless it is changed.
    pub const DEFAULT: Self = Self {
        intent: Duration::from_secs(300),
        session_idle: Duration::from_secs(30 * 60),
        session_absolute: Duration::from_secs(12 * 60 * 60),
        session_touch: Duration::from_secs(60),
        setup_token: Duration::from_secs(60 * 60),
        trace: Duration::from_secs(90 * 24 * 60 * 60),
        replay_margin: Duration::from_secs(60 * 60),
        keep_expired: Duration::from_secs(60 * 60),
    };
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How sign-in is set up. The default is right for production.
#[derive(Clone)]
pub struct SsoOptions {
    /// The time of the protocol and of identifiers; expiry goes by the database's clock.
    pub clock: Arc<dyn Clock>,
    /// What secrets are made of.
    pub random: Arc<dyn Random>,
    /// Where request intents are kept.
    pub intents: IntentStore,
    /// Where replay keys are kept.
    pub replay_keys: ReplayStore,
    /// What is said of a store in memory.
    pub memory_stores: MemoryStores,
    /// How long things live.
    pub lifetimes: Lifetimes,
}

impl Default for SsoOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            intents: IntentStore::default(),
            replay_keys: ReplayStore::default(),
            memory_stores: MemoryStores::default(),
            lifetimes: Lifetimes::DEFAULT,
        }
    }
}

impl fmt::Debug for SsoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SsoOptions")
            .field("intents", &self.intents)
            .field("replay_keys", &self.replay_keys)
            .field("memory_stores", &self.memory_stores)
            .field("lifetimes", &self.lifetimes)
            .finish_non_exhaustive()
    }
}

impl SsoOptions {
    /// Warns of, or refuses, stores in memory, and one table for two stores.
    pub(crate) fn check(&self) -> Result<()> {
        if let (IntentStore::Table(intents), ReplayStore::Table(replay_keys)) =
            (&self.intents, &self.replay_keys)
            && intents.as_str() == replay_keys.as_str()
        {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("the table {:?} cannot hold both request intents and replay keys", intents.as_str()),
            ));
        }
        if self.intents == IntentStore::Memory {
            self.memory_store("request intents", "IntentStore::Table")?;
        }
        if self.replay_keys == ReplayStore::Memory {
            self.memory_store("replay keys", "ReplayStore::Table")?;
        }
        Ok(())
    }

    fn memory_store(&self, store: &str, replacement: &str) -> Result<()> {
        match self.memory_stores {
            MemoryStores::Allow => {}
            MemoryStores::Warn => crate::memory::warn(store, replacement),
            MemoryStores::Refuse => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "the store of {store} is in memory: single-node and non-durable, and that is refused"
                    ),
                )
                .with_help(format!("use {replacement}, which is the default")));
            }
        }
        Ok(())
    }
}
