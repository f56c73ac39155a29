//! Whether everything still holds what it should: how far reading it again has come, what was found, and past passes.

use axum::response::Response;
use mainstay_images::Action;
use maud::{Markup, html};

use super::frame::Frame;
use super::words::{short, size, time};
use crate::images::document::{FindingLine, FindingPage, ScrubState, ScrubsDocument};
use crate::limits;

/// What the page shows.
#[derive(Debug)]
pub(super) struct ScrubView<'a> {
    pub(super) scrub: ScrubState,
    pub(super) past: ScrubsDocument,
    pub(super) found: FindingPage,
    pub(super) frame: &'a Frame,
}

impl ScrubView<'_> {
    pub(super) fn respond(&self) -> Response {
        let body = html! { (self.now()) (self.findings()) (self.past()) };
        self.frame.page("Scrub", "/images/scrub", &body)
    }

    fn now(&self) -> Markup {
        let ScrubState { scrub, running, failed } = &self.scrub;
        html! {
            section class="panel section" {
                div class="head" { h2 { "Scrub" } span class={ "tag" @if scrub.damaged_now_total > 0 { " bad" } } { (scrub.damaged_now_total) " damaged" } }
                div class="body stack" {
                    @match (&scrub.started_at, &scrub.ended_at) {
                        (None, _) => p { "Nothing was read again yet." },
                        (Some(began), None) => p {
                            "Everything is read again since " (time(began)) ": " (scrub.checked) " blob(s) with " (size(scrub.bytes))
                            " so far" @if *running { ", and this server goes on" } "."
                        },
                        (Some(_), Some(ended)) => p {
                            "Everything was last read again until " (time(ended)) ": " (scrub.checked) " blob(s) with "
                            (size(scrub.bytes)) ", of which " (scrub.damaged) " were damaged or missing."
                        },
                    }
                    @if let Some(failed) = failed {
                        div class="notice bad" { "It stopped at " (time(&failed.at)) ": " (failed.why) }
                    }
                    @if scrub.damaged_now_total > 0 { (self.damaged()) }
                    @if self.frame.commands.may(Action::Scrub) && !running { (self.form()) }
                }
            }
        }
    }

    fn damaged(&self) -> Markup {
        let scrub = &self.scrub.scrub;
        let told = scrub.damaged_now.iter().take(limits::SCRUBS_LISTED as usize);
        html! {
            div class="notice bad" {
                (scrub.damaged_now_total) " blob(s) are damaged or missing. Import or pull the same images again; that repairs them. "
                code { "mainstay images explain" } " and a digest tell which images use it."
            }
            ul { @for blob in told { li { code { (blob.digest) } " " (size(blob.size_bytes)) } } }
            @if scrub.damaged_now_total > u64::from(limits::SCRUBS_LISTED) {
                p { "These are the first. " code { "mainstay images scrub --json" } " tells more." }
            }
        }
    }

    fn form(&self) -> Markup {
        let scrub = &self.scrub.scrub;
        let is_half = scrub.started_at.is_some() && scrub.ended_at.is_none();
        html! {
            form class="act" method="post" action="/images/scrub" {
                (self.frame.token())
                p { "Reads every blob and compares it with its digest, slowly, so that others can work." }
                @if is_half {
                    label class="check" {
                        input type="checkbox" name="restart" value="yes";
                        span { "Begin anew, and forget how far this pass came" }
                    }
                }
                button class="button quiet" { @if is_half { "Go on with the scrub" } @else { "Scrub now" } }
            }
        }
    }

    fn findings(&self) -> Markup {
        let found = &self.found;
        html! {
            section class="panel section" {
                div class="head" { h2 { "What was found" } }
                @if found.findings.is_empty() {
                    div class="body" { p { "No blob was found missing or wrong." } }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="What was found" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Found" }
                                    th scope="col" { "Blob" }
                                    th scope="col" { "Size" }
                                    th scope="col" { "Its file" }
                                    th scope="col" { "What became of it" }
                                }
                            }
                            tbody { @for finding in &found.findings { (row(finding)) } }
                        }
                    }
                }
                @if let Some(next) = found.next {
                    div class="body" { a class="button quiet" href={ "/images/scrub?after=" (next) } { "Earlier ones" } }
                }
                div class="body" { p class="legend" { "By scrubs and by whoever read a blob; the newest 10,000 are kept." } }
            }
        }
    }

    fn past(&self) -> Markup {
        let past = &self.past.scrubs;
        html! {
            section class="panel section" {
                div class="head" { h2 { "Past passes" } }
                @if past.is_empty() {
                    div class="body" { p { "None was read to its end yet." } }
                } @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Past passes" {
                        table class="stacks" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Ended" }
                                    th scope="col" { "Began" }
                                    th scope="col" { "Blobs" }
                                    th scope="col" { "Read" }
                                    th scope="col" { "Damaged" }
                                }
                            }
                            tbody {
                                @for pass in past {
                                    tr role="row" {
                                        td role="cell" { @if let Some(at) = &pass.ended_at { (time(at)) } }
                                        td role="cell" data-label="Began" { @if let Some(at) = &pass.started_at { (time(at)) } }
                                        td role="cell" data-label="Blobs" { (pass.checked) }
                                        td role="cell" data-label="Read" { (size(pass.bytes)) }
                                        td role="cell" data-label="Damaged" { (pass.damaged) }
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

fn row(finding: &FindingLine) -> Markup {
    let fault = match finding.fault {
        "missing" => "was missing",
        "wrong" => "held other octets",
        "unreadable" => "could not be read",
        other => other,
    };
    let (class, state) = match finding.state {
        "open" => ("tag bad", "cannot be had"),
        "repaired" => ("tag good", "repaired"),
        "removed" => ("tag", "removed: nothing used it"),
        other => ("tag", other),
    };
    html! {
        tr role="row" {
            td role="cell" { (time(&finding.found_at)) }
            td role="cell" data-label="Blob" { code title=(finding.digest) { (short(&finding.digest)) } }
            td role="cell" data-label="Size" { (size(finding.size_bytes)) }
            td role="cell" data-label="Its file" { (fault) }
            td role="cell" data-label="What became of it" { span class=(class) { (state) } }
        }
    }
}
