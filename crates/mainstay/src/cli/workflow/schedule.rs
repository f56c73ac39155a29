//! `mainstay workflow schedule …`: when runs begin by themselves.

use mainstay_server::settings::ScheduleDocument;
use mainstay_workflow::{CatchUp, Control, CronSchedule};
use serde::Serialize;

use super::args::{ScheduleAdd, ScheduleOne, Where};
use super::list::second;
use super::{json, open};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

#[derive(Serialize)]
struct SchedulesBody {
    schedules: Vec<ScheduleDocument>,
}

#[derive(Serialize)]
struct TriggeredBody {
    schedule: String,
    /// The run that began.
    run: String,
}

fn row(schedule: &ScheduleDocument) -> Vec<String> {
    let at = |at: &Option<String>| at.as_deref().map_or_else(|| "never".to_owned(), second);
    let state = if schedule.paused { "paused" } else { "open" };
    let next = if schedule.paused { "–".to_owned() } else { at(&schedule.next_at) };
    let workflow = match schedule.version {
        Some(version) => format!("{} v{version}", schedule.workflow),
        None => schedule.workflow.clone(),
    };
    let last = at(&schedule.last_at);
    vec![schedule.schedule.clone(), workflow, state.to_owned(), next, last, schedule.cron().to_owned()]
}

pub(super) async fn list(place: &Where, context: &Context) -> Outcome {
    print(&open(place, context).await?, context, "mainstay.workflow.schedule.list/1").await
}

pub(super) async fn add(args: &ScheduleAdd, context: &Context) -> Outcome {
    let request = args.how.request(&args.workflow, json("--input", &args.input)?);
    let schedule = CronSchedule::new(&args.one.schedule, &args.cron, request)?;
    let control = open(&args.one.place, context).await?;
    control.schedule_set(schedule.catch_up(CatchUp::from(args.catch_up))).await?;
    print(&control, context, "mainstay.workflow.schedule.add/1").await
}

pub(super) async fn pause(args: &ScheduleOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    control.schedule_pause(&args.schedule).await.map_err(missing)?;
    print(&control, context, "mainstay.workflow.schedule.pause/1").await
}

pub(super) async fn resume(args: &ScheduleOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    control.schedule_resume(&args.schedule).await.map_err(missing)?;
    print(&control, context, "mainstay.workflow.schedule.resume/1").await
}

pub(super) async fn trigger(args: &ScheduleOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    let run = control.schedule_trigger(&args.schedule).await.map_err(missing)?.to_string();
    let body = TriggeredBody { schedule: args.schedule.clone(), run };
    context.output.result("mainstay.workflow.schedule.trigger/1", &body, || body.run.clone());
    Ok(())
}

pub(super) async fn remove(args: &ScheduleOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    if !control.schedule_remove(&args.schedule).await? {
        let missing = Failure::new(Exit::Refused, format!("there is no schedule {:?} here", args.schedule));
        return Err(missing.with_help(LOOK));
    }
    print(&control, context, "mainstay.workflow.schedule.remove/1").await
}

const LOOK: &str = "mainstay workflow schedule ls shows them; --namespace names another application's";

/// Says where to look when there is no such schedule.
fn missing(error: mainstay_workflow::Error) -> Failure {
    let is_missing = *error.kind() == mainstay_workflow::ErrorKind::NotFound && error.help().is_none();
    let failure = Failure::from(error);
    if is_missing { failure.with_help(LOOK) } else { failure }
}

async fn print(control: &Control, context: &Context, schema: &str) -> Outcome {
    let schedules = control.schedules().await?.iter().map(ScheduleDocument::new).collect();
    let body = SchedulesBody { schedules };
    context.output.result(schema, &body, || {
        if body.schedules.is_empty() {
            return "there are no schedules".to_owned();
        }
        let rows: Vec<Vec<String>> = body.schedules.iter().map(row).collect();
        table(&["SCHEDULE", "WORKFLOW", "STATE", "NEXT", "LAST", "CRON"], &rows)
    });
    Ok(())
}
