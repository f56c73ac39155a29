//! What the pages about workflows share: the tabs, the word about what was just done, fields and forms.

use axum::response::Response;
use http::StatusCode;
use mainstay_workflow::Action;
use maud::{Markup, html};

use crate::console::layout::{Page, Width, corner};
use crate::workflow::command::confirmation;
use crate::workflow::namespace_query;

/// The pages about workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Runs,
    Workflows,
    Queues,
    Schedules,
    Nodes,
    Acts,
}

const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Runs, "/runs", "Runs"),
    (Tab::Workflows, "/workflows", "Workflows"),
    (Tab::Queues, "/queues", "Queues"),
    (Tab::Schedules, "/schedules", "Schedules"),
    (Tab::Nodes, "/nodes", "Nodes"),
    (Tab::Acts, "/acts", "Who did what"),
];

/// Where somebody is and what they may do there.
#[derive(Debug)]
pub(super) struct Frame {
    /// Another namespace than that of hosts that name none.
    pub(super) namespace: Option<String>,
    pub(super) form_token: String,
    /// Whether forms that change something are shown.
    pub(super) writes: bool,
    /// The same for those that lose histories.
    pub(super) admin: bool,
    pub(super) dev: bool,
    /// What was just done, as the query says.
    pub(super) done: Option<String>,
}

impl Frame {
    /// A page of its own tab.
    pub(super) fn page(&self, tab: Tab, title: &str, lead: &str, body: &Markup) -> Response {
        let body = html! {
            h1 { (title) }
            p class="lead" {
                (lead)
                @if let Some(name) = &self.namespace { " Namespace " code { (name) } "." }
            }
            (tabs(tab, self.namespace.as_deref()))
            (self.notice())
            (body)
        };
        let corner = Some(corner(&self.form_token, true));
        Page { title, width: Width::Wide, dev: self.dev, corner, body }.respond(StatusCode::OK)
    }

    /// The word about what was just done.
    pub(super) fn notice(&self) -> Markup {
        html! {
            @if let Some(notice) = self.done.as_deref().and_then(done) {
                p class="notice good" role="status" { (notice) }
            }
        }
    }

    /// A path of the same namespace.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{path}{}", namespace_query(self.namespace.as_deref()))
    }

    /// The fields that every form has: what is to be done, and that this session asks for it.
    pub(super) fn hidden(&self, action: Action) -> Markup {
        html! {
            input type="hidden" name="form_token" value=(self.form_token);
            input type="hidden" name="namespace" value=(self.namespace.as_deref().unwrap_or_default());
            input type="hidden" name="action" value=(action);
        }
    }

    /// A form of one button. What it is about is a name and a value.
    pub(super) fn button(&self, action: Action, about: (&str, &str), title: &str) -> Markup {
        html! {
            form method="post" action="/operate" {
                (self.hidden(action))
                input type="hidden" name=(about.0) value=(about.1);
                button class="button quiet" { (title) }
            }
        }
    }

    /// What has to be typed before the form is sent; nothing where nothing has to be.
    pub(super) fn confirm(&self, action: Action, subject: &str, id: &str) -> Markup {
        let word = confirmation(action, subject, self.namespace.as_deref());
        html! {
            @if let Some(word) = word {
                div {
                    label for=(id) { "Type " code { (word) } " to confirm" }
                    input id=(id) type="text" name="confirm" required pattern=[pattern(&word)] autocomplete="off" autocapitalize="off" spellcheck="false";
                }
            }
        }
    }
}

/// What a browser checks before it sends the form; nothing for a word with signs that mean something in a pattern.
fn pattern(word: &str) -> Option<&str> {
    Some(word).filter(|word| word.chars().all(|sign| sign.is_ascii_alphanumeric()))
}

/// A field with a label.
pub(super) fn field(id: &str, name: &str, label: &str, value: &str, hint: &str) -> Markup {
    html! {
        div {
            label for=(id) { (label) }
            input id=(id) type="text" name=(name) value=(value) placeholder=(hint) autocomplete="off" spellcheck="false";
        }
    }
}

/// The way from one page to the others.
pub(super) fn tabs(here: Tab, namespace: Option<&str>) -> Markup {
    html! {
        nav class="tabs" aria-label="Workflows" {
            @for (tab, path, title) in TABS {
                a href=(format!("{path}{}", namespace_query(namespace))) aria-current=[(tab == here).then_some("page")] {
                    (title)
                }
            }
        }
    }
}

/// A sentence for what was just done.
fn done(what: &str) -> Option<String> {
    let (what, count) = what.split_once('~').unwrap_or((what, ""));
    let action = Action::ALL.into_iter().find(|action| action.as_str() == what)?;
    let text = match action {
        Action::Start | Action::ScheduleTrigger => "The run began.",
        Action::Signal => "The signal is in the run’s mail.",
        Action::Cancel => "The run is told to stop; what it did is undone.",
        Action::Retry | Action::Fork => "This is the new run.",
        Action::Pause => "The run is told to pause.",
        Action::Resume => "The run is told to go on.",
        Action::Delete => "The run and its history are removed.",
        Action::Prune => {
            let (runs, more) =
                count.split_once('+').map_or((count, ""), |(runs, _)| (runs, " There are more: repeat it."));
            let runs: u64 = runs.parse().ok()?;
            return Some(format!("{runs} ended runs are removed.{more}"));
        }
        Action::WorkflowPause => "It is held back: no step of it begins.",
        Action::WorkflowResume => "It goes on.",
        Action::QueueSet => "That holds from the next claim on.",
        Action::QueueRemove => "The queue has no limits any more.",
        Action::ScheduleSet => "The schedule is kept; its times count from now.",
        Action::SchedulePause => "The schedule is held back; times that pass meanwhile are passed over.",
        Action::ScheduleResume => "The schedule goes on, from the next of its times.",
        Action::ScheduleRemove => "The schedule is removed; runs that it began go on.",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_and_nothing_else_can_be_put_there() {
        assert_eq!(done("run.pause").as_deref(), Some("The run is told to pause."));
        assert_eq!(done("runs.prune~12").as_deref(), Some("12 ended runs are removed."));
        assert!(done("runs.prune~10000+").unwrap().ends_with("repeat it."));
        for forged in ["", "pause", "runs.prune~<b>", "run.pause<script>"] {
            assert_eq!(done(forged), None, "{forged}");
        }
    }
}
