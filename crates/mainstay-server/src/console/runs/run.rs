//! One run: what it does at the moment, its graph, its attempts on a line of time, its history.

use axum::response::Response;
use http::StatusCode;
use mainstay_core::{Clock as _, Page as Listed, SystemClock, Timestamp};
use mainstay_workflow::store::Act;
use mainstay_workflow::{Record, RunId, RunView, render};
use maud::{Markup, PreEscaped, html};

use super::frame::Frame;
use super::words::{tag, time, took};
use super::{actions, acts};
use crate::console::assets;
use crate::console::layout::{Page, Width, corner};
use crate::limits;
use crate::workflow::document::HistoryLine;
use crate::workflow::timeline::{self, Bar, End};
use crate::workflow::{encoded, namespace_query};

/// How wide the line of time is, in its own units.
const LINE: u128 = 1_000;

/// What the page shows.
#[derive(Debug)]
pub(super) struct RunPage {
    pub(super) view: RunView,
    /// As much of the history as the line of time shows, from its beginning.
    pub(super) history: Listed<Record>,
    /// What was asked of it lately, the latest first.
    pub(super) acts: Vec<Act>,
    pub(super) frame: Frame,
}

impl RunPage {
    pub(super) fn respond(&self) -> Response {
        let summary = &self.view.summary;
        let title = summary.key.clone().unwrap_or_else(|| summary.run.to_string());
        let namespace = namespace_query(self.frame.namespace.as_deref());
        let live = format!("/runs/{}/live{namespace}", summary.run);
        let body = html! {
            p class="path" { a href=(format!("/runs{namespace}")) { "Runs" } " / " span class="mono" { (summary.run) } }
            h1 { (title) }
            (self.frame.notice())
            div data-live=[summary.ended_at.is_none().then_some(live)] { (self.parts()) }
            p class="notice" id="live-note" hidden { "This page no longer follows the run. " a href="" { "Load it again" } }
            (self.context())
            script src=(assets::live_url()) defer {}
        };
        let corner = Some(corner(&self.frame.form_token, true));
        Page { title: &title, width: Width::Wide, dev: self.frame.dev, corner, body }.respond(StatusCode::OK)
    }

    /// The parts that change while the run goes on. The page's script exchanges each by its id.
    pub(super) fn parts(&self) -> Markup {
        html! {
            div id="facts" data-ended=(self.view.summary.ended_at.is_some()) { (self.facts()) }
            div id="graph" { (self.graph()) }
            div id="actions" { (actions::actions(self)) }
            div id="timeline" { (self.timeline()) }
            div id="children" { (self.children()) }
            div id="acts" { (acts::of_run(&self.frame, &self.acts)) }
        }
    }

    fn facts(&self) -> Markup {
        let RunView { summary, state, awaited, not_undone, unread, scheduled, workflow_paused, .. } =
            &self.view;
        html! {
            p class="lead" role="status" {
                (tag(summary.status)) " " (summary.workflow) " v" (summary.version)
                @if let Some(reason) = summary.reason.as_deref().filter(|reason| !reason.is_empty()) { ": " (reason) }
            }
            dl class="facts flat" {
                (fact("Began", &html! { (time(summary.created_at)) " UTC" }))
                @if let Some(at) = summary.ended_at {
                    (fact("Ended", &html! { (time(at)) " UTC, after " (took(at.saturating_since(summary.created_at))) }))
                }
                @for wait in awaited {
                    @let signals: Vec<String> = wait.signals.iter().map(ToString::to_string).collect();
                    @if !signals.is_empty() {
                        (fact("Waits", &html! { code { (wait.step) } " for " (signals.join(" or ")) }))
                    }
                }
                @if let Some(at) = state.as_ref().and_then(|state| state.deadline).filter(|_| summary.ended_at.is_none()) {
                    (fact("Given up", &html! { (time(at)) " UTC" }))
                }
                @if *workflow_paused {
                    (fact("Held back", &html! {
                        "with its workflow or with everything; it goes on when that is resumed under "
                        a href={ "/workflows" (namespace_query(self.frame.namespace.as_deref())) } { "Workflows" }
                    }))
                }
                @if *unread > 0 {
                    (fact("Unread", &html! { (unread) " letters; a node of the application reads them when it runs" }))
                }
                @for (at, signal) in scheduled {
                    (fact("To come", &html! { code { (signal) } " at " (time(*at)) " UTC" }))
                }
                @if let Some((parent, attempt)) = &summary.parent {
                    (fact("Child of", &html! {
                        a class="mono" href=(self.link(*parent)) { (parent) } " at " code { (attempt) }
                    }))
                }
                @if !not_undone.is_empty() {
                    @let steps: Vec<String> = not_undone.iter().map(ToString::to_string).collect();
                    (fact("Not undone", &html! { strong { (steps.join(", ")) } "; somebody has to look at these" }))
                }
                @if !summary.managed { (fact("Imported", &html! { "kept as it came; no engine moves it" })) }
            }
        }
    }

