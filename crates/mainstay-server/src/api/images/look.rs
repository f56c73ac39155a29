//! What programs may look at.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;
use mainstay_images::{BlobKind, BlobState};
use serde::{Deserialize, Serialize};

use super::{Nothing, Paged};
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::Looks;
use crate::images::document::{
    ActPage, AttachmentLine, ClaimLine, ExplainDocument, ImageDocument, ImagePage, LayerLine,
    LineageDocument, named,
};
use crate::limits;
use crate::problem::{Problem, ProblemKind};

pub(super) async fn list(
    Looks(commands): Looks,
    Query(query): Query<Paged>,
) -> Result<Json<ImagePage>, Problem> {
    let limit = query.limit()?;
    Ok(Json(ImagePage::read(commands.look()?, query.after, limit).await?))
}

pub(super) async fn show(
    Looks(commands): Looks,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ImageDocument>, Problem> {
    let images = commands.look()?;
    Ok(Json(ImageDocument::read(images, &images.find(&image).await?).await?))
}

/// The layers of an image, the base first, and what belongs to it without being one.
#[derive(Debug, Serialize)]
pub(super) struct Layers {
    digest: String,
    chain_id: Option<String>,
    chain: Vec<LayerLine>,
    attachments: Vec<AttachmentLine>,
}

pub(super) async fn layers(
    Looks(commands): Looks,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Layers>, Problem> {
    let images = commands.look()?;
    let image = ImageDocument::read(images, &images.find(&image).await?).await?;
    let ImageDocument { line, chain_id, chain, attachments, .. } = image;
    Ok(Json(Layers { digest: line.digest, chain_id, chain, attachments }))
}

pub(super) async fn usage(
    Looks(commands): Looks,
    State(app): State<App>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Response, Problem> {
    let usage = app.image_reports().usage(commands.look()?).await?;
    Ok(Json(&*usage).into_response())
}

pub(super) async fn explain(
    Looks(commands): Looks,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ExplainDocument>, Problem> {
    let images = commands.look()?;
    let image = images.find(&image).await?;
    let claims = images.explain(&image.id.into()).await?;
    let claims = claims.iter().map(ClaimLine::from).collect();
    Ok(Json(ExplainDocument { digest: named(&image.digest), what: "image", claims }))
}

/// A blob and what keeps it.
#[derive(Debug, Serialize)]
pub(super) struct BlobDocument {
    digest: String,
    size_bytes: u64,
    kind: BlobKind,
    media_type: String,
    state: BlobState,
    verified_at: Option<String>,
    claims: Vec<ClaimLine>,
}

pub(super) async fn blob(
    Looks(commands): Looks,
    Path(text): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<BlobDocument>, Problem> {
    let images = commands.look()?;
    let Some(digest) = images.find_blob(&text).await? else {
        return Err(Problem::new(ProblemKind::NotFound, format!("There is no blob {text}.")));
    };
    let blob = images.blob(&digest).await?;
    let claims = images.explain_blob(&digest).await?;
    Ok(Json(BlobDocument {
        digest: named(&digest),
        size_bytes: blob.size_bytes,
        kind: blob.kind,
        media_type: blob.media_type,
        state: blob.state,
        verified_at: blob.verified_at.map(|at| at.to_string()),
        claims: claims.iter().map(ClaimLine::from).collect(),
    }))
}

/// A form of the lineage.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Json,
    Svg,
    Dot,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Drawn {
    format: Form,
}

pub(super) async fn lineage(
    Looks(commands): Looks,
    State(app): State<App>,
    Query(query): Query<Drawn>,
) -> Result<Response, Problem> {
    let lineage = app.image_reports().lineage(commands.look()?, limits::LINEAGE_LISTED).await?;
    let (kind, text) = match query.format {
        Form::Json => return Ok(Json(LineageDocument::from(&*lineage)).into_response()),
        Form::Svg => ("image/svg+xml", lineage.svg()),
        Form::Dot => ("text/vnd.graphviz; charset=utf-8", lineage.dot()),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

pub(super) async fn acts(
    Looks(commands): Looks,
    Query(query): Query<Paged>,
) -> Result<Json<ActPage>, Problem> {
    let limit = query.limit()?;
    Ok(Json(ActPage::new(commands.acts(query.after, limit).await?, limit)))
}

/// Also of an image that is gone, by its whole digest.
pub(super) async fn acts_on(
    Looks(commands): Looks,
    Path(image): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ActPage>, Problem> {
    let digest = match image.strip_prefix("sha256:").unwrap_or(&image).parse() {
        Ok(digest) => digest,
        Err(_) => commands.look()?.find(&image).await?.digest,
    };
    let acts = commands.acts_on(&digest, super::MAX_LIMIT).await?;
    // Not a page: the newest are all that is told of one image.
    Ok(Json(ActPage { next: None, ..ActPage::new(acts, u32::MAX) }))
}
