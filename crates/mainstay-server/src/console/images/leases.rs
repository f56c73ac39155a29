//! Who uses which image, and ending a holder that does not end by itself.

use axum::response::Response;
use mainstay_images::Action;
use maud::{Markup, html};

use super::actions::{REVOKE, confirm};
use super::frame::Frame;
use super::words::{link, time};
use crate::images::document::{HolderLine, LeaseLine};

/// What the page shows.
#[derive(Debug)]
pub(super) struct LeasesView<'a> {
    pub(super) leases: Vec<LeaseLine>,
    /// Where the next page begins.
    pub(super) next: Option<i64>,
    pub(super) holders: Vec<HolderLine>,
    pub(super) frame: &'a Frame,
}

impl LeasesView<'_> {
    pub(super) fn respond(&self) -> Response {
        self.frame.page("Leases", "/images/leases", &html! { (self.leases()) (self.holders()) })
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
                                        td role="cell" data-label="By" { a href={ "#holder-" (lease.epoch) } { (lease.holder) } }
                                        td role="cell" data-label="Until" { (time(&lease.expires_at)) }
                                        td role="cell" data-label="Token" { (lease.token) }
                                    }
                                }
                            }
                        }
                    }
                }
                @if let Some(next) = self.next {
                    div class="body" { a class="button quiet" href={ "/images/leases?after=" (next) } { "More" } }
                }
            }
        }
    }

    fn holders(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Holders" } span class="tag" { (self.holders.len()) } }
                @if self.holders.is_empty() {
                    div class="body" { p { "Nobody leases or publishes." } }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Holders" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Holder" }
                                    th scope="col" { "State" }
                                    th scope="col" { "Leases" }
                                    th scope="col" { "Publishing" }
                                    th scope="col" { "Until, unless renewed" }
                                }
                            }
                            tbody { @for holder in &self.holders { (self.holder(holder)) } }
                        }
                    }
                }
            }
        }
    }

    fn holder(&self, holder: &HolderLine) -> Markup {
        let state = match (holder.live, holder.fresh) {
            (true, true) => "live",
            (false, true) => "may not renew",
            (_, false) => "ended",
        };
        html! {
            tr role="row" id={ "holder-" (holder.epoch) } {
                td role="cell" {
                    (holder.name)
                    @if holder.live && holder.fresh && self.frame.commands.may(Action::Revoke) { (self.revoke(holder)) }
                }
                td role="cell" data-label="State" { span class="tag" { (state) } }
                td role="cell" data-label="Leases" { (holder.leases) }
                td role="cell" data-label="Publishing" { (holder.publishing) }
                td role="cell" data-label="Until" { (time(&holder.expires_at)) }
            }
        }
    }

    /// One lease of a holder cannot be taken alone: it is the holder that renews, and that notices.
    fn revoke(&self, holder: &HolderLine) -> Markup {
        html! {
            details {
                summary { "Take away what it holds…" }
                form class="stack" method="post" action={ "/images/leases/" (holder.epoch) "/revoke" } {
                    (self.frame.token())
                    p {
                        "It may not renew any more, and learns so at its next heartbeat. "
                        @match holder.leases {
                            0 => "It has no lease. ",
                            1 => "Its lease ends with it. ",
                            many => { "All its " (many) " leases end with it. " }
                        }
                        "Nothing that it may still be reading goes before its time has run out."
                    }
                    (confirm(&format!("revoke-{}", holder.epoch), REVOKE))
                    button class="button danger" { "Take it away" }
                }
            }
        }
    }
}
