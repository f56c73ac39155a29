//! `/api/v1/runs…`: runs for programs.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use mainstay_core::{Cursor, PageSize};
use mainstay_sso::Role;
use mainstay_workflow::{Control, RunId, StartRequest, Workflow, render};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::http::extract::{Pair, Path, Query};
use crate::problem::{Problem, ProblemKind};
use crate::workflow::access::{Operator, control};
use crate::workflow::document::{HistoryPage, RunDocument, RunPage, WorkflowDocument, WorkflowLine};
use crate::workflow::search::Search;

/// A body, or why it is none.
type Body<T> = Result<Json<T>, JsonRejection>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct In {
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paged {
    namespace: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drawn {
    namespace: Option<String>,
    version: Option<u32>,
    format: Form,
}

/// A form of a picture.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Svg,
    Dot,
    Text,
}

#[derive(Debug, Serialize)]
pub(crate) struct Workflows {
    workflows: Vec<WorkflowLine>,
}

/// What a start is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
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

#[derive(Debug, Serialize)]
struct Begun {
    run: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSignal {
    signal: String,
    #[serde(default)]
    payload: Value,
    sender: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    /// False when the sender's identifier was there before.
    accepted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

/// Reads a body.
fn body<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(body)| body).map_err(|rejection| {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedType,
            _ => ProblemKind::Malformed,
        };
        Problem::new(kind, rejection.body_text())
    })
}

/// The run that a path names.
pub(crate) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse()
        .map_err(|error: mainstay_workflow::IdError| Problem::new(ProblemKind::NotFound, error.to_string()))
}

async fn reads(app: &App, headers: &HeaderMap, namespace: Option<&str>) -> Result<Control, Problem> {
    Operator::of_program(app, headers, Role::Read).await?;
    control(app, namespace).await
}

async fn writes(
    app: &App,
    headers: &HeaderMap,
    namespace: Option<&str>,
) -> Result<(Operator, Control), Problem> {
    let operator = Operator::of_program(app, headers, Role::Write).await?;
    operator.check_header(headers)?;
    Ok((operator, control(app, namespace).await?))
}

pub(crate) async fn workflows(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<In>,
) -> Result<Json<Workflows>, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    let workflows = control.workflows().await?.iter().map(WorkflowLine::new).collect();
    Ok(Json(Workflows { workflows }))
}

pub(crate) async fn workflow(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path,
    Query(query): Query<Drawn>,
) -> Result<Json<WorkflowDocument>, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    Ok(Json(WorkflowDocument::new(&control.workflow(&name, query.version).await?)))
}

pub(crate) async fn workflow_graph(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path,
    Query(query): Query<Drawn>,
) -> Result<Response, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    let flow = control.workflow(&name, query.version).await?;
    Ok(picture(&flow, None, query.format))
}

/// A picture with the type that belongs to it.
fn picture(flow: &Workflow, state: Option<&mainstay_workflow::State>, form: Form) -> Response {
    let (kind, text) = match form {
        Form::Svg => ("image/svg+xml", render::svg(flow, state)),
        Form::Dot => ("text/vnd.graphviz; charset=utf-8", render::dot(flow, state)),
        Form::Text => ("text/plain; charset=utf-8", render::text(flow, state)),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<Pair>>,
) -> Result<Json<RunPage>, Problem> {
    let search = Search::read(&pairs)?;
    let control = reads(&app, &headers, search.namespace.as_deref()).await?;
    Ok(Json(RunPage::new(&search.ask(&control).await?)))
}

pub(crate) async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
) -> Result<Json<RunDocument>, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    Ok(Json(RunDocument::new(&control.show(run_id(&run)?).await?)))
}

pub(crate) async fn history(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<Paged>,
) -> Result<Json<HistoryPage>, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    let size = query.limit.map_or_else(PageSize::default, PageSize::clamped);
    let after = query.after.map(Cursor::new);
    Ok(Json(HistoryPage::new(&control.history(run_id(&run)?, size, after.as_ref()).await?)))
}

pub(crate) async fn graph(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<Drawn>,
) -> Result<Response, Problem> {
    let control = reads(&app, &headers, query.namespace.as_deref()).await?;
    let view = control.show(run_id(&run)?).await?;
    let Some(flow) = &view.workflow else {
        return Err(Problem::new(ProblemKind::NotFound, "The run was imported without its graph."));
    };
    Ok(picture(flow, view.state.as_ref(), query.format))
}

pub(crate) async fn start(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path,
    Query(query): Query<In>,
    new: Body<NewRun>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let new = body(new)?;
    let mut request = StartRequest::new(&name, new.input).priority(new.priority).attributes(new.attributes);
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
    let run = control.start(request).await?;
    tracing::info!(%run, workflow = name, actor = operator.name, "a run was started");
    Ok(begun(run))
}

pub(crate) async fn signal(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
    new: Body<NewSignal>,
) -> Result<Json<Sent>, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let (run, new) = (run_id(&run)?, body(new)?);
    let accepted = control.signal(run, &new.signal, new.payload, new.sender.as_deref()).await?;
    tracing::info!(%run, signal = new.signal, actor = operator.name, "a signal was sent");
    Ok(Json(Sent { accepted }))
}

pub(crate) async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
    reason: Body<Reason>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let (run, reason) = (run_id(&run)?, body(reason)?.reason);
    control.cancel(run, &operator.signed(&reason)).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be cancelled");
    Ok(accepted())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    from: String,
}

pub(crate) async fn retry(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let of = run_id(&run)?;
    let run = control.retry(of).await?;
    tracing::info!(%run, %of, actor = operator.name, "a run is done again");
    Ok(begun(run))
}

pub(crate) async fn fork(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
    from: Body<From>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let (of, from) = (run_id(&run)?, body(from)?.from);
    let run = control.fork(of, &from.as_str().into()).await?;
    tracing::info!(%run, %of, from, actor = operator.name, "a run is done again from a step");
    Ok(begun(run))
}

/// A new run and where it is.
fn begun(run: RunId) -> Response {
    let location = format!("/api/v1/runs/{run}");
    let body = Json(Begun { run: run.to_string() });
    (StatusCode::CREATED, [(header::LOCATION, location)], body).into_response()
}

pub(crate) async fn pause(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let run = run_id(&run)?;
    control.pause(run).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be paused");
    Ok(accepted())
}

pub(crate) async fn resume(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(query): Query<In>,
) -> Result<Response, Problem> {
    let (operator, control) = writes(&app, &headers, query.namespace.as_deref()).await?;
    let run = run_id(&run)?;
    control.resume(run).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be resumed");
    Ok(accepted())
}

/// The letter lies in the run's mail; a node of the host application reads it.
fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}
