//! Processes that are killed, and what they had said until then.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::environment;

/// A child process whose lines are collected until it is killed. Dropping it kills it.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    heard: Arc<Heard>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Victim {
    /// Starts a program; its standard output is read line by line, its errors go where the test's go.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = child.stdout.take().expect("the output is piped");
        let heard = Arc::new(Heard::default());
        let listener = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            // A line without its end was cut by the kill and says nothing.
            while stdout.read_line(&mut line).is_ok() && line.ends_with('\n') {
                listener.lines.lock().expect("no reader panics").push(line.trim_end().to_owned());
                listener.more.notify_all();
                line.clear();
            }
        });
        Self { child, heard, reader: Some(reader) }
    }

    /// How many lines it has written.
    #[must_use]
    pub fn lines_so_far(&self) -> usize {
        self.heard.lines.lock().expect("no reader panics").len()
    }

    /// Waits until the lines that it has written are what is waited for.
    ///
    /// # Panics
    /// When that takes longer than a minute; ten in a soak, which may run beside other work and give way to it.
    pub fn wait_until(&self, what: &str, mut is_enough: impl FnMut(&[String]) -> bool) {
        let patience = Duration::from_secs(if environment::soaks() { 600 } else { 60 });
        let end = Instant::now() + patience;
        let mut lines = self.heard.lines.lock().expect("no reader panics");
        while !is_enough(&lines) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "in {patience:?} the process did not come to {what}; it wrote {} lines, at last {:?}",
                lines.len(),
                lines.last()
            );
            lines = self.heard.more.wait_timeout(lines, left).expect("no reader panics").0;
        }
    }

    /// Sends it a signal by its name, such as `STOP` or `CONT`.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
    }

    /// Kills it (SIGKILL) and returns every whole line that it wrote.
    ///
    /// # Panics
    /// When it had ended by itself.
    pub fn kill(mut self) -> Vec<String> {
        let ended = self.child.try_wait().expect("the process can be asked");
        assert!(ended.is_none(), "the process ended by itself before it was killed: {ended:?}");
        self.end();
        std::mem::take(&mut *self.heard.lines.lock().expect("no reader panics"))
    }

    fn end(&mut self) {
        // It may have ended in between; there is nothing to kill then.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_the_kill_is_heard() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; printf half; exec sleep 60"]);
        let victim = Victim::spawn(command);
        victim.wait_until("two lines", |lines| lines.len() == 2);
        assert_eq!(victim.kill(), ["one", "two"]);
    }
}
