//! What programs change.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use mainstay_images::{Commands, Image, Names};
use serde::Deserialize;

use super::{Body, Nothing, body};
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::changes;
use crate::images::document::{ImageLine, NameLine, RemovedDocument};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

/// The store, and the image that is meant.
async fn meant(app: &App, headers: &HeaderMap, image: &str) -> Result<(Commands, Image), Problem> {
    let commands = changes(app, headers).await?;
    let image = commands.look()?.find(image).await?;
    Ok((commands, image))
}

pub(super) async fn tag(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Named>,
) -> Result<Json<NameLine>, Problem> {
    let (commands, image) = meant(&app, &headers, &image).await?;
    Ok(Json(commands.tag(&image.id.into(), &body(new)?.name).await?.into()))
}

pub(super) async fn fork(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Named>,
) -> Result<Json<NameLine>, Problem> {
    let (commands, image) = meant(&app, &headers, &image).await?;
    Ok(Json(commands.fork(&image.id.into(), &body(new)?.name).await?.into()))
}

/// Only by the name itself, which is what goes.
pub(super) async fn untag(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<NameLine>, Problem> {
    Ok(Json(changes(&app, &headers).await?.untag(&name).await?.into()))
}

pub(super) async fn pin(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ImageLine>, Problem> {
    pinned(&app, &headers, &image, true).await
}

pub(super) async fn unpin(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ImageLine>, Problem> {
    pinned(&app, &headers, &image, false).await
}

async fn pinned(
    app: &App,
    headers: &HeaderMap,
    image: &str,
    pinned: bool,
) -> Result<Json<ImageLine>, Problem> {
    let (commands, image) = meant(app, headers, image).await?;
    let image = commands.pin(&image.id.into(), pinned).await?;
    Ok(Json(ImageLine::read(commands.look()?, &image).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Removal {
    names: bool,
}

/// With the name by which it was asked for, or with all names if that is said.
pub(super) async fn remove(
    State(app): State<App>,
    headers: HeaderMap,
    Path(text): Path,
    Query(query): Query<Removal>,
) -> Result<Json<RemovedDocument>, Problem> {
    let (commands, image) = meant(&app, &headers, &text).await?;
    let names = if query.names { Names::All } else { Names::Only(Some(&text)) };
    Ok(Json(commands.remove(&image.id.into(), names).await?.into()))
}
