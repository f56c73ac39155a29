//! Claims: who works on what. A task is in one pair of hands, or in nobody's.

use mainstay_repo::{Batch, Row, Sql, Statement, StatementRef};

use super::codec::attempt;
use super::rows::{Bulk, Rows};
use super::types::{Claim, Claimed, Fate, TaskKey};
use super::write::{FRONT, LEASED, MAIL_FORGET, MAIL_KEEP, TASK_DONE};
use super::{Store, codec::part_number, locks};
use crate::error::Result;
use crate::id::{DefinitionId, NodeId, RunId};
use crate::store::types::Mail;

use mainstay_core::Timestamp;

/// How many delayed tasks become ready with one claim at the most.
const PROMOTE: i64 = 1_024;
/// How often a claim looks again when all that it found belongs to workflows that are paused.
const LOOKS: usize = 8;
/// How many tasks that were taken back a claim takes from each queue at the most.
const REVOKE: i64 = 1_024;

const PROMOTED: Sql = Sql::per_dialect(
    "UPDATE wf_tasks SET state = 1 WHERE (run_id, step, part) IN (SELECT run_id, step, part FROM wf_tasks \
        WHERE namespace_id = $1 AND state = 0 AND ready_at <= $2 ORDER BY ready_at LIMIT $3)",
    "UPDATE wf_tasks SET state = 1 WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_tasks WHERE namespace_id = $1 AND state = 0 \
        AND ready_at <= $2 ORDER BY ready_at LIMIT $3 FOR UPDATE SKIP LOCKED))",
);

/// Says how many of a limited queue may be taken now: what is asked for, what concurrency and rate leave, what is there for this node. The
/// row's lock, which [`locks::queues`] took before, lets one node at a time do so. The rate is a bucket that holds one period's worth and
/// fills evenly.
const GRANT: Sql = Sql::per_dialect(
    "UPDATE wf_queues SET granted = g.n, drawn_until = CASE WHEN rate IS NULL THEN drawn_until \
        ELSE MAX(drawn_until, $4 - period) + g.n * (period / rate) END FROM (SELECT q.name AS queue, CASE WHEN q.paused THEN 0 \
        ELSE MAX(0, MIN($3, COALESCE(q.concurrency - (SELECT count(*) FROM wf_tasks l WHERE l.namespace_id = $1 AND l.state = 2 \
        AND l.queue = $2), $3), COALESCE(($4 - MAX(q.drawn_until, $4 - q.period)) / (q.period / q.rate), $3), \
        (SELECT count(*) FROM (SELECT 1 FROM wf_tasks r WHERE r.namespace_id = $1 AND r.state = 1 AND r.queue = $2 AND NOT r.revoked \
        AND r.definition_id IN (SELECT value FROM json_each($5)) LIMIT $3)))) END AS n \
        FROM wf_queues q WHERE q.namespace_id = $1 AND q.name = $2) AS g \
        WHERE namespace_id = $1 AND name = $2 AND (concurrency IS NOT NULL OR rate IS NOT NULL OR paused) RETURNING granted",
    "WITH q AS MATERIALIZED (SELECT * FROM wf_queues WHERE namespace_id = $1 AND name = $2 \
        AND (concurrency IS NOT NULL OR rate IS NOT NULL OR paused)), \
        g AS (SELECT CASE WHEN q.paused THEN 0 ELSE GREATEST(0, LEAST($3, \
        COALESCE(q.concurrency - (SELECT count(*) FROM wf_tasks l WHERE l.namespace_id = $1 AND l.state = 2 AND l.queue = $2), $3), \
        COALESCE(($4 - GREATEST(q.drawn_until, $4 - q.period)) / (q.period / q.rate), $3), \
        (SELECT count(*) FROM (SELECT 1 FROM wf_tasks r WHERE r.namespace_id = $1 AND r.state = 1 AND r.queue = $2 AND NOT r.revoked \
        AND r.definition_id = ANY ($5::bigint[]) LIMIT $3) AS s))) END AS n FROM q) \
        UPDATE wf_queues u SET granted = g.n, drawn_until = CASE WHEN u.rate IS NULL THEN u.drawn_until \
        ELSE GREATEST(u.drawn_until, $4 - u.period) + g.n * (u.period / u.rate) END FROM g \
        WHERE u.namespace_id = $1 AND u.name = $2 RETURNING u.granted",
);

/// What was granted and not taken, because it belongs to a paused workflow, is not drawn from the rate.
const UNSPENT: Sql = Sql::new(
    "UPDATE wf_queues SET drawn_until = drawn_until - $3 * (period / rate) WHERE namespace_id = $1 AND name = $2 AND rate IS NOT NULL",
);

