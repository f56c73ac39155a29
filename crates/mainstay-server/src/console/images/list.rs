//! The list of images, with how the octets are shared.

use std::sync::Arc;

use axum::response::Response;
use maud::{Markup, html};

use super::frame::Frame;
use super::words::{bar, called, measure, size, time};
use crate::images::document::{ImageLine, ImagePage, UsageDocument};

/// How many images are measured.
const DRAWN: usize = 20;

/// What the page shows.
#[derive(Debug)]
pub(super) struct ListView<'a> {
    pub(super) page: ImagePage,
    pub(super) usage: Arc<UsageDocument>,
    pub(super) frame: &'a Frame,
}

impl ListView<'_> {
    pub(super) fn respond(&self) -> Response {
        self.frame.page("Images", "/images", &html! { (self.used()) (self.images()) (self.of_each()) })
    }

    fn used(&self) -> Markup {
        let usage = &self.usage;
        let parts = [
            ("own", "of one image each", usage.unique_bytes),
            ("shared", "shared by several", usage.shared_bytes),
            ("unused", "of none: a collection removes it", usage.unused_bytes),
        ];
        let drawn = parts.map(|(class, what, octets)| (class, octets, format!("{} {what}", size(octets))));
        html! {
            section class="panel section" {
                div class="head" { h2 { "On disk" } span class="tag" { (size(usage.total_bytes)) } }
                div class="body" {
                    (bar("How the octets are shared", &drawn))
                    ul class="keys" {
                        @for (class, what, octets) in parts {
                            li { span class={ "key " (class) } aria-hidden="true" {} b { (size(octets)) } " " (what) }
                        }
                        li {
                            b { (size(usage.reclaimable_bytes)) } " come back if everything goes that no name, pin or lease keeps"
                        }
                        li {
                            b { (size(usage.free_bytes)) } " free on the file system"
                            @if let Some(quota) = usage.quota_bytes { ", the limit is " (size(quota)) }
                        }
                    }
                }
            }
        }
    }

    /// Who uses how much: of each image, what is its own and what it shares.
    fn of_each(&self) -> Markup {
        let images = self.usage.images.iter().take(DRAWN);
        let largest = self.usage.images.iter().map(|image| image.size_bytes).max().unwrap_or(0);
        html! {
            @if !self.usage.images.is_empty() {
                section class="panel section" {
                    div class="head" { h2 { "What each one takes" } }
                    div class="scroll" tabindex="0" role="region" aria-label="What each one takes" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Image" }
                                    th scope="col" { "Its own" }
                                    th scope="col" { "Shared" }
                                    th scope="col" { "Gives back" }
                                    th scope="col" { "Together" }
                                }
                            }
                            tbody {
                                @for image in images {
                                    tr role="row" {
                                        td role="cell" { (called(&image.digest, &image.names, image.label.as_deref())) }
                                        td role="cell" data-label="Its own" { (size(image.unique_bytes)) }
                                        td role="cell" data-label="Shared" { (size(image.shared_bytes)) }
                                        td role="cell" data-label="Gives back" { (size(image.reclaimable_bytes)) }
                                        td role="cell" data-label="Together" {
                                            (size(image.size_bytes))
                                            (measure(&[("own", image.unique_bytes), ("shared", image.shared_bytes)], largest))
                                        }
                                    }
                                }
                            }
                        }
                    }
                    @if self.usage.images_total > DRAWN {
                        div class="body" { p class="legend" { "The " (DRAWN) " with most of their own. " code { "mainstay images du" } " tells all." } }
                    }
                }
            }
        }
    }

    fn images(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Images" } }
                @if self.page.images.is_empty() {
                    div class="body" {
                        p { "There are none yet. Bring one in: " code { "mainstay images import LAYOUT --name NAME" } }
                    }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Images" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Image" }
                                    th scope="col" { "Kind" }
                                    th scope="col" { "Layers" }
                                    th scope="col" { "Size" }
                                    th scope="col" { "Leases" }
                                    th scope="col" { "Last used" }
                                }
                            }
                            tbody { @for line in &self.page.images { (row(line)) } }
                        }
                    }
                }
                @if let Some(next) = self.page.next {
                    div class="body" { a class="button quiet" href={ "/images?after=" (next) } { "More" } }
                }
            }
        }
    }
}

fn row(line: &ImageLine) -> Markup {
    html! {
        tr role="row" {
            td role="cell" {
                (called(&line.digest, &line.names, line.label.as_deref()))
                @if line.pinned { " " span class="tag" { "pinned" } }
                @if line.damaged > 0 { " " span class="tag bad" { "damaged" } }
            }
            td role="cell" data-label="Kind" { (line.kind) }
            td role="cell" data-label="Layers" { (line.layers) }
            td role="cell" data-label="Size" { (size(line.size_bytes)) }
            td role="cell" data-label="Leases" { (line.leases) }
            td role="cell" data-label="Last used" { (time(&line.last_used_at)) }
        }
    }
}
