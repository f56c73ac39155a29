//! The storage contract: get, put, delete, and the end of what is old. What is stored is data; nothing of it is ever turned into code or the
//! name of a type.

use std::collections::HashSet;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Dialect, Expect, Row, Sql, Statement};
use serde_json::{Map, Value, json};

use super::codec::{Slot, decode, status_text};
use super::filter::document;
use super::limits::{
    MAX_ATTRIBUTES_BYTES, MAX_INPUT_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_OUTPUT_BYTES, MAX_REASON_BYTES,
    check_name, cut, encode,
};
use super::query::{COLUMNS, RunSummary, summary};
use super::terms::{UNINDEXED, terms};
use super::types::Lane;
use super::{NewAct, Store};
use crate::action::Action;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;

/// A run with all that is known of it as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// What it is and how far it came.
    pub summary: RunSummary,
    /// The input under `initial`, the attributes under `attributes`, each step's result under `steps` and its key, the run's own under
    /// `result`.
    pub context: Value,
}

/// The most runs that one portion of pruning removes.
pub const MAX_PRUNE: u32 = 1_000;

const OUTPUTS: Sql =
    Sql::new("SELECT step, kind, item, value FROM wf_outputs WHERE run_id = $1 AND kind <> 1");
const CONTEXT: Sql = Sql::per_dialect(
    "SELECT context FROM wf_contexts WHERE run_id = $1",
    "SELECT context::text AS context FROM wf_contexts WHERE run_id = $1",
);
/// Neither database reads a large value to say how long it is.
const CONTEXT_BYTES: Sql = Sql::per_dialect(
    "SELECT COALESCE((SELECT octet_length(context) FROM wf_contexts WHERE run_id = $1), 0) \
        + COALESCE((SELECT sum(octet_length(value)) FROM wf_outputs WHERE run_id = $1 AND kind <> 1), 0) AS bytes",
    "SELECT COALESCE((SELECT octet_length(context::text) FROM wf_contexts WHERE run_id = $1), 0) \
        + COALESCE((SELECT sum(octet_length(value)) FROM wf_outputs WHERE run_id = $1 AND kind <> 1), 0) AS bytes",
);
const PUT: Sql = Sql::new(
    "INSERT INTO wf_runs (namespace_id, id, workflow, version, business_key, status, queue, priority, reason, created_at, \
        updated_at, ended_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 WHERE NOT EXISTS (SELECT 1 FROM wf_runs o \
        WHERE o.namespace_id IN (SELECT id FROM wf_namespaces WHERE id <> $1) AND o.id = $2) \
     ON CONFLICT (namespace_id, id) DO UPDATE SET workflow = excluded.workflow, version = excluded.version, \
        business_key = excluded.business_key, status = excluded.status, priority = excluded.priority, reason = excluded.reason, \
        updated_at = excluded.updated_at, ended_at = excluded.ended_at WHERE wf_runs.definition_id IS NULL",
);
const FORGET_TURNS: Sql = Sql::new(
    "DELETE FROM wf_fairness WHERE namespace_id = $1 AND fairness <> '' AND last <= (SELECT v.last FROM wf_fairness v \
        WHERE v.namespace_id = $1 AND v.queue = wf_fairness.queue AND v.fairness = '')",
);
/// What belongs to a run is found by its identifier alone, which no two namespaces give out.
const SHARED: Sql = Sql::per_dialect(
    "SELECT o.id FROM json_each($2) AS u CROSS JOIN wf_namespaces n CROSS JOIN wf_runs o ON o.namespace_id = n.id AND o.id = u.value \
        WHERE n.id <> $1",
    "SELECT u.id FROM unnest($2::bigint[]) AS u (id) CROSS JOIN wf_namespaces n CROSS JOIN LATERAL \
        (SELECT 1 FROM wf_runs o WHERE o.namespace_id = n.id AND o.id = u.id OFFSET 0) AS l WHERE n.id <> $1",
);
const OLD: Sql = Sql::per_dialect(
    "SELECT id FROM wf_runs INDEXED BY wf_runs_ended_idx WHERE namespace_id = $1 AND ended_at IS NOT NULL AND ended_at < $2 \
        AND definition_id IS NOT NULL ORDER BY ended_at LIMIT $3",
    "SELECT id FROM wf_runs WHERE namespace_id = $1 AND ended_at IS NOT NULL AND ended_at < $2 AND definition_id IS NOT NULL \
        ORDER BY namespace_id, ended_at LIMIT $3",
);
const OLD_FOREIGN: Sql = Sql::per_dialect(
    "SELECT id FROM wf_runs INDEXED BY wf_runs_foreign_idx WHERE namespace_id = $1 AND ended_at IS NOT NULL AND ended_at < $2 \
        AND definition_id IS NULL ORDER BY ended_at LIMIT $3",
    "SELECT id FROM wf_runs WHERE namespace_id = $1 AND ended_at IS NOT NULL AND ended_at < $2 AND definition_id IS NULL \
        ORDER BY namespace_id, ended_at LIMIT $3",
);