/// Takes what was taken back while it stood in the queue: it needs an answer and begins nothing, so no limit holds it.
const REVOKED: Sql = Sql::per_dialect(
    "UPDATE wf_tasks SET state = 2, node_id = $4 WHERE (run_id, step, part) IN (SELECT run_id, step, part FROM wf_tasks \
        WHERE namespace_id = $1 AND queue = $2 AND state = 1 AND priority = $5 AND rank = $6 AND revoked \
        AND definition_id IN (SELECT value FROM json_each($3)) LIMIT $7) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
    "UPDATE wf_tasks SET state = 2, node_id = $4 WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_tasks \
        WHERE namespace_id = $1 AND queue = $2 AND state = 1 AND priority = $5 AND rank = $6 AND revoked \
        AND definition_id = ANY ($3::bigint[]) LIMIT $7 FOR UPDATE SKIP LOCKED)) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
);

/// Takes the next tasks of a queue. What belongs to a paused workflow is set aside instead, so that the next claim does not meet it again.
const CLAIM: Sql = Sql::per_dialect(
    "UPDATE wf_tasks SET state = CASE WHEN revoked OR definition_id NOT IN (SELECT d.id FROM wf_definitions d JOIN wf_pauses p \
        ON p.namespace_id = d.namespace_id AND p.workflow IN ('', d.name) WHERE d.namespace_id = $1) THEN 2 ELSE 3 END, \
        node_id = CASE WHEN revoked OR definition_id NOT IN (SELECT d.id FROM wf_definitions d JOIN wf_pauses p \
        ON p.namespace_id = d.namespace_id AND p.workflow IN ('', d.name) WHERE d.namespace_id = $1) THEN $5 END \
        WHERE (run_id, step, part) IN (SELECT run_id, step, part FROM wf_tasks WHERE namespace_id = $1 AND queue = $2 AND state = 1 \
        AND definition_id IN (SELECT value FROM json_each($4)) ORDER BY priority, rank LIMIT COALESCE((SELECT granted FROM wf_queues \
        WHERE namespace_id = $1 AND name = $2 AND (concurrency IS NOT NULL OR rate IS NOT NULL OR paused)), $3)) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
    "WITH paused AS MATERIALIZED (SELECT d.id FROM wf_definitions d JOIN wf_pauses p ON p.namespace_id = d.namespace_id \
        AND p.workflow IN ('', d.name) WHERE d.namespace_id = $1) \
        UPDATE wf_tasks SET state = CASE WHEN revoked OR definition_id NOT IN (SELECT id FROM paused) THEN 2 ELSE 3 END, \
        node_id = CASE WHEN revoked OR definition_id NOT IN (SELECT id FROM paused) THEN $5::bigint END \
        WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_tasks WHERE namespace_id = $1 AND queue = $2 AND state = 1 \
        AND definition_id = ANY ($4::bigint[]) ORDER BY priority, rank LIMIT COALESCE((SELECT granted FROM wf_queues \
        WHERE namespace_id = $1 AND name = $2 AND (concurrency IS NOT NULL OR rate IS NOT NULL OR paused)), $3) \
        FOR UPDATE SKIP LOCKED)) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
);

/// The turn that is served now moves on, so that a key that comes later does not get its past turns.
const FAIR_SERVED: Sql = Sql::new(
    "UPDATE wf_fairness SET last = COALESCE((SELECT max(t.rank) FROM wf_tasks t WHERE t.namespace_id = $1 AND t.state = 2 \
        AND t.queue = $2 AND t.fairness IS NOT NULL AND t.rank > wf_fairness.last), last) \
     WHERE namespace_id = $1 AND queue = $2 AND fairness = ''",
);

