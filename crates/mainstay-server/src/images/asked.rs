//! Who asks for images over HTTP. What they may do is decided by `mainstay-images`; here is only found out who they are.

use axum::extract::FromRequestParts;
use http::request::Parts;
use mainstay_images::{Commands, Image, ImageKind, Images};

use crate::app::App;
use crate::auth::operator::{Changing, Looking};
use crate::problem::Problem;

/// By which header a change names the lease without which it is not made.
pub(crate) const LEASE_HEADER: &str = "mainstay-lease";

/// Whether an image is made of documents and layers, as those that are imported and pulled: what is committed over it is a layer too,
/// and not a change of a disk.
///
/// # Errors
/// Of the database.
pub async fn is_layered(images: &Images, image: &Image) -> mainstay_images::Result<bool> {
    if image.kind == ImageKind::Index {
        return Ok(true);
    }
    Ok(images.attachments(image.id).await?.iter().any(|attachment| attachment.role == "manifest"))
}

/// The store in the hands of a program that looks; [`NotFound`](crate::ProblemKind::NotFound) when this server keeps no images.
#[derive(Debug)]
pub(crate) struct Looks(pub(crate) Commands);

impl FromRequestParts<App> for Looks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Looking(operator) = Looking::from_request_parts(parts, app).await?;
        operator.images().map(Self)
    }
}

/// The store in the hands of a program that changes something, which no page of another site can be. What it changes happens only while
/// the lease is held that its header names, if it names one.
#[derive(Debug)]
pub(crate) struct Changes(pub(crate) Commands);

impl FromRequestParts<App> for Changes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Changing(operator) = Changing::from_request_parts(parts, app).await?;
        let commands = operator.images()?;
        let Some(lease) = parts.headers.get(LEASE_HEADER) else { return Ok(Self(commands)) };
        let lease = lease.to_str().unwrap_or_default().parse()?;
        Ok(Self(commands.under(lease)))
    }
}
