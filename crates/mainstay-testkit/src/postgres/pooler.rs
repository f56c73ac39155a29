//! PgBouncer in transaction mode: what many deployments put between a program and PostgreSQL.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio_postgres::config::Host;

use super::cluster::free_port;
use super::install::Install;
use super::watchdog::{self, DIRECTORY_PREFIX};
use crate::environment;
use crate::random::Random;

const MEND: &str = "install it with `sudo apt-get install --no-install-recommends pgbouncer`";
const NUMBER: &str = "pgbouncer.pid";

/// A PgBouncer in front of a PostgreSQL server. It is stopped when dropped, or when the process ends.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    directory: PathBuf,
    port: u16,
    server: Server,
}

/// The server behind it, and who signs in there.
#[derive(Debug)]
struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl PgBouncer {
    /// Starts one in front of the server of a URL. `settings` are lines for its configuration besides those that it needs.
    ///
    /// It has four connections for each database, so that clients do share them.
    ///
    /// # Panics
    /// When PgBouncer is not installed or does not start, with what mends it.
    #[must_use]
    pub fn start(server_url: &str, settings: &str) -> Self {
        Self::try_start(server_url, settings)
            .unwrap_or_else(|problem| panic!("no PgBouncer for tests: {problem}"))
    }

    /// The one that all tests of this process share.
    pub(super) fn shared(server_url: &str) -> &'static Self {
        static SHARED: OnceLock<PgBouncer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(server_url, ""))
    }

    /// A database's URL through it, for the server's superuser and without any option.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let Server { user, password, .. } = &self.server;
        format!("postgres://{user}:{password}@{}/{database}", self.address())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn try_start(server_url: &str, settings: &str) -> Result<Self, String> {
        let program = program()?;
        let install = Install::find()?;
        let server = Server::of(server_url)?;
        let directory = tempfile::Builder::new()
            .prefix(DIRECTORY_PREFIX)
            .tempdir()
            .map_err(|error| error.to_string())?
            .keep();
        install.make_directory(&directory)?;
        let users = format!("\"{}\" \"{}\"\n", server.user, server.password);
        install.write_file(&directory.join("users"), &users)?;
        watchdog::watch(std::process::id(), &directory, NUMBER)?;
        let mut random = Random::seeded(u64::from(std::process::id()) ^ 0x70_6f_6f_6c);
        let port = free_port(&mut random)?;
        install.write_file(&directory.join("ini"), &configuration(&server, &directory, port, settings))?;
        let mut command = install.command_of(&program, &directory);
        let child = command
            .arg("--quiet")
            .arg(directory.join("ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{command:?} does not start: {error}"))?;
        let mut pooler = Self { child, directory, port, server };
        pooler.wait_until_it_listens()?;
        Ok(pooler)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        for _ in 0..3_000 {
            if TcpStream::connect(self.address()).is_ok() {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            crate::pause(Duration::from_millis(10));
        }
        Err(std::fs::read_to_string(self.directory.join("log")).unwrap_or_default())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended by itself; the watchdog has the rest.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

impl Server {
    fn of(url: &str) -> Result<Self, String> {
        let config: tokio_postgres::Config = url.parse().map_err(|error| format!("{error}"))?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => return Err("the server's URL names no host".to_owned()),
        };
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().unwrap_or_default().to_owned(),
            password: String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned(),
        })
    }
}

fn program() -> Result<PathBuf, String> {
    [PathBuf::from("/usr/sbin")]
        .into_iter()
        .chain(environment::path())
        .map(|directory| directory.join("pgbouncer"))
        .find(|file| file.exists())
        .ok_or_else(|| format!("there is no pgbouncer in /usr/sbin or on PATH; {MEND}"))
}

fn configuration(server: &Server, directory: &Path, port: u16, settings: &str) -> String {
    let at = directory.display();
    let Server { host, port: server_port, .. } = server;
    format!(
        "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir = {at}\nauth_type = scram-sha-256\nauth_file = {at}/users\npool_mode = transaction\n\
         default_pool_size = 4\nmax_client_conn = 1000\nlogfile = {at}/log\npidfile = {at}/{NUMBER}\n{settings}\n"
    )
}
