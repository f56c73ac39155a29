//! For readiness checks: are the tables still there?

use crate::options::{IntentStore, ReplayStore};
use crate::sso::Sso;
use crate::store::probe;

impl Sso {
    /// Looks at one row of every table that sign-in uses, on one snapshot. Cheap enough for a probe every second.
    ///
    /// # Errors
    /// The data layer's own error, for the caller to tell a database that is away
    /// ([`Unavailable`](mainstay_repo::ErrorKind::Unavailable), [`Busy`](mainstay_repo::ErrorKind::Busy),
    /// [`Timeout`](mainstay_repo::ErrorKind::Timeout)) from tables that are gone, damaged
    /// ([`Corrupt`](mainstay_repo::ErrorKind::Corrupt)) or no longer this user's to read
    /// ([`PermissionDenied`](mainstay_repo::ErrorKind::PermissionDenied)).
    pub async fn probe(&self) -> mainstay_repo::Result<()> {
        let mut statements = vec![probe::core()];
        if let IntentStore::Table(table) = &self.options().intents {
            statements.push(probe::intents(table));
        }
        if let ReplayStore::Table(table) = &self.options().replay_keys {
            statements.push(probe::replay_keys(table));
        }
        self.repo().read_many(statements).await.map(drop)
    }
}
