//! The pages about runs: which there are, what one of them does at the moment, and what may be done about it.

mod actions;
mod list;
mod run;
mod words;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_core::{Cursor, PageSize};
use mainstay_sso::Role;
use mainstay_workflow::{Control, RunId};
use serde::Deserialize;
use serde_json::Value;

use self::list::ListView;
use self::run::RunPage;
use crate::api::runs::run_id;
use crate::app::App;
use crate::http::extract::{Pair, Path, Query};
use crate::http::layers::CONTENT_SECURITY_POLICY;
use crate::limits;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::access::{DEFAULT_NAMESPACE, Operator, control};
use crate::workflow::search::Search;

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
    let control = control(&app, Some(given("namespace"))).await?;
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
    let form_token = operator.form_token();
    Ok(list::page(&ListView { pairs: &pairs, page, wrong, workflows, form_token, dev: app.is_dev() }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    namespace: Option<String>,
    after: Option<String>,
    /// What was just done.
    done: Option<String>,
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
    let mut response = page.respond(app.is_dev());
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
    let control = control(app, seen.namespace.as_deref()).await?;
    let run = run_id(run)?;
    let view = control.show(run).await?;
    let history = control.history(run, PageSize::clamped(PageSize::MAX), None).await?;
    Ok(RunPage {
        view,
        history,
        namespace: seen.namespace.filter(|name| name != DEFAULT_NAMESPACE),
        form_token: operator.form_token(),
        writes: operator.writes,
        done: seen.done,
    })
}

/// `GET /runs/{run}/history`.
pub(crate) async fn history(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else { return Ok(to_sign_in()) };
    let control = control(&app, seen.namespace.as_deref()).await?;
    let run = run_id(&run)?;
    let after = seen.after.filter(|after| !after.is_empty()).map(Cursor::new);
    let page = control.history(run, PageSize::clamped(limits::HISTORY_LISTED), after.as_ref()).await?;
    let form_token = operator.form_token();
    Ok(run::history_page(run, &page, seen.namespace.as_deref(), &form_token, app.is_dev()))
}

/// The fields of the forms of a run's page; each form has its own ones of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Act {
    form_token: String,
    namespace: String,
    signal: String,
    payload: String,
    reason: String,
    confirm: String,
    from: String,
}

/// What every change passes: who, the form's token, the run.
async fn act(
    app: &App,
    headers: &HeaderMap,
    run: &str,
    form: Result<Form<Act>, FormRejection>,
) -> Result<(Operator, Control, RunId, Act), Problem> {
    let operator = Operator::of_program(app, headers, Role::Write).await?;
    let Form(form) =
        form.map_err(|_| Problem::new(ProblemKind::StaleForm, "Open the page again and repeat."))?;
    operator.check_form(&form.form_token)?;
    let control = control(app, Some(&form.namespace)).await?;
    Ok((operator, control, run_id(run)?, form))
}

/// Refuses what destroys something unless its word was typed.
fn confirmed(form: &Act, word: &str) -> Result<(), Problem> {
    if form.confirm.trim() == word {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Malformed, format!("Nothing was done: type {word} to confirm it.")))
}

fn back(run: RunId, form: &Act, done: &str) -> Response {
    let namespace = words::namespace_query(Some(&form.namespace));
    let sign = if namespace.is_empty() { '?' } else { '&' };
    Redirect::to(&format!("/runs/{run}{namespace}{sign}done={done}")).into_response()
}

/// `POST /runs/{run}/signal`.
pub(crate) async fn signal(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    form: Result<Form<Act>, FormRejection>,
) -> Result<Response, Problem> {
    let (operator, control, run, form) = act(&app, &headers, &run, form).await?;
    let payload = match form.payload.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|error| {
            let detail = format!("The payload is no JSON: {error}. Go back, mend it and send it again.");
            Problem::new(ProblemKind::Malformed, detail)
        })?,
    };
    control.signal(run, form.signal.trim(), payload, None).await?;
    tracing::info!(%run, signal = form.signal, actor = operator.name, "a signal was sent");
    Ok(back(run, &form, "signal"))
}

/// `POST /runs/{run}/cancel`.
pub(crate) async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    form: Result<Form<Act>, FormRejection>,
) -> Result<Response, Problem> {
    let (operator, control, run, form) = act(&app, &headers, &run, form).await?;
    confirmed(&form, actions::CANCEL)?;
    control.cancel(run, &operator.signed(&form.reason)).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be cancelled");
    Ok(back(run, &form, "cancel"))
}

/// `POST /runs/{run}/again`: a new run, from a step or from where this one failed.
pub(crate) async fn again(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    form: Result<Form<Act>, FormRejection>,
) -> Result<Response, Problem> {
    let (operator, control, of, form) = act(&app, &headers, &run, form).await?;
    confirmed(&form, actions::AGAIN)?;
    let run = match form.from.as_str() {
        "" => control.retry(of).await?,
        step => control.fork(of, &step.into()).await?,
    };
    tracing::info!(%run, %of, from = form.from, actor = operator.name, "a run is done again");
    Ok(back(run, &form, "again"))
}

/// `POST /runs/{run}/pause`.
pub(crate) async fn pause(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    form: Result<Form<Act>, FormRejection>,
) -> Result<Response, Problem> {
    let (operator, control, run, form) = act(&app, &headers, &run, form).await?;
    control.pause(run).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be paused");
    Ok(back(run, &form, "pause"))
}

/// `POST /runs/{run}/resume`.
pub(crate) async fn resume(
    State(app): State<App>,
    headers: HeaderMap,
    Path(run): Path,
    form: Result<Form<Act>, FormRejection>,
) -> Result<Response, Problem> {
    let (operator, control, run, form) = act(&app, &headers, &run, form).await?;
    control.resume(run).await?;
    tracing::info!(%run, actor = operator.name, "a run is to be resumed");
    Ok(back(run, &form, "resume"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_destroys_wants_its_word() {
        let typed = |confirm: &str| Act { confirm: confirm.to_owned(), ..Act::default() };
        assert!(confirmed(&typed(" cancel "), "cancel").is_ok());
        for wrong in ["", "yes", "Cancel"] {
            assert_eq!(confirmed(&typed(wrong), "cancel").unwrap_err().kind(), ProblemKind::Malformed);
        }
    }
}
