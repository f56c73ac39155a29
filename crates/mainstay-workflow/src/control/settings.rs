//! Commands about what moves runs: what is held back, queues, schedules.

use serde_json::json;

use super::{Control, read};
use crate::action::Action;
use crate::engine::CronSchedule;
use crate::engine::birth::prepare;
use crate::engine::schedule::{next_of, request};
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;
use crate::store::{NewAct, QueueLimits, Schedule};

impl Control {
    /// Claims no task of a workflow, or of any, until it is resumed. What is out goes on. A name that is not registered yet is held back from
    /// its first run on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a namespace that is not there; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn pause_workflow(&self, workflow: Option<&str>) -> Result<()> {
        self.may(Action::WorkflowPause)?;
        self.told(self.store.pause_workflow(workflow, self.clock.now()).await)
    }

    /// The opposite; says whether it was held back.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn resume_workflow(&self, workflow: Option<&str>) -> Result<bool> {
        self.may(Action::WorkflowResume)?;
        self.told(self.store.resume_workflow(workflow).await)
    }

    /// Sets what holds for a queue.
    ///
    /// # Errors
    /// As [`Store::queue_set`](crate::store::Store::queue_set); [`ErrorKind::Forbidden`].
    pub async fn queue_set(&self, name: &str, limits: QueueLimits) -> Result<()> {
        self.may(Action::QueueSet)?;
        self.told(self.store.queue_set(name, limits).await)
    }

    /// Holds a queue back, or lets it go on; its limits stay as they are.
    ///
    /// # Errors
    /// As [`Store::queue_pause`](crate::store::Store::queue_pause); [`ErrorKind::Forbidden`].
    pub async fn queue_pause(&self, name: &str, paused: bool) -> Result<()> {
        self.may(Action::QueueSet)?;
        self.told(self.store.queue_pause(name, paused).await)
    }

    /// Takes all limits from a queue; says whether it had any.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn queue_remove(&self, name: &str) -> Result<bool> {
        self.may(Action::QueueRemove)?;
        self.told(self.store.queue_remove(name).await)
    }

    /// Keeps a schedule, in place of the one of its name, which then is not held back any more. Its times count from now; a node of the host
    /// starts its runs.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownWorkflow`], [`ErrorKind::UnknownVersion`], [`ErrorKind::BadKey`]: what it would start cannot be started.
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::TooLarge`]; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn schedule_set(&self, schedule: CronSchedule) -> Result<Schedule> {
        self.may(Action::ScheduleSet)?;
        let now = self.clock.now();
        let stored = schedule.into_stored(now)?;
        let start = request(&stored)?;
        let flow = read(&self.definition(&start.workflow, start.version).await?)?;
        // What cannot be started later is told now.
        prepare(&flow, &start, 0, now)?;
        self.told(self.store.schedule_put(&stored).await)?;
        self.schedule(&stored.name).await
    }

    /// A schedule.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn schedule(&self, name: &str) -> Result<Schedule> {
        self.store
            .schedule(name)
            .await?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no schedule {name:?} here")))
    }

    /// Starts what a schedule would start, now, whether it is held back or not. Its times stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; as [`Control::start`].
    pub async fn schedule_trigger(&self, name: &str) -> Result<RunId> {
        self.may(Action::ScheduleTrigger)?;
        let request = request(&self.schedule(name).await?)?;
        let detail = json!({"workflow": request.workflow, "version": request.version});
        self.begin(request, NewAct::new(Action::ScheduleTrigger, name, detail)).await
    }

    /// Holds a schedule back. Times that pass meanwhile are passed over.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn schedule_pause(&self, name: &str) -> Result<()> {
        self.may(Action::SchedulePause)?;
        self.hold(name, true).await
    }

    /// Lets a schedule go on, from the next of its times.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn schedule_resume(&self, name: &str) -> Result<()> {
        self.may(Action::ScheduleResume)?;
        self.hold(name, false).await
    }

    async fn hold(&self, name: &str, paused: bool) -> Result<()> {
        let schedule = self.schedule(name).await?;
        let now = self.clock.now();
        let next_at = next_of(&schedule, now)?;
        self.told(self.store.schedule_pause(name, paused, next_at, now).await)
    }

    /// Removes a schedule; says whether it was there. What it started goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Database`].
    pub async fn schedule_remove(&self, name: &str) -> Result<bool> {
        self.may(Action::ScheduleRemove)?;
        self.store.schedule_remove(name).await
    }
}
