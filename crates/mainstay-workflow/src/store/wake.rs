//! What wakes runs: timers that are due and letters that nobody has read. Both are rows, found by an index; a row goes only with the commit
//! that took care of it.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Row, Sql, Statement};

use super::Store;
use crate::error::Result;
use crate::id::RunId;

const TIMERS: Sql = Sql::per_dialect(
    "UPDATE wf_timers SET at = $3 WHERE run_id IN (SELECT run_id FROM wf_timers WHERE namespace_id = $1 AND at <= $2 \
        ORDER BY at LIMIT $4) RETURNING run_id",
    "UPDATE wf_timers SET at = $3 WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_timers WHERE namespace_id = $1 AND at <= $2 \
        ORDER BY at LIMIT $4 FOR UPDATE SKIP LOCKED)) RETURNING run_id",
);
const LETTERS: Sql = Sql::per_dialect(
    "UPDATE wf_mail SET due = $3 WHERE id IN (SELECT id FROM wf_mail WHERE namespace_id = $1 AND due <= $2 \
        ORDER BY due LIMIT $4) RETURNING run_id",
    "UPDATE wf_mail SET due = $3 WHERE ctid = ANY (ARRAY (SELECT ctid FROM wf_mail WHERE namespace_id = $1 AND due <= $2 \
        ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED)) RETURNING run_id",
);
const NEXT: Sql = Sql::per_dialect(
    "SELECT (SELECT min(at) FROM wf_timers WHERE namespace_id = $1) AS timer, \
     (SELECT min(due) FROM wf_mail WHERE namespace_id = $1 AND due IS NOT NULL) AS letter, \
     (SELECT min(ready_at) FROM wf_tasks WHERE namespace_id = $1 AND state = 0) AS task, \
     (SELECT min(next_at) FROM wf_schedules WHERE namespace_id = $1 AND paused = 0 AND next_at IS NOT NULL) AS schedule",
    "SELECT (SELECT min(at) FROM wf_timers WHERE namespace_id = $1) AS timer, \
     (SELECT min(due) FROM wf_mail WHERE namespace_id = $1 AND due IS NOT NULL) AS letter, \
     (SELECT min(ready_at) FROM wf_tasks WHERE namespace_id = $1 AND state = 0) AS task, \
     (SELECT min(next_at) FROM wf_schedules WHERE namespace_id = $1 AND NOT paused AND next_at IS NOT NULL) AS schedule",
);

impl Store {
    /// Runs with due timers or unread letters. They are not given out again for `hold`, to anybody; a commit that takes care of the timer or
    /// reads the letter ends that.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn wake(&self, now: Timestamp, hold: Duration, limit: u32) -> Result<Vec<RunId>> {
        let mut batch = Batch::new("workflow.wake");
        for (sql, name) in [(TIMERS, "workflow.wake_timers"), (LETTERS, "workflow.wake_letters")] {
            let statement = Statement::new(sql).named(name).bind(self.namespace).bind(now);
            batch.push(statement.bind(now.saturating_add(hold)).bind(limit));
        }
        let outcome = self.repo.batch(batch).await?;
        let mut runs = BTreeSet::new();
        for row in outcome.written().iter().flat_map(mainstay_repo::Written::rows) {
            runs.insert(RunId::from_stored(row.get("run_id")?));
        }
        Ok(runs.into_iter().collect())
    }

    /// When the next timer, letter, delayed task or schedule is due; none when there is none.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let row: Row =
            self.repo.read_one(Statement::new(NEXT).named("workflow.next_due").bind(self.namespace)).await?;
        let due: [Option<Timestamp>; 4] =
            [row.get("timer")?, row.get("letter")?, row.get("task")?, row.get("schedule")?];
        Ok(due.into_iter().flatten().min())
    }
}
