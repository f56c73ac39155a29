//! Collections and scrubs: what they would do, beginning them, how far they are.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{Body, Limited, Nothing, Paged, body};
use crate::app::App;
use crate::http::extract::Query;
use crate::images::document::{
    CollectionLine, CollectionsDocument, FindingPage, PlanDocument, ScrubDocument, ScrubState, ScrubsDocument,
};
use crate::images::{changes, looks};
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Full {
    full: bool,
}

/// What a collection of this server would do now.
pub(super) async fn plan(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Full>,
) -> Result<Json<PlanDocument>, Problem> {
    let commands = looks(&app, &headers).await?;
    Ok(Json(app.image_work().plan(commands.look()?, query.full).await?))
}

pub(super) async fn collect(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Full>,
) -> Result<StatusCode, Problem> {
    let commands = changes(&app, &headers).await?;
    app.image_work().collect(commands, body(new)?.full).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The newest 200 at most are remembered.
pub(super) async fn collections(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Limited>,
) -> Result<Json<CollectionsDocument>, Problem> {
    let (commands, limit) = (looks(&app, &headers).await?, query.limit()?);
    let images = commands.look()?;
    let past = images.collections(limit).await?.into_iter().map(CollectionLine::from).collect();
    let now = images.collecting().await?;
    Ok(Json(CollectionsDocument::new(now, app.image_work().collection_failed(), past)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewScrub {
    restart: bool,
}

pub(super) async fn scrub(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
    new: Body<NewScrub>,
) -> Result<StatusCode, Problem> {
    let commands = changes(&app, &headers).await?;
    app.image_work().scrub(commands, body(new)?.restart).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn scrub_state(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ScrubState>, Problem> {
    let commands = looks(&app, &headers).await?;
    let images = commands.look()?;
    let scrub = ScrubDocument::read(images, images.scrub_report().await?).await?;
    let work = app.image_work();
    Ok(Json(ScrubState { scrub, running: work.scrubs(), failed: work.scrub_failed() }))
}

/// The newest 200 at most are remembered.
pub(super) async fn scrubs(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Limited>,
) -> Result<Json<ScrubsDocument>, Problem> {
    let (commands, limit) = (looks(&app, &headers).await?, query.limit()?);
    Ok(Json(ScrubsDocument::read(commands.look()?, limit).await?))
}

pub(super) async fn findings(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Paged>,
) -> Result<Json<FindingPage>, Problem> {
    let (commands, limit) = (looks(&app, &headers).await?, query.limit()?);
    Ok(Json(FindingPage::read(commands.look()?, query.after, limit).await?))
}
