//! The list of images, with who uses how much, leases, and what is collected.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, PreEscaped, html};

use super::words::{bar, link, short, size, time};
use crate::console::layout::{Page, Width, corner};
use crate::images::document::{
    CollectionLine, ImageLine, ImagePage, LeaseLine, PlanDocument, ScrubDocument, UsageDocument,
};

/// What the page shows.
#[derive(Debug)]
pub(super) struct ListView {
    pub(super) page: ImagePage,
    pub(super) usage: UsageDocument,
    pub(super) plan: PlanDocument,
    pub(super) history: Vec<CollectionLine>,
    pub(super) scrub: ScrubDocument,
    pub(super) leases: Vec<LeaseLine>,
    /// Which image comes from which, unless there are too many for a picture.
    pub(super) picture: Option<String>,
    pub(super) form_token: String,
    pub(super) dev: bool,
}

impl ListView {
    pub(super) fn respond(&self) -> Response {
        let body = html! {
            h1 { "Images" }
            p class="lead" { "Layers on disk, who uses them, and what nobody uses" }
            (self.used())
            (self.images())
            @if let Some(picture) = &self.picture {
                section class="panel section" {
                    div class="head" { h2 { "Which comes from which" } }
                    div class="canvas paper" tabindex="0" role="region" aria-label="Lineage" { (PreEscaped(picture)) }
                }
            }
            (self.leases())
            (self.collection())
            (self.history())
        };
        let corner = Some(corner(&self.form_token, true));
        Page { title: "Images", width: Width::Wide, dev: self.dev, corner, body }.respond(StatusCode::OK)
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
                            b { (size(usage.free_bytes)) } " free on the file system"
                            @if let Some(quota) = usage.quota_bytes { ", the limit is " (size(quota)) }
                        }
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

    fn leases(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Leases" } span class="tag" { (self.leases.len()) } }
                @if self.leases.is_empty() {
                    div class="body" { p { "Nobody uses an image at the moment." } }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Leases" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "For" }
                                    th scope="col" { "Image" }
                                    th scope="col" { "By" }
                                    th scope="col" { "Until, unless renewed" }
                                    th scope="col" { "Token" }
                                }
                            }
                            tbody {
                                @for lease in &self.leases {
                                    tr role="row" {
                                        td role="cell" { (lease.key) }
                                        td role="cell" data-label="Image" { (link(&lease.image)) }
                                        td role="cell" data-label="By" { (lease.holder) }
                                        td role="cell" data-label="Until" { (time(&lease.expires_at)) }
                                        td role="cell" data-label="Token" { (lease.token) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn collection(&self) -> Markup {
        let plan = &self.plan;
        html! {
            section class="panel section" {
                div class="head" { h2 { "The next collection" } span class="tag" { (size(plan.bytes)) } }
                div class="body stack" {
                    @if plan.evict.is_empty() && plan.blobs.is_empty() {
                        p { "It would remove nothing." }
                    }
                    @for image in &plan.evict {
                        p {
                            "Image " (link(&image.digest)) " goes"
                            @if image.reason == "age" { ", since nothing claims it and it was last used " (time(&image.last_used_at)) }
                            @else { ", to make room" }
                            ": " (size(image.frees_bytes))
                        }
                    }
                    @if !plan.blobs.is_empty() {
                        details {
                            summary { (plan.blobs.len()) " blob(s) that no image uses go" }
                            ul { @for blob in &plan.blobs { li { code { (short(&blob.digest)) } " " (size(blob.size_bytes)) } } }
                        }
                    }
                    p class="legend" {
                        "A blob that lost its last use waits a while for its next one. "
                        code { "mainstay images gc --full --dry-run" } " shows what would go without that."
                    }
                    (scrubbed(&self.scrub))
                }
            }
        }
    }

    fn history(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Past collections" } }
                @if self.history.is_empty() {
                    div class="body" { p { "There was none yet." } }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Past collections" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Ended" }
                                    th scope="col" { "Images" }
                                    th scope="col" { "Blobs" }
                                    th scope="col" { "Given back" }
                                    th scope="col" { "Files of nobody" }
                                    th scope="col" { "By" }
                                }
                            }
                            tbody {
                                @for run in &self.history {
                                    tr role="row" {
                                        td role="cell" { (time(&run.ended_at)) }
                                        td role="cell" data-label="Images" { (run.report.images_evicted) }
                                        td role="cell" data-label="Blobs" { (run.report.blobs_removed) }
                                        td role="cell" data-label="Given back" { (size(run.report.bytes_removed)) }
                                        td role="cell" data-label="Files of nobody" { (run.report.orphans_removed) }
                                        td role="cell" data-label="By" { (run.collector) }
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

fn row(line: &ImageLine) -> Markup {
    html! {
        tr role="row" {
            td role="cell" {
                a href={ "/images/" (line.digest) } title=(line.digest) { (line.title()) }
                @if line.names.len() > 1 { span class="hint" { (line.names.get(1..).unwrap_or_default().join(" ")) } }
                @if line.pinned { " " span class="tag" { "pinned" } }
            }
            td role="cell" data-label="Kind" { (line.kind) }
            td role="cell" data-label="Layers" { (line.layers) }
            td role="cell" data-label="Size" { (size(line.size_bytes)) }
            td role="cell" data-label="Leases" { (line.leases) }
            td role="cell" data-label="Last used" { (time(&line.last_used_at)) }
        }
    }
}

fn scrubbed(scrub: &ScrubDocument) -> Markup {
    html! {
        @match (&scrub.started_at, &scrub.ended_at) {
            (None, _) => p { "Nothing was read again yet: " code { "mainstay images scrub" } }
            (Some(began), None) => p { "Everything is read again since " (time(began)) ": " (size(scrub.bytes)) " so far." }
            (Some(_), Some(ended)) => p { "Everything was last read again until " (time(ended)) ": " (size(scrub.bytes)) "." }
        }
        @if !scrub.damaged_now.is_empty() {
            div class="notice bad" {
                (scrub.damaged_now.len()) " blob(s) are damaged or missing. Import or pull the same images again; that repairs them: "
                @for blob in &scrub.damaged_now { code { (short(&blob.digest)) } " " }
            }
        }
    }
}
