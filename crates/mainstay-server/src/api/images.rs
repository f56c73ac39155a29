//! `/api/v1/images…`: images for programs, in the documents that the command line prints. Nothing is changed here.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use mainstay_core::PageSize;
use mainstay_images::{CollectOptions, ImageRef, Images};
use mainstay_sso::Role;
use serde::Deserialize;

use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::document::{ImageDocument, ImagePage, PlanDocument, UsageDocument};
use crate::problem::Problem;
use crate::workflow::access::Operator;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paged {
    limit: Option<u32>,
    after: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Planned {
    full: bool,
}

/// No parameters; a misspelt one is refused and not passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The store, for whoever may look at it.
async fn reads<'a>(app: &'a App, headers: &HeaderMap) -> Result<&'a Images, Problem> {
    Operator::of_program(app, headers, Role::Read).await?;
    app.images().opened()
}

pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Paged>,
) -> Result<Json<ImagePage>, Problem> {
    let images = reads(&app, &headers).await?;
    let size = query.limit.map_or_else(PageSize::default, PageSize::clamped);
    Ok(Json(ImagePage::read(images, query.after, size.get()).await?))
}

/// By name or digest. An image that is named `usage` or `collection` is found by its digest.
pub(crate) async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ImageDocument>, Problem> {
    let images = reads(&app, &headers).await?;
    let wanted: ImageRef = image.parse()?;
    let found = images.image(&wanted).await?;
    Ok(Json(ImageDocument::read(images, &found).await?))
}

pub(crate) async fn usage(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<UsageDocument>, Problem> {
    let images = reads(&app, &headers).await?;
    Ok(Json(UsageDocument::read(images).await?))
}

/// What a collection of this server would do now. Only a full one looks for files that nothing names, since that reads the directory.
pub(crate) async fn collection(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Planned>,
) -> Result<Json<PlanDocument>, Problem> {
    let images = reads(&app, &headers).await?;
    let options = CollectOptions {
        evict: true,
        full: query.full,
        skip_sweep: !query.full,
        ..CollectOptions::default()
    };
    Ok(Json(PlanDocument::from(images.plan(&options).await?)))
}
