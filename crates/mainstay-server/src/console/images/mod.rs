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
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::request::Parts;
use serde::Deserialize;

use self::care::CareView;
use self::frame::Frame;
use self::image::ImageView;
use self::leases::LeasesView;
use self::list::ListView;
use self::scrub::ScrubView;
use crate::app::App;
use crate::auth::operator::{Turned, Visitor};
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

/// Whoever opens a page, what they ask for, and the store in their hands.
#[derive(Debug)]
pub(crate) struct View {
    frame: Frame,
    seen: Seen,
}

impl FromRequestParts<App> for View {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Turned> {
        let Visitor(operator) = Visitor::from_request_parts(parts, app).await?;
        let Query(seen): Query<Seen> = Query::from_request_parts(parts, app).await?;
        let (form_token, commands) = (operator.form_token(), operator.images()?);
        let frame = Frame { form_token, commands, done: seen.done.clone(), dev: app.is_dev() };
        Ok(Self { frame, seen })
    }
}

async fn list(View { frame, seen }: View, State(app): State<App>) -> Result<Response, Problem> {
    let images = frame.commands.look()?;
    let view = ListView {
        page: ImagePage::read(images, seen.after, limits::IMAGES_LISTED).await?,
        usage: app.image_reports().usage(images).await?,
        frame: &frame,
    };
    Ok(view.respond())
}

async fn drawn(View { frame, .. }: View, State(app): State<App>) -> Result<Response, Problem> {
    let lineage = app.image_reports().lineage(frame.commands.look()?, limits::IMAGES_DRAWN).await;
    match lineage {
        Ok(lineage) => Ok(lineage::respond(&frame, Some(&lineage))),
        Err(problem) if problem.kind() == ProblemKind::Malformed => Ok(lineage::respond(&frame, None)),
        Err(problem) => Err(problem),
    }
}

async fn held(View { frame, seen }: View) -> Result<Response, Problem> {
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

async fn cared(View { frame, seen }: View, State(app): State<App>) -> Result<Response, Problem> {
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

async fn scrubbed(View { frame, seen }: View, State(app): State<App>) -> Result<Response, Problem> {
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
async fn image(View { frame, .. }: View, Path(text): Path) -> Result<Response, Problem> {
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
