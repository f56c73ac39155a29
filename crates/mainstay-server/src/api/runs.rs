//! `/api/v1/runs…` and `/api/v1/workflows…`: runs for programs that look.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use mainstay_core::{Cursor, PageSize};
use mainstay_sso::Role;
use mainstay_workflow::{Control, RunId, Workflow, render};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::extract::{Pair, Path, Query};
use crate::problem::{Problem, ProblemKind};
use crate::workflow::access::Operator;
use crate::workflow::document::{HistoryPage, RunDocument, RunPage, WorkflowDocument, WorkflowLine};
use crate::workflow::search::Search;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct In {
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paged {
    pub(super) namespace: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) after: Option<String>,
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

/// The run that a path names.
pub(crate) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse()
        .map_err(|error: mainstay_workflow::IdError| Problem::new(ProblemKind::NotFound, error.to_string()))
}

pub(super) async fn reads(
    app: &App,
    headers: &HeaderMap,
    namespace: Option<&str>,
) -> Result<Control, Problem> {
    Operator::of_program(app, headers, Role::Read).await?.control(app, namespace).await
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
