//! Reading runs: for the runner as they are, with what happened since the last snapshot; for people with the whole history.

use std::collections::HashMap;
use std::sync::Arc;

use mainstay_core::{Cursor, Page, PageSize};
use mainstay_repo::{Dialect, Row, Sql, Statement};
use serde_json::{Map, Value};

use super::Store;
use super::codec::{Results, Slot, corrupt, decode, status};
use super::types::{Baton, Ended, Head, Lane, Loaded, Mail, Meta, Parent};
use crate::definition::Workflow;
use crate::error::{Error, Result};
use crate::graph::StepKey;
use crate::id::{DefinitionId, MailId, NodeId, RunId};
use crate::plan::{Attempt, Fact, Outcome, Record, State, Status, resume};

const METAS: Sql = Sql::per_dialect(
    "SELECT id, definition_id, workflow, version, business_key, token, queue, priority, fairness, parent_id, parent_attempt, \
        telemetry, created_at FROM wf_runs WHERE namespace_id = $1 AND id IN (SELECT value FROM json_each($2)) \
        AND definition_id IS NOT NULL",
    "SELECT id, definition_id, workflow, version, business_key, token, queue, priority, fairness, parent_id, parent_attempt, \
        telemetry, created_at FROM wf_runs WHERE namespace_id = $1 AND id = ANY($2::bigint[]) AND definition_id IS NOT NULL",
);
const SNAPSHOTS: Sql = Sql::per_dialect(
    "SELECT run_id, state FROM wf_snapshots WHERE run_id IN (SELECT value FROM json_each($1))",
    "SELECT run_id, state FROM wf_snapshots WHERE run_id = ANY($1::bigint[])",
);
const TAILS: Sql = Sql::per_dialect(
    "SELECT h.run_id, h.records FROM json_each($1) AS u CROSS JOIN wf_history h WHERE h.run_id = u.value AND h.seq >= \
        COALESCE((SELECT s.seq FROM wf_snapshots s WHERE s.run_id = u.value), 0) ORDER BY h.run_id, h.seq",
    "SELECT h.run_id, h.records FROM unnest($1::bigint[]) AS u (run_id) JOIN wf_history h ON h.run_id = u.run_id AND h.seq >= \
        COALESCE((SELECT s.seq FROM wf_snapshots s WHERE s.run_id = u.run_id), 0) ORDER BY h.run_id, h.seq",
);
const MAIL: Sql = Sql::per_dialect(
    "SELECT m.id, m.run_id, m.message, m.sent_at, m.sender IS NOT NULL AS named FROM wf_mail m \
        INDEXED BY wf_mail_run_idx WHERE m.run_id IN (SELECT value FROM json_each($1)) AND m.due IS NOT NULL AND m.namespace_id = $2 \
        ORDER BY m.run_id, m.id",
    "SELECT m.id, m.run_id, m.message, m.sent_at, m.sender IS NOT NULL AS named FROM wf_mail m \
        WHERE m.run_id = ANY($1::bigint[]) AND m.due IS NOT NULL AND m.namespace_id = $2 ORDER BY m.run_id, m.id",
);
/// The key of the baton is that of `TaskKey::baton`.
const BATONS: Sql = Sql::per_dialect(
    "SELECT run_id, step, part, number, node_id FROM wf_tasks WHERE run_id IN (SELECT value FROM json_each($1)) \
        AND ((step = '' AND part = -1) OR revoked)",
    "SELECT run_id, step, part, number, node_id FROM wf_tasks WHERE run_id = ANY($1::bigint[]) \
        AND ((step = '' AND part = -1) OR revoked)",
);
const HISTORIES: Sql = Sql::per_dialect(
    "SELECT h.run_id, h.records FROM wf_history h WHERE h.run_id IN (SELECT value FROM json_each($1)) \
        ORDER BY h.run_id, h.seq",
    "SELECT h.run_id, h.records FROM wf_history h WHERE h.run_id = ANY($1::bigint[]) ORDER BY h.run_id, h.seq",
);
const OUTPUTS: Sql = Sql::per_dialect(
    "SELECT run_id, step, kind, item, value FROM wf_outputs WHERE run_id IN (SELECT value FROM json_each($1))",
    "SELECT run_id, step, kind, item, value FROM wf_outputs WHERE run_id = ANY($1::bigint[])",
);
const CONTEXTS: Sql = Sql::per_dialect(
    "SELECT run_id, context FROM wf_contexts WHERE run_id IN (SELECT value FROM json_each($1))",
    "SELECT run_id, context::text AS context FROM wf_contexts WHERE run_id = ANY($1::bigint[])",
);
const ATTRIBUTES: Sql = Sql::per_dialect(
    "SELECT run_id, context -> '$.attributes' AS attributes FROM wf_contexts WHERE run_id IN (SELECT value FROM json_each($1)) \
        AND context -> '$.attributes' IS NOT NULL",
    "SELECT run_id, (context -> 'attributes')::text AS attributes FROM wf_contexts WHERE run_id = ANY($1::bigint[]) \
        AND context ? 'attributes'",
);
const OURS: Sql = Sql::per_dialect(
    "SELECT id FROM wf_runs WHERE namespace_id = $1 AND id IN (SELECT value FROM json_each($2))",
    "SELECT id FROM wf_runs WHERE namespace_id = $1 AND id = ANY($2::bigint[])",
);

