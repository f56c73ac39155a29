//! The pages about images: which there are, what comes from what, who uses them, what a collection removes and what is damaged; and
//! what may be done about it. Everything works without a script.

mod act;
mod actions;
mod care;
mod frame;
mod image;
mod leases;
mod lineage;
mod list;
mod scrub;
mod words;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::HeaderMap;
use serde::Deserialize;

use self::care::CareView;
use self::frame::Frame;
use self::image::ImageView;
use self::leases::LeasesView;
use self::list::ListView;
use self::scrub::ScrubView;
use crate::app::App;
use crate::auth::operator::Operator;
use crate::http::extract::{Path, Query};
use crate::images::document::{
    ActLine, CollectionLine, CollectionsDocument, FindingPage, HolderPage, ImageDocument, ImagePage,
    LeasePage, ScrubDocument, ScrubState, ScrubsDocument,
};
use crate::limits;
use crate::problem::{Problem, ProblemKind};

/// The pages, and what their forms are sent to. An image that has the name of a page is found by its digest.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/images", get(list))
        .route("/images/lineage", get(drawn))
        .route("/images/leases", get(held))
        .route("/images/leases/{holder}/revoke", post(act::revoke))
        .route("/images/care", get(cared))
        .route("/images/collect", post(act::collect))
        .route("/images/scrub", get(scrubbed).post(act::scrub))
        .route("/images/{image}", get(image))
        .route("/images/{image}/{action}", post(act::change))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    after: Option<i64>,
    /// Where the page of holders goes on, beside that of leases.
    holders: Option<i64>,
    /// What was just done.
    done: Option<String>,
    /// Whether the plan of a full collection is asked for.
    full: bool,
}

/// Whoever looks, and the store in their hands; nothing when they have to sign in.
async fn looks(app: &App, headers: &HeaderMap, seen: &Seen) -> Result<Option<Frame>, Problem> {
    let Some(operator) = Operator::of(app, headers).await? else { return Ok(None) };
    let form_token = operator.form_token();
    let commands = operator.images()?;
    Ok(Some(Frame { form_token, commands, done: seen.done.clone(), dev: app.is_dev() }))
}

/// Where a page is sent that needs somebody.
fn to_sign_in() -> Response {
    Redirect::to("/login").into_response()
}

async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let images = frame.commands.look()?;
    let view = ListView {
        page: ImagePage::read(images, seen.after, limits::IMAGES_LISTED).await?,
        usage: app.image_reports().usage(images).await?,
        frame: &frame,
    };
    Ok(view.respond())
}

async fn drawn(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let lineage = app.image_reports().lineage(frame.commands.look()?, limits::IMAGES_DRAWN).await;
    match lineage {
        Ok(lineage) => Ok(lineage::respond(&frame, Some(&lineage))),
        Err(problem) if problem.kind() == ProblemKind::Malformed => Ok(lineage::respond(&frame, None)),
        Err(problem) => Err(problem),
    }
}

async fn held(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let images = frame.commands.look()?;
    let view = LeasesView {
        leases: LeasePage::read(images, seen.after, limits::IMAGES_LISTED).await?,
        holders: HolderPage::read(images, seen.holders, limits::IMAGES_LISTED).await?,
        after: seen.after,
        holders_after: seen.holders,
        frame: &frame,
    };
    Ok(view.respond())
}

async fn cared(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let (images, work) = (frame.commands.look()?, app.image_work());
    let past = images.collections(limits::COLLECTIONS_LISTED).await?;
    let past = past.into_iter().map(CollectionLine::from).collect();
    let collections = CollectionsDocument::new(images.collecting().await?, work.collection_failed(), past);
    let view = CareView {
        plan: app.image_reports().plan(images, seen.full).await?,
        full: seen.full,
        collections,
        collects_every: app.image_settings().collect_every,
        acts: frame
            .commands
            .acts(None, limits::IMAGE_ACTS_LISTED)
            .await?
            .into_iter()
            .map(ActLine::from)
            .collect(),
        frame: &frame,
    };
    Ok(view.respond())
}

async fn scrubbed(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let (images, work) = (frame.commands.look()?, app.image_work());
    let scrub = ScrubDocument::read(images, images.scrub_report().await?).await?;
    let view = ScrubView {
        scrub: ScrubState { scrub, running: work.scrubs(), failed: work.scrub_failed() },
        past: ScrubsDocument::read(images, limits::SCRUBS_LISTED).await?,
        found: FindingPage::read(images, seen.after, limits::SCRUBS_LISTED).await?,
        frame: &frame,
    };
    Ok(view.respond())
}

/// By name, digest, or the first digits of one.
async fn image(
    State(app): State<App>,
    headers: HeaderMap,
    Path(text): Path,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(frame) = looks(&app, &headers, &seen).await? else { return Ok(to_sign_in()) };
    let images = frame.commands.look()?;
    let found = images.find(&text).await?;
    let acts = frame.commands.acts_on(&found.digest, limits::IMAGE_ACTS_LISTED).await?;
    let view = ImageView {
        users: images.layer_users(found.id, limits::USERS_COUNTED + 1).await?,
        claims: images.explain(&found.id.into()).await?.iter().map(ToString::to_string).collect(),
        image: ImageDocument::read(images, &found).await?,
        acts: acts.into_iter().map(ActLine::from).collect(),
        frame: &frame,
    };
    Ok(view.respond())
}
