//! The binary under test: as a command that ends, and as a server that runs until it is ended or killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mainstay_testkit::pause;

/// What a test expects of a process at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with an environment of its own.
pub(crate) fn mainstay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.env_clear().env("USER", "tester").env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    mainstay().args(args).output().unwrap()
}

/// Runs a command that must succeed, with `--json`, and gives its document.
pub(crate) fn json(args: &[&str]) -> serde_json::Value {
    let output = mainstay().args(args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

/// A port that was free a moment ago, to be used again after a kill. It is below those that the system gives to connections,
/// so that none of the other tests' can be on it in between.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(37);
    loop {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        let port = 10_000 + u16::try_from(offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The URL that it printed.
    pub(crate) url: String,
    /// The address that it listens on.
    pub(crate) listen: String,
    pub(crate) setup_link: Option<String>,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, Stdio::inherit())
    }

    /// The same; what it tells of errors goes elsewhere.
    pub(crate) fn start_with(args: &[&str], errors: Stdio) -> Self {
        let mut child = mainstay()
            .args(["serve", "--json", "--log", "warn"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("{args:?} does not start: {error}: {line:?} {:?}", child.wait());
        });
        let text = |key: &str| started[key].as_str().map(str::to_owned);
        Self {
            child,
            url: text("url").unwrap(),
            listen: text("listen").unwrap(),
            setup_link: text("setup_link"),
        }
    }

    /// A server on a free port with a SQLite database in a directory.
    pub(crate) fn in_directory(directory: &Path, args: &[&str]) -> Self {
        let data = directory.join("data");
        let mut all = vec!["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        all.extend(args);
        Self::start(&all)
    }

    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// SIGKILL: what a crash, the out-of-memory killer or a power cut look like to the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Any signal, without waiting.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            pause(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
