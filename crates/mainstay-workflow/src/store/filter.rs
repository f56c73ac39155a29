//! What runs are searched by.

use std::collections::BTreeSet;

use mainstay_core::Timestamp;
use mainstay_repo::json::JsonField;
use mainstay_repo::{Json, Value as Column};
use serde_json::Value;

use super::codec::{STATUSES, status};
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;
use crate::plan::Status;

/// Conditions on runs; all of them have to hold.
///
/// ```
/// use mainstay_workflow::{Status, store::Filter};
///
/// let filter = Filter::new()
///     .status_in([Status::Running, Status::Waiting])
///     .workflow_family("sales.")
///     .context("context.initial.order_id", serde_json::json!(123))?;
/// assert_eq!(filter, Filter::parse([("status_in", "running,waiting"), ("workflow_family", "sales."), ("context.initial.order_id", "123")])?);
/// # Ok::<(), mainstay_workflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    pub(super) id: Option<String>,
    pub(super) statuses: Option<BTreeSet<Status>>,
    pub(super) workflow: Option<String>,
    pub(super) version: Option<u32>,
    pub(super) family: Option<String>,
    pub(super) tags: BTreeSet<String>,
    pub(super) parent: Option<RunId>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) context: Vec<(Vec<String>, Value)>,
}

/// In which order runs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest start first.
    #[default]
    Newest,
    /// The earliest start first.
    Oldest,
}

const RUN_HELP: &str = "it reads run_ followed by 13 characters";
const INSTANT_HELP: &str = "for example 2026-11-21T14:00:00Z";
const PATH_HELP: &str =
    "a path is context.initial.KEY or context.attributes.KEY, for example context.initial.order_id";

impl Filter {
    /// The most conditions on the context.
    pub const MAX_CONTEXT: usize = 16;

    /// Every run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs with a business key (`orderid::a17`), or the run with an identifier (`run_…`).
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// Runs with a status.
    #[must_use]
    pub fn status(self, status: Status) -> Self {
        self.status_in([status])
    }

    /// Runs with one of these statuses. Together with others, only those that all of them name.
    #[must_use]
    pub fn status_in(self, statuses: impl IntoIterator<Item = Status>) -> Self {
        let mut wanted: BTreeSet<Status> = statuses.into_iter().collect();
        if let Some(before) = &self.statuses {
            wanted.retain(|status| before.contains(status));
        }
        Self { statuses: Some(wanted), ..self }
    }

    /// Runs of a workflow.
    #[must_use]
    pub fn workflow(self, name: &str) -> Self {
        Self { workflow: Some(name.to_owned()), ..self }
    }

    /// Runs of a version.
    #[must_use]
    pub fn workflow_version(self, version: u32) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Runs of workflows whose name begins so, letter by letter: no sign stands for others.
    #[must_use]
    pub fn workflow_family(self, prefix: &str) -> Self {
        Self { family: Some(prefix.to_owned()), ..self }
    }

