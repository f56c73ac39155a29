//! The pages about runs: which there are, what one of them does at the moment, and what may be done about it.

mod actions;
mod acts;
mod flows;
mod form;
mod frame;
mod list;
mod nodes;
mod queues;
mod run;
mod schedules;
mod words;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_core::{Cursor, PageSize, Role};
use serde::Deserialize;

use self::form::Fields;
use self::frame::Frame;
use self::list::ListView;
use self::run::RunPage;
use crate::api::runs::run_id;
use crate::app::App;
use crate::http::extract::{Pair, Path, Query};
use crate::http::layers::CONTENT_SECURITY_POLICY;
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::access::{DEFAULT_NAMESPACE, Operator};
use crate::workflow::search::Search;
use crate::workflow::settings::{self, QueueDocument};

/// Where a page is sent that needs somebody.
fn to_sign_in() -> Response {
    Redirect::to("/login").into_response()
}

/// `GET /runs`.
pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<Pair>>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let given =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let control = operator.control(&app, Some(given("namespace"))).await?;
    let search = Search::read(&pairs).map(|search| search.listing(limits::RUNS_LISTED));
    let page = match &search {
        Ok(search) => search.ask(&control).await,
        Err(problem) => Err(problem.clone()),
    };
    // What cannot be searched for is told beside the form, which keeps what was typed.
    let (page, wrong) = match page {
        Ok(page) => (page, None),
        Err(problem) if problem.kind() == ProblemKind::Malformed => {
            (mainstay_core::Page { items: Vec::new(), next: None }, Some(problem.detail().to_owned()))
        }
        Err(problem) => return Err(problem),
    };
    let workflows = control.workflows().await?;
    let done = Some(given("done")).filter(|done| !done.is_empty()).map(str::to_owned);
    let frame = frame(&app, &operator, Some(given("namespace").to_owned()), done);
    Ok(list::page(&ListView { pairs: &pairs, page, wrong, workflows, frame }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    namespace: Option<String>,
    after: Option<String>,
    version: Option<u32>,
    /// What was just done.
    done: Option<String>,
}

fn frame(app: &App, operator: &Operator, namespace: Option<String>, done: Option<String>) -> Frame {
    Frame {
        namespace: namespace.filter(|name| !name.is_empty() && name != DEFAULT_NAMESPACE),
        form_token: operator.form_token(),
        writes: operator.may(Role::Write),
        admin: operator.may(Role::Admin),
        dev: app.is_dev(),
        done,
    }
}

/// `GET /runs/{run}`.
pub(crate) async fn run(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let page = look(&app, &operator, &run, seen).await?;
    let mut response = page.respond();
    // The page's script asks for its live parts.
    let policy = format!("{CONTENT_SECURITY_POLICY}; connect-src 'self'");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// `GET /runs/{run}/live`: the parts of the page that change, for its script.
pub(crate) async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let operator = Operator::of_program(&app, &headers, Role::Read).await?;
    let text = look(&app, &operator, &run, seen).await?.parts().into_string();
    let digest = digest(&SHA256, text.as_bytes());
    let tag: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(([(header::ETAG, tag)], Html(text)).into_response())
}

async fn look(app: &App, operator: &Operator, run: &str, seen: Seen) -> Result<RunPage, Problem> {
    let control = operator.control(app, seen.namespace.as_deref()).await?;
    let run = run_id(run)?;
    let view = control.show(run).await?;
    let history = control.history(run, PageSize::clamped(PageSize::MAX), None).await?;
    let acts = control.acts(Some(run), PageSize::clamped(limits::ACTS_LISTED), None).await?;
    Ok(RunPage { view, history, acts: acts.items, frame: frame(app, operator, seen.namespace, seen.done) })
}

/// `GET /runs/{run}/history`.
pub(crate) async fn history(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let run = run_id(&run)?;
    let after = seen.after.filter(|after| !after.is_empty()).map(Cursor::new);
    let page = control.history(run, PageSize::clamped(limits::HISTORY_LISTED), after.as_ref()).await?;
    let form_token = operator.form_token();
    Ok(run::history_page(run, &page, seen.namespace.as_deref(), &form_token, app.is_dev()))
}

/// `GET /workflows`.
pub(crate) async fn workflows(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let (workflows, pauses) = (control.workflows().await?, control.pauses().await?);
    Ok(flows::page(&frame(&app, &operator, seen.namespace, seen.done), &workflows, &pauses))
}

/// `GET /workflows/{workflow}`.
pub(crate) async fn workflow(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let flow = control.workflow(&name, seen.version).await?;
    let workflows = control.workflows().await?;
    let summary = workflows.iter().find(|workflow| workflow.name == name);
    Ok(flows::one(&frame(&app, &operator, seen.namespace, seen.done), &flow, summary))
}

/// `GET /queues`.
pub(crate) async fn queues(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let queues: Vec<QueueDocument> = control.queues().await?.iter().map(QueueDocument::new).collect();
    Ok(queues::page(&frame(&app, &operator, seen.namespace, seen.done), &queues))
}

/// `GET /schedules`.
pub(crate) async fn schedules(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let (schedules, workflows) = (control.schedules().await?, control.workflows().await?);
    Ok(schedules::page(&frame(&app, &operator, seen.namespace, seen.done), &schedules, &workflows))
}

/// `GET /nodes`.
pub(crate) async fn nodes(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let nodes = settings::nodes(&control).await?;
    Ok(nodes::page(&frame(&app, &operator, seen.namespace, seen.done), &nodes))
}

/// `GET /acts`.
pub(crate) async fn acts(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = operator.control(&app, seen.namespace.as_deref()).await?;
    let after = seen.after.filter(|after| !after.is_empty()).map(Cursor::new);
    let acts = control.acts(None, PageSize::clamped(limits::ACTS_LISTED), after.as_ref()).await?;
    Ok(acts::page(&frame(&app, &operator, seen.namespace, seen.done), &acts))
}

/// `POST /operate`: every change that a form asks for.
pub(crate) async fn operate(
    State(app): State<App>,
    headers: HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Problem> {
    let operator = Operator::of_program(&app, &headers, Role::Read).await?;
    let Form(fields) =
        fields.map_err(|_| Problem::new(ProblemKind::StaleForm, "Open the page again and repeat."))?;
    operator.check_form(&fields.form_token)?;
    let command = fields.command()?;
    let control = operator.control(&app, Some(&fields.namespace)).await?;
    let action = command.action();
    Ok(fields.back(action, command.carry_out(&control).await?))
}
