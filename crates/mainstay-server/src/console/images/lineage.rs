//! Which image comes from which, as a picture; as a list where there are too many for one.

use axum::response::Response;
use mainstay_images::Lineage;
use maud::{PreEscaped, html};

use super::frame::Frame;
use super::words::{called, link, size};
use crate::images::document::LineageDocument;
use crate::limits;

/// The picture and the list; without a lineage, that there are too many for both.
pub(super) fn respond(frame: &Frame, lineage: Option<&Lineage>) -> Response {
    let drawn = lineage.map(Lineage::svg_unstyled);
    let listed = LineageDocument {
        images: lineage.map(LineageDocument::from).map_or_else(Vec::new, |all| all.images),
    };
    let body = html! {
        section class="panel section" {
            div class="head" {
                h2 { "Which comes from which" }
                @if drawn.is_some() { span class="tag" { (listed.images.len()) } }
            }
            @match &drawn {
                Some(_) if listed.images.is_empty() => div class="body" { p { "There are no images yet." } },
                Some(picture) => div class="canvas" tabindex="0" role="region" aria-label="Lineage" { (PreEscaped(picture)) },
                None => div class="body" {
                    p {
                        "There are more images than a picture holds (" (limits::IMAGES_DRAWN) "). "
                        code { "mainstay images graph --format svg" } " draws them all."
                    }
                },
            }
            div class="body" {
                p class="legend" {
                    "From left to right: what an image was made from, and what was made of it. A broken line around an image says that "
                    "nothing claims it; a heavy one, that it is leased."
                }
            }
        }
        @if !listed.images.is_empty() && drawn.is_some() {
            section class="panel section" {
                div class="head" { h2 { "The same as a list" } }
                div class="scroll" tabindex="0" role="region" aria-label="The same as a list" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Image" }
                                th scope="col" { "Made from" }
                                th scope="col" { "Size" }
                                th scope="col" { "Leases" }
                            }
                        }
                        tbody {
                            @for image in &listed.images {
                                tr role="row" {
                                    td role="cell" {
                                        (called(&image.digest, &image.names, image.label.as_deref()))
                                        @if image.pinned { " " span class="tag" { "pinned" } }
                                    }
                                    td role="cell" data-label="Made from" {
                                        @match &image.parent { Some(parent) => (link(parent)), None => "–" }
                                    }
                                    td role="cell" data-label="Size" { (size(image.size_bytes)) }
                                    td role="cell" data-label="Leases" { (image.leases) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    frame.page("Lineage", "/images/lineage", &body)
}