/// A commit may have left several records in one row: the page begins with the row that has the record after the last one.
const PAGE: Sql = Sql::new(
    "SELECT h.run_id, h.records FROM wf_history h WHERE h.run_id = $1 AND h.seq >= COALESCE((SELECT max(b.seq) FROM wf_history b \
        WHERE b.run_id = $1 AND b.seq <= $2), 0) ORDER BY h.seq LIMIT $3",
);
/// Of each step and kind those from one place to another: of a map no more than the page tells of.
const OUTPUTS_OF: Sql = Sql::per_dialect(
    "SELECT o.run_id, o.step, o.kind, o.item, o.value FROM json_each($2) AS u CROSS JOIN wf_outputs o ON o.run_id = $1 \
        AND o.step = u.value ->> 0 AND o.kind = u.value ->> 1 AND o.item BETWEEN u.value ->> 2 AND u.value ->> 3",
    "SELECT $1::bigint AS run_id, u.step, u.kind, l.item, l.value FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) \
        AS u (step, kind, first, last) CROSS JOIN LATERAL (SELECT o.item, o.value FROM wf_outputs o WHERE o.run_id = $1 \
        AND o.step = u.step AND o.kind = u.kind AND o.item BETWEEN u.first AND u.last OFFSET 0) AS l",
);
const ENDED: Sql = Sql::new(
    "SELECT r.status, r.reason, r.ended_at, o.value FROM wf_runs r LEFT JOIN wf_outputs o \
        ON o.run_id = r.id AND o.step = '' AND o.kind = 4 AND o.item = 0 WHERE r.namespace_id = $1 AND r.id = $2",
);

impl Loaded {
    /// The run as the plain core moves it, and its mail apart.
    ///
    /// # Errors
    /// As [`Loaded::head`].
    pub fn into_head(mut self, flow: &Workflow) -> Result<(Head, Vec<Mail>)> {
        let mail = std::mem::take(&mut self.mail);
        Ok((self.head(flow)?, mail))
    }

    /// The run as the plain core moves it.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the history does not add up, or is that of another graph.
    pub fn head(self, flow: &Workflow) -> Result<Head> {
        let snapshot = self.snapshot.as_ref().map_or(0, |state| state.seq);
        let mut state = resume(flow, self.snapshot, &self.records).map_err(|problem| {
            corrupt(format!("the history of {}: {problem}", self.meta.run)).with_source(problem)
        })?;
        state.began_with(self.attributes);
        let baton = self.baton.and_then(|_| super::baton::sole(flow, &state));
        Ok(Head { meta: Arc::new(self.meta), state, snapshot, baton })
    }
}

