//! PostgreSQL for tests: one server for a whole test command, a database for each test, and servers that may be killed.

mod admin;
mod cluster;
mod install;
mod pooler;
mod private;
mod shared;
mod watchdog;

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

pub use pooler::PgBouncer;
pub use private::PrivateCluster;

use crate::environment;

/// A database of the shared server (or of the one in `MAINSTAY_TEST_POSTGRES`), dropped with this.
#[derive(Debug)]
pub struct PostgresDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl PostgresDatabase {
    /// An empty database with a name of its own.
    ///
    /// # Panics
    /// When there is no server and none can be started, with what mends it.
    #[must_use]
    pub fn create() -> Self {
        let admin_url = environment::postgres_url().unwrap_or_else(|| {
            shared::admin_url().unwrap_or_else(|problem| panic!("no PostgreSQL for tests: {problem}"))
        });
        Self::create_on(&admin_url)
    }

    /// The same, but its URL leads through a PgBouncer in transaction mode and says so.
    ///
    /// # Panics
    /// When there is no server or no PgBouncer, with what mends it.
    #[must_use]
    pub fn create_pooled() -> Self {
        let mut database = Self::create();
        let url = PgBouncer::shared(&database.admin_url).url(&database.name);
        database.url = format!("{url}?pooler=transaction");
        database
    }

    /// An empty database of a server, given the URL of one that is there already.
    pub(crate) fn create_on(admin_url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", process::id());
        admin::execute(admin_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .and_then(|()| admin::execute(admin_url, &format!("CREATE DATABASE {name} TEMPLATE template0")))
            .unwrap_or_else(|problem| panic!("no database for a test: {problem}"));
        Self { url: admin::with_database(admin_url, &name), admin_url: admin_url.to_owned(), name }
    }

    /// The URL that chooses it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of the server's first database, for what a test does behind the back of the code that it tests.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Runs SQL in this database on a connection of its own, and returns the first column of each row as text.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<String> {
        admin::query(&admin::with_database(&self.admin_url, &self.name), sql)
            .unwrap_or_else(|problem| panic!("{sql}: {problem}"))
    }

    /// The same by the URL that chooses it, which may lead through a pooler.
    ///
    /// # Panics
    /// When the server or the pooler refuses it.
    #[must_use]
    pub fn query_by_url(&self, sql: &str) -> Vec<String> {
        let url = self.url.split('?').next().unwrap_or(&self.url);
        admin::query(url, sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"))
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let dropped =
            admin::execute(&self.admin_url, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // The server may be gone by the test's own doing; then the database is gone with it.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_empty_and_gone_afterwards() {
        let database = PostgresDatabase::create();
        assert_eq!(database.query("SELECT current_database()"), [database.name()]);
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(database.query(tables), ["0"]);
        let (admin_url, name) = (database.admin_url().to_owned(), database.name().to_owned());
        drop(database);
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(admin::query(&admin_url, &left).unwrap(), ["0"]);
    }

    #[test]
    fn a_private_server_survives_its_kill_in_a_crash() {
        let cluster = PrivateCluster::start();
        let database = cluster.database();
        assert_eq!(database.query("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)"), [""; 0]);
        cluster.kill();
        assert!(admin::query(database.url(), "SELECT 1").is_err());
        cluster.resume();
        assert_eq!(database.query("SELECT id FROM kept"), ["7"]);
        cluster.restart();
        assert_eq!(database.query("SELECT id FROM kept"), ["7"]);
    }
}
