//! Starts. The unique index over the tokens of active runs decides them, never a look beforehand.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_repo::{Batch, Dialect, Expect, Json, Row, Sql, Statement, Transaction, Value};
use serde_json::{Map, Value as JsonValue};

use super::codec::{instant, part_number, status_text};
use super::commit::Commit;
use super::limits::{
    MAX_ATTRIBUTES_BYTES, MAX_INPUT_BYTES, MAX_KEY_BYTES, MAX_TELEMETRY_BYTES, check_name, encode,
};
use super::rows::{Bulk, Rows};
use super::terms::terms;
use super::types::{Head, Meta, Start, Started, TaskKey};
use super::{ATTEMPTS, Store, busy, is_refused, write};
use crate::definition::Workflow;
use crate::error::{Error, Result};
use crate::id::RunId;
use crate::plan::{Fact, Status};

const RUN: Bulk = Bulk {
    name: "workflow.run_new",
    sqlite: "INSERT INTO wf_runs (id, definition_id, workflow, version, business_key, token, status, queue, priority, \
        fairness, parent_id, parent_attempt, telemetry, created_at, updated_at, namespace_id) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15) ON CONFLICT DO NOTHING",
    postgres: "INSERT INTO wf_runs (id, definition_id, workflow, version, business_key, token, status, queue, priority, \
        fairness, parent_id, parent_attempt, telemetry, created_at, updated_at, namespace_id) \
        SELECT u.*, u.created_at, $15 FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], \
        $6::text[], $7::text[], $8::text[], $9::smallint[], $10::text[], $11::bigint[], $12::text[], $13::text[], \
        $14::timestamptz[]) AS u (id, definition_id, workflow, version, business_key, token, status, queue, priority, \
        fairness, parent_id, parent_attempt, telemetry, created_at) ON CONFLICT DO NOTHING",
};

const CONTEXT: Bulk = Bulk {
    name: "workflow.context",
    sqlite: "INSERT INTO wf_contexts (run_id, context) VALUES ($1, $2)",
    postgres: "INSERT INTO wf_contexts (run_id, context) SELECT * FROM unnest($1::bigint[], $2::jsonb[])",
};

