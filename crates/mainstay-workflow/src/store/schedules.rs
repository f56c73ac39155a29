//! Schedules: what starts by the clock. The store keeps when each is due next; what that follows from is the business of whoever fires it.

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Expect, Row, Sql, Statement};
use serde_json::{Value, json};

use super::codec::decode;
use super::limits::{MAX_INPUT_BYTES, MAX_NAME_BYTES, check_name, encode};
use super::types::{Start, Started};
use super::{ATTEMPTS, NewAct, Store, busy, is_refused};
use crate::action::Action;
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};

/// Something that starts by the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name in the namespace.
    pub name: String,
    /// The workflow.
    pub workflow: String,
    /// Its version; the current one when none.
    pub version: Option<u32>,
    /// When and with what: an object that the store does not look into.
    pub plan: Value,
    /// Whether it is held back.
    pub paused: bool,
    /// When it is due next; never when none.
    pub next_at: Option<Timestamp>,
    /// When it was due last, as far as it was fired.
    pub last_at: Option<Timestamp>,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What became of a schedule that was due.
#[derive(Debug, Clone)]
pub enum Fired {
    /// A run began, and the schedule is due later. (Boxed: a start is large.)
    Started(Box<Started>),
    /// The schedule is due later, and nothing began, as was asked.
    Passed,
    /// Somebody else was first, or the schedule was changed.
    Late,
}

const COLUMNS: &str =
    "SELECT name, workflow, version, plan, paused, next_at, last_at, updated_at FROM wf_schedules";
const PUT: Sql = Sql::new(
    "INSERT INTO wf_schedules (namespace_id, name, workflow, version, plan, paused, next_at, last_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (namespace_id, name) DO UPDATE SET \
     workflow = excluded.workflow, version = excluded.version, plan = excluded.plan, paused = excluded.paused, \
     next_at = excluded.next_at, updated_at = excluded.updated_at",
);
/// The same for who names it at each start of theirs: what an operator held back stays so, and a time that passed meanwhile is still due.
const REGISTER: Sql = Sql::per_dialect(
    "INSERT INTO wf_schedules (namespace_id, name, workflow, version, plan, paused, next_at, last_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (namespace_id, name) DO UPDATE SET \
     workflow = excluded.workflow, version = excluded.version, plan = excluded.plan, updated_at = excluded.updated_at, \
     next_at = CASE WHEN wf_schedules.next_at IS NOT NULL AND wf_schedules.plan ->> 'cron' = excluded.plan ->> 'cron' \
        THEN wf_schedules.next_at ELSE excluded.next_at END",
    "INSERT INTO wf_schedules (namespace_id, name, workflow, version, plan, paused, next_at, last_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (namespace_id, name) DO UPDATE SET \
     workflow = excluded.workflow, version = excluded.version, plan = excluded.plan, updated_at = excluded.updated_at, \
     next_at = CASE WHEN wf_schedules.next_at IS NOT NULL \
        AND wf_schedules.plan::json ->> 'cron' = excluded.plan::json ->> 'cron' \
        THEN wf_schedules.next_at ELSE excluded.next_at END",
);
const ADVANCE: Sql = Sql::new(
    "UPDATE wf_schedules SET last_at = next_at, next_at = $4 \
     WHERE namespace_id = $1 AND name = $2 AND next_at = $3 AND NOT paused",
);
const PAUSE: Sql = Sql::new(
    "UPDATE wf_schedules SET paused = $3, next_at = $4, updated_at = $5 WHERE namespace_id = $1 AND name = $2",
);

impl Store {
    /// Keeps a schedule, in place of the one of its name. When it was due last stays as it was.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::TooLarge`]; [`ErrorKind::Database`].
    pub async fn schedule_put(&self, schedule: &Schedule) -> Result<()> {
        self.keep(PUT, schedule).await
    }

    /// Keeps a schedule, in place of the one of its name, as who names it at each start of theirs: whether it is held back stays as it was,
    /// and so does when it is due next, unless the `cron` of its plan is another one.
    ///
    /// # Errors
    /// As [`Store::schedule_put`].
    pub async fn schedule_register(&self, schedule: &Schedule) -> Result<()> {
        self.keep(REGISTER, schedule).await
    }

    async fn keep(&self, sql: Sql, schedule: &Schedule) -> Result<()> {
        self.require()?;
        check_name("schedule", &schedule.name, MAX_NAME_BYTES)?;
        check_name("name of a workflow", &schedule.workflow, MAX_NAME_BYTES)?;
        let plan = encode("plan of a schedule", &schedule.plan, MAX_INPUT_BYTES)?;
        let statement = Statement::new(sql).named("workflow.schedule_put").bind(self.namespace);
        let statement = statement.bind(schedule.name.as_str()).bind(schedule.workflow.as_str());
        let statement = statement.bind(schedule.version).bind(plan).bind(schedule.paused);
        let statement = statement.bind(schedule.next_at).bind(schedule.last_at).bind(schedule.updated_at);
        let detail = json!({
            "workflow": schedule.workflow, "version": schedule.version, "cron": schedule.plan.get("cron"),
            "catch_up": schedule.plan.get("catch_up"), "paused": schedule.paused,
        });
        self.change(statement, &NewAct::new(Action::ScheduleSet, &schedule.name, detail)).await.map(drop)
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedules(&self) -> Result<Vec<Schedule>> {
        let statement = text(" WHERE namespace_id = $1 ORDER BY name").named("workflow.schedules");
        self.repo.read(statement.bind(self.namespace)).await?.iter().map(read).collect()
    }

    /// A schedule; none when there is none of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedule(&self, name: &str) -> Result<Option<Schedule>> {
        let statement = text(" WHERE namespace_id = $1 AND name = $2").named("workflow.schedule");
        let row: Option<Row> = self.repo.read_optional(statement.bind(self.namespace).bind(name)).await?;
        row.as_ref().map(read).transpose()
    }

