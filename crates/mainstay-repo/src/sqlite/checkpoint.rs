//! How long the write-ahead log may become before it is copied into the database.
//!
//! A log that grows makes every sync slower: the file system has to record its new length too (90 µs became 140 µs a commit
//! on ext4). One that is written over again in place does not grow. So a few callers, whose commits are mostly sync, are
//! served best by a short log that is soon written over; many callers, who share each sync, by a long one that is copied
//! seldom.

/// A checkpoint copies about so many pages while few callers share a commit.
const SHORT_LOG: &str = "PRAGMA wal_autocheckpoint = 1000";
/// The same while many do: 64 MiB, often enough to bound the log's size, seldom enough to cost little.
const LONG_LOG: &str = "PRAGMA wal_autocheckpoint = 16000";
/// Commits of so many members are worth a long log.
const BUSY_MEMBERS: usize = 8;
/// So many smaller commits in a row, and the short log is enough again.
const QUIET_COMMITS: u32 = 256;

/// Follows the commits; decides the length of the log.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    busy: bool,
    small_commits: u32,
}

impl Checkpoints {
    /// What the connection that writes starts with.
    pub(super) const FIRST: &'static str = SHORT_LOG;

    /// Enters a commit. The setting to make, when it is to change.
    pub(super) fn after(&mut self, members: usize) -> Option<&'static str> {
        if members >= BUSY_MEMBERS {
            self.small_commits = 0;
            return (!std::mem::replace(&mut self.busy, true)).then_some(LONG_LOG);
        }
        self.small_commits = self.small_commits.saturating_add(1);
        let calms_down = self.busy && self.small_commits >= QUIET_COMMITS;
        if calms_down {
            self.busy = false;
        }
        calms_down.then_some(SHORT_LOG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_long_while_many_share_a_commit_and_short_again_only_after_a_while() {
        let mut checkpoints = Checkpoints::default();
        assert_eq!(checkpoints.after(BUSY_MEMBERS - 1), None, "short from the start");
        assert_eq!(checkpoints.after(BUSY_MEMBERS), Some(LONG_LOG));
        assert_eq!(checkpoints.after(BUSY_MEMBERS), None, "said once");
        for _ in 1..QUIET_COMMITS {
            assert_eq!(checkpoints.after(1), None);
        }
        assert_eq!(checkpoints.after(BUSY_MEMBERS), None, "a busy commit starts the count again");
        for _ in 1..QUIET_COMMITS {
            assert_eq!(checkpoints.after(1), None);
        }
        assert_eq!(checkpoints.after(1), Some(SHORT_LOG));
        assert_eq!(checkpoints.after(1), None);
    }
}