impl Store {
    /// Reads runs as they are, with their mail, on one snapshot of the database. Runs that are not there are left out.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database), [`Corrupt`](crate::ErrorKind::Corrupt).
    pub async fn load(&self, runs: &[RunId]) -> Result<Vec<Loaded>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let ids = numbers(runs);
        let mut statements = self.loading(&ids);
        statements.push(Statement::new(ATTRIBUTES).named("workflow.load_attributes").bind(ids));
        let mut results = self.repo.read_many(statements).await?.into_iter();
        let mut loaded = loaded(&mut results)?;
        let mut found: HashMap<i64, Map<String, Value>> = HashMap::new();
        for row in results.next().unwrap_or_default() {
            let attributes = decode("attributes", &row.get::<String>("attributes")?)?;
            found.insert(row.get("run_id")?, members(attributes));
        }
        for run in &mut loaded {
            run.attributes = found.remove(&run.meta.run.get()).unwrap_or_default();
        }
        Ok(loaded)
    }

    /// The same with the whole histories, input and results included.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn load_with_history(&self, runs: &[RunId]) -> Result<Vec<(Loaded, Vec<Record>)>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let ids = numbers(runs);
        let mut statements = self.loading(&ids);
        statements.extend(remembering(&ids));
        let mut results = self.repo.read_many(statements).await?.into_iter();
        let loaded = loaded(&mut results)?;
        let mut histories = histories(&mut results)?;
        let with_history = |mut run: Loaded| {
            let past = histories.remove(&run.meta.run.get()).unwrap_or_default();
            run.attributes = past.attributes;
            (run, past.records)
        };
        Ok(loaded.into_iter().map(with_history).collect())
    }

    fn loading(&self, ids: &[i64]) -> Vec<Statement> {
        let ids = || ids.to_vec();
        vec![
            Statement::new(METAS).named("workflow.load").bind(self.namespace).bind(ids()),
            Statement::new(SNAPSHOTS).named("workflow.load_snapshots").bind(ids()),
            Statement::new(TAILS).named("workflow.load_tails").bind(ids()),
            Statement::new(MAIL).named("workflow.load_mail").bind(ids()).bind(self.namespace),
            Statement::new(BATONS).named("workflow.load_batons").bind(ids()),
        ]
    }

    /// What waits in the mail of runs; those without any are left out.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn mail(&self, runs: &[RunId]) -> Result<Vec<(RunId, Vec<Mail>)>> {
        let statement = Statement::new(MAIL).named("workflow.load_mail");
        let rows = self.repo.read(statement.bind(numbers(runs)).bind(self.namespace)).await?;
        Ok(mail_by_run(&rows)?.into_iter().map(|(run, mail)| (RunId::from_stored(run), mail)).collect())
    }

    /// The whole histories of runs, with input and results. Runs that are not there are left out.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn histories(&self, runs: &[RunId]) -> Result<Vec<(RunId, Vec<Record>)>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let ids = numbers(runs);
        let ours = Statement::new(OURS).named("workflow.ours").bind(self.namespace).bind(ids.clone());
        let mut statements = vec![ours];
        statements.extend(remembering(&ids));
        let mut results = self.repo.read_many(statements).await?.into_iter();
        let ours = results.next().unwrap_or_default();
        let mut histories = histories(&mut results)?;
        let history = |row: &Row| {
            let run: i64 = row.get("id")?;
            Ok((RunId::from_stored(run), histories.remove(&run).unwrap_or_default().records))
        };
        ours.iter().map(history).collect()
    }

    /// A page of a run's history, from the beginning; `after` is the place of the last record of the page before.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); as [`Store::load`].
    pub async fn history(&self, run: RunId, size: PageSize, after: Option<u64>) -> Result<Page<Record>> {
        let place = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let surplus = i64::from(size.get()) + 2;
        let results = self
            .repo
            .read_many(vec![
                Statement::new(OURS).named("workflow.ours").bind(self.namespace).bind(vec![run.get()]),
                Statement::new(PAGE).named("workflow.history_page").bind(run.get()).bind(place).bind(surplus),
                Statement::new(CONTEXTS).named("workflow.contexts").bind(vec![run.get()]),
            ])
            .await?;
        let mut results = results.into_iter();
        let mut next = || results.next().unwrap_or_default();
        let (ours, rows, contexts) = (next(), next(), next());
        if ours.is_empty() {
            return Err(Error::unknown_run(run));
        }
        let mut records = records_by_run(&rows)?.remove(&run.get()).unwrap_or_default();
        records.retain(|record| after.is_none_or(|after| record.seq > after));
        records.truncate(usize::try_from(size.get()).unwrap_or(usize::MAX).saturating_add(1));
        let wanted: Vec<Wanted> = records.iter().flat_map(|record| results_of(&record.fact)).collect();
        let outputs = self.repo.read(self.outputs_of(run, wanted)).await?;
        let mut outputs = results_by_run(&outputs)?.remove(&run.get()).unwrap_or_default();
        let mut contexts = contexts_by_run(&contexts)?;
        outputs.give_back(&mut records, &contexts.remove(&run.get()).unwrap_or_default().input);
        Ok(Page::from_surplus(records, size, |record| Cursor::new(record.seq.to_string())))
    }

    fn outputs_of(&self, run: RunId, wanted: Vec<Wanted>) -> Statement {
        let statement = Statement::new(OUTPUTS_OF).named("workflow.outputs_of").bind(run.get());
        if self.dialect() == Dialect::Sqlite {
            return statement.bind(serde_json::json!(wanted).to_string());
        }
        let numbers = |number: fn(&Wanted) -> i64| wanted.iter().map(number).collect::<Vec<i64>>();
        let (kinds, first, last) = (numbers(|it| it.1), numbers(|it| it.2), numbers(|it| it.3));
        let steps: Vec<String> = wanted.into_iter().map(|it| it.0).collect();
        statement.bind(steps).bind(kinds).bind(first).bind(last)
    }

    /// The beginning of a run's history without its input and results: what a line of time shows.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn beginning(&self, run: RunId, size: PageSize) -> Result<Page<Record>> {
        let surplus = i64::from(size.get()) + 2;
        let page =
            Statement::new(PAGE).named("workflow.history_page").bind(run.get()).bind(-1_i64).bind(surplus);
        let ours = Statement::new(OURS).named("workflow.ours").bind(self.namespace).bind(vec![run.get()]);
        let results = self.repo.read_many(vec![ours, page]).await?;
        let rows = |at: usize| results.get(at).map(Vec::as_slice).unwrap_or_default();
        if rows(0).is_empty() {
            return Err(Error::unknown_run(run));
        }
        let mut records = records_by_run(rows(1))?.remove(&run.get()).unwrap_or_default();
        records.truncate(usize::try_from(size.get()).unwrap_or(usize::MAX).saturating_add(1));
        Ok(Page::from_surplus(records, size, |record| Cursor::new(record.seq.to_string())))
    }

    /// A run's status, and a number that grows with each commit: cheap to ask for again and again.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); as [`Store::load`].
    pub async fn position(&self, run: RunId) -> Result<(Status, u64)> {
        let statement = Statement::new(
            "SELECT r.status, COALESCE((SELECT max(h.seq) FROM wf_history h WHERE h.run_id = r.id), 0) AS seq FROM wf_runs r \
             WHERE r.namespace_id = $1 AND r.id = $2",
        );
        let statement = statement.named("workflow.position").bind(self.namespace).bind(run.get());
        let row: Option<Row> = self.repo.read_optional(statement).await?;
        let row = row.ok_or_else(|| Error::unknown_run(run))?;
        Ok((status(&row.get::<String>("status")?)?, row.get("seq")?))
    }

    /// How a run ended; nothing while it goes on.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); as [`Store::load`].
    pub async fn ended(&self, run: RunId) -> Result<Option<Ended>> {
        let statement = Statement::new(ENDED).named("workflow.ended").bind(self.namespace).bind(run.get());
        let row: Option<Row> = self.repo.read_optional(statement).await?;
        let row = row.ok_or_else(|| Error::unknown_run(run))?;
        let outcome = match status(&row.get::<String>("status")?)? {
            Status::Completed => Outcome::Completed,
            Status::Failed => Outcome::Failed,
            Status::Cancelled => Outcome::Cancelled,
            _ => return Ok(None),
        };
        let result: Option<String> = row.get("value")?;
        Ok(Some(Ended {
            outcome,
            reason: row.get::<Option<String>>("reason")?.unwrap_or_default(),
            result: result.map_or(Ok(Value::Null), |text| decode("result", &text))?,
            at: row.get("ended_at")?,
        }))
    }
}

