//! Whoever started a server may be killed; a shell that watches stops the server then.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What every directory with a server in it is called at first; the watchdog removes nothing else.
pub(super) const DIRECTORY_PREFIX: &str = "mainstay-pg-";

/// Waits for the end of process `$1`, ends the server whose number is in `$2/$3` as after a crash, and removes `$2`.
const SCRIPT: &str = r#"
# A zombie answers signals but does nothing any more; a container may have nobody who buries it.
lives() {
    kill -0 "$1" 2>/dev/null || return 1
    case "$(cat "/proc/$1/stat" 2>/dev/null)" in *") Z "*) return 1 ;; esac
}
while lives "$1"; do sleep 0.5; done
server=$(head -n 1 "$2/$3" 2>/dev/null)
if [ -n "$server" ]; then
    kill -s QUIT "$server" 2>/dev/null
    tries=0
    while lives "$server" && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -s KILL "$server" 2>/dev/null
fi
case "$2" in */mainstay-pg-*) rm -rf -- "$2" ;; esac
"#;

/// Where PostgreSQL keeps its number in its directory.
pub(super) const POSTMASTER: &str = "data/postmaster.pid";

/// Starts the shell that outlives this process by a second. `number` is the file in the directory with the server's number.
pub(super) fn watch(process: u32, directory: &Path, number: &str) -> Result<(), String> {
    Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(process.to_string())
        .arg(directory)
        .arg(number)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: what ends the tests' group must not end the one who cleans up.
        .process_group(0)
        .spawn()
        .map(drop)
        .map_err(|error| format!("no shell to stop PostgreSQL afterwards: {error}"))
}
