//! One PostgreSQL server in a directory: made, started, stopped and killed.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::install::Install;
use crate::random::Random;

/// The superuser and its password. The server listens on this machine only and lives as long as the tests.
const USER: &str = "mainstay";
const PASSWORD: &str = "only-for-tests";

/// A server's directory, programs and port.
#[derive(Debug)]
pub(super) struct Cluster {
    install: Install,
    directory: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes a server in an existing directory and starts it.
    pub(super) fn create(directory: &Path) -> Result<Self, String> {
        let install = Install::find()?;
        install.make_directory(&directory.join("data"))?;
        install.make_directory(&directory.join("run"))?;
        let password = directory.join("password");
        fs::write(&password, PASSWORD).map_err(|error| format!("{}: {error}", password.display()))?;
        let mut initdb = install.command("initdb", directory);
        initdb.arg("--pgdata").arg(directory.join("data")).arg("--pwfile").arg(&password).args([
            "--username",
            USER,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]);
        run(&mut initdb)?;
        let settings = directory.join("data/postgresql.conf");
        append(&settings, &conf(directory))?;
        let mut cluster = Self { install, directory: directory.to_owned(), port: 0 };
        cluster.start_somewhere()?;
        Ok(cluster)
    }

    /// The port on which it listens.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// A database's URL for the superuser.
    pub(super) fn url(port: u16, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// Whether something listens on the port.
    pub(super) fn answers(port: u16) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
    }

    fn start_somewhere(&mut self) -> Result<(), String> {
        let mut random = Random::seeded(u64::from(std::process::id()));
        let mut problem = String::new();
        for _ in 0..5 {
            self.port = free_port(&mut random)?;
            match self.start() {
                Ok(()) => return Ok(()),
                Err(next) => problem = next,
            }
        }
        Err(problem)
    }

    /// Starts it where it was, and waits until it answers.
    pub(super) fn start(&self) -> Result<(), String> {
        let log = self.directory.join("data/log");
        let mut start = self.control(&["--wait", "--timeout=60"]);
        start.arg("--log").arg(&log).arg("--options").arg(format!("-p {}", self.port)).arg("start");
        run(&mut start)
            .map_err(|problem| format!("{problem}\n{}", fs::read_to_string(&log).unwrap_or_default()))
    }

    /// Stops it: `fast` ends sessions in order, `immediate` does not.
    pub(super) fn stop(&self, mode: &str) -> Result<(), String> {
        run(self.control(&["--wait", "--timeout=60", "--mode", mode]).arg("stop"))
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = self.install.command("pg_ctl", &self.directory);
        command.arg("--pgdata").arg(self.directory.join("data")).args(arguments);
        command
    }

    /// Makes a directory that the server may write to.
    pub(super) fn make_directory(&self, directory: &Path) -> Result<(), String> {
        self.install.make_directory(directory)
    }

    /// Writes a file that belongs to the server and is for nobody else's eyes.
    pub(super) fn write_file(&self, name: &str, text: &str) -> Result<(), String> {
        self.install.write_file(&self.directory.join(name), text)
    }

    /// Ends the server and every one of its processes with SIGKILL.
    pub(super) fn kill(&self) -> Result<(), String> {
        let file = self.directory.join("data/postmaster.pid");
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let server: u32 = text
            .lines()
            .next()
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| format!("{} does not begin with a number", file.display()))?;
        // The server first, stopped, so that it starts no more processes while the others are counted.
        signal("STOP", &[server])?;
        let mut processes = children_of(server);
        processes.push(server);
        signal("KILL", &processes)?;
        wait_until_gone(&processes)?;
        // A zombie that nobody buries still counts as running for the server that starts next.
        let socket = self.directory.join(format!("run/.s.PGSQL.{}.lock", self.port));
        [file, socket].iter().try_for_each(|lock| {
            fs::remove_file(lock).map_err(|error| format!("{}: {error}", lock.display()))
        })
    }
}

/// What differs from the stock configuration; `fsync` stays on.
fn conf(directory: &Path) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 300\nfsync = on\n\
         shared_buffers = 64MB\nmax_wal_size = 512MB\nlog_min_messages = fatal\ntimezone = 'Asia/Kathmandu'\n",
        directory.join("run").display()
    )
}

fn append(file: &Path, text: &str) -> Result<(), String> {
    let old = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    fs::write(file, old + text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A port below those that outgoing connections take, so that a restarted server finds it free again.
pub(super) fn free_port(random: &mut Random) -> Result<u16, String> {
    for _ in 0..200 {
        let port = u16::try_from(15_000 + random.below(15_000)).unwrap_or(15_432);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free on 127.0.0.1".to_owned())
}

/// Runs a program to its end. Its output goes to no pipe, because a server that it leaves behind would hold the pipe.
fn run(command: &mut Command) -> Result<(), String> {
    let complaint = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let output = complaint.reopen().map_err(|error| error.to_string())?;
    let errors = complaint.reopen().map_err(|error| error.to_string())?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(|error| format!("{command:?} does not start: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", fs::read_to_string(complaint.path()).unwrap_or_default()))
}

fn signal(name: &str, processes: &[u32]) -> Result<(), String> {
    let mut command = Command::new("sh");
    command.args(["-c", "kill -s \"$@\" 2>/dev/null || true", "sh", name]);
    run(command.args(processes.iter().map(u32::to_string)))
}

/// The processes whose parent is `parent`, by `/proc`.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| stat(*process).is_some_and(|(_, its_parent)| its_parent == parent))
        .collect()
}

/// A process's state and its parent.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn wait_until_gone(processes: &[u32]) -> Result<(), String> {
    for _ in 0..1_000 {
        let lives = |process: &u32| stat(*process).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'));
        if !processes.iter().any(lives) {
            return Ok(());
        }
        crate::pause(Duration::from_millis(10));
    }
    Err(format!("the processes {processes:?} outlive their kill"))
}
