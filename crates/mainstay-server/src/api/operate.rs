//! What programs change: a body becomes a [`Command`], and what became of it an answer.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mainstay_core::Timestamp;
use mainstay_workflow::store::QueueLimits;
use mainstay_workflow::{CatchUp, Control, CronSchedule, StartRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::place::Changes;
use super::runs::run_id;
use crate::http::extract::Path;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::command::{Command, Done};
use crate::workflow::namespace_query;
use crate::workflow::settings::rate;

/// A body, or why it is none. Its type is checked where it is read: some changes have none.
type Body = Result<Json<Value>, JsonRejection>;

/// What a start is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRun {
    #[serde(default)]
    input: Value,
    version: Option<u32>,
    key: Option<String>,
    #[serde(default)]
    priority: i16,
    fairness: Option<String>,
    #[serde(default)]
    attributes: Value,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSignal {
    signal: String,
    #[serde(default)]
    payload: Value,
    sender: Option<String>,
    at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    from: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndedBefore {
    ended_before: String,
}

/// What holds for a queue; what is left out is unlimited.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLimits {
    concurrency: Option<u32>,
    rate: Option<u32>,
    rate_seconds: Option<f64>,
    #[serde(default)]
    paused: bool,
}

/// A schedule to keep.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSchedule {
    workflow: String,
    cron: String,
    #[serde(default)]
    catch_up: CatchUp,
    version: Option<u32>,
    #[serde(default)]
    input: Value,
    key: Option<String>,
    #[serde(default)]
    priority: i16,
    fairness: Option<String>,
}

/// Reads a body.
fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let Json(value) = body.map_err(|rejection| {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedType,
            _ => ProblemKind::Malformed,
        };
        Problem::new(kind, rejection.body_text())
    })?;
    serde_json::from_value(value)
        .map_err(|error| Problem::new(ProblemKind::Malformed, format!("The body does not fit: {error}.")))
}

fn instant(field: &str, text: &str) -> Result<Timestamp, Problem> {
    let detail = format!("{field} wants an instant, such as 2026-11-21T14:00:00Z.");
    text.parse().map_err(|_| Problem::new(ProblemKind::Malformed, detail))
}

/// Carries out what is asked for, and tells what became of it.
async fn operate(control: &Control, command: Result<Command, Problem>) -> Result<Response, Problem> {
    Ok(answer(command?.carry_out(control).await?, control.namespace()))
}

fn answer(done: Done, namespace: &str) -> Response {
    match done {
        Done::Begun(run) => {
            let location = format!("/api/v1/runs/{run}{}", namespace_query(Some(namespace)));
            let body = Json(json!({ "run": run.to_string() }));
            (StatusCode::CREATED, [(header::LOCATION, location)], body).into_response()
        }
        Done::Sent(accepted) => Json(json!({ "accepted": accepted })).into_response(),
        Done::Told => StatusCode::ACCEPTED.into_response(),
        Done::Changed(changed) => Json(json!({ "changed": changed })).into_response(),
        Done::Removed { runs, more } => Json(json!({ "removed": runs, "more": more })).into_response(),
    }
}

/// No path at all, for an action that is none.
fn nothing() -> Problem {
    Problem::new(ProblemKind::NotFound, "Nothing is served at this path.")
}

