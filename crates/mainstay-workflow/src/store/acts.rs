//! Who did what: a row for each action of a named caller, written in the transaction that carries the action out. What changed nothing leaves
//! none.
//!
//! A run's history says what became of it, this says who asked. Acts stay when their run is removed, and do not go before it.

use std::sync::Arc;

use mainstay_core::{Actor, Clock, Cursor, Page, PageSize, Timestamp};
use mainstay_repo::{Batch, Expect, Row, Sql, Statement};
use serde_json::Value;

use super::codec::{corrupt, decode};
use super::limits::{CURSOR_HELP, MAX_ACT_BYTES, cut};
use super::types::{Letter, Sent, Start, Started};
use super::{ATTEMPTS, Store, busy, is_refused};
use crate::action::Action;
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Its number; later ones are larger.
    pub number: i64,
    /// When, by the clock of the node that wrote it.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The name of an [`Action`]; a later version may know more of them.
    pub action: String,
    /// The run that it was about; for a retry or a fork the new one.
    pub run: Option<RunId>,
    /// What it was about otherwise: a workflow, a queue, a schedule; empty for everything in the namespace.
    pub subject: String,
    /// How: an object. Inputs and payloads are not in it; they are in the history of the run.
    pub detail: Value,
}

/// Who a store acts for.
#[derive(Clone)]
pub(super) struct By {
    actor: Actor,
    clock: Arc<dyn Clock>,
}

/// An act to be.
pub(crate) struct NewAct {
    pub(crate) action: Action,
    pub(crate) run: Option<RunId>,
    pub(crate) subject: String,
    pub(crate) detail: Value,
}

impl NewAct {
    pub(crate) fn new(action: Action, subject: &str, detail: Value) -> Self {
        Self { action, run: None, subject: subject.to_owned(), detail }
    }

    pub(crate) fn of_run(action: Action, run: RunId, detail: Value) -> Self {
        Self { action, run: Some(run), subject: String::new(), detail }
    }
}

const FORGET: Sql = Sql::per_dialect(
    "DELETE FROM wf_acts WHERE id IN (SELECT id FROM wf_acts INDEXED BY wf_acts_detached_idx \
        WHERE namespace_id = $1 AND detached = 1 ORDER BY id LIMIT $3) AND at < $2",
    "DELETE FROM wf_acts WHERE id = ANY (ARRAY (SELECT id FROM wf_acts WHERE namespace_id = $1 AND detached \
        ORDER BY id LIMIT $3)) AND at < $2",
);
const DETACH: Sql = Sql::per_dialect(
    "UPDATE wf_acts SET detached = 1 WHERE namespace_id = $1 AND run_id IS NOT NULL AND run_id IN (SELECT value FROM json_each($2))",
    "UPDATE wf_acts SET detached = true WHERE namespace_id = $1 AND run_id = ANY($2::bigint[])",
);

const ACT: &str = "INSERT INTO wf_acts (namespace_id, at, actor, action, run_id, subject, detail, detached) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

impl Store {
    /// The same store, whose changes are written down as an actor's.
    pub(crate) fn acting(&self, actor: Actor, clock: Arc<dyn Clock>) -> Self {
        Self { by: Some(By { actor, clock }), ..self.clone() }
    }

    /// Adds to a batch who does what it does, if the store acts for somebody.
    pub(super) fn record(&self, batch: &mut Batch, act: &NewAct) -> Result<()> {
        let Some(By { actor, clock }) = &self.by else { return Ok(()) };
        let detail =
            serde_json::to_string(&act.detail).map_err(|error| Error::internal(error.to_string()))?;
        let detail = if detail.len() <= MAX_ACT_BYTES { detail } else { "{\"cut\":true}".to_owned() };
        let statement = Statement::new(ACT).named("workflow.act").bind(self.namespace).bind(clock.now());
        let statement = statement.bind(actor.as_str()).bind(act.action.as_str());
        let statement = statement.bind(act.run.map(RunId::get)).bind(cut(&act.subject, MAX_ACT_BYTES));
        batch.expect(Expect::ONE, statement.bind(detail).bind(act.run.is_none()));
        Ok(())
    }