type Answers<'a> = &'a mut dyn Iterator<Item = Vec<Row>>;

fn loaded(answers: Answers<'_>) -> Result<Vec<Loaded>> {
    let mut next = || answers.next().unwrap_or_default();
    let (metas, snapshots, tails, letters, batons) = (next(), next(), next(), next(), next());
    let mut states: HashMap<i64, State> = HashMap::new();
    for row in &snapshots {
        states.insert(row.get("run_id")?, decode("state", &row.get::<String>("state")?)?);
    }
    let mut tails = records_by_run(&tails)?;
    let mut mail = mail_by_run(&letters)?;
    let mut hands: HashMap<i64, Baton> = HashMap::new();
    let mut revoked: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for row in &batons {
        let (run, node): (i64, Option<i64>) = (row.get("run_id")?, row.get("node_id")?);
        let key = super::claim::key(row)?;
        if key.is_baton() {
            hands.insert(run, Baton { node: node.map(NodeId) });
        } else {
            revoked.entry(run).or_default().push(key.attempt);
        }
    }
    let mut loaded = Vec::with_capacity(metas.len());
    for row in &metas {
        let meta = meta(row)?;
        let run = meta.run.get();
        loaded.push(Loaded {
            meta,
            snapshot: states.remove(&run),
            records: tails.remove(&run).unwrap_or_default(),
            mail: mail.remove(&run).unwrap_or_default(),
            baton: hands.remove(&run),
            revoked: revoked.remove(&run).unwrap_or_default(),
            attributes: Map::new(),
        });
    }
    Ok(loaded)
}

