//! Which process this is, so that another on the same machine can see that it is gone.

use std::fs;

/// A process among all that ever ran on its machine since it was started. Numbers of processes are used again, so the time at
/// which it began belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// The machine's start and the name space of the process numbers: only there do they mean anything.
    pub(crate) place: String,
    /// Its number and when it began, in ticks since the machine's start.
    pub(crate) process: String,
}

impl Process {
    /// This process; none where the system does not tell, and then nobody can say that it is gone.
    pub(crate) fn own() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let space = fs::read_link("/proc/self/ns/pid").ok()?;
        let number = std::process::id();
        let place = format!("{} {}", boot.trim(), space.display());
        Some(Self { place, process: format!("{number} {}", began(number)?) })
    }

    /// Whether another process is known to be gone: it ran at this place, and there is no such process any more. What cannot be
    /// told is no.
    pub(crate) fn sees_end_of(&self, place: &str, process: &str) -> bool {
        if self.place != place {
            return false;
        }
        let Some((number, then)) = process.split_once(' ') else { return false };
        let Ok(number) = number.parse::<u32>() else { return false };
        match fs::exists(format!("/proc/{number}")) {
            Ok(false) => true,
            // Another process has the number now.
            Ok(true) => began(number).is_some_and(|now| now != then),
            Err(_) => false,
        }
    }
}

/// When a process began; of one that has ended and waits for its parent to hear of it, that it ended. None for one that is not
/// there.
fn began(number: u32) -> Option<String> {
    let told = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name in brackets may hold anything; the fields behind it do not. The first is the state, the twentieth the time.
    let (_, fields) = told.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return Some("ended".to_owned());
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_it_ended_and_not_before() {
        let own = Process::own().unwrap();
        assert!(!own.sees_end_of(&own.place, &own.process), "this one lives");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = child.id();
        let other = format!("{number} {}", began(number).unwrap());
        assert!(!own.sees_end_of(&own.place, &other));
        child.kill().unwrap();
        // Killed, and its parent has not heard of it yet: it does nothing any more.
        let ended = (0..1000).any(|_| {
            std::thread::yield_now();
            own.sees_end_of(&own.place, &other)
        });
        child.wait().unwrap();
        assert!(ended || own.sees_end_of(&own.place, &other));
        assert!(own.sees_end_of(&own.place, &other));
        // Its number was given again.
        let again = format!("{} 1", std::process::id());
        assert!(own.sees_end_of(&own.place, &again));
        // Elsewhere, or said by something else: nothing is known.
        let here = own.place.as_str();
        for (place, process) in [("elsewhere", other.as_str()), (here, ""), (here, "x 1"), (here, "7")] {
            assert!(!own.sees_end_of(place, process), "{place} {process}");
        }
    }
}