    /// Holds a schedule back or lets it go on, from an instant on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Database`].
    pub async fn schedule_pause(
        &self,
        name: &str,
        paused: bool,
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        let statement =
            Statement::new(PAUSE).named("workflow.schedule_pause").bind(self.namespace).bind(name);
        let action = if paused { Action::SchedulePause } else { Action::ScheduleResume };
        let act = NewAct::new(action, name, json!({}));
        if !self.change(statement.bind(paused).bind(next_at).bind(now), &act).await? {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no schedule {name:?}")));
        }
        Ok(())
    }

    /// Removes a schedule; says whether it was there. What it started goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedule_remove(&self, name: &str) -> Result<bool> {
        let statement = Statement::new("DELETE FROM wf_schedules WHERE namespace_id = $1 AND name = $2");
        let statement = statement.named("workflow.schedule_remove").bind(self.namespace).bind(name);
        self.change(statement, &NewAct::new(Action::ScheduleRemove, name, json!({}))).await
    }

    /// The schedules of some workflows that are due, the longest due first; from behind one of them on, so that those that cannot be fired
    /// hide none.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn schedules_due(
        &self,
        now: Timestamp,
        workflows: Vec<String>,
        after: Option<&Schedule>,
        limit: u32,
    ) -> Result<Vec<Schedule>> {
        let sqlite = " WHERE namespace_id = $1 AND paused = 0 AND next_at IS NOT NULL AND next_at <= $2 AND (next_at, name) > ($3, $4) \
            AND workflow IN (SELECT value FROM json_each($5)) ORDER BY next_at, name LIMIT $6";
        let postgres = " WHERE namespace_id = $1 AND NOT paused AND next_at IS NOT NULL AND next_at <= $2 AND (next_at, name) > ($3, $4) \
            AND workflow = ANY ($5::text[]) ORDER BY next_at, name LIMIT $6";
        let sql = Sql::dynamic(format!("{COLUMNS}{sqlite}"), format!("{COLUMNS}{postgres}"));
        let statement = Statement::new(sql).named("workflow.schedules_due").bind(self.namespace).bind(now);
        let first = (Timestamp::UNIX_EPOCH, "");
        let (due, name) = after.and_then(|last| Some((last.next_at?, last.name.as_str()))).unwrap_or(first);
        let statement = statement.bind(due).bind(name).bind(workflows).bind(limit);
        self.repo.read(statement).await?.iter().map(read).collect()
    }

    /// Fires a schedule that was due at an instant: it is due next at another, and the run begins, in one commit. Of all nodes that try, one
    /// does. Without a start the schedule only moves on.
    ///
    /// # Errors
    /// As [`Store::start`].
    pub async fn fire(
        &self,
        name: &str,
        due: Timestamp,
        next_at: Option<Timestamp>,
        start: Option<(&Workflow, Start)>,
    ) -> Result<Fired> {
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new("workflow.fire");
            let advance = Statement::new(ADVANCE).named("workflow.fire").bind(self.namespace).bind(name);
            batch.expect(Expect::ONE, advance.bind(due).bind(next_at));
            let head = match &start {
                Some((flow, start)) => Some(self.start_head_into(&mut batch, flow, start.clone())?),
                None => None,
            };
            match (self.repo.batch(batch).await, head) {
                (Ok(_), Some(head)) => return Ok(Fired::Started(Box::new(Started::New(head)))),
                (Ok(_), None) => return Ok(Fired::Passed),
                (Err(error), _) if is_refused(&error) => {}
                (Err(error), _) => return Err(error.into()),
            }
            let schedule = self.schedule(name).await?;
            if schedule.is_none_or(|schedule| schedule.paused || schedule.next_at != Some(due)) {
                return Ok(Fired::Late);
            }
            let token = start.as_ref().and_then(|(_, start)| start.token.clone());
            if let Some(run) = self.active(token.into_iter().collect()).await?.into_values().next() {
                let moved = Box::pin(self.fire(name, due, next_at, None)).await?;
                return Ok(match moved {
                    Fired::Passed => Fired::Started(Box::new(Started::AlreadyActive(run))),
                    other => other,
                });
            }
        }
        Err(busy())
    }
}

fn text(tail: &str) -> Statement {
    let text = format!("{COLUMNS}{tail}");
    Statement::new(Sql::dynamic(text.clone(), text))
}

fn read(row: &Row) -> Result<Schedule> {
    Ok(Schedule {
        name: row.get("name")?,
        workflow: row.get("workflow")?,
        version: row.get("version")?,
        plan: decode("plan", &row.get::<String>("plan")?)?,
        paused: row.get("paused")?,
        next_at: row.get("next_at")?,
        last_at: row.get("last_at")?,
        updated_at: row.get("updated_at")?,
    })
}
