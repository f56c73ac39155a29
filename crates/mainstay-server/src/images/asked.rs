//! Who asks for images over HTTP. What they may do is decided by `mainstay-images`; here is only found out who they are.

use http::HeaderMap;
use mainstay_images::{Commands, Image, ImageKind, Images};

use crate::app::App;
use crate::auth::operator::Operator;
use crate::problem::Problem;

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

/// The store in the hands of a program that looks.
///
/// # Errors
/// [`NotSignedIn`](crate::ProblemKind::NotSignedIn), [`Forbidden`](crate::ProblemKind::Forbidden); `NotFound` when this server keeps no
/// images.
pub(crate) async fn looks(app: &App, headers: &HeaderMap) -> Result<Commands, Problem> {
    Operator::signed_in(app, headers).await?.images()
}

/// The store in the hands of a program that changes something, which no page of another site can be.
///
/// # Errors
/// As [`looks`]; [`StaleForm`](crate::ProblemKind::StaleForm) without the session's form token.
pub(crate) async fn changes(app: &App, headers: &HeaderMap) -> Result<Commands, Problem> {
    let operator = Operator::signed_in(app, headers).await?;
    operator.check_header(headers)?;
    operator.images()
}
