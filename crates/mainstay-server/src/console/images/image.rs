//! One image: its layers as a picture, what keeps it, where it comes from.

use std::collections::BTreeMap;

use axum::response::Response;
use mainstay_images::Digest;
use maud::{Markup, html};

use super::actions::of_image;
use super::frame::Frame;
use super::leases::holder;
use super::words::{acts, bar, link, short, size, time};
use crate::images::document::{ActLine, ImageDocument, LayerLine};
use crate::limits;

/// What the page shows.
#[derive(Debug)]
pub(super) struct ImageView<'a> {
    pub(super) image: ImageDocument,
    /// How many images use each layer.
    pub(super) users: BTreeMap<Digest, u64>,
    /// What keeps it, in sentences.
    pub(super) claims: Vec<String>,
    /// What was done with it.
    pub(super) acts: Vec<ActLine>,
    pub(super) frame: &'a Frame,
}

impl ImageView<'_> {
    pub(super) fn respond(&self) -> Response {
        let (image, line) = (&self.image, &self.image.line);
        let body = html! {
            h1 { (line.title()) }
            p class="lead" { (line.kind) ", " (size(line.size_bytes)) @if line.pinned { ", pinned" } }
            dl class="facts flat" {
                (fact("Digest", &html! { code { (line.digest) } }))
                @if line.names.len() > 1 { (fact("Names", &html! { (line.names.join(" ")) })) }
                @if let Some(label) = &line.label { (fact("Label", &html! { (label) })) }
                (fact("Type", &html! { (line.media_type) }))
                (fact("Published", &time(&line.created_at)))
                (fact("Last used", &time(&line.last_used_at)))
                @if let Some(parent) = &image.parent { (fact("Made from", &link(parent))) }
                @if !image.children.is_empty() {
                    (fact("Made of it", &html! { span class="tags" { @for child in &image.children { (link(child)) } } }))
                }
            }
            @if line.damaged > 0 {
                div class="notice bad" {
                    (line.damaged) " of its blobs are missing or wrong: it cannot be leased or taken out until it is imported or pulled "
                    "again. " a href="/images/scrub" { "What was found" }
                }
            }
            @if !image.chain.is_empty() { (self.layers()) }
            section class="panel section" {
                div class="head" { h2 { "Why it is kept" } }
                div class="body" { ul { @for claim in &self.claims { li { (claim) } } } }
            }
            @if !image.held.is_empty() { (self.leases()) }
            (of_image(self.frame, image))
            @if !image.attachments.is_empty() { (self.attachments()) }
            (acts("What was done with it", &self.acts))
        };
        self.frame.page(line.title(), "", &body)
    }

    fn layers(&self) -> Markup {
        let drawn = self.image.chain.iter().map(|layer| {
            let text = format!("{}, {}", layer.digest, size(layer.size_bytes));
            (class(self.users(layer)), layer.size_bytes, text)
        });
        let drawn: Vec<_> = drawn.collect();
        html! {
            section class="panel section" {
                div class="head" { h2 { "Layers" } span class="tag" { (self.image.chain.len()) } }
                div class="body" {
                    (bar("Layers, the base first, as wide as they are large", &drawn))
                    ul class="keys" {
                        li { span class="key own" aria-hidden="true" {} "its own" }
                        li { span class="key shared" aria-hidden="true" {} "shared with other images" }
                    }
                }
                div class="scroll" tabindex="0" role="region" aria-label="Layers" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Layer, the base first" }
                                th scope="col" { "Size" }
                                th scope="col" { "Used by" }
                            }
                        }
                        tbody {
                            @for layer in &self.image.chain {
                                tr role="row" {
                                    td role="cell" {
                                        code title=(layer.digest) { (short(&layer.digest)) } (self.damage(&layer.digest))
                                    }
                                    td role="cell" data-label="Size" { (size(layer.size_bytes)) }
                                    td role="cell" data-label="Used by" {
                                        @match self.users(layer) {
                                            0 | 1 => "this image alone",
                                            many if many > u64::from(limits::USERS_COUNTED) => {
                                                "more than " (limits::USERS_COUNTED) " images"
                                            }
                                            many => { (many) " images" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn leases(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Leases" } span class="tag" { (self.image.held.len()) } }
                div class="scroll" tabindex="0" role="region" aria-label="Leases" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "For" }
                                th scope="col" { "By" }
                                th scope="col" { "Until, unless renewed" }
                            }
                        }
                        tbody {
                            @for lease in &self.image.held {
                                tr role="row" {
                                    td role="cell" { (lease.key) }
                                    td role="cell" data-label="By" { (holder(lease.epoch, &lease.holder)) }
                                    td role="cell" data-label="Until" { (time(&lease.expires_at)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn users(&self, layer: &LayerLine) -> u64 {
        let digest = layer.digest.trim_start_matches("sha256:").parse::<Digest>();
        digest.ok().and_then(|digest| self.users.get(&digest).copied()).unwrap_or(0)
    }

    /// That a blob is missing or wrong, if it is.
    fn damage(&self, digest: &String) -> Markup {
        html! { @if self.image.damaged_blobs.contains(digest) { " " span class="tag bad" { "damaged" } } }
    }

    fn attachments(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Documents" } }
                div class="scroll" tabindex="0" role="region" aria-label="Documents" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Role" }
                                th scope="col" { "Type" }
                                th scope="col" { "Size" }
                                th scope="col" { "Digest" }
                            }
                        }
                        tbody {
                            @for attachment in &self.image.attachments {
                                tr role="row" {
                                    td role="cell" { (attachment.role) }
                                    td role="cell" data-label="Type" { (attachment.media_type) }
                                    td role="cell" data-label="Size" { (size(attachment.size_bytes)) }
                                    td role="cell" data-label="Digest" {
                                        code title=(attachment.digest) { (short(&attachment.digest)) } (self.damage(&attachment.digest))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

const fn class(users: u64) -> &'static str {
    if users > 1 { "shared" } else { "own" }
}
