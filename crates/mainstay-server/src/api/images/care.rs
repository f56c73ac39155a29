//! Collections and scrubs: what they would do, beginning them, how far they are.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;

use super::{Body, Limited, Nothing, Paged, body};
use crate::app::App;
use crate::http::extract::Query;
use crate::images::document::{
    CollectionLine, CollectionsDocument, FindingPage, OffDocument, ScrubDocument, ScrubState, ScrubsDocument,
};
use crate::images::{Changes, Looks};
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Full {
    full: bool,
}

/// What a collection of this server would do now.
pub(super) async fn plan(
    Looks(commands): Looks,
    State(app): State<App>,
    Query(query): Query<Full>,
) -> Result<Response, Problem> {
    let plan = app.image_reports().plan(commands.look()?, query.full).await?;
    Ok(Json(&*plan).into_response())
}

pub(super) async fn collect(
    Changes(commands): Changes,
    State(app): State<App>,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Full>,
) -> Result<StatusCode, Problem> {
    app.image_work().collect(commands, body(new)?.full).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The newest 200 at most are remembered.
pub(super) async fn collections(
    Looks(commands): Looks,
    State(app): State<App>,
    Query(query): Query<Limited>,
) -> Result<Json<CollectionsDocument>, Problem> {
    let limit = query.limit()?;
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
    Changes(commands): Changes,
    State(app): State<App>,
    Query(Nothing {}): Query<Nothing>,
    new: Body<NewScrub>,
) -> Result<StatusCode, Problem> {
    app.image_work().scrub(commands, body(new)?.restart).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn scrub_state(
    Looks(commands): Looks,
    State(app): State<App>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ScrubState>, Problem> {
    let images = commands.look()?;
    let scrub = ScrubDocument::read(images, images.scrub_report().await?).await?;
    let work = app.image_work();
    Ok(Json(ScrubState { scrub, running: work.scrubs(), failed: work.scrub_failed() }))
}

/// The newest 200 at most are remembered.
pub(super) async fn scrubs(
    Looks(commands): Looks,
    Query(query): Query<Limited>,
) -> Result<Json<ScrubsDocument>, Problem> {
    let limit = query.limit()?;
    Ok(Json(ScrubsDocument::read(commands.look()?, limit).await?))
}

pub(super) async fn findings(
    Looks(commands): Looks,
    Query(query): Query<Paged>,
) -> Result<Json<FindingPage>, Problem> {
    let limit = query.limit()?;
    Ok(Json(FindingPage::read(commands.look()?, query.after, limit).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPause {
    seconds: u64,
}

/// Collects nothing for a while; for a copy of the directory, say.
pub(super) async fn pause(
    Changes(commands): Changes,
    Query(Nothing {}): Query<Nothing>,
    new: Body<NewPause>,
) -> Result<Json<OffDocument>, Problem> {
    let time = Duration::from_secs(body(new)?.seconds);
    Ok(Json(commands.pause_collecting(time).await?.into()))
}

/// That the database was restored from a backup.
pub(super) async fn restored(
    Changes(commands): Changes,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<OffDocument>, Problem> {
    Ok(Json(commands.after_restore().await?.into()))
}
