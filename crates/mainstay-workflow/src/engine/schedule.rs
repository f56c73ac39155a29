//! What starts by the clock: cron expressions, and what becomes of times that were missed.

use mainstay_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StartRequest;
use super::cron::{check, next};
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// The version of the stored form.
const FORMAT: u32 = 1;
/// With [`CatchUp::Skip`], a start may be so late and still counts as on time.
const ON_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// Starts that repeat.
///
/// ```
/// use mainstay_workflow::{CatchUp, CronSchedule, StartRequest};
///
/// let nightly = CronSchedule::new("nightly", "0 2 * * * Europe/Berlin", StartRequest::new("report", serde_json::json!({})))?
///     .catch_up(CatchUp::Skip);
/// # let _ = nightly;
/// # Ok::<(), mainstay_workflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CronSchedule {
    name: String,
    request: StartRequest,
    plan: Plan,
}

/// What becomes of times at which no node was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// One start for all of them.
    #[default]
    Latest,
    /// None, if they are more than a minute ago.
    Skip,
    /// One start for each, at most a hundred a second by each node.
    All,
}

/// The part that the store does not look into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    format: u32,
    cron: String,
    catch_up: CatchUp,
    input: Value,
    key: Option<String>,
    priority: i16,
    fairness: Option<String>,
}

/// What to do with a schedule that is due.
#[derive(Debug, PartialEq)]
pub(crate) struct Due {
    pub(crate) request: Option<StartRequest>,
    pub(crate) next_at: Option<Timestamp>,
}

impl CronSchedule {
    /// A schedule with a name, a cron expression (minute, hour, day of the month, month, day of the week, and a time zone if it is not UTC)
    /// and the start that it repeats. A time at a named hour comes once a day, also in the nights in which the clocks are set: what they pass
    /// over is due when they have been set, what they show twice the first time. If the start has a business key, a time at which a run with that key is active is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the expression cannot be read, never comes, or asks for a last day by `L`.
    pub fn new(name: &str, cron: &str, request: StartRequest) -> Result<Self> {
        let plan = Plan {
            format: FORMAT,
            cron: cron.to_owned(),
            catch_up: CatchUp::default(),
            input: request.input.clone(),
            key: request.key.clone(),
            priority: request.priority,
            fairness: request.fairness.clone(),
        };
        first(cron, Timestamp::UNIX_EPOCH)?;
        Ok(Self { name: name.to_owned(), request, plan })
    }

    /// What becomes of times at which no node was there; one start for all of them unless said.
    #[must_use]
    pub fn catch_up(mut self, rule: CatchUp) -> Self {
        self.plan.catch_up = rule;
        self
    }

    pub(crate) fn into_stored(self, now: Timestamp) -> Result<store::Schedule> {
        let next_at = first(&self.plan.cron, now).map(Some)?;
        let plan = serde_json::to_value(self.plan).map_err(|error| Error::internal(error.to_string()))?;
        Ok(store::Schedule {
            name: self.name,
            workflow: self.request.workflow,
            version: self.request.version,
            plan,
            paused: false,
            next_at,
            last_at: None,
            updated_at: now,
        })
    }
}

/// The first time of an expression; one that has none within four years is refused.
fn first(cron: &str, after: Timestamp) -> Result<Timestamp> {
    check(cron)?;
    next(cron, after)?.ok_or_else(|| {
        let text = format!("{cron:?} names a time that never comes, or not within four years");
        Error::new(ErrorKind::InvalidInput, text)
            .with_help("look at the day, the month and the day of the week")
    })
}

/// What a stored schedule starts.
pub(crate) fn request(schedule: &store::Schedule) -> Result<StartRequest> {
    let plan = read(schedule)?;
    Ok(StartRequest {
        version: schedule.version,
        key: plan.key,
        priority: plan.priority,
        fairness: plan.fairness,
        ..StartRequest::new(&schedule.workflow, plan.input)
    })
}

/// When a stored schedule is due next after an instant.
pub(crate) fn next_of(schedule: &store::Schedule, after: Timestamp) -> Result<Option<Timestamp>> {
    next(&read(schedule)?.cron, after)
}

/// What to do with a schedule that was due.
pub(crate) fn due(schedule: &store::Schedule, due: Timestamp, now: Timestamp) -> Result<Due> {
    let plan = read(schedule)?;
    let next_at = match plan.catch_up {
        CatchUp::All => next(&plan.cron, due)?,
        CatchUp::Latest | CatchUp::Skip => next(&plan.cron, now.max(due))?,
    };
    let is_missed = plan.catch_up == CatchUp::Skip && now.saturating_since(due) > ON_TIME;
    let request = if is_missed { None } else { Some(request(schedule)?) };
    Ok(Due { request, next_at })
}

fn read(schedule: &store::Schedule) -> Result<Plan> {
    let plan: Plan = serde_json::from_value(schedule.plan.clone()).map_err(|error| {
        let text = format!("the plan of the schedule {} cannot be read", schedule.name);
        Error::new(ErrorKind::Corrupt, text).with_source(error).with_help("put the schedule again")
    })?;
    if plan.format == FORMAT {
        return Ok(plan);
    }
    let text = format!(
        "the plan of the schedule {} has format {}, which this program does not know",
        schedule.name, plan.format
    );
    Err(Error::new(ErrorKind::Corrupt, text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn stored(cron: &str, rule: CatchUp) -> store::Schedule {
        let request = StartRequest::new("w", Value::Null).key("only");
        CronSchedule::new("s", cron, request)
            .unwrap()
            .catch_up(rule)
            .into_stored(at("2026-03-28T12:00:00Z"))
            .unwrap()
    }

    #[test]
    fn an_expression_that_is_none_or_never_comes_is_refused() {
        for wrong in ["", "* * * *", "61 * * * *", "* * * * * Nowhere/City", "0 0 31 2 x", "0 0 31 2 *"] {
            let error = CronSchedule::new("s", wrong, StartRequest::new("w", Value::Null)).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn missed_times_are_caught_up_by_the_rule() {
        let first = at("2026-03-28T13:00:00Z");
        let late = first.saturating_add(Duration::from_secs(3 * 3_600 + 61));
        for (rule, starts, next_at) in [
            (CatchUp::Latest, true, "2026-03-28T17:00:00Z"),
            (CatchUp::Skip, false, "2026-03-28T17:00:00Z"),
            (CatchUp::All, true, "2026-03-28T14:00:00Z"),
        ] {
            let schedule = stored("0 * * * *", rule);
            assert_eq!(schedule.next_at, Some(first));
            let due = due(&schedule, first, late).unwrap();
            assert_eq!((due.request.is_some(), due.next_at), (starts, Some(at(next_at))), "{rule:?}");
        }
        let schedule = stored("0 * * * *", CatchUp::Skip);
        let on_time = first.saturating_add(ON_TIME);
        assert!(due(&schedule, first, on_time).unwrap().request.is_some(), "at the limit it is on time");
        assert!(
            due(&schedule, first, on_time.saturating_add(Duration::from_micros(1)))
                .unwrap()
                .request
                .is_none()
        );
    }

    #[test]
    fn what_is_stored_comes_back_and_other_forms_are_refused() {
        let schedule = stored("0 * * * *", CatchUp::All);
        assert_eq!(request(&schedule).unwrap(), StartRequest::new("w", Value::Null).key("only"));
        let mut newer = schedule;
        newer.plan["format"] = 2.into();
        assert_eq!(request(&newer).unwrap_err().kind(), &ErrorKind::Corrupt);
    }
}