/// What is in hands that are not alive, whether or not anybody remembers them: a node that stood still for so long that it was forgotten
/// may have leased something to itself before it found out. The hands are found one by one along the index.
const TAKE_OVER: Sql = Sql::per_dialect(
    "UPDATE wf_tasks SET node_id = $2 WHERE (run_id, step, part) IN (SELECT run_id, step, part FROM wf_tasks \
        WHERE namespace_id = $1 AND state = 2 AND node_id IN (WITH RECURSIVE hand (id) AS (SELECT min(node_id) FROM wf_tasks \
        WHERE namespace_id = $1 AND state = 2 UNION ALL SELECT (SELECT min(t.node_id) FROM wf_tasks t WHERE t.namespace_id = $1 \
        AND t.state = 2 AND t.node_id > hand.id) FROM hand WHERE hand.id IS NOT NULL) \
        SELECT id FROM hand WHERE id NOT IN (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NULL)) \
        AND definition_id IN (SELECT value FROM json_each($4)) LIMIT $3) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
    "UPDATE wf_tasks SET node_id = $2 WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_tasks WHERE namespace_id = $1 AND state = 2 \
        AND node_id IN (WITH RECURSIVE hand (id) AS (SELECT min(node_id) FROM wf_tasks WHERE namespace_id = $1 AND state = 2 \
        UNION ALL SELECT (SELECT min(t.node_id) FROM wf_tasks t WHERE t.namespace_id = $1 AND t.state = 2 AND t.node_id > hand.id) \
        FROM hand WHERE hand.id IS NOT NULL) \
        SELECT id FROM hand WHERE id NOT IN (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NULL)) \
        AND definition_id = ANY ($4::bigint[]) LIMIT $3 \
        FOR UPDATE SKIP LOCKED)) \
        RETURNING run_id, step, part, number, definition_id, queue, ready_at, revoked, begun, state, priority, rank",
);

const BEGIN: Bulk = Bulk {
    name: "workflow.begin",
    sqlite: "UPDATE wf_tasks SET begun = 1 WHERE run_id = $1 AND step = $2 AND part = $3 AND number = $4 AND state = 2 AND node_id = $5 \
        RETURNING run_id, step, part, number",
    postgres: "UPDATE wf_tasks SET begun = true WHERE state = 2 AND node_id = $5 AND ctid = ANY (ARRAY (SELECT l.ctid \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) CROSS JOIN LATERAL \
        (SELECT t.ctid FROM wf_tasks t WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part \
        AND t.number = u.number OFFSET 0) AS l)) RETURNING run_id, step, part, number",
};

const RELEASE: Bulk = Bulk {
    name: "workflow.release",
    sqlite: "UPDATE wf_tasks SET state = 0, ready_at = $5, node_id = NULL, begun = 0, \
        priority = CASE WHEN revoked THEN -32768 ELSE priority END, rank = CASE WHEN revoked THEN -1 ELSE rank END \
        WHERE run_id = $1 AND step = $2 AND part = $3 AND number = $4 AND state = 2 AND node_id = $6",
    postgres: "UPDATE wf_tasks SET state = 0, ready_at = $5, node_id = NULL, begun = false, \
        priority = CASE WHEN revoked THEN -32768 ELSE priority END, rank = CASE WHEN revoked THEN -1 ELSE rank END \
        WHERE state = 2 AND node_id = $6 AND ctid = ANY (ARRAY (SELECT l.ctid \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) CROSS JOIN LATERAL \
        (SELECT t.ctid FROM wf_tasks t WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part \
        AND t.number = u.number OFFSET 0) AS l))",
};
pub(super) const RELEASE_ALL: Sql = Sql::new(
    "UPDATE wf_tasks SET state = 1, node_id = NULL, begun = false, priority = CASE WHEN revoked THEN -32768 ELSE priority END, \
        rank = CASE WHEN revoked THEN -1 ELSE rank END WHERE namespace_id = $1 AND state = 2 AND node_id = $2",
);
const LEASES: Sql = Sql::new(
    "SELECT run_id, step, part, number FROM wf_tasks WHERE namespace_id = $1 AND state = 2 AND node_id = $2",
);

/// What a claim still wants of a queue.
struct Wanted<'a> {
    queue: &'a str,
    count: i64,
    /// What the last look was granted and did not take.
    unspent: i64,
}

/// Where in a batch the answers for one queue are.
struct Places {
    revoked: StatementRef,
    granted: StatementRef,
    taken: StatementRef,
}

