//! What people and programs do to runs and to what moves them: the one list of it, and which role each takes.

use std::fmt;

use mainstay_core::Role;

/// Something that changes runs, queues, schedules or pauses.
///
/// Its name stands in the acts of a namespace for ever ([`Act`](crate::store::Act)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A run is started.
    Start,
    /// A run gets a signal.
    Signal,
    /// A run is told to stop and to undo what it did.
    Cancel,
    /// A run is told to begin nothing new.
    Pause,
    /// A run is told to go on.
    Resume,
    /// A failed or cancelled run is done again.
    Retry,
    /// An ended run is done again from a step.
    Fork,
    /// An ended run is removed.
    Delete,
    /// Runs that ended long ago are removed.
    Prune,
    /// A workflow, or everything, is held back.
    WorkflowPause,
    /// A workflow, or everything, is let go on.
    WorkflowResume,
    /// A queue gets limits.
    QueueSet,
    /// A queue loses its limits.
    QueueRemove,
    /// A schedule is kept, in place of the one of its name.
    ScheduleSet,
    /// A schedule is held back.
    SchedulePause,
    /// A schedule is let go on.
    ScheduleResume,
    /// A schedule starts a run out of turn.
    ScheduleTrigger,
    /// A schedule is removed.
    ScheduleRemove,
    /// Another engine's instances are brought over.
    Import,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Start,
        Self::Signal,
        Self::Cancel,
        Self::Pause,
        Self::Resume,
        Self::Retry,
        Self::Fork,
        Self::Delete,
        Self::Prune,
        Self::WorkflowPause,
        Self::WorkflowResume,
        Self::QueueSet,
        Self::QueueRemove,
        Self::ScheduleSet,
        Self::SchedulePause,
        Self::ScheduleResume,
        Self::ScheduleTrigger,
        Self::ScheduleRemove,
        Self::Import,
    ];

    /// The stable name, such as `run.cancel`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "run.start",
            Self::Signal => "run.signal",
            Self::Cancel => "run.cancel",
            Self::Pause => "run.pause",
            Self::Resume => "run.resume",
            Self::Retry => "run.retry",
            Self::Fork => "run.fork",
            Self::Delete => "run.delete",
            Self::Prune => "runs.prune",
            Self::WorkflowPause => "workflow.pause",
            Self::WorkflowResume => "workflow.resume",
            Self::QueueSet => "queue.set",
            Self::QueueRemove => "queue.remove",
            Self::ScheduleSet => "schedule.set",
            Self::SchedulePause => "schedule.pause",
            Self::ScheduleResume => "schedule.resume",
            Self::ScheduleTrigger => "schedule.trigger",
            Self::ScheduleRemove => "schedule.remove",
            Self::Import => "runs.import",
        }
    }

    /// The least role: what loses histories for good takes [`Role::Admin`], everything else [`Role::Write`]. Looking is no action;
    /// every caller may.
    #[must_use]
    pub const fn needs(self) -> Role {
        match self {
            Self::Delete | Self::Prune | Self::Import => Role::Admin,
            _ => Role::Write,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_action_has_a_name_of_its_own_and_what_loses_histories_takes_more() {
        let names: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        let admin: Vec<Action> =
            Action::ALL.into_iter().filter(|action| action.needs() == Role::Admin).collect();
        assert_eq!(admin, [Action::Delete, Action::Prune, Action::Import]);
    }
}
