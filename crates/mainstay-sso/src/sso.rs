//! The handle.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use mainstay_core::Timestamp;
use mainstay_repo::Repo;

use crate::error::Result;
use crate::ids::ConnectionId;
use crate::memory::{MemoryIntents, MemoryReplayKeys};
use crate::options::SsoOptions;
use crate::sign_in::Snapshot;
use crate::token::BrowserBinding;

/// The handle to sign-in on one database: cheap to clone, shared by all who use it.
#[derive(Clone)]
pub struct Sso {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) repo: Repo,
    pub(crate) options: SsoOptions,
    pub(crate) memory_intents: MemoryIntents,
    pub(crate) memory_replay_keys: MemoryReplayKeys,
    /// What logins go by. Each use is checked against the version in the database, so it may be old but never wrong.
    pub(crate) snapshots: Mutex<HashMap<ConnectionId, Arc<Snapshot>>>,
}

impl fmt::Debug for Sso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sso")
            .field("repo", &self.shared.repo)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Sso {
    /// Sign-in on a database that has the tables of [`COMPONENT`](crate::COMPONENT).
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when a store is in memory and that is refused, or when
    /// one table is to hold both request intents and replay keys.
    pub fn new(repo: Repo, options: SsoOptions) -> Result<Self> {
        options.check()?;
        let shared = Shared {
            repo: repo.for_component(crate::COMPONENT.name),
            options,
            memory_intents: MemoryIntents::default(),
            memory_replay_keys: MemoryReplayKeys::default(),
            snapshots: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A new secret that ties logins to a browser, for a `__Host-` cookie.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when there is no randomness.
    pub fn browser_binding(&self) -> Result<BrowserBinding> {
        BrowserBinding::generate(&*self.shared.options.random)
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.shared.repo
    }

    pub(crate) fn options(&self) -> &SsoOptions {
        &self.shared.options
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.options.clock.now()
    }
}