impl Store {
    /// Leases ready tasks to a node: of each queue, those of smaller priority first, then those that have been ready for longer. Delayed
    /// tasks whose time has come become ready first.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database); after `Unknown` ask for [`Store::leased`].
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Claimed>> {
        let definitions: Vec<i64> = claim.definitions.iter().map(|id| id.0).collect();
        let mut claimed = Vec::new();
        let mut wanted: Vec<Wanted<'_>> = claim
            .queues
            .iter()
            .map(|(queue, count)| Wanted { queue, count: i64::from(*count), unspent: 0 })
            .collect();
        // Two claims never wait for each other's queues.
        wanted.sort_unstable_by_key(|wanted| wanted.queue);
        for _ in 0..LOOKS {
            let mut batch = Batch::new("workflow.claim");
            let promote = Statement::new(PROMOTED).named("workflow.promote");
            batch.push(promote.bind(self.namespace).bind(claim.now).bind(PROMOTE));
            locks::queues(
                &mut batch,
                self.dialect(),
                self.namespace,
                wanted.iter().map(|wanted| wanted.queue),
            );
            let places: Vec<Places> =
                wanted.iter().map(|wanted| self.ask(&mut batch, claim, &definitions, wanted)).collect();
            let outcome = self.repo.batch(batch).await?;
            let rows = |place| outcome.get(place).map(mainstay_repo::Written::rows).unwrap_or_default();
            let mut again = Vec::new();
            for (wanted, places) in wanted.into_iter().zip(places) {
                take(rows(places.revoked), &mut claimed)?;
                let (taken, held) = take(rows(places.taken), &mut claimed)?;
                let granted = rows(places.granted).first().map(|row| row.get("granted")).transpose()?;
                let unspent = granted.map_or(0, |granted: i64| granted.saturating_sub(taken));
                if held > 0 || unspent > 0 {
                    again.push(Wanted { queue: wanted.queue, count: wanted.count.min(held), unspent });
                }
            }
            wanted = again;
            if wanted.iter().all(|wanted| wanted.count == 0) {
                break;
            }
        }
        self.give_back(&wanted).await?;
        Ok(claimed)
    }

    /// What a claim asks of one queue.
    fn ask(&self, batch: &mut Batch, claim: &Claim<'_>, definitions: &[i64], wanted: &Wanted<'_>) -> Places {
        let on = |sql, name| Statement::new(sql).named(name).bind(self.namespace).bind(wanted.queue);
        if wanted.unspent > 0 {
            batch.push(on(UNSPENT, "workflow.unspent").bind(wanted.unspent));
        }
        let (priority, rank) = FRONT;
        let revoked = on(REVOKED, "workflow.claim_revoked").bind(definitions.to_vec()).bind(claim.node.0);
        let revoked = batch.push(revoked.bind(priority).bind(rank).bind(REVOKE));
        let grant = on(GRANT, "workflow.grant").bind(wanted.count).bind(claim.now.as_unix_micros());
        let granted = batch.push(grant.bind(definitions.to_vec()));
        let taken = on(CLAIM, "workflow.claim").bind(wanted.count).bind(definitions.to_vec());
        let taken = batch.push(taken.bind(claim.node.0));
        batch.push(on(FAIR_SERVED, "workflow.fair_served"));
        Places { revoked, granted, taken }
    }

    /// Gives back to the rates of queues what was drawn and not taken.
    async fn give_back(&self, wanted: &[Wanted<'_>]) -> Result<()> {
        let mut batch = Batch::new("workflow.unspent");
        for wanted in wanted.iter().filter(|wanted| wanted.unspent > 0) {
            let statement = Statement::new(UNSPENT).named("workflow.unspent").bind(self.namespace);
            batch.push(statement.bind(wanted.queue).bind(wanted.unspent));
        }
        if !batch.is_empty() {
            self.repo.batch(batch).await?;
        }
        Ok(())
    }

    /// Leases tasks of dead nodes to a live one that knows their definitions; it has to answer that they were lost.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn take_over(
        &self,
        node: NodeId,
        limit: u32,
        definitions: &[DefinitionId],
    ) -> Result<Vec<Claimed>> {
        let definitions: Vec<i64> = definitions.iter().map(|id| id.0).collect();
        let statement = Statement::new(TAKE_OVER).named("workflow.take_over").bind(self.namespace);
        let written = self.repo.write(statement.bind(node.0).bind(limit).bind(definitions)).await?;
        let mut claimed = Vec::new();
        take(written.rows(), &mut claimed)?;
        for task in &mut claimed {
            // What was taken back is not begun again, even if it had not begun.
            task.begun |= task.fate == Fate::Revoked;
            task.fate = Fate::Lost;
        }
        Ok(claimed)
    }

