//! The one list of what programs and people may ask to be changed: the API makes a [`Command`] of a body, the console of a form, and both carry
//! it out here.

use mainstay_core::Timestamp;
use mainstay_workflow::store::{MAX_PRUNE, QueueLimits};
use mainstay_workflow::{Action, Control, CronSchedule, RunId, StartRequest};
use serde_json::Value;

use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::named;

/// A change that somebody asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Box<StartRequest>),
    Signal {
        run: RunId,
        signal: String,
        payload: Value,
        sender: Option<String>,
        /// Not before this instant.
        at: Option<Timestamp>,
    },
    Cancel {
        run: RunId,
        reason: String,
    },
    Pause(RunId),
    Resume(RunId),
    Retry(RunId),
    Fork {
        run: RunId,
        from: String,
    },
    Delete(RunId),
    Prune {
        before: Timestamp,
    },
    /// A workflow, or everything.
    WorkflowPause(Option<String>),
    WorkflowResume(Option<String>),
    QueueSet {
        queue: String,
        limits: QueueLimits,
    },
    QueueRemove(String),
    ScheduleSet(Box<CronSchedule>),
    SchedulePause(String),
    ScheduleResume(String),
    ScheduleTrigger(String),
    ScheduleRemove(String),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// A run began.
    Begun(RunId),
    /// A signal is in a run's mail; false: it was there before.
    Sent(bool),
    /// A letter is in a run's mail; a node of the host reads it.
    Told,
    /// It holds from now on; false: it held before.
    Changed(bool),
    /// So many runs are gone, and there may be more.
    Removed { runs: u64, more: bool },
}

impl Command {
    /// What it is.
    pub(crate) const fn action(&self) -> Action {
        match self {
            Self::Start(_) => Action::Start,
            Self::Signal { .. } => Action::Signal,
            Self::Cancel { .. } => Action::Cancel,
            Self::Pause(_) => Action::Pause,
            Self::Resume(_) => Action::Resume,
            Self::Retry(_) => Action::Retry,
            Self::Fork { .. } => Action::Fork,
            Self::Delete(_) => Action::Delete,
            Self::Prune { .. } => Action::Prune,
            Self::WorkflowPause(_) => Action::WorkflowPause,
            Self::WorkflowResume(_) => Action::WorkflowResume,
            Self::QueueSet { .. } => Action::QueueSet,
            Self::QueueRemove(_) => Action::QueueRemove,
            Self::ScheduleSet(_) => Action::ScheduleSet,
            Self::SchedulePause(_) => Action::SchedulePause,
            Self::ScheduleResume(_) => Action::ScheduleResume,
            Self::ScheduleTrigger(_) => Action::ScheduleTrigger,
            Self::ScheduleRemove(_) => Action::ScheduleRemove,
        }
    }

    /// Carries it out as the caller of the handle.
    pub(crate) async fn carry_out(self, control: &Control) -> Result<Done, Problem> {
        let action = self.action();
        let done = self.ask(control).await?;
        let actor = control.caller().map(|caller| caller.actor.to_string());
        tracing::info!(%action, actor, ?done, "somebody operated workflows");
        Ok(done)
    }

