//! From the fields of a form to a command, and from what became of it to the page that shows it.

use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::Timestamp;
use mainstay_workflow::store::QueueLimits;
use mainstay_workflow::{Action, CatchUp, CronSchedule, StartRequest};
use serde::Deserialize;
use serde_json::Value;

use crate::api::runs::run_id;
use crate::auth::operator::FormFields;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::command::{Command, Done, confirmation};
use crate::workflow::settings::rate;
use crate::workflow::{encoded, namespace_query};

/// The fields of all forms; each form has its own ones of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    form_token: String,
    pub(super) namespace: String,
    /// The name of an [`Action`].
    action: String,
    run: String,
    workflow: String,
    queue: String,
    schedule: String,
    signal: String,
    payload: String,
    at: String,
    reason: String,
    confirm: String,
    from: String,
    input: String,
    key: String,
    version: String,
    concurrency: String,
    rate: String,
    rate_seconds: String,
    paused: String,
    cron: String,
    catch_up: String,
    before: String,
}

impl FormFields for Fields {
    fn form_token(&self) -> &str {
        &self.form_token
    }
}

impl Fields {
    /// What is asked for, if its word was typed where one has to be.
    pub(super) fn command(&self) -> Result<Command, Problem> {
        let command = self.read()?;
        let subject = [&self.workflow, &self.queue, &self.schedule].into_iter().find(|text| !text.is_empty());
        let subject = subject.map_or("", String::as_str);
        match confirmation(command.action(), subject, Some(&self.namespace)) {
            Some(word) if self.confirm.trim() != word => {
                Err(malformed(format!("Nothing was done: type {word} to confirm it.")))
            }
            _ => Ok(command),
        }
    }

    fn read(&self) -> Result<Command, Problem> {
        let action = Action::ALL.into_iter().find(|action| action.as_str() == self.action);
        let run = || run_id(&self.run);
        Ok(match action {
            Some(Action::Start) => Command::Start(Box::new(self.start()?)),
            Some(Action::Signal) => {
                let (signal, payload) = (self.signal.trim().to_owned(), json("payload", &self.payload)?);
                let at = given(&self.at).map(|text| instant(&text)).transpose()?;
                Command::Signal { run: run()?, signal, payload, sender: None, at }
            }
            Some(Action::Cancel) => Command::Cancel { run: run()?, reason: self.reason.clone() },
            Some(Action::Pause) => Command::Pause(run()?),
            Some(Action::Resume) => Command::Resume(run()?),
            // One form does both: from where the run stopped, or from a step.
            Some(Action::Fork) if self.from.is_empty() => Command::Retry(run()?),
            Some(Action::Fork) => Command::Fork { run: run()?, from: self.from.clone() },
            Some(Action::Delete) => Command::Delete(run()?),
            Some(Action::Prune) => Command::Prune { before: instant(&self.before)? },
            Some(Action::WorkflowPause) => Command::WorkflowPause(given(&self.workflow)),
            Some(Action::WorkflowResume) => Command::WorkflowResume(given(&self.workflow)),
            Some(Action::QueueSet) => {
                let seconds = number("time of the rate", &self.rate_seconds)?;
                let limits = QueueLimits {
                    concurrency: number("number at a time", &self.concurrency)?,
                    rate: rate(number("rate", &self.rate)?, seconds)?,
                    paused: !self.paused.is_empty(),
                };
                Command::QueueSet { queue: self.queue.trim().to_owned(), limits }
            }
            Some(Action::QueueRemove) => Command::QueueRemove(self.queue.clone()),
            Some(Action::ScheduleSet) => Command::ScheduleSet(Box::new(self.schedule()?)),
            Some(Action::SchedulePause) => Command::SchedulePause(self.schedule.clone()),
            Some(Action::ScheduleResume) => Command::ScheduleResume(self.schedule.clone()),
            Some(Action::ScheduleTrigger) => Command::ScheduleTrigger(self.schedule.clone()),
            Some(Action::ScheduleRemove) => Command::ScheduleRemove(self.schedule.clone()),
            _ => return Err(malformed("The form asks for nothing that can be done here.")),
        })
    }

    fn start(&self) -> Result<StartRequest, Problem> {
        let mut request = StartRequest::new(self.workflow.trim(), json("input", &self.input)?);
        if let Some(version) = number("version", &self.version)? {
            request = request.version(version);
        }
        if let Some(key) = given(&self.key) {
            request = request.key(&key);
        }
        Ok(if self.paused.is_empty() { request } else { request.paused() })
    }

    fn schedule(&self) -> Result<CronSchedule, Problem> {
        let rule = match self.catch_up.as_str() {
            "" | "latest" => CatchUp::Latest,
            "skip" => CatchUp::Skip,
            "all" => CatchUp::All,
            _ => return Err(malformed("Missed times are caught up by latest, skip or all.")),
        };
        let start = self.start()?;
        Ok(CronSchedule::new(self.schedule.trim(), self.cron.trim(), start)?.catch_up(rule))
    }

