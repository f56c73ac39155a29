//! `mainstay workflow schedule …`: when runs begin by themselves. Their plans are the application's.

use mainstay_workflow::Control;
use mainstay_workflow::store::Schedule;
use serde::Serialize;
use serde_json::Value;

use super::args::{ScheduleOne, Where};
use super::list::second;
use super::open;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

#[derive(Serialize)]
struct SchedulesBody {
    schedules: Vec<ScheduleLine>,
}

#[derive(Serialize)]
struct ScheduleLine {
    schedule: String,
    workflow: String,
    version: Option<u32>,
    paused: bool,
    next_at: Option<String>,
    last_at: Option<String>,
    /// When and with what, as the application said it.
    plan: Value,
}

impl ScheduleLine {
    fn new(schedule: Schedule) -> Self {
        Self {
            schedule: schedule.name,
            workflow: schedule.workflow,
            version: schedule.version,
            paused: schedule.paused,
            next_at: schedule.next_at.map(|at| at.to_string()),
            last_at: schedule.last_at.map(|at| at.to_string()),
            plan: schedule.plan,
        }
    }

    fn row(&self) -> Vec<String> {
        let at = |at: &Option<String>| at.as_deref().map_or_else(|| "never".to_owned(), second);
        let state = if self.paused { "paused" } else { "open" };
        let (next, last) = (at(&self.next_at), at(&self.last_at));
        vec![self.schedule.clone(), self.workflow.clone(), state.to_owned(), next, last]
    }
}

pub(super) async fn list(place: &Where, context: &Context) -> Outcome {
    print(&open(place, context).await?, context, "mainstay.workflow.schedule.list/1").await
}

pub(super) async fn remove(args: &ScheduleOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    if !control.schedule_remove(&args.schedule).await? {
        return Err(Failure::new(Exit::Refused, format!("there is no schedule {:?}", args.schedule))
            .with_help("mainstay workflow schedule list shows them"));
    }
    print(&control, context, "mainstay.workflow.schedule.remove/1").await
}

async fn print(control: &Control, context: &Context, schema: &str) -> Outcome {
    let schedules = control.schedules().await?.into_iter().map(ScheduleLine::new).collect();
    let body = SchedulesBody { schedules };
    context.output.result(schema, &body, || {
        let rows: Vec<Vec<String>> = body.schedules.iter().map(ScheduleLine::row).collect();
        table(&["SCHEDULE", "WORKFLOW", "STATE", "NEXT", "LAST"], &rows)
    });
    Ok(())
}
