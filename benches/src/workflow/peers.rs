//! The same load on the peers: durare, which is a program of its own because it links another SQLite, and DBOS, a Python package in an
//! environment that is made here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mainstay_benches::Row;
use mainstay_testkit::TestDatabase;
use serde::Deserialize;

use crate::engine::Figures;

const DURARE: &str = "durare 0.5.0";
const DBOS: &str = "DBOS 3.4.0";
/// Runs of the latency measurement.
const IDLE_RUNS: usize = 100;

/// What a peer says of itself.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Said {
    noop_steps: f64,
    tx_steps: f64,
    starts: f64,
    idle_ms: f64,
}

/// One way to run a peer.
struct Setting {
    /// As it stands in the rows.
    name: String,
    program: PathBuf,
    /// What stands before the database's URL.
    before: Vec<String>,
    after: Vec<String>,
}

/// The peers that could be made ready, built before anything is measured.
pub(crate) struct Peers {
    durare: Option<PathBuf>,
    dbos: Option<PathBuf>,
}

impl Peers {
    /// Builds durare's program and DBOS's environment; one that cannot be had is left out, and a line says why.
    pub(crate) fn prepare() -> Self {
        let ready = |name: &str, made: Result<PathBuf, String>| {
            made.map_err(|problem| eprintln!("{name} is skipped: {problem}")).ok()
        };
        Self { durare: ready(DURARE, durare()), dbos: ready(DBOS, dbos()) }
    }

    /// Runs each peer on a database of its own, and puts its figures beside ours.
    pub(crate) fn run(&self, database: &str, ours: &Figures, time: Duration, json: bool) {
        for setting in self.settings(database) {
            match setting.run(database, time) {
                Ok(said) => print(database, ours, &setting.name, said, json),
                Err(problem) => eprintln!("{} is skipped on {database}: {problem}", setting.name),
            }
        }
    }

    /// durare's own choice, and with as durable commits as ours; the numbers of connections and callers are those with which each was
    /// fastest on two cores.
    fn settings(&self, database: &str) -> Vec<Setting> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut settings = Vec::new();
        if let Some(program) = &self.durare {
            let kinds: &[(&str, &str)] = match database {
                "sqlite" => &[
                    (", synchronous=NORMAL", "--synchronous normal --connections 16 --callers 64"),
                    (", synchronous=FULL", "--synchronous full --connections 5 --callers 64"),
                ],
                _ => &[("", "--synchronous full --connections 32 --callers 64")],
            };
            settings.extend(kinds.iter().map(|(kind, after)| Setting {
                name: format!("{DURARE}{kind}"),
                program: program.clone(),
                before: Vec::new(),
                after: words(after),
            }));
        }
        if let Some(program) = &self.dbos {
            settings.push(Setting {
                name: if database == "sqlite" {
                    format!("{DBOS}, synchronous=FULL")
                } else {
                    DBOS.to_owned()
                },
                program: program.clone(),
                before: vec![peers().join("dbos/peer.py").display().to_string()],
                after: words("--connections 16 --callers 16"),
            });
        }
        settings
    }
}

impl Setting {
    fn run(&self, database: &str, time: Duration) -> Result<Said, String> {
        // Dropped, and its files with it, when the peer is done.
        let (directory, postgres);
        let url = if database == "sqlite" {
            directory =
                tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).map_err(|error| error.to_string())?;
            format!("sqlite://{}/peer.db", directory.path().display())
        } else {
            postgres = TestDatabase::postgres();
            postgres.url().to_owned()
        };
        let mut command = Command::new(&self.program);
        command.args(&self.before).arg(url).args(&self.after);
        command.args(["--millis", &time.as_millis().to_string(), "--idle", &IDLE_RUNS.to_string()]);
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        said.ok_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn print(database: &str, ours: &Figures, peer: &str, said: Said, json: bool) {
    let rate = |name: &str, ours: f64, said: f64| {
        Row::rate(format!("beside_{name}_{database}"), ours, peer, said).print(json)
    };
    rate("noop_steps", ours.noop_steps, said.noop_steps);
    rate("tx_steps", ours.tx_steps, said.tx_steps);
    rate("starts", ours.starts, said.starts);
    Row::less(format!("beside_idle_run_of_5_{database}"), "ms", ours.idle_ms, peer, said.idle_ms).print(json);
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where the peers are built: in the benches' own target directory.
fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from).join("peers")
}

/// Runs a command that makes something ready; its output is only of interest when it fails.
fn make(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("; ");
    Err(format!("{command:?} failed: {last}"))
}

fn durare() -> Result<PathBuf, String> {
    let target = built().join("durare");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building {DURARE}; the first time that takes minutes");
    let manifest = peers().join("durare/Cargo.toml");
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", &target);
    make(&mut build)?;
    Ok(target.join("release/peer-durare"))
}

fn dbos() -> Result<PathBuf, String> {
    let environment = built().join("dbos");
    let python = environment.join("bin/python");
    let requirements = peers().join("dbos/requirements.txt");
    if !python.exists() {
        make(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let has = Command::new(&python).args(["-c", "import dbos"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        make(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(requirements),
        )?;
    }
    Ok(python)
}