/// The statements that read whole histories.
fn remembering(ids: &[i64]) -> [Statement; 3] {
    [
        Statement::new(HISTORIES).named("workflow.histories").bind(ids.to_vec()),
        Statement::new(OUTPUTS).named("workflow.outputs").bind(ids.to_vec()),
        Statement::new(CONTEXTS).named("workflow.contexts").bind(ids.to_vec()),
    ]
}

/// A run's whole history, and what it is found by.
#[derive(Default)]
struct Past {
    records: Vec<Record>,
    attributes: Map<String, Value>,
}

fn histories(answers: Answers<'_>) -> Result<HashMap<i64, Past>> {
    let mut next = || answers.next().unwrap_or_default();
    let (histories, outputs, contexts) = (next(), next(), next());
    let mut results = results_by_run(&outputs)?;
    let mut contexts = contexts_by_run(&contexts)?;
    let mut pasts = HashMap::new();
    for (run, mut records) in records_by_run(&histories)? {
        let Context { input, attributes } = contexts.remove(&run).unwrap_or_default();
        results.remove(&run).unwrap_or_default().give_back(&mut records, &input);
        pasts.insert(run, Past { records, attributes });
    }
    Ok(pasts)
}

fn results_by_run(rows: &[Row]) -> Result<HashMap<i64, Results>> {
    let mut results: HashMap<i64, Results> = HashMap::new();
    for row in rows {
        let results = results.entry(row.get("run_id")?).or_default();
        let value = decode("result", &row.get::<String>("value")?)?;
        results.insert(row.get("step")?, Slot::from_number(row.get("kind")?)?, row.get("item")?, value);
    }
    Ok(results)
}

