//! Running other programs: plainly, or line by line with an eye on what they print.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A result whose error is a sentence for the person at the terminal.
pub(crate) type Outcome<T> = Result<T, String>;

/// `cargo` in the workspace, with these arguments.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(args);
    command
}

/// Runs the command on this terminal and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Outcome<bool> {
    let status = command.status().map_err(|e| cannot_start(command, &e))?;
    Ok(status.success())
}

/// Runs the command and returns what it wrote, or its complaint.
pub(crate) fn output_of(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|e| cannot_start(command, &e))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed:\n{}", shown(command), complaint.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} did not write UTF-8", shown(command)))
}

/// Whether a program of this name is on the path.
pub(crate) fn has_program(name: &str) -> bool {
    let mut probe = Command::new("sh");
    probe.args(["-c", "command -v \"$1\"", "sh", name]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Whether `cargo <subcommand>` exists.
pub(crate) fn has_cargo(subcommand: &str) -> bool {
    has_program(&format!("cargo-{subcommand}"))
}

/// Runs the command, passes every line on as it comes and shows it to `on_line`.
///
/// A process that the command leaves behind keeps the pipes open; it is waited for only shortly.
pub(crate) fn stream(command: &mut Command, on_line: &mut dyn FnMut(&str)) -> Outcome<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| cannot_start(command, &e))?;
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        read_lines(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        read_lines(stderr, sender);
    }
    let ended = || child.try_wait().map(|status| status.is_some()).unwrap_or(true);
    drain(&lines, ended, on_line);
    let status = child.wait().map_err(|e| format!("{} was lost: {e}", shown(command)))?;
    Ok(status.success())
}

fn drain(lines: &Receiver<String>, mut ended: impl FnMut() -> bool, on_line: &mut dyn FnMut(&str)) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut silent_since: Option<Instant> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                println!("{line}");
                on_line(&line);
                silent_since = None;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if ended() => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line);
            if to.send(text.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("{} does not start: {error}", shown(command))
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_shows_both_outputs_and_the_exit_code() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let good = stream(&mut command, &mut |line| seen.push(line.to_owned())).unwrap();
        seen.sort();
        assert_eq!((good, seen), (false, vec!["one".to_owned(), "two".to_owned()]));
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_stream() {
        let started = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!"]);
        let mut left_behind = String::new();
        assert!(stream(&mut command, &mut |line| left_behind = line.to_owned()).unwrap());
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(succeeds(Command::new("kill").arg(&left_behind)).unwrap());
    }

    #[test]
    fn a_missing_program_is_named() {
        let problem = output_of(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(problem.contains("no-such-program-here"), "{problem}");
        assert!(!has_program("no-such-program-here"));
    }
}
