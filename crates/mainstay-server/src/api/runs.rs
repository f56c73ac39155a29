//! `/api/v1/runs…` and `/api/v1/workflows…`: runs for programs that look.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header;
use mainstay_core::{Cursor, PageSize};
use mainstay_workflow::{RunId, Workflow, render};
use serde::{Deserialize, Serialize};

use super::place::{Placed, Reads};
use crate::auth::operator::Looking;
use crate::http::extract::{Pair, Path, Query};
use crate::problem::{Problem, ProblemKind};
use crate::workflow::document::{HistoryPage, RunDocument, RunPage, WorkflowDocument, WorkflowLine};
use crate::workflow::search::Search;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paged {
    namespace: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

impl Placed for Paged {
    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drawn {
    namespace: Option<String>,
    version: Option<u32>,
    format: Form,
}

impl Placed for Drawn {
    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
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

pub(crate) async fn workflows(Reads { control, .. }: Reads) -> Result<Json<Workflows>, Problem> {
    let workflows = control.workflows().await?.iter().map(WorkflowLine::new).collect();
    Ok(Json(Workflows { workflows }))
}

pub(crate) async fn workflow(
    Path(name): Path,
    Reads { control, query }: Reads<Drawn>,
) -> Result<Json<WorkflowDocument>, Problem> {
    Ok(Json(WorkflowDocument::new(&control.workflow(&name, query.version).await?)))
}

pub(crate) async fn workflow_graph(
    Path(name): Path,
    Reads { control, query }: Reads<Drawn>,
) -> Result<Response, Problem> {
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
    // A picture that is opened by itself carries its colours with it; nothing else of it may act.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)], text).into_response()
}

pub(crate) async fn list(
    Looking(operator): Looking,
    Query(pairs): Query<Vec<Pair>>,
) -> Result<Json<RunPage>, Problem> {
    let search = Search::read(&pairs)?;
    let control = operator.control(search.namespace.as_deref()).await?;
    Ok(Json(RunPage::new(&search.ask(&control).await?)))
}

pub(crate) async fn show(
    Path(run): Path,
    Reads { control, .. }: Reads,
) -> Result<Json<RunDocument>, Problem> {
    Ok(Json(RunDocument::new(&control.show(run_id(&run)?).await?)))
}

pub(crate) async fn history(
    Path(run): Path,
    Reads { control, query }: Reads<Paged>,
) -> Result<Json<HistoryPage>, Problem> {
    let size = query.limit.map_or_else(PageSize::default, PageSize::clamped);
    let after = query.after.map(Cursor::new);
    Ok(Json(HistoryPage::new(&control.history(run_id(&run)?, size, after.as_ref()).await?)))
}

pub(crate) async fn graph(
    Path(run): Path,
    Reads { control, query }: Reads<Drawn>,
) -> Result<Response, Problem> {
    let view = control.outline(run_id(&run)?).await?;
    let Some(flow) = &view.workflow else {
        return Err(Problem::new(ProblemKind::NotFound, "The run was imported without its graph."));
    };
    Ok(picture(flow, view.state.as_ref(), query.format))
}