/// `POST /api/v1/runs/{run}/{action}`.
pub(crate) async fn run(
    Changes(control): Changes,
    Path((run, action)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    operate(&control, of_run(&run, &action, body)).await
}

fn of_run(run: &str, action: &str, body: Body) -> Result<Command, Problem> {
    let run = run_id(run)?;
    Ok(match action {
        "signals" => {
            let NewSignal { signal, payload, sender, at } = read(body)?;
            let at = at.as_deref().map(|text| instant("at", text)).transpose()?;
            Command::Signal { run, signal, payload, sender, at }
        }
        "cancel" => Command::Cancel { run, reason: read::<Reason>(body)?.reason },
        "retry" => Command::Retry(run),
        "fork" => Command::Fork { run, from: read::<From>(body)?.from },
        "pause" => Command::Pause(run),
        "resume" => Command::Resume(run),
        _ => return Err(nothing()),
    })
}

/// `DELETE /api/v1/runs/{run}`.
pub(crate) async fn delete_run(Changes(control): Changes, Path(run): Path) -> Result<Response, Problem> {
    operate(&control, run_id(&run).map(Command::Delete)).await
}

/// `POST /api/v1/runs/prune`.
pub(crate) async fn prune(Changes(control): Changes, body: Body) -> Result<Response, Problem> {
    let command = read::<EndedBefore>(body)
        .and_then(|body| Ok(Command::Prune { before: instant("ended_before", &body.ended_before)? }));
    operate(&control, command).await
}

/// `POST /api/v1/workflows/{workflow}/{action}`.
pub(crate) async fn workflow(
    Changes(control): Changes,
    Path((workflow, action)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let command = match action.as_str() {
        "runs" => read(body).map(|new| start(&workflow, new)),
        "pause" => Ok(Command::WorkflowPause(Some(workflow))),
        "resume" => Ok(Command::WorkflowResume(Some(workflow))),
        _ => Err(nothing()),
    };
    operate(&control, command).await
}

fn start(workflow: &str, new: NewRun) -> Command {
    let mut request =
        StartRequest::new(workflow, new.input).priority(new.priority).attributes(new.attributes);
    if let Some(version) = new.version {
        request = request.version(version);
    }
    if let Some(key) = &new.key {
        request = request.key(key);
    }
    if let Some(fairness) = &new.fairness {
        request = request.fairness(fairness);
    }
    if new.paused {
        request = request.paused();
    }
    Command::Start(Box::new(request))
}

/// `POST /api/v1/namespace/{action}`: everything in the namespace.
pub(crate) async fn namespace(Changes(control): Changes, Path(action): Path) -> Result<Response, Problem> {
    let command = match action.as_str() {
        "pause" => Ok(Command::WorkflowPause(None)),
        "resume" => Ok(Command::WorkflowResume(None)),
        _ => Err(nothing()),
    };
    operate(&control, command).await
}

/// `PUT /api/v1/queues/{queue}`.
pub(crate) async fn set_queue(
    Changes(control): Changes,
    Path(queue): Path,
    body: Body,
) -> Result<Response, Problem> {
    let command = read::<NewLimits>(body).and_then(|new| {
        let rate = rate(new.rate, new.rate_seconds)?;
        let limits = QueueLimits { concurrency: new.concurrency, rate, paused: new.paused };
        Ok(Command::QueueSet { queue, limits })
    });
    operate(&control, command).await
}

/// `DELETE /api/v1/queues/{queue}`.
pub(crate) async fn remove_queue(Changes(control): Changes, Path(queue): Path) -> Result<Response, Problem> {
    operate(&control, Ok(Command::QueueRemove(queue))).await
}

/// `PUT /api/v1/schedules/{schedule}`.
pub(crate) async fn set_schedule(
    Changes(control): Changes,
    Path(name): Path,
    body: Body,
) -> Result<Response, Problem> {
    let command = read::<NewSchedule>(body).and_then(|new| {
        let mut request = StartRequest::new(&new.workflow, new.input).priority(new.priority);
        if let Some(version) = new.version {
            request = request.version(version);
        }
        if let Some(key) = &new.key {
            request = request.key(key);
        }
        if let Some(fairness) = &new.fairness {
            request = request.fairness(fairness);
        }
        let schedule = CronSchedule::new(&name, &new.cron, request)?.catch_up(new.catch_up);
        Ok(Command::ScheduleSet(Box::new(schedule)))
    });
    operate(&control, command).await
}

/// `DELETE /api/v1/schedules/{schedule}`.
pub(crate) async fn remove_schedule(
    Changes(control): Changes,
    Path(name): Path,
) -> Result<Response, Problem> {
    operate(&control, Ok(Command::ScheduleRemove(name))).await
}

/// `POST /api/v1/schedules/{schedule}/{action}`.
pub(crate) async fn schedule(
    Changes(control): Changes,
    Path((name, action)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let command = match action.as_str() {
        "pause" => Ok(Command::SchedulePause(name)),
        "resume" => Ok(Command::ScheduleResume(name)),
        "trigger" => Ok(Command::ScheduleTrigger(name)),
        _ => Err(nothing()),
    };
    operate(&control, command).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_is_found_where_the_answer_says() {
        let run = run_id("run_0000000000001").unwrap();
        for (namespace, place) in [("default", ""), ("a&b", "?namespace=a%26b")] {
            let answer = answer(Done::Begun(run), namespace);
            assert_eq!(answer.headers()[header::LOCATION], format!("/api/v1/runs/run_0000000000001{place}"));
        }
    }
}