    /// Runs of workflows that have this tag in the version that the run is pinned to. Together with others, those that have all of them.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.insert(tag.to_owned());
        self
    }

    /// Children of a run.
    #[must_use]
    pub fn parent(self, run: RunId) -> Self {
        Self { parent: Some(run), ..self }
    }

    /// Runs that began at this instant or later.
    #[must_use]
    pub fn since(self, at: Timestamp) -> Self {
        Self { since: Some(at), ..self }
    }

    /// Runs that began before this instant.
    #[must_use]
    pub fn until(self, at: Timestamp) -> Self {
        Self { until: Some(at), ..self }
    }

    /// Runs whose context has this text, number or truth value at a path: `context.initial.…` is the input, `context.attributes.…` are the
    /// attributes. An index finds them, on both databases. A number never equals a text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another path, another kind of value, or too many of them.
    pub fn context(mut self, path: &str, value: Value) -> Result<Self> {
        let refused = |text: String| Error::new(ErrorKind::InvalidInput, text);
        let keys: Vec<&str> = path.strip_prefix("context.").unwrap_or(path).split('.').collect();
        if !matches!(keys.as_slice(), ["initial" | "attributes", _, ..]) {
            return Err(refused(format!("{path:?} is no path in the context of runs")).with_help(PATH_HELP));
        }
        let field = JsonField::new("context", &keys)
            .map_err(|error| refused(format!("{path:?}: {error}")).with_help(PATH_HELP).with_source(error))?;
        field.equals(scalar(&value)?, 1).map_err(|error| refused(error.to_string()).with_source(error))?;
        if self.context.len() >= Self::MAX_CONTEXT {
            return Err(refused(format!(
                "a search has at most {} conditions on the context",
                Self::MAX_CONTEXT
            )));
        }
        self.context.push((keys.into_iter().map(str::to_owned).collect(), value));
        Ok(self)
    }

    /// Conditions in words, as in a query string: the names of the methods, and `context.…` paths, whose values are read as JSON if they are
    /// a number, a truth value or a quoted text, and are texts otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFilter`] for another name: a condition is never left out silently. [`ErrorKind::InvalidInput`] for a value.
    pub fn parse<'a>(conditions: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut filter = Self::new();
        for (name, value) in conditions {
            let wrong = |what: &str, example: &'static str| {
                let value: String = value.chars().take(64).collect();
                Error::new(ErrorKind::InvalidInput, format!("{name}: {value:?} is not {what}"))
                    .with_help(example)
            };
            filter = match name {
                "id" => filter.id(value),
                "status" => filter.status(status(value).map_err(|_| no_status(value))?),
                "status_in" => {
                    let all =
                        value.split(',').map(|word| status(word.trim()).map_err(|_| no_status(word.trim())));
                    filter.status_in(all.collect::<Result<Vec<_>>>()?)
                }
                "workflow" => filter.workflow(value),
                "workflow_version" => filter.workflow_version(
                    value.parse().map_err(|_| wrong("a version", "a version is a number from 1"))?,
                ),
                "workflow_family" => filter.workflow_family(value),
                "tag" => filter.tag(value),
                "parent" => filter.parent(value.parse().map_err(|_| wrong("a run's identifier", RUN_HELP))?),
                "since" => filter.since(value.parse().map_err(|_| wrong("an instant", INSTANT_HELP))?),
                "until" => filter.until(value.parse().map_err(|_| wrong("an instant", INSTANT_HELP))?),
                path if path.starts_with("context.") => {
                    let read = serde_json::from_str(value).ok().filter(|read: &Value| scalar(read).is_ok());
                    filter.context(path, read.unwrap_or_else(|| Value::from(value)))?
                }
                other => return Err(unknown(other)),
            };
        }
        Ok(filter)
    }
}

/// The text does not say under which name the value was given: a command line and a page have their own.
fn no_status(word: &str) -> Error {
    let word: String = word.chars().take(64).collect();
    let all: Vec<&str> = STATUSES.iter().map(|(_, word)| *word).collect();
    Error::new(ErrorKind::InvalidInput, format!("{word:?} is no status of a run"))
        .with_help(format!("a status is one of {}", all.join(", ")))
}

fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(64).collect();
    Error::new(ErrorKind::UnknownFilter { name: name.clone() }, format!("there is no condition {name:?} on runs")).with_help(
        "there are id, status, status_in, workflow, workflow_version, workflow_family, tag, parent, since, until and context.….",
    )
}

/// A scalar as a parameter.
pub(super) fn scalar(value: &Value) -> Result<Column> {
    let refused = || {
        Error::new(ErrorKind::InvalidInput, "the context is searched for a text, a number or a truth value")
    };
    Ok(match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => float.into(),
            (None, None) => return Err(refused()),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(refused()),
    })
}

/// Whether a value can be a document of PostgreSQL's.
pub(super) fn document(value: &Value) -> Result<Json> {
    let json = Json::encode(value)?;
    Column::Json(json.clone()).check_portable()?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_condition_is_refused_by_name() {
        for name in ["staus", "state", "contextinitial.a", "", "Status"] {
            let error = Filter::parse([(name, "running")]).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::UnknownFilter { name: name.to_owned() });
        }
    }

    #[test]
    fn values_are_refused_where_they_do_not_fit() {
        for (name, value) in [
            ("status", "pending"),
            ("status_in", "running,,"),
            ("workflow_version", "-1"),
            ("parent", "orderid::a"),
            ("since", "yesterday"),
            ("context.steps.a", "1"),
            ("context.initial", "1"),
            ("context.initial.a'b", "1"),
        ] {
            assert_eq!(
                *Filter::parse([(name, value)]).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{name}"
            );
        }
        assert!(Filter::new().context("initial.a", json!(null)).is_err());
        assert!(Filter::new().context("initial.a", json!([1])).is_err());
    }

    #[test]
    fn words_become_values_of_their_kind() {
        let of = |text| Filter::parse([("context.initial.a", text)]).unwrap().context.remove(0).1;
        assert_eq!(
            [of("123"), of("\"123\""), of("true"), of("abc"), of("null")],
            [json!(123), json!("123"), json!(true), json!("abc"), json!("null")]
        );
    }

    #[test]
    fn conditions_on_the_context_are_bounded() {
        let full = (0..Filter::MAX_CONTEXT)
            .fold(Filter::new(), |filter, at| filter.context(&format!("initial.k{at}"), json!(1)).unwrap());
        assert!(full.context("initial.more", json!(1)).is_err());
    }
}