/// What a run is searched by, apart.
#[derive(Default)]
struct Context {
    input: Value,
    attributes: Map<String, Value>,
}

fn contexts_by_run(rows: &[Row]) -> Result<HashMap<i64, Context>> {
    let read = |row: &Row| {
        let mut context: Value = decode("context", &row.get::<String>("context")?)?;
        let mut part = |name: &str| context.get_mut(name).map(Value::take).unwrap_or_default();
        Ok((row.get("run_id")?, Context { input: part("initial"), attributes: members(part("attributes")) }))
    };
    rows.iter().map(read).collect()
}

/// The members of an object; what came from elsewhere may be none.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Rows of results: the step, what they are, and the first and the last of them.
type Wanted = (String, i64, i64, i64);

/// The results that a record had.
fn results_of(fact: &Fact) -> Vec<Wanted> {
    let row =
        |step: &StepKey, slot: Slot, first: i64, last: i64| (step.to_string(), slot.number(), first, last);
    match fact {
        Fact::Ended { step, .. } => vec![row(step, Slot::Step, 0, 0)],
        Fact::ItemSucceeded { step, item, .. } => {
            vec![row(step, Slot::Item, (*item).into(), (*item).into())]
        }
        Fact::Listed { step, items, .. } => {
            vec![row(step, Slot::List, 0, 0), row(step, Slot::Element, 0, i64::from(*items) - 1)]
        }
        _ => Vec::new(),
    }
}

pub(super) fn numbers(runs: &[RunId]) -> Vec<i64> {
    runs.iter().map(|run| run.get()).collect()
}

fn records_by_run(rows: &[Row]) -> Result<HashMap<i64, Vec<Record>>> {
    let mut records: HashMap<i64, Vec<Record>> = HashMap::new();
    for row in rows {
        let mut more: Vec<Record> = decode("history", &row.get::<String>("records")?)?;
        records.entry(row.get("run_id")?).or_default().append(&mut more);
    }
    Ok(records)
}

fn mail_by_run(rows: &[Row]) -> Result<HashMap<i64, Vec<Mail>>> {
    let mut mail: HashMap<i64, Vec<Mail>> = HashMap::new();
    for row in rows {
        mail.entry(row.get("run_id")?).or_default().push(Mail {
            id: MailId(row.get("id")?),
            message: decode("letter", &row.get::<String>("message")?)?,
            sent_at: row.get("sent_at")?,
            named: row.get("named")?,
        });
    }
    Ok(mail)
}

fn meta(row: &Row) -> Result<Meta> {
    let parent: Option<i64> = row.get("parent_id")?;
    let attempt: Option<String> = row.get("parent_attempt")?;
    let parent = match (parent, attempt) {
        (Some(run), Some(attempt)) => {
            Some(Parent { run: RunId::from_stored(run), attempt: decode("attempt", &attempt)? })
        }
        _ => None,
    };
    let telemetry: Option<String> = row.get("telemetry")?;
    Ok(Meta {
        run: RunId::from_stored(row.get("id")?),
        definition: DefinitionId(row.get("definition_id")?),
        workflow: row.get("workflow")?,
        version: row.get("version")?,
        business_key: row.get("business_key")?,
        token: row.get("token")?,
        lane: Lane {
            queue: row.get::<String>("queue")?.into(),
            priority: row.get::<i64>("priority")?.try_into().unwrap_or_default(),
            fairness: row.get::<Option<String>>("fairness")?.map(Into::into),
        },
        parent,
        telemetry: telemetry.map_or(Ok(Value::Null), |text| decode("telemetry", &text))?,
        created_at: row.get("created_at")?,
    })
}
