//! A server of one test's own, to be restarted and killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use super::watchdog::{self, DIRECTORY_PREFIX, POSTMASTER};
use super::{PostgresDatabase, admin};

/// A PostgreSQL server that belongs to one test. It is stopped and removed when dropped, or when the process ends.
#[derive(Debug)]
pub struct PrivateCluster {
    cluster: Cluster,
    directory: PathBuf,
}

impl PrivateCluster {
    /// Makes and starts one; takes a second or two. `MAINSTAY_TEST_POSTGRES` changes nothing here.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start, with what mends it.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|problem| panic!("no PostgreSQL of one's own: {problem}"))
    }

    fn try_start() -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix(DIRECTORY_PREFIX)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .map_err(|error| error.to_string())?
            .keep();
        watchdog::watch(std::process::id(), &directory, POSTMASTER)?;
        let cluster = Cluster::create(&directory)?;
        Ok(Self { cluster, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cluster.port()))
    }

    /// The URL of its first database.
    #[must_use]
    pub fn admin_url(&self) -> String {
        Cluster::url(self.cluster.port(), "postgres")
    }

    /// A new database on it.
    #[must_use]
    pub fn database(&self) -> PostgresDatabase {
        PostgresDatabase::create_on(&self.admin_url())
    }

    /// Runs SQL in its first database, as the superuser.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<String> {
        admin::query(&self.admin_url(), sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"))
    }

    /// Stops it in order, which ends every session, and starts it again.
    ///
    /// # Panics
    /// When it does not stop or start.
    pub fn restart(&self) {
        self.stop();
        self.resume();
    }

    /// Stops it in order, which ends every session.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        self.cluster.stop("fast").unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Ends every one of its processes with SIGKILL, as the loss of power would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        self.cluster.kill().unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Starts it after [`PrivateCluster::stop`] or [`PrivateCluster::kill`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        self.cluster.start().unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Starts it again with TLS, or with another certificate: a chain and its key, both PEM.
    ///
    /// # Panics
    /// When it does not start with them.
    pub fn serve_tls(&self, certificate: &str, key: &str) {
        self.cluster
            .write_file("data/server.crt", certificate)
            .and_then(|()| self.cluster.write_file("data/server.key", key))
            .unwrap_or_else(|problem| panic!("{problem}"));
        let _none = self.query("ALTER SYSTEM SET ssl = on");
        self.restart();
    }

    /// Makes a directory that the server may write to.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_directory(&self, directory: &Path) {
        self.cluster.make_directory(directory).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        // It may be stopped already; what remains is the watchdog's.
        drop(self.cluster.stop("immediate"));
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
