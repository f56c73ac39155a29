//! A database for one test, of either kind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_repo::{Limits, Repo, RepoOptions, TransactionLimits};
use tempfile::TempDir;

use crate::postgres::PostgresDatabase;

/// A database that is gone when this is dropped.
#[derive(Debug)]
pub enum TestDatabase {
    /// A SQLite file in a temporary directory.
    Sqlite(SqliteFile),
    /// A database of the shared PostgreSQL server.
    Postgres(PostgresDatabase),
}

/// A SQLite file in a temporary directory of its own.
#[derive(Debug)]
pub struct SqliteFile {
    directory: TempDir,
    url: String,
}

impl SqliteFile {
    /// A place for a file that is not there yet.
    ///
    /// # Panics
    /// When there is no place for a temporary directory.
    #[must_use]
    pub fn create() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let url = format!("sqlite://{}/test.db", directory.path().display());
        Self { directory, url }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    /// The directory in which it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl TestDatabase {
    /// An empty SQLite database.
    #[must_use]
    pub fn sqlite() -> Self {
        Self::Sqlite(SqliteFile::create())
    }

    /// An empty PostgreSQL database. Blocks while the server starts.
    ///
    /// # Panics
    /// When there is no PostgreSQL, with what mends it.
    #[must_use]
    pub fn postgres() -> Self {
        Self::Postgres(PostgresDatabase::create())
    }

    /// An empty PostgreSQL database behind PgBouncer in transaction mode. Blocks while the servers start.
    ///
    /// # Panics
    /// When there is no PostgreSQL or no PgBouncer, with what mends it.
    #[must_use]
    pub fn pooled() -> Self {
        Self::Postgres(PostgresDatabase::create_pooled())
    }

    /// The URL that chooses it.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite(file) => file.url(),
            Self::Postgres(database) => database.url(),
        }
    }

    /// Opens it with [`TestDatabase::options`].
    ///
    /// # Panics
    /// When it does not open.
    pub async fn repo(&self) -> Repo {
        self.options().connect().await.unwrap_or_else(|error| panic!("{self:?} does not open: {error:?}"))
    }

    /// Options to open it with. Transactions may take long, so that a busy machine fails no test.
    ///
    /// # Panics
    /// When its URL is not understood.
    #[must_use]
    pub fn options(&self) -> RepoOptions {
        let long = Duration::from_secs(60);
        let limits = Limits { transaction: TransactionLimits { idle: long, total: long }, ..Limits::DEFAULT };
        let options = RepoOptions::new(self.url()).unwrap_or_else(|error| panic!("{self:?}: {error:?}"));
        options.with_limits(limits)
    }
}

/// Runs a test on a database of each kind, one after the other.
///
/// # Panics
/// When the test does, or a database cannot be had.
pub async fn for_each_database(test: impl AsyncFn(&TestDatabase)) {
    test(&TestDatabase::sqlite()).await;
    test(&TestDatabase::postgres()).await;
}
