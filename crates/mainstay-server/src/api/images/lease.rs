//! Leases of programs that have no process beside the store: each is held by the text that is told with it, and ends by itself.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use mainstay_images::{Action, HolderId};
use serde::Deserialize;

use super::{Body, Nothing, Paged, body};
use crate::http::extract::{Path, Query};
use crate::images::document::{HolderPage, LeasePage, RevokedDocument, ShortLeaseDocument};
use crate::images::{Changes, Looks};
use crate::problem::Problem;

pub(super) async fn list(
    Looks(commands): Looks,
    Query(query): Query<Paged>,
) -> Result<Json<LeasePage>, Problem> {
    let limit = query.limit()?;
    Ok(Json(LeasePage::read(commands.look()?, query.after, limit).await?))
}

pub(super) async fn holders(
    Looks(commands): Looks,
    Query(query): Query<Paged>,
) -> Result<Json<HolderPage>, Problem> {
    let limit = query.limit()?;
    Ok(Json(HolderPage::read(commands.look()?, query.after, limit).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLease {
    key: String,
}

pub(super) async fn acquire(
    Changes(commands): Changes,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
    new: Body<NewLease>,
) -> Result<Response, Problem> {
    let image = commands.look()?.find(&image).await?;
    let lease = commands.lease(&image.id.into(), &body(new)?.key).await?;
    Ok((StatusCode::CREATED, Json(ShortLeaseDocument::from(lease))).into_response())
}

pub(super) async fn renew(
    Changes(commands): Changes,
    Path(lease): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ShortLeaseDocument>, Problem> {
    // Whether they may is asked before it is looked at what they say.
    commands.require(Action::Lease)?;
    Ok(Json(commands.renew(lease.parse()?).await?.into()))
}

pub(super) async fn release(
    Changes(commands): Changes,
    Path(lease): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<StatusCode, Problem> {
    commands.require(Action::Lease)?;
    commands.release(lease.parse()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn revoke(
    Changes(commands): Changes,
    Path(epoch): Path<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<RevokedDocument>, Problem> {
    let (until, leases) = commands.revoke(HolderId::new(epoch)).await?;
    Ok(Json(RevokedDocument { epoch, until: until.to_string(), leases }))
}
