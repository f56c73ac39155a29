//! What an acknowledged write survives.

use crate::error::Result;
use crate::repo::Repo;
use crate::statement::{Dialect, Statement};

/// What an acknowledged write survives, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process that wrote it, and of the database's; the last writes may be gone after a loss of power.
    ///
    /// SQLite with `synchronous=normal`; PostgreSQL with `fsync=off` or `full_page_writes=off`, after which the whole database may be
    /// unreadable.
    Process,
    /// A loss of power as well.
    Power,
}

impl Repo {
    /// What an acknowledged write survives, as URL and server are set.
    ///
    /// Commits on PostgreSQL wait for the disk whatever `synchronous_commit` is set to for the role, the database or the server: the
    /// connection sets its own. What a server does when it is told to write to the disk is the server's, and asked for here.
    ///
    /// # Errors
    /// As [`Repo::read`].
    pub async fn durability(&self) -> Result<Durability> {
        let is_durable = match self.dialect() {
            Dialect::Sqlite => self.engine().waits_for_disk(),
            Dialect::Postgres => {
                let sql = "SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable";
                self.read_one::<crate::Row>(Statement::new(sql)).await?.get("durable")?
            }
        };
        Ok(if is_durable { Durability::Power } else { Durability::Process })
    }
}
