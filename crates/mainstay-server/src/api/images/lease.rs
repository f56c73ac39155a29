//! Leases of programs that have no process beside the store: each is held by its token and ends by itself.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use mainstay_images::{HolderId, Token};
use serde::Deserialize;

use super::{Body, Nothing, Paged, body};
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::document::{HolderPage, LeasePage, RevokedDocument, ShortLeaseDocument};
use crate::images::{changes, looks};
use crate::problem::Problem;

pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Paged>,
) -> Result<Json<LeasePage>, Problem> {
    let (commands, limit) = (looks(&app, &headers).await?, query.limit()?);
    Ok(Json(LeasePage::read(commands.look()?, query.after, limit).await?))
}

pub(super) async fn holders(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Paged>,
) -> Result<Json<HolderPage>, Problem> {
    let (commands, limit) = (looks(&app, &headers).await?, query.limit()?);
    Ok(Json(HolderPage::read(commands.look()?, query.after, limit).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLease {
    key: String,
}

pub(super) async fn acquire(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
    new: Body<NewLease>,
) -> Result<Response, Problem> {
    let commands = changes(&app, &headers).await?;
    let image = commands.look()?.find(&image).await?;
    let lease = commands.lease(&image.id.into(), &body(new)?.key).await?;
    Ok((StatusCode::CREATED, Json(ShortLeaseDocument::from(lease))).into_response())
}

pub(super) async fn renew(
    State(app): State<App>,
    headers: HeaderMap,
    Path(token): Path<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ShortLeaseDocument>, Problem> {
    Ok(Json(changes(&app, &headers).await?.renew(Token::new(token)).await?.into()))
}

pub(super) async fn release(
    State(app): State<App>,
    headers: HeaderMap,
    Path(token): Path<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<StatusCode, Problem> {
    changes(&app, &headers).await?.release(Token::new(token)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn revoke(
    State(app): State<App>,
    headers: HeaderMap,
    Path(epoch): Path<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<RevokedDocument>, Problem> {
    let (until, leases) = changes(&app, &headers).await?.revoke(HolderId::new(epoch)).await?;
    Ok(Json(RevokedDocument { epoch, until: until.to_string(), leases }))
}