    fn link(&self, run: RunId) -> String {
        format!("/runs/{run}{}", namespace_query(self.frame.namespace.as_deref()))
    }

    fn graph(&self) -> Markup {
        let RunView { workflow, state, .. } = &self.view;
        html! {
            @if let Some(flow) = workflow {
                section class="panel section" {
                    div class="head" { h2 { "Steps" } (legend()) }
                    div class="canvas" tabindex="0" role="region" aria-label="The steps of the run" {
                        // The renderer escapes every name.
                        (PreEscaped(render::svg_unstyled(flow, state.as_ref())))
                    }
                }
            }
        }
    }

    fn timeline(&self) -> Markup {
        let bars = timeline::bars(&self.history.items);
        let more = self.history.next.is_some();
        let history = format!(
            "/runs/{}/history{}",
            self.view.summary.run,
            namespace_query(self.frame.namespace.as_deref())
        );
        html! {
            section class="panel section" {
                div class="head" { h2 { "Attempts" } a href=(history) { "History" } }
                @if bars.is_empty() { div class="body" { p { "Nothing was attempted yet." } } }
                @else {
                    div class="scroll" tabindex="0" role="region" aria-label="Attempts" {
                        table class="stacks attempts" role="table" {
                            thead {
                                tr role="row" {
                                    th scope="col" { "Attempt" }
                                    th scope="col" { "Began (UTC)" }
                                    th scope="col" { "Took" }
                                    th scope="col" { "Ended" }
                                    th scope="col" { "When" }
                                }
                            }
                            tbody { (self.rows(&bars)) }
                        }
                    }
                }
                @if more { div class="body" { p { "The run is long: these are its first attempts. The history has all of it." } } }
            }
        }
    }

    fn rows(&self, bars: &[Bar]) -> Markup {
        let summary = &self.view.summary;
        let first = bars.iter().map(|bar| bar.from).min().unwrap_or(summary.created_at);
        let now = summary.ended_at.unwrap_or_else(|| SystemClock.now());
        let last = bars.iter().map(|bar| bar.to.unwrap_or(now).max(bar.from)).max().unwrap_or(now);
        html! {
            @for bar in bars {
                tr role="row" {
                    td role="cell" { code { (bar.name) } }
                    td role="cell" data-label="Began (UTC)" { (time(bar.from)) }
                    td role="cell" data-label="Took" {
                        // What still runs is told without a number, so that the page changes only when the run does.
                        @match bar.to { Some(to) => (took(to.saturating_since(bar.from))), None => "–" }
                    }
                    td role="cell" data-label="Ended" {
                        (end_tag(bar.end))
                        @if !bar.word.is_empty() { span class="hint" { (bar.word) } }
                    }
                    td role="cell" data-label="When" class="when" { (line(bar, first, last)) }
                }
            }
        }
    }

