//! Images in and out as archives. Registries are spoken to by the command line alone: a server that fetches what a request names, with
//! passwords that a request brings, would reach into its operator's network for anybody with the role.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use mainstay_images::oci::{Commit, Import, LayerContent, Oci, Platform, Select};
use mainstay_images::{
    BlobKind, Commands, CommitSet, Derive, Image, NewImage, RefExpect, RefUpdate, WriterSpec,
};
use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::document::ImageLine;
use crate::images::{Changes, Looks, is_layered};
use crate::problem::{Problem, ProblemKind};

/// How many octets a body says it has.
fn told(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What arrived: the image that was asked for first, then what it names.
#[derive(Debug, Serialize)]
struct Arrived {
    images: Vec<ImageLine>,
}

async fn arrived(commands: &Commands, arrived: &[Image]) -> Result<Response, Problem> {
    let mut images = Vec::with_capacity(arrived.len());
    for image in arrived {
        images.push(ImageLine::read(commands.look()?, image).await?);
    }
    Ok((StatusCode::CREATED, Json(Arrived { images })).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Incoming {
    tag: Option<String>,
    all: bool,
    name: Option<String>,
    platform: Option<String>,
}

impl Incoming {
    fn import(&self) -> Result<Import, Problem> {
        let import = match (&self.tag, self.all) {
            (Some(_), true) => {
                let detail = "Give either tag, for one image, or all.";
                return Err(Problem::new(ProblemKind::Malformed, detail));
            }
            (Some(tag), false) => Import::tagged(tag),
            (None, true) => Import::all(),
            (None, false) => Import::only(),
        };
        let import = match &self.platform {
            Some(text) => import.platform(Select::Platform(platform(text)?)),
            None => import,
        };
        Ok(match &self.name {
            Some(name) => import.named(name),
            None => import,
        })
    }
}

/// An OCI archive as the body.
pub(super) async fn import(
    Changes(commands): Changes,
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<Incoming>,
    content: Body,
) -> Result<Response, Problem> {
    let import = query.import()?;
    commands.require(mainstay_images::Action::Publish)?;
    let transfer = app.transfers().incoming()?;
    let archive = transfer.receive(content, told(&headers)).await?;
    let node = commands.join().await?;
    let done = Oci::new(node.clone()).import_archive(archive, &import).await;
    left(&node).await;
    arrived(&commands, &done.map_err(mainstay_images::Error::from)?).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewCommit {
    parent: Option<String>,
    name: Option<String>,
    label: Option<String>,
    media_type: Option<String>,
    platform: Option<String>,
}

/// A whole disk as the body, or the changes to an image; over an image of documents and layers, a layer.
pub(super) async fn commit(
    Changes(commands): Changes,
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<NewCommit>,
    content: Body,
) -> Result<Response, Problem> {
    commands.require(mainstay_images::Action::Publish)?;
    let parent = match &query.parent {
        Some(parent) => Some(commands.look()?.find(parent).await?),
        None => None,
    };
    let transfer = app.transfers().incoming()?;
    let file = transfer.receive(content, told(&headers)).await?;
    let layered = match &parent {
        Some(parent) => is_layered(commands.look()?, parent).await?,
        None => query.platform.is_some(),
    };
    let node = commands.join().await?;
    let done = if layered {
        layer(&node, &query, parent.as_ref(), file).await
    } else {
        change(&node, &query, parent.as_ref(), file).await
    };
    left(&node).await;
    arrived(&commands, &done?).await
}

/// A layer, with a manifest and a configuration of its own.
async fn layer(
    node: &mainstay_images::Node,
    query: &NewCommit,
    parent: Option<&Image>,
    file: std::fs::File,
) -> Result<Vec<Image>, Problem> {
    let platform = query.platform.as_deref().map(platform).transpose()?;
    let content = LayerContent::Archive(Box::new(file));
    let mut commit = match (parent, platform) {
        (Some(parent), None) => Commit::over(parent.id.into(), content),
        (Some(parent), Some(platform)) => Commit::over(parent.id.into(), content).platform(platform),
        (None, Some(platform)) => Commit::first(platform, content),
        (None, None) => {
            return Err(Problem::new(ProblemKind::Malformed, "A layer needs a parent or a platform."));
        }
    };
    if let Some(name) = &query.name {
        commit = commit.named(name, RefExpect::Any);
    }
    if let Some(label) = &query.label {
        commit = commit.labelled(label);
    }
    Ok(vec![Oci::new(node.clone()).commit(commit).await.map_err(mainstay_images::Error::from)?])
}

fn platform(text: &str) -> Result<Platform, Problem> {
    Platform::parse(text).ok_or_else(|| {
        let detail = format!("{text:?} is no platform; linux/amd64 is one.");
        Problem::new(ProblemKind::Malformed, detail)
    })
}

/// A file as it is: a whole disk, or what changes one.
async fn change(
    node: &mainstay_images::Node,
    query: &NewCommit,
    parent: Option<&Image>,
    file: std::fs::File,
) -> Result<Vec<Image>, Problem> {
    let kind = if parent.is_some() { BlobKind::Delta } else { BlobKind::Base };
    let media_type = query.media_type.as_deref().unwrap_or("application/octet-stream");
    let ingest = node.ingest();
    let staged = ingest.put(WriterSpec::new(kind, media_type), file).await?;
    let made = match parent {
        Some(parent) => {
            let name = query.name.clone().map(|name| (name, RefExpect::Any));
            let label = query.label.clone();
            ingest
                .derive(Derive { parent: parent.id, delta: staged.digest, label, name, guard: None })
                .await?
        }
        None => {
            let mut image = NewImage::chain(vec![staged.digest]);
            image.label.clone_from(&query.label);
            // A chain of one layer is called as that layer.
            let update = |name| RefUpdate { name, image: staged.digest, expect: RefExpect::Any };
            let refs = query.name.clone().map(update).into_iter().collect();
            ingest.commit(CommitSet { images: vec![image], refs, guard: None }).await?
        }
    };
    Ok(made.images)
}

/// Gives the claims of a request back at once. What was not given back runs out by itself.
async fn left(node: &mainstay_images::Node) {
    if let Err(error) = node.leave().await {
        tracing::warn!(%error, "claims were not given back, and run out within a minute");
    }
}

/// The image as an OCI archive.
pub(super) async fn archive(
    Looks(commands): Looks,
    State(app): State<App>,
    Path(text): Path,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Response, Problem> {
    let images = commands.look()?;
    let image = images.find(&text).await?;
    let transfer = app.transfers().outgoing()?;
    // Whoever may look may take an image out; that needs a claim for as long as it is read, in the name of who asked.
    let node = commands.reader().await?;
    let wanted = if image.digest.to_string().starts_with(text.trim_start_matches("sha256:")) {
        image.digest.into()
    } else {
        text.parse()?
    };
    let sent = transfer.send(Oci::new(node.clone()), &wanted, image.size_bytes).await;
    left(&node).await;
    let (length, content) = sent?;
    let name =
        format!("attachment; filename=\"{}.tar\"", image.digest.to_string().get(..12).unwrap_or_default());
    let told: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((told, content).into_response())
}
