//! A command and the processes that it starts, which are ended together: a shell that is killed leaves what it runs behind.

use std::io::{IsTerminal as _, Result};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

/// What in our environment holds a password; it is nobody else's.
const SECRETS: [&str; 2] = ["MAINSTAY_DATABASE", "MAINSTAY_REGISTRY_PASSWORD"];

/// When it is first looked whether anybody of a group is left: nobody tells us. Ever less often then, down to [`SELDOM`].
const LOOK: Duration = Duration::from_millis(50);
/// How seldom it is looked at most.
const SELDOM: Duration = Duration::from_secs(1);

/// A command that runs.
#[derive(Debug)]
pub(super) struct Family {
    child: Child,
    /// The first process, whose number is that of the group where there is one.
    first: Option<Pid>,
    is_group: bool,
}

impl Family {
    /// Starts it in a group of its own. At a terminal it stays in ours: a group in the background may not read what somebody types, and
    /// the terminal sends its Ctrl-C to all of ours anyway.
    pub(super) fn spawn(mut command: Command) -> Result<Self> {
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let is_group = !std::io::stdin().is_terminal();
        if is_group {
            command.process_group(0);
        }
        let child = command.kill_on_drop(true).spawn()?;
        let first = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, first, is_group })
    }

    /// Waits until all of them have ended by themselves, and tells how the first one did. `left` is told when others outlive it.
    pub(super) async fn ended(&mut self, left: impl FnOnce()) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        if self.is_alive() {
            left();
        }
        self.gone().await;
        Ok(status)
    }

    /// Waits until nobody is left.
    async fn gone(&mut self) {
        drop(self.child.wait().await);
        let mut pause = LOOK;
        while self.is_alive() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
        }
    }

    fn is_alive(&self) -> bool {
        self.is_group && self.first.is_some_and(is_alive)
    }

    /// Asks all of them to end, and ends those that have not after so long.
    pub(super) async fn end(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        // Also those that the first one left behind have this time.
        if tokio::time::timeout(patience, self.gone()).await.is_err() {
            self.signal(Signal::KILL);
        }
        drop(self.child.wait().await);
    }

    fn signal(&self, signal: Signal) {
        let Some(first) = self.first else { return };
        let sent =
            if self.is_group { kill_process_group(first, signal) } else { kill_process(first, signal) };
        if let Err(error) = sent {
            tracing::debug!(%error, "there was nobody left to end");
        }
    }
}

/// Whether somebody of a group runs. Who has ended and was not yet waited for is in its group still, for ever where the first process of a
/// container waits for nobody.
fn is_alive(group: Pid) -> bool {
    match test_kill_process_group(group) {
        Err(Errno::SRCH) => false,
        // Somebody who may not be sent a signal is somebody.
        Err(_) => true,
        Ok(()) => runs(group).unwrap_or(true),
    }
}

/// Whether a process of a group runs by what the system tells of all; none where it tells nothing.
fn runs(group: Pid) -> Option<bool> {
    let group = group.as_raw_nonzero().get();
    std::fs::read_to_string("/proc/self/stat").ok()?;
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut told =
        processes.flatten().filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    Some(told.any(|stat| {
        // The name stands in parentheses and may hold anything, these too.
        let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
        let (state, of) = (fields.next(), fields.nth(1));
        of.and_then(|of| of.parse().ok()) == Some(group) && !matches!(state, Some("Z" | "X"))
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn a_group_of_processes_that_ended_and_were_not_waited_for_is_gone() {
        let mut sleeps = std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(sleeps.id()).unwrap()).unwrap();
        assert!(is_alive(group));
        sleeps.kill().unwrap();
        // It is a member of its group until somebody waits for it.
        let started = std::time::Instant::now();
        while is_alive(group) {
            assert!(started.elapsed() < Duration::from_secs(60), "it never ends");
            mainstay_testkit::pause(LOOK);
        }
        assert_eq!(test_kill_process_group(group), Ok(()));
        sleeps.wait().unwrap();
        assert!(!is_alive(group));
    }
}
