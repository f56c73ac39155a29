//! Who uses which image, and ending a holder that does not end by itself.

use axum::response::Response;
use mainstay_images::Action;
use maud::{Markup, html};

use super::actions::{REVOKE, confirm};
use super::frame::Frame;
use super::words::{link, time};
use crate::images::document::{HolderLine, HolderPage, LeasePage};

/// What the page shows.
#[derive(Debug)]
pub(super) struct LeasesView<'a> {
    pub(super) leases: LeasePage,
    pub(super) holders: HolderPage,
    /// Where the two pages begin: going on in one leaves the other where it is.
    pub(super) after: Option<i64>,
    pub(super) holders_after: Option<i64>,
    pub(super) frame: &'a Frame,
}

impl LeasesView<'_> {
    pub(super) fn respond(&self) -> Response {
        self.frame.page("Leases", "/images/leases", &html! { (self.leases()) (self.holders()) })
    }

    fn leases(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Leases" } (counted(self.leases.leases.len(), self.after, self.leases.next)) }
                @if self.leases.leases.is_empty() {
                    div class="body" {
                        p { @if self.after.is_some() { "There are no more." } @else { "Nobody uses an image at the moment." } }
                    }
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
                                @for lease in &self.leases.leases {
                                    tr role="row" {
                                        td role="cell" { (lease.key) }
                                        td role="cell" data-label="Image" { (link(&lease.image)) }
                                        td role="cell" data-label="By" { (holder(lease.epoch, &lease.holder)) }
                                        td role="cell" data-label="Until" { (time(&lease.expires_at)) }
                                        td role="cell" data-label="Token" { (lease.token) }
                                    }
                                }
                            }
                        }
                    }
                }
                @if let Some(next) = self.leases.next {
                    div class="body" { a class="button quiet" href=(page(Some(next), self.holders_after)) { "More leases" } }
                }
            }
        }
    }

    fn holders(&self) -> Markup {
        html! {
            section class="panel section" {
                div class="head" { h2 { "Holders" } (counted(self.holders.holders.len(), self.holders_after, self.holders.next)) }
                @if self.holders.holders.is_empty() {
                    div class="body" {
                        p { @if self.holders_after.is_some() { "There are no more." } @else { "Nobody leases or publishes." } }
                    }
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
                            tbody { @for holder in &self.holders.holders { (self.holder(holder)) } }
                        }
                    }
                }
                @if let Some(next) = self.holders.next {
                    div class="body" { a class="button quiet" href=(page(self.after, Some(next))) { "More holders" } }
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

/// How many there are, or that a page does not show them all.
fn counted(shown: usize, after: Option<i64>, next: Option<i64>) -> Markup {
    html! { @if after.is_none() { span class="tag" { (shown) @if next.is_some() { " and more" } } } }
}

/// The two pages that begin behind these.
fn page(after: Option<i64>, holders: Option<i64>) -> String {
    let begins = |name: &str, at: Option<i64>| at.map(|at| format!("{name}={at}"));
    let query: Vec<String> =
        [begins("after", after), begins("holders", holders)].into_iter().flatten().collect();
    format!("/images/leases?{}", query.join("&"))
}

/// A holder by name, and the page on which it stands first.
pub(super) fn holder(epoch: i64, name: &str) -> Markup {
    html! { a href={ "/images/leases?holders=" (epoch - 1) "#holder-" (epoch) } { (name) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_in_one_list_leaves_the_other_where_it_is() {
        assert_eq!(page(Some(7), None), "/images/leases?after=7");
        assert_eq!(page(None, Some(8)), "/images/leases?holders=8");
        assert_eq!(page(Some(7), Some(8)), "/images/leases?after=7&holders=8");
    }

    #[test]
    fn a_list_that_is_not_all_says_so() {
        assert_eq!(counted(3, None, None).into_string(), "<span class=\"tag\">3</span>");
        assert_eq!(counted(50, None, Some(9)).into_string(), "<span class=\"tag\">50 and more</span>");
        assert_eq!(
            counted(2, Some(9), None).into_string(),
            "",
            "a later page does not count the ones before"
        );
    }
}
