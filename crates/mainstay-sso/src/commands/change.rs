//! One change and its audit event, in one batch.
//!
//! The event needs the hash of the event before it, so the batch moves the head from where it was read to the new event. When
//! somebody else was first, the condition fails, nothing is written, and the batch is built anew. Nobody waits for a lock.

use mainstay_repo::{Batch, Expect, Statement};
use serde_json::{Map, Value, json};

use crate::audit::{Entry, Head};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{AuditId, ConnectionId};
use crate::scope::{Cause, OrganizationId, Scope};
use crate::sso::Sso;
use crate::store::{audit, connections};

/// How often a change is tried when others change the audit's head at the same moment.
const MAX_TRIES: usize = 64;

/// A change that is about to be made.
#[derive(Debug)]
pub(super) struct Change {
    entry: Entry,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    statement: Statement,
    expect: Expect,
    missed: ErrorKind,
    message: &'static str,
}

impl Change {
    /// A change by somebody for a reason.
    pub(super) fn new(sso: &Sso, action: &'static str, scope: &Scope, cause: &Cause) -> Self {
        let entry = Entry {
            id: AuditId::generate(&*sso.options().clock),
            at: sso.now(),
            action,
            connection: None,
            organization: None,
            actor: scope.actor.as_str().to_owned(),
            cause: cause.as_str().to_owned(),
            details: "{}".to_owned(),
        };
        Self { entry, steps: Vec::new() }
    }

    /// What it is about.
    pub(super) fn about(mut self, connection: ConnectionId, organization: Option<&OrganizationId>) -> Self {
        self.entry.connection = Some(connection);
        self.entry.organization = organization.cloned();
        self
    }

    /// What it does, for the audit.
    pub(super) fn details(mut self, details: &Value) -> Self {
        self.entry.details = details.to_string();
        self
    }

    /// A statement of the change.
    pub(super) fn step(self, statement: Statement) -> Self {
        self.guarded(Expect::Any, statement, ErrorKind::Internal, "a step of the change did not happen")
    }

    /// A statement that must meet a condition, and what it means when it does not.
    pub(super) fn guarded(
        mut self,
        expect: Expect,
        statement: Statement,
        missed: ErrorKind,
        message: &'static str,
    ) -> Self {
        self.steps.push(Step { statement, expect, missed, message });
        self
    }

    /// Writes the connection over the version at which it was read.
    pub(super) fn write_connection(self, connection: &Connection) -> Result<Self> {
        let statement = connections::update(connection)?;
        let missed = ErrorKind::Stale { expected: connection.lock_version };
        Ok(self.guarded(
            Expect::ONE,
            statement,
            missed,
            "somebody else changed the connection at the same moment",
        ))
    }
}

impl Sso {
    /// Makes a change; says how many rows each of its steps changed.
    pub(super) async fn apply(&self, change: Change) -> Result<Vec<u64>> {
        let mut in_doubt = false;
        for _ in 0..MAX_TRIES {
            if in_doubt && !self.repo().read(audit::exists(change.entry.id)).await?.is_empty() {
                return Ok(vec![1; change.steps.len()]);
            }
            let head: Head = self.repo().read_one(audit::head()).await?;
            let event = change.entry.behind(&head);
            let mut batch = Batch::new(change.entry.action);
            let advance = batch.expect(Expect::ONE, audit::advance(&head, &event));
            batch.push(audit::insert(&event));
            let first = batch.steps().len();
            for step in &change.steps {
                batch.expect(step.expect, step.statement.clone());
            }
            let error = match self.repo().batch(batch).await {
                Ok(outcome) => {
                    if let Some(connection) = change.entry.connection {
                        self.forget_snapshot(connection);
                    }
                    return Ok(outcome.written().iter().skip(first).map(|w| w.rows_affected()).collect());
                }
                Err(error) => error,
            };
            match error.condition_failed() {
                Some(place) if place == advance.index() => {}
                Some(place) => return Err(change.missed(place.saturating_sub(first), error)),
                // Whether it is there or not, it can only be there once: the same head cannot be moved twice.
                None if error.is_unknown() => in_doubt = true,
                None if error.is_conflict() => {
                    return Err(Error::new(
                        ErrorKind::Conflict { what: "key" },
                        "something with that key is there already",
                    )
                    .with_source(error));
                }
                None => return Err(error.into()),
            }
        }
        let kind = if in_doubt { ErrorKind::Unknown } else { ErrorKind::Busy };
        Err(Error::new(kind, "too many changes are being made at the same moment").with_help("repeat it"))
    }
}

impl Change {
    fn missed(&self, place: usize, source: mainstay_repo::Error) -> Error {
        match self.steps.get(place) {
            Some(step) => Error::new(step.missed.clone(), step.message).with_source(source),
            None => source.into(),
        }
    }
}

/// The fields of a connection that differ, before and after.
pub(super) fn differences(before: &Connection, after: &Connection) -> Value {
    let (before, after) = (fields(before), fields(after));
    let differs = |(name, value): &(&String, &Value)| {
        !matches!(name.as_str(), "updated_at" | "lock_version") && before.get(name.as_str()) != Some(*value)
    };
    let changed: Vec<_> = after.iter().filter(differs).collect();
    let pick = |from: &Map<String, Value>| -> Map<String, Value> {
        changed
            .iter()
            .filter_map(|(name, _)| Some(((*name).clone(), from.get(name.as_str())?.clone())))
            .collect()
    };
    json!({ "before": pick(&before), "after": pick(&after) })
}

fn fields(connection: &Connection) -> Map<String, Value> {
    match serde_json::to_value(connection) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
