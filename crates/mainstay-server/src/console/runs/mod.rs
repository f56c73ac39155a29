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
use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_core::{Cursor, PageSize, Role};
use mainstay_workflow::store::{Filter, Order};
use mainstay_workflow::{Control, RunId, RunView};
use serde::Deserialize;

use self::form::Fields;
use self::frame::Frame;
use self::list::ListView;
use self::run::RunPage;
use crate::api::runs::run_id;
use crate::app::App;
use crate::auth::operator::{Looking, Operator, Submitted, Turned, Visitor};
use crate::http::extract::{Pair, Path, Query};
use crate::http::layers::CONTENT_SECURITY_POLICY;
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::DEFAULT_NAMESPACE;
use crate::workflow::search::Search;
use crate::workflow::settings::{self, QueueDocument};

/// `GET /runs`.
pub(crate) async fn list(
    Visitor(operator): Visitor,
    Query(pairs): Query<Vec<Pair>>,
) -> Result<Response, Problem> {
    let given =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let control = operator.control(Some(given("namespace"))).await?;
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
    let frame = frame(&operator, Some(given("namespace").to_owned()), done);
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

fn frame(operator: &Operator, namespace: Option<String>, done: Option<String>) -> Frame {
    Frame {
        namespace: namespace.filter(|name| !name.is_empty() && name != DEFAULT_NAMESPACE),
        form_token: operator.form_token(),
        writes: operator.may(Role::Write),
        admin: operator.may(Role::Admin),
        dev: operator.app.is_dev(),
        done,
    }
}

/// Whoever looks at the runs of a namespace.
#[derive(Debug)]
pub(crate) struct View {
    control: Control,
    frame: Frame,
    /// Where the list goes on.
    after: Option<Cursor>,
    version: Option<u32>,
}

impl View {
    async fn of(operator: &Operator, parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Query(seen) = Query::<Seen>::from_request_parts(parts, app).await?;
        Ok(Self {
            control: operator.control(seen.namespace.as_deref()).await?,
            frame: frame(operator, seen.namespace, seen.done),
            after: seen.after.filter(|after| !after.is_empty()).map(Cursor::new),
            version: seen.version,
        })
    }
}

impl FromRequestParts<App> for View {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Turned> {
        let Visitor(operator) = Visitor::from_request_parts(parts, app).await?;
        Ok(Self::of(&operator, parts, app).await?)
    }
}

/// The same for a page's script, which cannot be sent to sign in.
#[derive(Debug)]
pub(crate) struct LiveView(View);

impl FromRequestParts<App> for LiveView {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Looking(operator) = Looking::from_request_parts(parts, app).await?;
        View::of(&operator, parts, app).await.map(Self)
    }
}

/// `GET /runs/{run}`.
pub(crate) async fn run(View { control, frame, .. }: View, Path(run): Path) -> Result<Response, Problem> {
    let view = control.show(run_id(&run)?).await?;
    let mut response = look(&control, view, frame).await?.respond();
    // The page's script asks for its live parts.
    let policy = format!("{CONTENT_SECURITY_POLICY}; connect-src 'self'");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// `GET /runs/{run}/live`: the parts of the page that change, for its script.
pub(crate) async fn live(
    LiveView(view): LiveView,
    Path(run): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let View { control, frame, .. } = view;
    let run = run_id(&run)?;
    let tag = tag(&control, run, &frame).await?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let text = look(&control, control.outline(run).await?, frame).await?.parts().into_string();
    Ok(([(header::ETAG, tag)], Html(text)).into_response())
}

/// Names what the parts of a run's page show, without reading the run: each page that is open asks once a second. What was sent to a run
/// and not read by it yet is told with the act of whoever sent it.
async fn tag(control: &Control, run: RunId, frame: &Frame) -> Result<String, Problem> {
    let (status, seq) = control.position(run).await?;
    let act = control.acts(Some(run), PageSize::clamped(1), None).await?;
    let children = Filter::new().parent(run);
    let children = control.list(&children, Order::Oldest, PageSize::clamped(PageSize::MAX), None).await?;
    let mut text = format!("{status:?} {seq} {} {}", frame.writes, frame.admin);
    text.extend(act.items.first().map(|act| format!(" {}", act.number)));
    text.extend(children.items.iter().map(|child| format!(" {} {:?}", child.run, child.status)));
    let digest = digest(&SHA256, text.as_bytes());
    let digits: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("\"{digits}\""))
}

async fn look(control: &Control, view: RunView, frame: Frame) -> Result<RunPage, Problem> {
    let run = view.summary.run;
    let history = control.beginning(run, PageSize::clamped(PageSize::MAX)).await?;
    let acts = control.acts(Some(run), PageSize::clamped(limits::ACTS_LISTED), None).await?;
    Ok(RunPage { view, history, acts: acts.items, frame })
}

/// `GET /runs/{run}/history`.
pub(crate) async fn history(view: View, Path(run): Path) -> Result<Response, Problem> {
    let View { control, frame, after, .. } = view;
    let run = run_id(&run)?;
    let page = control.history(run, PageSize::clamped(limits::HISTORY_LISTED), after.as_ref()).await?;
    Ok(run::history_page(run, &page, &frame))
}

/// `GET /workflows`.
pub(crate) async fn workflows(View { control, frame, .. }: View) -> Result<Response, Problem> {
    let (workflows, pauses) = (control.workflows().await?, control.pauses().await?);
    Ok(flows::page(&frame, &workflows, &pauses))
}

/// `GET /workflows/{workflow}`.
pub(crate) async fn workflow(view: View, Path(name): Path) -> Result<Response, Problem> {
    let View { control, frame, version, .. } = view;
    let flow = control.workflow(&name, version).await?;
    let workflows = control.workflows().await?;
    let summary = workflows.iter().find(|workflow| workflow.name == name);
    Ok(flows::one(&frame, &flow, summary))
}

/// `GET /queues`.
pub(crate) async fn queues(View { control, frame, .. }: View) -> Result<Response, Problem> {
    let queues: Vec<QueueDocument> = control.queues().await?.iter().map(QueueDocument::new).collect();
    Ok(queues::page(&frame, &queues))
}

/// `GET /schedules`.
pub(crate) async fn schedules(View { control, frame, .. }: View) -> Result<Response, Problem> {
    let (schedules, workflows) = (control.schedules().await?, control.workflows().await?);
    Ok(schedules::page(&frame, &schedules, &workflows))
}

/// `GET /nodes`.
pub(crate) async fn nodes(View { control, frame, .. }: View) -> Result<Response, Problem> {
    Ok(nodes::page(&frame, &settings::nodes(&control).await?))
}

/// `GET /acts`.
pub(crate) async fn acts(View { control, frame, after, .. }: View) -> Result<Response, Problem> {
    let acts = control.acts(None, PageSize::clamped(limits::ACTS_LISTED), after.as_ref()).await?;
    Ok(acts::page(&frame, &acts))
}

/// `POST /operate`: every change that a form asks for.
pub(crate) async fn operate(Submitted(operator, fields): Submitted<Fields>) -> Result<Response, Problem> {
    let command = fields.command()?;
    let control = operator.control(Some(&fields.namespace)).await?;
    let action = command.action();
    Ok(fields.back(action, command.carry_out(&control).await?))
}