    /// Notes that the node begins these tasks now: should it die, [`Store::take_over`] says so ([`Claimed::begun`]). Says which are
    /// still in its hands; the others must not begin.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn begin(&self, node: NodeId, keys: &[TaskKey]) -> Result<Vec<TaskKey>> {
        let mut begun = Vec::with_capacity(keys.len());
        for group in keys.chunks(super::MAX_GROUP) {
            let mut rows = Rows::new();
            group.iter().for_each(|key| rows.push(task_row(key)));
            let mut batch = Batch::new("workflow.begin");
            locks::tasks(
                &mut batch,
                self.dialect(),
                group.iter().map(|key| locks::place(key.run, &key.attempt)),
            );
            let held = batch.steps().len();
            rows.write(&mut batch, self.dialect(), &BEGIN, &[node.0.into()], false);
            let outcome = self.repo.batch(batch).await?;
            for written in outcome.written().iter().skip(held) {
                begun.extend(written.rows().iter().map(key).collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(begun)
    }

    /// Gives back tasks that were not begun, to be claimed from an instant on. They stay the same attempts.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn release(&self, node: NodeId, keys: &[TaskKey], ready_at: Timestamp) -> Result<()> {
        for group in keys.chunks(super::MAX_GROUP) {
            let mut rows = Rows::new();
            group.iter().for_each(|key| rows.push(task_row(key)));
            let mut batch = Batch::new("workflow.release");
            locks::tasks(
                &mut batch,
                self.dialect(),
                group.iter().map(|key| locks::place(key.run, &key.attempt)),
            );
            let common = [ready_at.into(), node.0.into()];
            rows.write(&mut batch, self.dialect(), &RELEASE, &common, false);
            self.repo.batch(batch).await?;
        }
        Ok(())
    }

    /// Gives back all tasks of a node. Says how many.
    ///
    /// # Errors
    /// As [`Store::release`].
    pub async fn release_all(&self, node: NodeId) -> Result<u64> {
        let statement = Statement::new(RELEASE_ALL).named("workflow.release_all");
        Ok(self.repo.write(statement.bind(self.namespace).bind(node.0)).await?.rows_affected())
    }

    /// What the database says is in a node's hands.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn leased(&self, node: NodeId) -> Result<Vec<TaskKey>> {
        let statement = Statement::new(LEASES).named("workflow.leases").bind(self.namespace).bind(node.0);
        self.repo.read(statement).await?.iter().map(key).collect()
    }

    /// Removes tasks whose answer the run refused, and letters that it refused.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn settle(&self, tasks: &[TaskKey], mail: &[Mail]) -> Result<()> {
        let (mut done, mut forget, mut keep) = (Rows::new(), Rows::new(), Rows::new());
        tasks.iter().for_each(|key| done.push(task_row(key)));
        for letter in mail {
            if letter.named {
                keep.push([letter.id.0.into(), mainstay_repo::Value::Null]);
            } else {
                forget.push([letter.id.0.into()]);
            }
        }
        let mut batch = Batch::new("workflow.settle");
        locks::tasks(&mut batch, self.dialect(), tasks.iter().map(|key| locks::place(key.run, &key.attempt)));
        done.write(&mut batch, self.dialect(), &TASK_DONE, &[], false);
        forget.write(&mut batch, self.dialect(), &MAIL_FORGET, &[self.namespace.into()], false);
        keep.write(&mut batch, self.dialect(), &MAIL_KEEP, &[self.namespace.into()], false);
        self.repo.batch(batch).await?;
        Ok(())
    }
}

pub(super) fn task_row(key: &TaskKey) -> [mainstay_repo::Value; 4] {
    let attempt = &key.attempt;
    [
        key.run.get().into(),
        attempt.step.as_str().into(),
        part_number(attempt.part).into(),
        attempt.number.into(),
    ]
}

pub(super) fn key(row: &Row) -> Result<TaskKey> {
    let attempt = attempt(row.get("step")?, row.get("part")?, row.get("number")?)?;
    Ok(TaskKey { run: RunId::from_stored(row.get("run_id")?), attempt })
}

/// Reads the rows of a claim in the order of the queue; says how many of them begin something, and how many were set aside.
fn take(rows: &[Row], claimed: &mut Vec<Claimed>) -> Result<(i64, i64)> {
    let (mut taken, mut held) = (0, 0);
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if row.get::<i64>("state")? != LEASED {
            held += 1;
            continue;
        }
        let fate = if row.get("revoked")? { Fate::Revoked } else { Fate::Run };
        taken += i64::from(fate == Fate::Run);
        let order: (i64, i64) = (row.get("priority")?, row.get("rank")?);
        let task = Claimed {
            key: key(row)?,
            definition: DefinitionId(row.get("definition_id")?),
            queue: row.get("queue")?,
            fate,
            begun: row.get("begun")?,
            ready_at: row.get("ready_at")?,
        };
        found.push((order, task));
    }
    found.sort_by_key(|(order, _)| *order);
    claimed.extend(found.into_iter().map(|(_, task)| task));
    Ok((taken, held))
}