    /// The page that shows what became of it.
    pub(super) fn back(&self, action: Action, done: Done) -> Response {
        let (path, told) = match (action, done) {
            (_, Done::Begun(run)) => (format!("/runs/{run}"), action.as_str().to_owned()),
            (Action::Delete, _) => ("/runs".to_owned(), action.as_str().to_owned()),
            (Action::Prune, Done::Removed { runs, more }) => {
                let more = if more { "+" } else { "" };
                ("/workflows".to_owned(), format!("{action}~{runs}{more}"))
            }
            (Action::Signal | Action::Cancel | Action::Pause | Action::Resume, _) => {
                (format!("/runs/{}", self.run), action.as_str().to_owned())
            }
            (Action::QueueSet | Action::QueueRemove, _) => ("/queues".to_owned(), action.as_str().to_owned()),
            (Action::WorkflowPause | Action::WorkflowResume, _) => {
                ("/workflows".to_owned(), action.as_str().to_owned())
            }
            _ => ("/schedules".to_owned(), action.as_str().to_owned()),
        };
        let namespace = namespace_query(Some(&self.namespace));
        let sign = if namespace.is_empty() { '?' } else { '&' };
        Redirect::to(&format!("{path}{namespace}{sign}done={}", encoded(&told))).into_response()
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Malformed, detail)
}

fn given(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<Option<T>, Problem> {
    let wrong =
        |_| malformed(format!("The {what} is no number that fits. Go back, mend it and send it again."));
    given(text).map(|text| text.parse().map_err(wrong)).transpose()
}

fn json(what: &str, text: &str) -> Result<Value, Problem> {
    let Some(text) = given(text) else { return Ok(Value::Null) };
    serde_json::from_str(&text).map_err(|error| {
        malformed(format!("The {what} is no JSON: {error}. Go back, mend it and send it again."))
    })
}

/// An instant, or a day or a minute as a browser's fields give them, in UTC.
fn instant(text: &str) -> Result<Timestamp, Problem> {
    let text = text.trim();
    let forms = [text.to_owned(), format!("{text}T00:00:00Z"), format!("{text}:00Z"), format!("{text}Z")];
    forms.iter().find_map(|form| form.parse().ok()).ok_or_else(|| {
        malformed(format!("{text:?} is neither a day nor an instant: 2026-11-21 and 2026-11-21T14:00 are."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let object = pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        serde_json::from_value(Value::Object(object.collect())).unwrap()
    }

    const RUN: (&str, &str) = ("run", "run_0000000000001");

    #[test]
    fn what_destroys_wants_its_word() {
        let typed = |action: &str, subject: (&str, &str), word: &str| {
            fields(&[("action", action), ("before", "2026-01-01"), RUN, subject, ("confirm", word)]).command()
        };
        for (action, subject, word) in [
            ("run.cancel", ("namespace", ""), " cancel "),
            ("run.fork", ("from", "charge"), "again"),
            ("run.delete", ("namespace", ""), "remove"),
            ("runs.prune", ("namespace", ""), "default"),
            ("runs.prune", ("namespace", "shop"), "shop"),
            ("workflow.pause", ("workflow", ""), "everything"),
            ("queue.remove", ("queue", "mail"), "mail"),
            ("schedule.remove", ("schedule", "nightly"), "nightly"),
        ] {
            assert_eq!(typed(action, subject, word).unwrap().action().as_str(), action);
            for wrong in ["", "yes", "Cancel"] {
                let refused = typed(action, subject, wrong).unwrap_err();
                assert_eq!(refused.kind(), ProblemKind::Malformed, "{action}");
                assert!(refused.detail().contains(word.trim()), "{refused:?}");
            }
        }
        assert!(typed("workflow.pause", ("workflow", "order"), "").is_ok());
    }

    #[test]
    fn a_browsers_minute_is_an_instant() {
        for text in ["2026-11-21T14:00", "2026-11-21T14:00:00", " 2026-11-21T14:00:00Z "] {
            assert_eq!(instant(text).unwrap().to_string(), "2026-11-21T14:00:00Z", "{text}");
        }
        assert_eq!(instant("2026-11-21").unwrap().to_string(), "2026-11-21T00:00:00Z");
    }

    #[test]
    fn fields_that_do_not_fit_are_named() {
        for (pairs, told) in [
            (&[("action", "run.explode")][..], "nothing"),
            (&[("action", "runs.import")], "nothing"),
            (&[("action", "run.pause"), ("run", "17")], "run_"),
            (&[("action", "run.signal"), RUN, ("payload", "{")], "payload is no JSON"),
            (&[("action", "queue.set"), ("concurrency", "-1")], "number at a time"),
            (&[("action", "queue.set"), ("rate", "10")], "rate_seconds"),
            (&[("action", "queue.set"), ("rate", "10"), ("rate_seconds", "-1")], "not negative"),
            (&[("action", "schedule.set"), ("cron", "daily")], "cron expression"),
            (
                &[("action", "schedule.set"), ("cron", "0 2 * * *"), ("catch_up", "never")],
                "latest, skip or all",
            ),
            (&[("action", "runs.prune"), ("before", "yesterday")], "2026-11-21"),
            (&[("action", "run.signal"), RUN, ("at", "soon")], "2026-11-21T14:00"),
        ] {
            let refused = fields(pairs).command().unwrap_err();
            assert!(refused.detail().contains(told), "{pairs:?}: {refused:?}");
        }
    }
}
