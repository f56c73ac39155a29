//! The Debian packages that tests run against: real databases, identity providers, oracles and a browser.

use crate::shell;
use std::path::Path;
use std::process::Command;

/// A package, and how to see that what it brings is there.
struct Needed {
    package: &'static str,
    probe: Probe,
}

enum Probe {
    Program(&'static str),
    /// A file or directory that ends so, under one of the directories in `under`.
    File {
        under: &'static str,
        end: &'static str,
    },
    PhpModule(&'static str),
}

const NEEDED: &[Needed] = &[
    Needed { package: "postgresql", probe: Probe::File { under: "/usr/lib/postgresql", end: "bin/initdb" } },
    Needed { package: "pgbouncer", probe: Probe::File { under: "/usr/sbin", end: "pgbouncer" } },
    Needed { package: "php-cli", probe: Probe::Program("php") },
    Needed { package: "php-xml", probe: Probe::PhpModule("dom") },
    Needed { package: "php-sqlite3", probe: Probe::PhpModule("pdo_sqlite") },
    Needed { package: "simplesamlphp", probe: Probe::File { under: "/usr/share", end: "simplesamlphp" } },
    Needed { package: "xmlsec1", probe: Probe::Program("xmlsec1") },
    Needed { package: "umoci", probe: Probe::Program("umoci") },
    Needed { package: "skopeo", probe: Probe::Program("skopeo") },
    Needed { package: "docker-registry", probe: Probe::Program("docker-registry") },
    Needed { package: "jq", probe: Probe::Program("jq") },
    Needed { package: "erofs-utils", probe: Probe::Program("mkfs.erofs") },
    Needed { package: "chromium", probe: Probe::Program("chromium") },
];

/// Installs what is missing, and returns what still is.
pub(super) fn install_missing() -> Vec<&'static str> {
    let missing = missing();
    if missing.is_empty() {
        return missing;
    }
    println!("== packages: {}", missing.join(" "));
    let Some(prefix) = privilege() else {
        println!("this user may not install packages; do it once with:");
        println!("  sudo apt-get install --no-install-recommends {}", missing.join(" "));
        return missing;
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    for args in [vec!["update"], install] {
        let mut command = apt_get(prefix, &args);
        match shell::succeeds(&mut command) {
            Ok(true) => {}
            Ok(false) => println!("{} failed", shell::shown(&command)),
            Err(problem) => println!("{problem}"),
        }
    }
    self::missing()
}

/// The words before `apt-get` that make it run as root, if there are any.
fn privilege() -> Option<&'static [&'static str]> {
    if !shell::has_program("apt-get") {
        return None;
    }
    let user = shell::output_of(Command::new("id").arg("-u")).ok()?;
    if user.trim() == "0" {
        return Some(&[]);
    }
    let mut sudo = Command::new("sudo");
    let may = shell::has_program("sudo") && shell::output_of(sudo.args(["-n", "true"])).is_ok();
    may.then_some(&["sudo", "-n"])
}

/// `apt-get` that asks nothing.
fn apt_get(prefix: &[&str], args: &[&str]) -> Command {
    let mut words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).copied();
    let mut command = Command::new(words.next().unwrap_or("env"));
    command.args(words).args(args);
    command
}

fn missing() -> Vec<&'static str> {
    NEEDED.iter().filter(|needed| !needed.probe.finds_it()).map(|needed| needed.package).collect()
}

impl Probe {
    fn finds_it(&self) -> bool {
        match self {
            Self::Program(name) => shell::has_program(name),
            Self::File { under, end } => below(Path::new(under), end),
            Self::PhpModule(name) => shell::output_of(Command::new("php").arg("-m"))
                .is_ok_and(|modules| modules.lines().any(|module| module.eq_ignore_ascii_case(name))),
        }
    }
}

/// Whether `under/end` or `under/*/end` exists.
fn below(under: &Path, end: &str) -> bool {
    let inner = std::fs::read_dir(under).into_iter().flatten().flatten();
    under.join(end).exists() || inner.map(|entry| entry.path()).any(|path| path.join(end).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_get_asks_nothing() {
        assert_eq!(
            shell::shown(&apt_get(&["sudo", "-n"], &["update"])),
            "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
        assert_eq!(
            shell::shown(&apt_get(&[], &["update"])),
            "env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(!Probe::Program("no-such-program-here").finds_it());
        assert!(!Probe::File { under: "/no-such-directory", end: "x" }.finds_it());
        assert!(Probe::File { under: env!("CARGO_MANIFEST_DIR"), end: "test/mod.rs" }.finds_it());
        assert!(Probe::File { under: env!("CARGO_MANIFEST_DIR"), end: "Cargo.toml" }.finds_it());
    }
}
