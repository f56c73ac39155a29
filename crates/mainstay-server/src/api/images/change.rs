//! What programs change.

use axum::Json;
use axum::extract::FromRequestParts;
use http::request::Parts;
use mainstay_images::{Commands, Image, Names};
use serde::Deserialize;

use super::{Body, Nothing, body};
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::Changes;
use crate::images::document::{ImageLine, NameLine, RemovedDocument};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

/// An image that somebody who may changes, as the path has it.
#[derive(Debug)]
pub(super) struct Meant {
    commands: Commands,
    image: Image,
    text: String,
}

impl FromRequestParts<App> for Meant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Changes(commands) = Changes::from_request_parts(parts, app).await?;
        let Path(text): Path = Path::from_request_parts(parts, app).await?;
        let image = commands.look()?.find(&text).await?;
        Ok(Self { commands, image, text })
    }
}

pub(super) async fn tag(
    Meant { commands, image, .. }: Meant,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Named>,
) -> Result<Json<NameLine>, Problem> {
    Ok(Json(commands.tag(&image.id.into(), &body(new)?.name).await?.into()))
}

pub(super) async fn fork(
    Meant { commands, image, .. }: Meant,
    Query(Nothing {}): Query<Nothing>,
    new: Body<Named>,
) -> Result<Json<NameLine>, Problem> {
    Ok(Json(commands.fork(&image.id.into(), &body(new)?.name).await?.into()))
}

/// Only by the name itself, which is what goes.
pub(super) async fn untag(
    Changes(commands): Changes,
    Path(name): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<NameLine>, Problem> {
    Ok(Json(commands.untag(&name).await?.into()))
}

pub(super) async fn pin(meant: Meant, Query(Nothing {}): Query<Nothing>) -> Result<Json<ImageLine>, Problem> {
    pinned(&meant, true).await
}

pub(super) async fn unpin(
    meant: Meant,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ImageLine>, Problem> {
    pinned(&meant, false).await
}

async fn pinned(Meant { commands, image, .. }: &Meant, pinned: bool) -> Result<Json<ImageLine>, Problem> {
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
    Meant { commands, image, text }: Meant,
    Query(query): Query<Removal>,
) -> Result<Json<RemovedDocument>, Problem> {
    let names = if query.names { Names::All } else { Names::Only(Some(&text)) };
    Ok(Json(commands.remove(&image.id.into(), names).await?.into()))
}