    async fn ask(self, control: &Control) -> Result<Done, Problem> {
        Ok(match self {
            Self::Start(request) => {
                let carried = crate::traces::carried();
                let request = if carried.is_empty() { *request } else { request.telemetry(carried.into()) };
                Done::Begun(control.start(request).await?)
            }
            Self::Signal { run, signal, payload, sender, at } => {
                let sender = sender.as_deref();
                Done::Sent(match at {
                    Some(at) => control.signal_at(run, at, &signal, payload, sender).await?,
                    None => control.signal(run, &signal, payload, sender).await?,
                })
            }
            Self::Cancel { run, reason } => told(control.cancel(run, &reason).await)?,
            Self::Pause(run) => told(control.pause(run).await)?,
            Self::Resume(run) => told(control.resume(run).await)?,
            Self::Retry(run) => Done::Begun(control.retry(run).await?),
            Self::Fork { run, from } => Done::Begun(control.fork(run, &from.as_str().into()).await?),
            Self::Delete(run) => there(control.delete(run).await?, || format!("There is no run {run}."))?,
            Self::Prune { before } => prune(control, before).await?,
            Self::WorkflowPause(workflow) => {
                control.pause_workflow(workflow.as_deref()).await?;
                Done::Changed(true)
            }
            Self::WorkflowResume(workflow) => {
                Done::Changed(control.resume_workflow(workflow.as_deref()).await?)
            }
            Self::QueueSet { queue, limits } => {
                control.queue_set(&queue, limits).await?;
                Done::Changed(true)
            }
            Self::QueueRemove(queue) => {
                there(control.queue_remove(&queue).await?, || format!("The queue {queue:?} has no limits."))?
            }
            Self::ScheduleSet(schedule) => {
                control.schedule_set(*schedule).await?;
                Done::Changed(true)
            }
            Self::SchedulePause(name) => {
                control.schedule_pause(&name).await?;
                Done::Changed(true)
            }
            Self::ScheduleResume(name) => {
                control.schedule_resume(&name).await?;
                Done::Changed(true)
            }
            Self::ScheduleTrigger(name) => Done::Begun(control.schedule_trigger(&name).await?),
            Self::ScheduleRemove(name) => {
                there(control.schedule_remove(&name).await?, || format!("There is no schedule {name:?}."))?
            }
        })
    }
}

fn told(told: mainstay_workflow::Result<()>) -> Result<Done, Problem> {
    told?;
    Ok(Done::Told)
}

/// What is not there cannot be taken away.
fn there(was: bool, text: impl FnOnce() -> String) -> Result<Done, Problem> {
    if was { Ok(Done::Changed(true)) } else { Err(Problem::new(ProblemKind::NotFound, text())) }
}

/// Several portions, each a transaction of its own, and not so many that the request comes to its limit.
async fn prune(control: &Control, before: Timestamp) -> Result<Done, Problem> {
    let mut runs = 0;
    for _ in 0..limits::PRUNE_PORTIONS {
        let portion = control.prune(before, MAX_PRUNE).await?;
        runs += portion;
        if portion < u64::from(MAX_PRUNE) {
            return Ok(Done::Removed { runs, more: false });
        }
    }
    Ok(Done::Removed { runs, more: true })
}

/// What a person has to type before it is done; none for what can be taken back as easily.
pub(crate) fn confirmation(action: Action, subject: &str, namespace: Option<&str>) -> Option<String> {
    match action {
        Action::Cancel => Some("cancel".to_owned()),
        Action::Retry | Action::Fork => Some("again".to_owned()),
        Action::Delete => Some("remove".to_owned()),
        Action::Prune => Some(named(namespace).to_owned()),
        Action::WorkflowPause if subject.is_empty() => Some("everything".to_owned()),
        Action::QueueRemove | Action::ScheduleRemove => Some(subject.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_taken_back_wants_a_word() {
        for (action, subject, word) in [
            (Action::Cancel, "", Some("cancel")),
            (Action::Retry, "", Some("again")),
            (Action::Fork, "", Some("again")),
            (Action::Delete, "", Some("remove")),
            (Action::Prune, "", Some("shop")),
            (Action::WorkflowPause, "", Some("everything")),
            (Action::WorkflowPause, "order", None),
            (Action::QueueRemove, "mail", Some("mail")),
            (Action::ScheduleRemove, "nightly", Some("nightly")),
            (Action::Pause, "", None),
            (Action::QueueSet, "mail", None),
        ] {
            assert_eq!(confirmation(action, subject, Some("shop")).as_deref(), word, "{action}");
        }
        assert_eq!(confirmation(Action::Prune, "", None).as_deref(), Some("default"));
    }
}