    /// Writes a change that touches one row, and who made it. Says whether the row was there to be touched.
    pub(super) async fn change(&self, statement: Statement, act: &NewAct) -> Result<bool> {
        let mut batch = Batch::new("workflow.change");
        batch.expect(Expect::ONE, statement);
        self.record(&mut batch, act)?;
        match self.repo.batch(batch).await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a letter into a run's mail, with who sent it.
    pub(crate) async fn send_as(&self, letter: &Letter, act: &NewAct) -> Result<Sent> {
        if self.change(self.statement(letter)?, act).await? {
            return Ok(Sent::Accepted);
        }
        self.why_not_sent(letter).await
    }

    /// Starts a run, with who started it.
    pub(crate) async fn start_as(&self, flow: &Workflow, start: Start, act: NewAct) -> Result<Started> {
        let mut act = act;
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new("workflow.start");
            let head = self.start_head_into(&mut batch, flow, start.clone())?;
            act.run = Some(head.meta.run);
            self.record(&mut batch, &act)?;
            match self.repo.batch(batch).await {
                Ok(_) => return Ok(Started::New(head)),
                Err(error) if is_refused(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let tokens = start.token.clone().into_iter().collect();
            if let Some(run) = self.active(tokens).await?.into_values().next() {
                return Ok(Started::AlreadyActive(run));
            }
        }
        Err(busy())
    }

    /// Writes an act that has no other row.
    pub(crate) async fn note(&self, act: &NewAct) -> Result<()> {
        let mut batch = Batch::new("workflow.note");
        self.record(&mut batch, act)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.repo.batch(batch).await?;
        Ok(())
    }

    /// That runs are removed: what was done to them may go when it is old enough.
    pub(super) fn detach_acts(&self, runs: Vec<i64>) -> Statement {
        Statement::new(DETACH).named("workflow.acts_detach").bind(self.namespace).bind(runs)
    }

    /// Removes acts from before an instant that are about no run or about one that is gone, at most so many and at most
    /// [`MAX_PRUNE`](super::MAX_PRUNE), the first ones first. Says how many; call it again as long as it is so many. What is kept for its
    /// run costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn prune_acts(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let statement = Statement::new(FORGET).named("workflow.acts_forget").bind(self.namespace);
        let statement = statement.bind(before).bind(limit.min(super::MAX_PRUNE));
        Ok(self.repo.write(statement).await?.rows_affected())
    }

    /// A page of what was done, the latest first: about one run, or about everything.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a cursor of something else; [`ErrorKind::Database`].
    pub async fn acts(
        &self,
        run: Option<RunId>,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<Act>> {
        let after = after.map(|cursor| cursor.as_str().parse::<i64>()).transpose().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "the cursor is not one of a list of acts")
                .with_help(CURSOR_HELP)
                .with_source(error)
        })?;
        const OF_RUN: &str = "SELECT id, at, actor, action, run_id, subject, detail FROM wf_acts \
            WHERE namespace_id = $1 AND id < $2 AND run_id = $4 ORDER BY id DESC LIMIT $3";
        const OF_ALL: &str = "SELECT id, at, actor, action, run_id, subject, detail FROM wf_acts \
            WHERE namespace_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let text = if run.is_some() { OF_RUN } else { OF_ALL };
        let statement = Statement::new(text).named("workflow.acts").bind(self.namespace);
        let mut statement = statement.bind(after.unwrap_or(i64::MAX)).bind(size.get() + 1);
        if let Some(run) = run {
            statement = statement.bind(run.get());
        }
        let acts = self.repo.read(statement).await?.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Page::from_surplus(acts, size, |act| Cursor::new(act.number.to_string())))
    }
}

fn read(row: &Row) -> Result<Act> {
    Ok(Act {
        number: row.get("id")?,
        at: row.get("at")?,
        actor: Actor::new(row.get::<String>("actor")?)
            .map_err(|_| corrupt("an act is stored without an actor"))?,
        action: row.get("action")?,
        run: row.get::<Option<i64>>("run_id")?.map(RunId::from_stored),
        subject: row.get("subject")?,
        detail: decode("detail of an act", &row.get::<String>("detail")?)?,
    })
}
