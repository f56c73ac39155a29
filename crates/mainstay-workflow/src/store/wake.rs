//! What wakes runs: timers that are due and letters that nobody has read. Both are rows, found by an index; a row goes only with the commit
//! that took care of it.
//!
//! A node asks for the runs whose definition it has. What it cannot move it must not take, not even for a moment: it would keep it from
//! those that can.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Row, Sql, Statement};

use super::Store;
use crate::error::Result;
use crate::id::{DefinitionId, NodeId, RunId};

/// Of each definition the earliest, and of all these the earliest: as many rows are read as are asked for, for each definition.
const TIMERS: Sql = Sql::per_dialect(
    "UPDATE wf_timers SET at = $3, held_by = $5, held_from = at WHERE run_id IN (SELECT t.run_id FROM json_each($1) AS d CROSS JOIN wf_timers t \
        ON t.run_id IN (SELECT run_id FROM wf_timers WHERE definition_id = d.value AND at <= $2 ORDER BY at LIMIT $4) \
        ORDER BY t.at LIMIT $4) RETURNING run_id",
    "UPDATE wf_timers SET at = $3, held_by = $5, held_from = at WHERE ctid = ANY (ARRAY (SELECT l.ctid FROM unnest($1::bigint[]) AS d (id) CROSS JOIN LATERAL \
        (SELECT ctid, at FROM wf_timers WHERE definition_id = d.id AND at <= $2 ORDER BY at LIMIT $4 FOR UPDATE SKIP LOCKED) AS l \
        ORDER BY l.at LIMIT $4)) RETURNING run_id",
);
const LETTERS: Sql = Sql::per_dialect(
    "UPDATE wf_mail SET due = $3, held_by = $5, held_from = due WHERE id IN (SELECT m.id FROM json_each($1) AS d CROSS JOIN wf_mail m \
        ON m.id IN (SELECT id FROM wf_mail WHERE definition_id = d.value AND due <= $2 ORDER BY due LIMIT $4) \
        ORDER BY m.due LIMIT $4) RETURNING run_id",
    "UPDATE wf_mail SET due = $3, held_by = $5, held_from = due WHERE ctid = ANY (ARRAY (SELECT l.ctid FROM unnest($1::bigint[]) AS d (id) CROSS JOIN LATERAL \
        (SELECT ctid, due FROM wf_mail WHERE definition_id = d.id AND due <= $2 ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED) AS l \
        ORDER BY l.due LIMIT $4)) RETURNING run_id",
);
/// What dead lives held is due as it was: whoever takes over from them need not wait for the holds to pass. What somebody is just writing is
/// being taken care of.
const FREE_TIMERS: Sql = Sql::per_dialect(
    "UPDATE wf_timers SET at = held_from, held_by = NULL, held_from = NULL WHERE held_by IN \
        (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NOT NULL)",
    "UPDATE wf_timers SET at = held_from, held_by = NULL, held_from = NULL WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_timers \
        WHERE held_by = ANY (ARRAY (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NOT NULL)) \
        FOR UPDATE SKIP LOCKED))",
);
const FREE_LETTERS: Sql = Sql::per_dialect(
    "UPDATE wf_mail SET due = held_from, held_by = NULL, held_from = NULL WHERE due IS NOT NULL AND held_by IN \
        (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NOT NULL)",
    "UPDATE wf_mail SET due = held_from, held_by = NULL, held_from = NULL WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_mail \
        WHERE due IS NOT NULL AND held_by = ANY (ARRAY (SELECT id FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NOT NULL)) \
        FOR UPDATE SKIP LOCKED))",
);
/// Delayed tasks become ready whoever's they are, so they count for every node; a look by each definition is a step down an index.
const NEXT: Sql = Sql::per_dialect(
    "SELECT (SELECT min((SELECT min(at) FROM wf_timers WHERE definition_id = d.value AND at > $3)) FROM json_each($2) AS d) AS timer, \
     (SELECT min((SELECT min(due) FROM wf_mail WHERE definition_id = d.value AND due > $3)) FROM json_each($2) AS d) AS letter, \
     (SELECT min(ready_at) FROM wf_tasks WHERE namespace_id = $1 AND state = 0 AND ready_at > $3) AS task",
    "SELECT (SELECT min((SELECT min(at) FROM wf_timers WHERE definition_id = d.id AND at > $3)) \
        FROM unnest($2::bigint[]) AS d (id)) AS timer, \
     (SELECT min((SELECT min(due) FROM wf_mail WHERE definition_id = d.id AND due > $3)) \
        FROM unnest($2::bigint[]) AS d (id)) AS letter, \
     (SELECT min(ready_at) FROM wf_tasks WHERE namespace_id = $1 AND state = 0 AND ready_at > $3) AS task",
);

