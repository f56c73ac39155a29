//! A command and the processes that it starts, which are ended together: a shell that is killed leaves what it runs behind.

use std::io::{IsTerminal as _, Result};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

/// What in our environment holds a password; it is nobody else's.
const SECRETS: [&str; 2] = ["MAINSTAY_DATABASE", "MAINSTAY_REGISTRY_PASSWORD"];

/// How often it is looked whether anybody of a group is left: nobody tells us.
const LOOK: Duration = Duration::from_millis(100);

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
        while self.is_alive() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(status)
    }

    /// Whether somebody is in the group.
    fn is_alive(&self) -> bool {
        // Somebody who may not be sent a signal is somebody.
        self.is_group && self.first.is_some_and(|first| test_kill_process_group(first) != Err(Errno::SRCH))
    }

    /// Asks all of them to end, and ends those that have not after so long.
    pub(super) async fn end(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        // Also those that the first one left behind.
        if ended.is_err() || self.is_group {
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