impl Store {
    /// A run with all that is known of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Database`], [`ErrorKind::Corrupt`].
    pub async fn get(&self, run: RunId) -> Result<StoredRun> {
        let text = format!("SELECT {COLUMNS} FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = $2");
        let find = Statement::new(Sql::dynamic(text.clone(), text)).named("workflow.get");
        let results = self
            .repo
            .read_many(vec![
                find.bind(self.namespace).bind(run.get()),
                Statement::new(CONTEXT).named("workflow.get_context").bind(run.get()),
                Statement::new(OUTPUTS).named("workflow.get_outputs").bind(run.get()),
            ])
            .await?;
        let mut results = results.into_iter();
        let mut next = || results.next().unwrap_or_default();
        let (runs, contexts, outputs) = (next(), next(), next());
        let row = runs.first().ok_or_else(|| Error::unknown_run(run))?;
        let context = match contexts.first() {
            Some(row) => decode("context", &row.get::<String>("context")?)?,
            None => Value::Object(Map::new()),
        };
        Ok(StoredRun { summary: summary(row)?, context: with_outputs(context, &outputs)? })
    }

    /// What a run is and how far it came, and how many bytes its context has.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn summary(&self, run: RunId) -> Result<(RunSummary, u64)> {
        let text = format!("SELECT {COLUMNS} FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = $2");
        let find = Statement::new(Sql::dynamic(text.clone(), text)).named("workflow.summary");
        let results = self
            .repo
            .read_many(vec![
                find.bind(self.namespace).bind(run.get()),
                Statement::new(CONTEXT_BYTES).named("workflow.context_bytes").bind(run.get()),
            ])
            .await?;
        let first = |rows: Option<&Vec<Row>>| rows.and_then(|rows| rows.first().cloned());
        let row = first(results.first()).ok_or_else(|| Error::unknown_run(run))?;
        let bytes = first(results.get(1)).map(|row| row.get::<u64>("bytes")).transpose()?;
        Ok((summary(&row)?, bytes.unwrap_or_default()))
    }

    /// Keeps a run that came from elsewhere, in place of what was kept under its identifier, and gives back what is stored. Such a run is
    /// found and shown like any other; no engine moves it.
    ///
    /// # Errors
    /// [`ErrorKind::Managed`]: the engine moves the run of this identifier, or it is another namespace's. [`ErrorKind::InvalidInput`] and [`ErrorKind::TooLarge`];
    /// [`ErrorKind::Database`].
    pub async fn put(&self, run: &StoredRun) -> Result<StoredRun> {
        self.require()?;
        let batch = self.putting(run)?;
        match self.repo.batch(batch).await {
            Ok(_) => self.get(run.summary.run).await,
            Err(error) if super::is_refused(&error) => {
                let id = run.summary.run;
                Err(if self.shared(&[id.get()]).await?.is_empty() {
                    let text = format!("the engine moves {id}: it is not replaced from outside");
                    Error::new(ErrorKind::Managed, text).with_help("send it a signal, or cancel it")
                } else {
                    let text =
                        format!("{id} is a run of another namespace: one identifier stands for one run");
                    Error::new(ErrorKind::Managed, text)
                        .with_help("keep the copy under an identifier of its own")
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn putting(&self, run: &StoredRun) -> Result<Batch> {
        let summary = &run.summary;
        let id = summary.run.get();
        check_name("name of a workflow", &summary.workflow, MAX_NAME_BYTES * 2)?;
        if let Some(key) = &summary.key {
            check_name("business key", key, MAX_KEY_BYTES)?;
        }
        let parts = Parts::of(&run.context)?;
        let mut batch = Batch::new("workflow.put");
        let statement = Statement::new(PUT).named("workflow.put").bind(self.namespace).bind(id);
        let statement =
            statement.bind(summary.workflow.as_str()).bind(summary.version).bind(summary.key.clone());
        let statement =
            statement.bind(status_text(summary.status)).bind(Lane::DEFAULT_QUEUE).bind(summary.priority);
        let reason = summary.reason.as_deref().map(|reason| cut(reason, MAX_REASON_BYTES));
        let statement = statement.bind(reason).bind(summary.created_at).bind(summary.updated_at);
        batch.expect(Expect::ONE, statement.bind(summary.ended_at));
        if self.dialect() == Dialect::Sqlite {
            // The index has no order by run: it is gone through for a run that is replaced, and not for a new one.
            const REPLACED: &str = "DELETE FROM wf_terms WHERE run_id = $1 AND EXISTS (SELECT 1 FROM wf_contexts WHERE run_id = $1)";
            batch.push(Statement::new(REPLACED).named("workflow.put_terms").bind(id));
            batch.push(by_run("wf_terms_before").bind(vec![id]));
        }
        for table in ["wf_contexts", "wf_outputs"] {
            batch.push(by_run(table).bind(vec![id]));
        }
        if let Some(context) = &parts.context {
            let statement = Statement::new("INSERT INTO wf_contexts (run_id, context) VALUES ($1, $2)");
            batch.push(statement.bind(id).bind(document(context)?));
            for term in terms(context).into_iter().filter(|_| self.dialect() == Dialect::Sqlite) {
                let statement = Statement::new(
                    "INSERT INTO wf_terms (namespace_id, term, run_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                );
                batch.push(statement.bind(self.namespace).bind(term).bind(id));
            }
        }
        for (step, slot, value) in parts.outputs {
            let statement = Statement::new(
                "INSERT INTO wf_outputs (run_id, step, kind, item, value) VALUES ($1, $2, $3, 0, $4)",
            );
            batch.push(statement.bind(id).bind(step).bind(slot.number()).bind(value));
        }
        Ok(batch)
    }

    /// Removes a run and all that belongs to it. Says whether it was there; a second time does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Active`]: the engine moves the run, others may wait for it. [`ErrorKind::Database`].
    pub async fn delete(&self, run: RunId) -> Result<bool> {
        let find = Statement::new(
            "SELECT ended_at IS NULL AND definition_id IS NOT NULL AS active FROM wf_runs WHERE namespace_id = $1 AND id = $2",
        );
        let find = find.named("workflow.delete_find").bind(self.namespace).bind(run.get());
        let Some(row): Option<Row> = self.repo.read_optional(find).await? else { return Ok(false) };
        if row.get("active")? {
            let text = format!("{run} has not ended, and others may wait for it");
            return Err(Error::new(ErrorKind::Active, text).with_help("cancel it first"));
        }
        // An ended run never moves again, so nothing can have changed in between but that somebody else removed it.
        let act = NewAct::of_run(Action::Delete, run, json!({}));
        Ok(self.remove(vec![run.get()], &act).await? == 1)
    }

    /// Removes runs that ended before an instant, those that an engine moved before those that came from elsewhere, the first ones first,
    /// at most so many and at most [`MAX_PRUNE`]. Says how many; call it again until there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn prune(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        let limit = limit.min(MAX_PRUNE);
        let mut old = self.old(OLD, "workflow.old", ended_before, limit).await?;
        let left = limit.saturating_sub(u32::try_from(old.len()).unwrap_or(limit));
        old.extend(self.old(OLD_FOREIGN, "workflow.old_foreign", ended_before, left).await?);
        self.prune_these(old, ended_before).await
    }

    /// The same without what came from elsewhere: that ended long before it came, and stays until somebody removes it.
    ///
    /// # Errors
    /// [`ErrorKind::Database`].
    pub async fn prune_own(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        let old = self.old(OLD, "workflow.old", ended_before, limit.min(MAX_PRUNE)).await?;
        self.prune_these(old, ended_before).await
    }

    async fn old(&self, sql: Sql, name: &'static str, before: Timestamp, limit: u32) -> Result<Vec<i64>> {
        let statement = Statement::new(sql).named(name).bind(self.namespace).bind(before).bind(limit);
        let rows = self.repo.read(statement).await?;
        Ok(rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?)
    }

    async fn prune_these(&self, old: Vec<i64>, ended_before: Timestamp) -> Result<u64> {
        if !old.is_empty() {
            let detail = json!({"ended_before": ended_before.to_string(), "runs": old.len()});
            return self.remove(old, &NewAct::new(Action::Prune, "", detail)).await;
        }
        // A key whose last turn is over stands where one stands that was never there.
        let statement = Statement::new(FORGET_TURNS).named("workflow.forget_turns");
        self.repo.write(statement.bind(self.namespace)).await?;
        Ok(0)
    }

    async fn remove(&self, runs: Vec<i64>, act: &NewAct) -> Result<u64> {
        const RUNS: Sql = Sql::per_dialect(
            "DELETE FROM wf_runs WHERE namespace_id = $1 AND id IN (SELECT value FROM json_each($2))",
            "DELETE FROM wf_runs WHERE namespace_id = $1 AND id = ANY($2::bigint[])",
        );
        let mut batch = Batch::new("workflow.remove");
        // Of a copy that a version before kept under one identifier in two namespaces, all but the row is also the other's.
        let shared = self.shared(&runs).await?;
        let own: Vec<i64> = runs.iter().copied().filter(|run| !shared.contains(run)).collect();
        if self.dialect() == Dialect::Sqlite {
            self.forget_terms(&mut batch, &own).await?;
        }
        for table in ["wf_history", "wf_snapshots", "wf_outputs", "wf_contexts", "wf_tasks", "wf_timers"] {
            batch.push(by_run(table).bind(own.clone()));
        }
        // Letters are found by two indexes: those that are unread or untaken, and those that their sender named.
        for which in ["(due IS NOT NULL OR letter IS NOT NULL)", "sender IS NOT NULL"] {
            let head = format!("DELETE FROM wf_mail WHERE {which} AND run_id");
            let sql = Sql::dynamic(
                format!("{head} IN (SELECT value FROM json_each($1))"),
                format!("{head} = ANY($1::bigint[])"),
            );
            batch.push(Statement::new(sql).named("workflow.remove_mail").bind(own.clone()));
        }
        let removed = Statement::new(RUNS).named("workflow.remove").bind(self.namespace).bind(runs.clone());
        let removed = batch.push(removed);
        self.record(&mut batch, act)?;
        batch.push(self.detach_acts(runs));
        let outcome = self.repo.batch(batch).await?;
        Ok(outcome.get(removed).map_or(0, mainstay_repo::Written::rows_affected))
    }

    /// Which of these runs another namespace has too.
    async fn shared(&self, runs: &[i64]) -> Result<HashSet<i64>> {
        let statement = Statement::new(SHARED).named("workflow.shared").bind(self.namespace);
        let rows = self.repo.read(statement.bind(runs.to_vec())).await?;
        Ok(rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?)
    }

    /// SQLite's index of the contexts has no order by run: what a run has there is computed again from its context, whole as at its start
    /// and in the parts that are written later. What an earlier version left there is noted by the run.
    async fn forget_terms(&self, batch: &mut Batch, runs: &[i64]) -> Result<()> {
        const FORGET_BEFORE: &str = "DELETE FROM wf_terms WHERE (namespace_id, term, run_id) IN (SELECT r.namespace_id, b.term, b.run_id \
            FROM wf_terms_before b JOIN wf_runs r ON r.namespace_id = $1 AND r.id = b.run_id \
            WHERE b.run_id IN (SELECT value FROM json_each($2)))";
        const FORGET_LIST: &str = "DELETE FROM wf_terms_before WHERE run_id IN (SELECT r.id FROM wf_runs r \
            WHERE r.namespace_id = $1 AND r.id IN (SELECT value FROM json_each($2)))";
        const CONTEXTS: &str =
            "SELECT run_id, context FROM wf_contexts WHERE run_id IN (SELECT value FROM json_each($1))";
        const FORGET: &str = "DELETE FROM wf_terms WHERE namespace_id = $1 AND run_id = $2 \
            AND term IN (SELECT value FROM json_each($3))";
        for (sql, name) in
            [(FORGET_BEFORE, "workflow.forget_terms_before"), (FORGET_LIST, "workflow.forget_terms_list")]
        {
            batch.push(Statement::new(sql).named(name).bind(self.namespace).bind(runs.to_vec()));
        }
        let rows = self
            .repo
            .read(Statement::new(CONTEXTS).named("workflow.old_contexts").bind(runs.to_vec()))
            .await?;
        for row in rows {
            let context: Value = decode("context", &row.get::<String>("context")?)?;
            let statement = Statement::new(FORGET).named("workflow.forget_terms").bind(self.namespace);
            let mut found = terms(&context);
            for (part, value) in context.as_object().into_iter().flatten() {
                found.extend(terms(&serde_json::json!({ part: value })));
            }
            found.push(UNINDEXED);
            batch.push(statement.bind(row.get::<i64>("run_id")?).bind(found));
        }
        Ok(())
    }
}

fn by_run(table: &str) -> Statement {
    let head = format!("DELETE FROM {table} WHERE run_id");
    let sqlite = format!("{head} IN (SELECT value FROM json_each($1))");
    Statement::new(Sql::dynamic(sqlite, format!("{head} = ANY($1::bigint[])"))).named("workflow.remove_rows")
}

/// A context apart: what is searched, and results, each a row.
struct Parts {
    context: Option<Value>,
    outputs: Vec<(String, Slot, String)>,
}

impl Parts {
    fn of(context: &Value) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                "a context is an object with initial, attributes, steps and result, each of which may be missing",
            )
        };
        let members = context.as_object().ok_or_else(wrong)?;
        let (mut searched, mut outputs) = (Map::new(), Vec::new());
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "initial" => {
                    encode("input", value, MAX_INPUT_BYTES)?;
                    searched.insert(name.clone(), value.clone());
                }
                "attributes" => {
                    encode("attributes", value, MAX_ATTRIBUTES_BYTES)?;
                    searched.insert(name.clone(), value.clone());
                }
                "result" => outputs.push((
                    String::new(),
                    Slot::Run,
                    encode("result of a run", value, MAX_OUTPUT_BYTES)?,
                )),
                "steps" => {
                    for (step, value) in value.as_object().ok_or_else(wrong)? {
                        check_name("key of a step", step, MAX_NAME_BYTES * 2)?;
                        outputs.push((
                            step.clone(),
                            Slot::Step,
                            encode("result of a step", value, MAX_OUTPUT_BYTES)?,
                        ));
                    }
                }
                _ => return Err(wrong()),
            }
        }
        let context = (!searched.is_empty()).then_some(Value::Object(searched));
        Ok(Self { context, outputs })
    }
}

fn with_outputs(mut context: Value, rows: &[Row]) -> Result<Value> {
    let mut steps = Map::new();
    for row in rows {
        let value: Value = decode("result", &row.get::<String>("value")?)?;
        let step: String = row.get("step")?;
        match Slot::from_number(row.get("kind")?)? {
            Slot::Step => drop(steps.insert(step, value)),
            Slot::Item => {
                let items = steps.entry(step).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(items) = items {
                    items.insert(row.get::<i64>("item")?.to_string(), value);
                }
            }
            Slot::Run => {
                drop(context.as_object_mut().map(|members| members.insert("result".to_owned(), value)))
            }
            Slot::Element | Slot::List => {}
        }
    }
    if let Some(members) = context.as_object_mut() {
        members.insert("steps".to_owned(), Value::Object(steps));
    }
    Ok(context)
}