/// What a node of a version that knows nothing of definitions here has written since the migration.
const STRAYS: &str = "SELECT 1 AS one FROM wf_timers t JOIN wf_runs r ON r.namespace_id = t.namespace_id AND r.id = t.run_id \
    WHERE t.definition_id IS NULL AND t.namespace_id = $1 AND r.definition_id IS NOT NULL \
    UNION ALL SELECT 1 FROM wf_mail m JOIN wf_runs r ON r.namespace_id = m.namespace_id AND r.id = m.run_id \
    WHERE m.definition_id IS NULL AND m.due IS NOT NULL AND m.namespace_id = $1 AND r.definition_id IS NOT NULL LIMIT 1";
const ADOPT_TIMERS: &str = "UPDATE wf_timers SET definition_id = (SELECT r.definition_id FROM wf_runs r \
    WHERE r.namespace_id = wf_timers.namespace_id AND r.id = wf_timers.run_id) WHERE definition_id IS NULL AND namespace_id = $1";
const ADOPT_MAIL: &str = "UPDATE wf_mail SET definition_id = (SELECT r.definition_id FROM wf_runs r \
    WHERE r.namespace_id = wf_mail.namespace_id AND r.id = wf_mail.run_id) \
    WHERE definition_id IS NULL AND due IS NOT NULL AND namespace_id = $1";

impl Store {
    /// Runs of these definitions with due timers or unread letters, at most so many of each. They are not given out again for `hold`, to
    /// anybody; a commit that takes care of the timer or reads the letter ends that, and so does the end of the life that was given them.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn wake(
        &self,
        node: NodeId,
        now: Timestamp,
        hold: Duration,
        limit: u32,
        definitions: &[DefinitionId],
    ) -> Result<Vec<RunId>> {
        let mut batch = Batch::new("workflow.wake");
        for (sql, name) in [(TIMERS, "workflow.wake_timers"), (LETTERS, "workflow.wake_letters")] {
            let statement = Statement::new(sql).named(name).bind(ids(definitions)).bind(now);
            batch.push(statement.bind(now.saturating_add(hold)).bind(limit).bind(node.0));
        }
        let outcome = self.repo.batch(batch).await?;
        let mut runs = BTreeSet::new();
        for row in outcome.written().iter().flat_map(mainstay_repo::Written::rows) {
            runs.insert(RunId::from_stored(row.get("run_id")?));
        }
        Ok(runs.into_iter().collect())
    }

    /// When the next timer or letter of a run of these definitions, or the next delayed task of any, is due, after an instant; none when there
    /// is none.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn next_due(
        &self,
        after: Timestamp,
        definitions: &[DefinitionId],
    ) -> Result<Option<Timestamp>> {
        let statement = Statement::new(NEXT).named("workflow.next_due").bind(self.namespace);
        let row: Row = self.repo.read_one(statement.bind(ids(definitions)).bind(after)).await?;
        let due: [Option<Timestamp>; 3] = [row.get("timer")?, row.get("letter")?, row.get("task")?];
        Ok(due.into_iter().flatten().min())
    }

    /// Says of timers and letters which definition they belong to, where a node of an older version beside this one did not; says how many
    /// there were. A look costs no commit.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn adopt(&self) -> Result<u64> {
        let look = Statement::new(STRAYS).named("workflow.strays").bind(self.namespace);
        if self.repo.read(look).await?.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::new("workflow.adopt");
        for (sql, name) in [(ADOPT_TIMERS, "workflow.adopt_timers"), (ADOPT_MAIL, "workflow.adopt_mail")] {
            batch.push(Statement::new(sql).named(name).bind(self.namespace));
        }
        let outcome = self.repo.batch(batch).await?;
        Ok(outcome.written().iter().map(mainstay_repo::Written::rows_affected).sum())
    }
}

/// Gives back what the lives of a namespace held that are noted as dead.
pub(super) fn free(batch: &mut Batch, namespace: i64) {
    for (sql, name) in [(FREE_TIMERS, "workflow.free_timers"), (FREE_LETTERS, "workflow.free_letters")] {
        batch.push(Statement::new(sql).named(name).bind(namespace));
    }
}

pub(super) fn ids(definitions: &[DefinitionId]) -> Vec<i64> {
    definitions.iter().map(|id| id.0).collect()
}