    fn children(&self) -> Markup {
        html! {
            @if !self.view.children.is_empty() {
                section class="panel section" {
                    div class="head" { h2 { "Children" } span class="tag" { (self.view.children.len()) } }
                    ul class="body stack" {
                        @for child in &self.view.children {
                            li { a class="mono" href=(self.link(child.run)) { (child.run) } " " (child.workflow) " " (tag(child.status)) }
                        }
                    }
                }
            }
        }
    }

    fn context(&self) -> Markup {
        let bytes = self.view.context_bytes;
        let shown = bytes <= limits::CONTEXT_SHOWN_BYTES;
        let text = if shown {
            serde_json::to_string_pretty(&self.view.context).unwrap_or_default()
        } else {
            String::new()
        };
        html! {
            section class="panel section" {
                div class="head" { h2 { "Context" } }
                div class="body stack" {
                    p { "What the run was given, and the results of its steps when the page was loaded." }
                    @if shown { pre tabindex="0" { (text) } }
                    @else { p { "It has " (bytes) " bytes, too many to show here. The history has all of it, page by page." } }
                }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn legend() -> Markup {
    html! { span class="legend" { "green: went this way; blue: at work; dashed: not taken, or undone" } }
}

fn end_tag(end: End) -> Markup {
    let class = match end {
        End::Open => "tag busy",
        End::Good => "tag good",
        End::Bad => "tag bad",
        End::Dropped => "tag",
    };
    html! { span class=(class) { (end.as_str()) } }
}

/// A bar on the line of time from the first to the last instant.
fn line(bar: &Bar, first: Timestamp, last: Timestamp) -> Markup {
    let whole = last.saturating_since(first).as_micros().max(1);
    let place = |at: Timestamp| at.saturating_since(first).as_micros().min(whole) * LINE / whole;
    let from = place(bar.from);
    // What took no time is a line still, and lies within the picture.
    let wide = place(bar.to.unwrap_or(last)).saturating_sub(from).max(LINE / 100);
    let from = from.min(LINE - wide.min(LINE));
    let class = match bar.end {
        End::Open => "open",
        End::Good => "good",
        End::Bad => "bad",
        End::Dropped => "dropped",
    };
    html! {
        svg class="line" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect class="ground" x="0" y="4" width="1000" height="2" {}
            rect class=(class) x=(from) y="0" width=(wide) height="10" {}
        }
    }
}

/// A page of the history.
pub(super) fn history_page(run: RunId, page: &Listed<Record>, frame: &Frame) -> Response {
    let namespace = namespace_query(frame.namespace.as_deref());
    let sign = if namespace.is_empty() { '?' } else { '&' };
    let body = html! {
        p class="path" {
            a href=(format!("/runs{namespace}")) { "Runs" } " / "
            a class="mono" href=(format!("/runs/{run}{namespace}")) { (run) }
        }
        h1 { "History" }
        section class="panel section" {
            div class="scroll" tabindex="0" role="region" aria-label="History" {
                table class="stacks" role="table" {
                    thead {
                        tr role="row" {
                            th scope="col" { "No." } th scope="col" { "When (UTC)" } th scope="col" { "What" }
                        }
                    }
                    tbody { @for record in &page.items { (history_row(record)) } }
                }
            }
            @if let Some(next) = &page.next {
                @let link = format!("/runs/{run}/history{namespace}{sign}after={}", encoded(next.as_str()));
                div class="body" { a class="button quiet" rel="next" href=(link) { "What came then" } }
            }
        }
    };
    let corner = Some(corner(&frame.form_token, true));
    Page { title: "History", width: Width::Wide, dev: frame.dev, corner, body }.respond(StatusCode::OK)
}

fn history_row(record: &Record) -> Markup {
    let line = HistoryLine::new(record);
    let fact = serde_json::to_string_pretty(&line.fact).unwrap_or_default();
    html! {
        tr role="row" {
            td role="cell" { (line.seq) }
            td role="cell" data-label="When (UTC)" { (time(record.at)) }
            td role="cell" data-label="What" {
                details { summary { (line.text) } pre tabindex="0" { (fact) } }
            }
        }
    }
}
