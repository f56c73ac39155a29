//! The pages about images: which there are, who uses them and how much, what a collection would remove and did remove.

mod image;
mod list;
mod words;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use mainstay_images::{CollectOptions, Digest, Image, ImageRef, Images, MAX_PAGE};
use mainstay_sso::Role;
use serde::Deserialize;

use self::image::ImageView;
use self::list::ListView;
use crate::app::App;
use crate::http::extract::{Path, Query};
use crate::images::document::{
    CollectionLine, ImageDocument, ImagePage, LeaseLine, PlanDocument, ScrubDocument, UsageDocument,
};
use crate::limits;
use crate::problem::Problem;
use crate::workflow::access::Operator;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    after: Option<i64>,
}

/// `GET /images`.
pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(seen): Query<Seen>,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    let images = app.images().opened()?;
    // What a collection of this server would do now, but for files that nothing names: looking for them reads the directory.
    let options = CollectOptions { evict: true, skip_sweep: true, ..CollectOptions::default() };
    let lineage = images.lineage().await?;
    let view = ListView {
        page: ImagePage::read(images, seen.after, limits::IMAGES_LISTED).await?,
        usage: UsageDocument::read(images).await?,
        plan: PlanDocument::from(images.plan(&options).await?),
        history: images
            .collections(limits::COLLECTIONS_LISTED)
            .await?
            .into_iter()
            .map(CollectionLine::from)
            .collect(),
        scrub: ScrubDocument::read(images, images.scrub_report().await?).await?,
        leases: LeaseLine::read(images).await?,
        picture: (lineage.0.len() <= limits::IMAGES_DRAWN && !lineage.0.is_empty()).then(|| lineage.svg()),
        form_token: operator.form_token(),
        dev: app.is_dev(),
    };
    Ok(view.respond())
}

/// `GET /images/{image}`: by name or digest.
pub(crate) async fn image(
    State(app): State<App>,
    headers: HeaderMap,
    Path(image): Path,
) -> Result<Response, Problem> {
    let Some(operator) = Operator::of(&app, &headers, Role::Read).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    let images = app.images().opened()?;
    let wanted: ImageRef = image.parse()?;
    let found = images.image(&wanted).await?;
    let view = ImageView {
        users: users(images, &found).await?,
        claims: images.explain(&found.id.into()).await?.iter().map(ToString::to_string).collect(),
        image: ImageDocument::read(images, &found).await?,
        form_token: operator.form_token(),
        dev: app.is_dev(),
    };
    Ok(view.respond())
}

/// How many images use each layer of one, by digest; at most so many images are compared.
async fn users(images: &Images, image: &Image) -> Result<BTreeMap<Digest, u64>, Problem> {
    let mut users: BTreeMap<Digest, u64> =
        image.chain.layers().iter().map(|layer| (layer.digest, 0)).collect();
    let (mut after, mut compared) = (None, 0);
    while compared < limits::IMAGES_COMPARED {
        let page = images.images(after, MAX_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        compared += page.len();
        for other in &page {
            let mut seen: Vec<&Digest> = other.chain.layers().iter().map(|layer| &layer.digest).collect();
            seen.sort_unstable();
            seen.dedup();
            for digest in seen {
                if let Some(count) = users.get_mut(digest) {
                    *count += 1;
                }
            }
        }
    }
    Ok(users)
}
