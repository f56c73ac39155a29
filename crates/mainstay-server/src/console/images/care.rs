//! What a collection would remove and did remove.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use mainstay_images::Action;
use maud::{Markup, html};

use super::actions::{COLLECT, confirm};
use super::frame::Frame;
use super::words::{acts, link, short, size, time};
use crate::images::document::{ActLine, CollectionsDocument, PlanDocument};

/// What the page shows.
#[derive(Debug)]
pub(super) struct CareView<'a> {
    pub(super) plan: Arc<PlanDocument>,
    /// Whether the plan is that of a full collection.
    pub(super) full: bool,
    pub(super) collections: CollectionsDocument,
    /// How often this server collects by itself; never, if none.
    pub(super) collects_every: Option<Duration>,
    pub(super) acts: Vec<ActLine>,
    pub(super) frame: &'a Frame,
}

impl CareView<'_> {
    pub(super) fn respond(&self) -> Response {
        let body = html! {
            (self.now())
            (self.plan())
            (self.history())
            (acts("What was done", &self.acts))
        };
        self.frame.page("Collection", "/images/care", &body)
    }

    /// What goes on, and what went wrong.
    fn now(&self) -> Markup {
        let collections = &self.collections;
        html! {
            @if let Some(collector) = &collections.collector {
                div class="notice" role="status" { (collector) " collects at the moment. Open this page again to see how it went." }
            }
            @if let Some(until) = &collections.off_until {
                div class="notice bad" {
                    "Collecting is off until " (time(until)) ": the database was restored, or it was switched off."
                }
            }
            @if let Some(failed) = &collections.failed {
                div class="notice bad" { "The collection that was asked for stopped at " (time(&failed.at)) ": " (failed.why) }
            }
        }
    }

    fn plan(&self) -> Markup {
        let plan = &self.plan;
        let nothing = plan.evict.is_empty() && plan.blobs.is_empty() && plan.orphans.is_empty();
        html! {
            section class="panel section" {
                div class="head" {
                    h2 { @if self.full { "A full collection" } @else { "The next collection" } }
                    span class="tag" { (size(plan.bytes)) }
                }
                div class="body stack" {
                    @if nothing { p { "It would remove nothing." } }
                    @for image in &plan.evict {
                        p {
                            "Image " (link(&image.digest)) " goes"
                            @if image.reason == "age" { ", since nothing claims it and it was last used " (time(&image.last_used_at)) }
                            @else { ", to make room" }
                            ": " (size(image.frees_bytes))
                        }
                    }
                    @if plan.total.evict > plan.evict.len() {
                        p { "…and " (plan.total.evict - plan.evict.len()) " image(s) more" }
                    }
                    @if !plan.blobs.is_empty() {
                        details {
                            summary { (plan.total.blobs) " blob(s) that no image uses go" }
                            ul { @for blob in &plan.blobs { li { code { (short(&blob.digest)) } " " (size(blob.size_bytes)) } } }
                            @if plan.total.blobs > plan.blobs.len() { p { "These are the first." } }
                        }
                    }
                    @if !plan.orphans.is_empty() {
                        details {
                            summary { (plan.total.orphans) " file(s) with " (size(plan.orphan_bytes)) " that nothing names go" }
                            ul { @for file in &plan.orphans { li { code { (file) } } } }
                            @if plan.total.orphans > plan.orphans.len() { p { "These are the first." } }
                        }
                    }
                    @if plan.beginnings.count > 0 {
                        p {
                            (plan.beginnings.count) " beginning(s) of blobs with " (size(plan.beginnings.bytes))
                            " are kept for pulls to go on with, until room is wanted"
                        }
                    }
                    @if !plan.missing.is_empty() {
                        div class="notice bad" {
                            (plan.total.missing) " blob(s) that images use are not on disk. " a href="/images/scrub" { "Scrub" }
                            " tells which, and sets them aside until they are imported or pulled again."
                        }
                    }
                    @if self.full {
                        p class="legend" { "Every blob and every file was looked at. " a href="/images/care" { "Only what is due" } }
                    } @else {
                        p class="legend" {
                            "A blob that lost its last use waits a while for its next one. "
                            a href="/images/care?full=true" { "What a full collection would remove" }
                        }
                    }
                    p class="legend" {
                        @match self.collects_every {
                            Some(every) => { "This server collects by itself every " (minutes(every)) "." }
                            None => "This server does not collect by itself.",
                        }
                    }
                    @if self.frame.commands.may(Action::Collect) { (self.collect()) }
                }
            }
        }
    }

    fn collect(&self) -> Markup {
        html! {
            details {
                summary { "Collect now…" }
                form class="stack" method="post" action="/images/collect" {
                    (self.frame.token())
                    p { "What the plan names goes for ever, and what came due since. Nothing that is claimed goes." }
                    label class="check" {
                        input type="checkbox" name="full" value="yes" checked[self.full];
                        span { "Full: look at every blob and every file, and wait out no grace" }
                    }
                    (confirm("collect", COLLECT))
                    button class="button danger" { "Collect now" }
                }
            }
        }
    }

    fn history(&self) -> Markup {
        let past = &self.collections.collections;
        html! {
            section class="panel section" {
                div class="head" { h2 { "Past collections" } }
                @if past.is_empty() {
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
                                    th scope="col" { "Missing" }
                                    th scope="col" { "By" }
                                }
                            }
                            tbody {
                                @for run in past {
                                    tr role="row" {
                                        td role="cell" { (time(&run.ended_at)) }
                                        td role="cell" data-label="Images" { (run.report.images_evicted) }
                                        td role="cell" data-label="Blobs" { (run.report.blobs_removed) }
                                        td role="cell" data-label="Given back" { (size(run.report.bytes_removed)) }
                                        td role="cell" data-label="Files of nobody" { (run.report.orphans_removed) }
                                        td role="cell" data-label="Missing" { (run.report.missing_total) }
                                        td role="cell" data-label="By" title=(run.collector) { (actor(&run.collector)) }
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

/// A pause as people say it.
fn minutes(every: Duration) -> String {
    match every.as_secs() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds if seconds < 7_200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3_600),
    }
}

/// Who collected, without what tells two of their collections apart.
fn actor(collector: &str) -> &str {
    collector.rsplit_once(" use_").map_or(collector, |(actor, _)| actor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_reads_well() {
        for (seconds, text) in
            [(119, "119 seconds"), (120, "2 minutes"), (3_600, "60 minutes"), (7_200, "2 hours")]
        {
            assert_eq!(minutes(Duration::from_secs(seconds)), text);
        }
    }
}
