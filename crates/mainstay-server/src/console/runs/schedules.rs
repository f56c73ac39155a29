//! Schedules: when runs begin by themselves.

use axum::response::Response;
use mainstay_workflow::store::Schedule;
use mainstay_workflow::{Action, WorkflowSummary};
use maud::{Markup, html};

use super::frame::{Frame, Tab, field};
use super::words::time;
use crate::workflow::settings::ScheduleDocument;

/// `GET /schedules`.
pub(super) fn page(frame: &Frame, schedules: &[Schedule], workflows: &[WorkflowSummary]) -> Response {
    let body = html! {
        section class="panel section" {
            div class="head" { h2 { "Schedules" } span class="tag" { (schedules.len()) } }
            @if schedules.is_empty() {
                div class="body" { p { "No run begins by itself." } }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Schedules" {
                    table class="stacks" role="table" {
                        thead {
                            tr role="row" {
                                th scope="col" { "Schedule" } th scope="col" { "Starts" } th scope="col" { "Next (UTC)" }
                                th scope="col" { "Last (UTC)" }
                                @if frame.writes { th scope="col" { "Actions" } }
                            }
                        }
                        tbody { @for (at, schedule) in schedules.iter().enumerate() { (row(frame, at, schedule)) } }
                    }
                }
            }
        }
        @if frame.writes { (new(frame, workflows)) }
    };
    frame.page(
        Tab::Schedules,
        "Schedules",
        "Runs that begin by the clock. A node of the application starts them.",
        &body,
    )
}

fn row(frame: &Frame, at: usize, schedule: &Schedule) -> Markup {
    let document = ScheduleDocument::new(schedule);
    let never = || html! { "never" };
    let about = ("schedule", schedule.name.as_str());
    html! {
        tr role="row" {
            td role="cell" {
                span class="mono" { (schedule.name) }
                @if schedule.paused { " " span class="tag warn" { "paused" } }
                span class="hint mono" { (document.cron()) }
            }
            td role="cell" data-label="Starts" {
                (schedule.workflow)
                @if let Some(version) = schedule.version { " v" (version) }
            }
            td role="cell" data-label="Next (UTC)" {
                @if schedule.paused { "held back" } @else { (schedule.next_at.map_or_else(never, time)) }
            }
            td role="cell" data-label="Last (UTC)" { (schedule.last_at.map_or_else(never, time)) }
            @if frame.writes {
                td role="cell" data-label="Actions" {
                    div class="buttons" {
                        @if schedule.paused { (frame.button(Action::ScheduleResume, about, "Resume")) }
                        @else { (frame.button(Action::SchedulePause, about, "Pause")) }
                        (frame.button(Action::ScheduleTrigger, about, "Start a run now"))
                    }
                    details {
                        summary { "Remove…" }
                        form class="stack" method="post" action="/operate" {
                            (frame.hidden(Action::ScheduleRemove))
                            input type="hidden" name="schedule" value=(schedule.name);
                            p { "It starts nothing any more. Runs that it began go on." }
                            (frame.confirm(Action::ScheduleRemove, &schedule.name, &format!("confirm-{at}")))
                            button class="button danger" { "Remove the schedule" }
                        }
                    }
                }
            }
        }
    }
}

fn new(frame: &Frame, workflows: &[WorkflowSummary]) -> Markup {
    html! {
        section class="panel section" {
            div class="head" { h2 { "Keep a schedule" } }
            div class="body" {
                form class="stack" method="post" action="/operate" {
                    (frame.hidden(Action::ScheduleSet))
                    p { "One of the same name is replaced, and its times count from now." }
                    div class="fields" {
                        (field("schedule", "schedule", "Name", "", "nightly"))
                        div {
                            label for="workflow" { "Workflow" }
                            select id="workflow" name="workflow" {
                                @for workflow in workflows { option value=(workflow.name) { (workflow.name) } }
                            }
                        }
                        (field("cron", "cron", "When", "", "30 2 * * MON-FRI Europe/Berlin"))
                        div {
                            label for="catch_up" { "Times that no node was there for" }
                            select id="catch_up" name="catch_up" {
                                option value="latest" { "start one run for all of them" }
                                option value="skip" { "start none" }
                                option value="all" { "start one for each" }
                            }
                        }
                        (field("key", "key", "Business key", "", "if the workflow has one"))
                        (field("version", "version", "Version", "", "the current one"))
                    }
                    div {
                        label for="input" { "What each run is given, as JSON" }
                        textarea id="input" name="input" rows="3" spellcheck="false" placeholder="{\"report\": \"sales\"}" {}
                    }
                    button class="button" { "Keep it" }
                }
            }
        }
    }
}