pub(super) const TERM: Bulk = Bulk {
    name: "workflow.term",
    sqlite: "INSERT INTO wf_terms (run_id, term, namespace_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    // PostgreSQL's own index does this.
    postgres: "INSERT INTO wf_terms (run_id, term, namespace_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};

/// The task is taken by its own start alone, and not when it was revoked.
const CONSUME: Sql = Sql::new(
    "DELETE FROM wf_tasks WHERE run_id = $1 AND step = $2 AND part = $3 AND number = $4 AND namespace_id = $5 AND NOT revoked",
);

/// A start that is ready to be written.
struct Birth {
    commit: Commit,
    token: Option<String>,
    telemetry: Option<String>,
    context: Option<(Json, Vec<i64>)>,
    consumes: Option<TaskKey>,
    /// Its place among the starts that were asked for.
    place: usize,
}

impl Store {
    /// Starts runs. Each has its own answer; one that is active already does not hold up the others.
    ///
    /// # Errors
    /// A value is too large: nothing was started. [`Database`](crate::ErrorKind::Database); after `Unknown` any of them may have started.
    pub async fn start(&self, flow: &Workflow, starts: Vec<Start>) -> Result<Vec<Started>> {
        let starts: Vec<(&Workflow, Start)> = starts.into_iter().map(|start| (flow, start)).collect();
        self.start_all(starts).await
    }

    /// The same for starts of different workflows.
    ///
    /// # Errors
    /// As [`Store::start`].
    pub async fn start_all(&self, starts: Vec<(&Workflow, Start)>) -> Result<Vec<Started>> {
        let mut answers: Vec<Option<Started>> = starts.iter().map(|_| None).collect();
        let mut births = Vec::with_capacity(starts.len());
        for (place, (flow, start)) in starts.into_iter().enumerate() {
            births.push(self.birth(flow, start, place)?);
        }
        for group in super::groups(births, |birth| birth.commit.size()) {
            self.start_group(group, &mut answers).await?;
        }
        answers
            .into_iter()
            .map(|answer| answer.ok_or_else(|| Error::internal("a start was not answered")))
            .collect()
    }

    async fn start_group(&self, mut group: Vec<Birth>, answers: &mut [Option<Started>]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            // Of two with the same token the later one is told of the first.
            let mut tokens = BTreeSet::new();
            let (now, later): (Vec<Birth>, Vec<Birth>) = group
                .into_iter()
                .partition(|birth| birth.token.clone().is_none_or(|token| tokens.insert(token)));
            let mut batch = Batch::new("workflow.start");
            self.write_births(&mut batch, &now)?;
            let mut active = BTreeMap::new();
            group = match self.repo.batch(batch).await {
                Ok(_) => {
                    for birth in now {
                        let head = birth.commit.into_head().ok_or_else(empty)?;
                        active.extend(birth.token.map(|token| (token, head.meta.run)));
                        set(answers, birth.place, Started::New(head));
                    }
                    Vec::new()
                }
                Err(error) if is_refused(&error) => self.refused(now, &mut active, answers).await?,
                Err(error) => return Err(error.into()),
            };
            for birth in later {
                match birth.token.as_ref().and_then(|token| active.get(token)) {
                    Some(run) => set(answers, birth.place, Started::AlreadyActive(*run)),
                    None => group.push(birth),
                }
            }
            if group.is_empty() {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// Answers those that cannot start, and notes who is active instead; the others are tried again, under other identifiers.
    async fn refused(
        &self,
        births: Vec<Birth>,
        active: &mut BTreeMap<String, RunId>,
        answers: &mut [Option<Started>],
    ) -> Result<Vec<Birth>> {
        let mut again = Vec::new();
        *active = self.active(births.iter().filter_map(|birth| birth.token.clone()).collect()).await?;
        for mut birth in births {
            if let Some(run) = birth.token.as_ref().and_then(|token| active.get(token)) {
                set(answers, birth.place, Started::AlreadyActive(*run));
            } else if self.is_withdrawn(birth.consumes.as_ref()).await? {
                set(answers, birth.place, Started::Withdrawn);
            } else {
                let meta = std::sync::Arc::make_mut(&mut birth.commit.meta);
                meta.run = self.next_run_id(meta.created_at);
                again.push(birth);
            }
        }
        Ok(again)
    }

    /// The active runs that have these tokens.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn active(&self, tokens: Vec<String>) -> Result<BTreeMap<String, RunId>> {
        if tokens.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self.repo.read(self.find_active(tokens)).await?;
        rows.iter().map(|row| Ok((row.get("token")?, RunId::from_stored(row.get("id")?)))).collect()
    }

    fn find_active(&self, tokens: Vec<String>) -> Statement {
        const ACTIVE: Sql = Sql::per_dialect(
            "SELECT token, id FROM wf_runs INDEXED BY wf_runs_token_idx WHERE namespace_id = $1 AND ended_at IS NULL \
                AND token IS NOT NULL AND token IN (SELECT value FROM json_each($2))",
            "SELECT token, id FROM wf_runs WHERE namespace_id = $1 AND ended_at IS NULL AND token = ANY($2::text[])",
        );
        Statement::new(ACTIVE).named("workflow.active").bind(self.namespace).bind(tokens)
    }

    async fn is_withdrawn(&self, task: Option<&TaskKey>) -> Result<bool> {
        let Some(task) = task else { return Ok(false) };
        let statement = Statement::new(
            "SELECT 1 AS there FROM wf_tasks WHERE run_id = $1 AND step = $2 AND part = $3 AND number = $4 AND NOT revoked",
        );
        let found: Option<Row> = self.repo.read_optional(bind_task(statement, task)).await?;
        Ok(found.is_none())
    }

    /// Starts a run inside a transaction of the host: it is there if and only if the host's own writes are.
    ///
    /// # Errors
    /// As [`Store::start`]; after an error of the database the transaction has to be rolled back.
    pub async fn start_in(
        &self,
        transaction: &mut Transaction,
        flow: &Workflow,
        start: Start,
    ) -> Result<Started> {
        let birth = self.birth(flow, start, 0)?;
        let mut rows = Rows::new();
        rows.push(self.run_row(&birth));
        let mut first = Batch::new("workflow.start_in");
        rows.write(&mut first, self.dialect(), &RUN, &[self.namespace.into()], false);
        let outcome = transaction.batch(first).await?;
        if outcome.written().first().is_some_and(|written| written.rows_affected() == 1) {
            let mut rest = Batch::new("workflow.start_in");
            self.write_rest(&mut rest, std::slice::from_ref(&birth))?;
            transaction.batch(rest).await?;
            return birth.commit.into_head().map(Started::New).ok_or_else(empty);
        }
        let tokens = birth.token.into_iter().collect();
        let row: Option<Row> = transaction.read_optional(self.find_active(tokens)).await?;
        let run: Option<i64> = row.map(|row| row.get("id")).transpose()?;
        run.map(|run| Started::AlreadyActive(RunId::from_stored(run))).ok_or_else(busy)
    }

    /// Adds a start to a batch of the host. The batch fails with `ConditionFailed` when a run with the token is active.
    ///
    /// # Errors
    /// A value is too large.
    pub fn start_into(&self, batch: &mut Batch, flow: &Workflow, start: Start) -> Result<RunId> {
        let birth = self.birth(flow, start, 0)?;
        self.write_births(batch, std::slice::from_ref(&birth))?;
        Ok(birth.commit.run())
    }

    /// The same, for those who want the run as it will be.
    pub(super) fn start_head_into(&self, batch: &mut Batch, flow: &Workflow, start: Start) -> Result<Head> {
        let birth = self.birth(flow, start, 0)?;
        self.write_births(batch, std::slice::from_ref(&birth))?;
        birth.commit.into_head().ok_or_else(empty)
    }

    fn birth(&self, flow: &Workflow, start: Start, place: usize) -> Result<Birth> {
        start.lane.check()?;
        if let Some(key) = &start.business_key {
            check_name("business key", key, MAX_KEY_BYTES)?;
        }
        let context = self.context(&start)?;
        let telemetry = (!start.telemetry.is_null())
            .then(|| encode("metadata for telemetry", &start.telemetry, MAX_TELEMETRY_BYTES))
            .transpose()?;
        let meta = Meta {
            run: self.next_run_id(start.now),
            definition: start.definition,
            workflow: flow.graph().name.clone(),
            version: flow.graph().version,
            business_key: start.business_key,
            token: start.token.clone(),
            lane: start.lane,
            parent: start.parent,
            telemetry: start.telemetry,
            created_at: start.now,
        };
        let mut commit = Commit::first(meta, start.now);
        commit.lease = start.lease;
        for (attempt, queue) in start.queues {
            commit.queue_of(attempt, queue);
        }
        commit.push(flow, start.transition)?;
        Ok(Birth { commit, token: start.token, telemetry, context, consumes: start.consumes, place })
    }

    /// What the run is found by: its input and its attributes.
    fn context(&self, start: &Start) -> Result<Option<(Json, Vec<i64>)>> {
        let input = start.transition.records.iter().find_map(|record| match &record.fact {
            Fact::Started { input, .. } => Some(input),
            _ => None,
        });
        let mut context = Map::new();
        if let Some(input) = input.filter(|input| !input.is_null()) {
            encode("input", input, MAX_INPUT_BYTES)?;
            context.insert("initial".to_owned(), input.clone());
        }
        // What the history tells goes before what it does not tell.
        let mut attributes = start.attributes.clone();
        let noted = start.transition.state.attributes();
        match &mut attributes {
            JsonValue::Object(untold) => untold.extend(Map::clone(noted)),
            _ if noted.is_empty() => {}
            attributes => *attributes = JsonValue::Object(Map::clone(noted)),
        }
        if !attributes.is_null() {
            encode("attributes", &attributes, MAX_ATTRIBUTES_BYTES)?;
            context.insert("attributes".to_owned(), attributes);
        }
        if context.is_empty() {
            return Ok(None);
        }
        let context = JsonValue::Object(context);
        let terms = if self.dialect() == Dialect::Sqlite { terms(&context) } else { Vec::new() };
        let json = Json::encode(&context)?;
        Value::Json(json.clone()).check_portable()?;
        Ok(Some((json, terms)))
    }

    fn run_row(&self, birth: &Birth) -> [Value; 14] {
        let meta = &birth.commit.meta;
        let status = birth.commit.state().map_or(Status::Running, crate::plan::State::status);
        // A run that ends at once is inserted as an active one: its end is written like every other.
        let status = if birth.commit.finish.is_some() { Status::Running } else { status };
        let parent = meta.parent.as_ref();
        [
            meta.run.get().into(),
            meta.definition.0.into(),
            meta.workflow.as_str().into(),
            meta.version.into(),
            meta.business_key.clone().into(),
            birth.token.clone().into(),
            status_text(status).into(),
            meta.lane.queue.as_ref().into(),
            meta.lane.priority.into(),
            meta.lane.fairness.as_deref().into(),
            parent.map(|parent| parent.run.get()).into(),
            parent.and_then(|parent| write::json(&parent.attempt).ok()).into(),
            birth.telemetry.clone().into(),
            instant(meta.created_at),
        ]
    }

    fn write_births(&self, batch: &mut Batch, births: &[Birth]) -> Result<()> {
        let mut runs = Rows::new();
        births.iter().for_each(|birth| runs.push(self.run_row(birth)));
        runs.write(batch, self.dialect(), &RUN, &[self.namespace.into()], true);
        self.write_rest(batch, births)
    }

    /// What a run has besides its row.
    fn write_rest(&self, batch: &mut Batch, births: &[Birth]) -> Result<()> {
        let (mut contexts, mut index) = (Rows::new(), Rows::new());
        for birth in births {
            let run = birth.commit.run().get();
            if let Some((context, terms)) = &birth.context {
                contexts.push([run.into(), context.clone().into()]);
                terms.iter().for_each(|term| index.push([run.into(), (*term).into()]));
            }
            if let Some(task) = &birth.consumes {
                let statement = bind_task(Statement::new(CONSUME).named("workflow.consume"), task);
                batch.expect(Expect::ONE, statement.bind(self.namespace));
            }
        }
        contexts.write(batch, self.dialect(), &CONTEXT, &[], false);
        index.write(batch, self.dialect(), &TERM, &[self.namespace.into()], false);
        let commits: Vec<&Commit> = births.iter().map(|birth| &birth.commit).collect();
        write::write(batch, self.dialect(), self.namespace, &commits)
    }
}

fn bind_task(statement: Statement, task: &TaskKey) -> Statement {
    let attempt = &task.attempt;
    let statement = statement.bind(task.run.get()).bind(attempt.step.as_str());
    statement.bind(part_number(attempt.part)).bind(attempt.number)
}

fn set(answers: &mut [Option<Started>], place: usize, answer: Started) {
    if let Some(slot) = answers.get_mut(place) {
        *slot = Some(answer);
    }
}

fn empty() -> Error {
    Error::internal("a start had no transition")
}
