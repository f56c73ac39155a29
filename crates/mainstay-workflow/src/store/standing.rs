//! What a node has to know before it leases or claims anything: what is paused, which queues have limits, and where tasks stand.

use std::collections::BTreeSet;

use mainstay_repo::{Sql, Statement};

use super::Store;
use crate::error::Result;

/// What is held back, and which queues have ready tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The workflows that are paused; the empty name stands for all.
    pub paused: BTreeSet<String>,
    /// The queues that have limits, or are paused.
    pub limited: BTreeSet<String>,
    /// The queues in which ready tasks stand, of whichever workflows.
    pub queues: BTreeSet<String>,
}

impl Standing {
    /// Whether tasks of a workflow are held back.
    #[must_use]
    pub fn holds(&self, workflow: &str) -> bool {
        self.paused.contains("") || self.paused.contains(workflow)
    }
}

/// The queues are found one by one along the index, however many tasks stand in them.
const STANDING: Sql = Sql::new(
    "WITH RECURSIVE q (name) AS (SELECT min(queue) FROM wf_tasks WHERE namespace_id = $1 AND state = 1 \
        UNION ALL SELECT (SELECT min(t.queue) FROM wf_tasks t WHERE t.namespace_id = $1 AND t.state = 1 AND t.queue > q.name) \
        FROM q WHERE q.name IS NOT NULL) \
     SELECT 1 AS what, workflow AS name FROM wf_pauses WHERE namespace_id = $1 \
     UNION ALL SELECT 2, name FROM wf_queues WHERE namespace_id = $1 AND (concurrency IS NOT NULL OR rate IS NOT NULL OR paused) \
     UNION ALL SELECT 3, name FROM q WHERE name IS NOT NULL",
);

impl Store {
    /// Reads what is held back and where tasks stand. One read; it locks nothing.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn standing(&self) -> Result<Standing> {
        let statement = Statement::new(STANDING).named("workflow.standing").bind(self.namespace);
        let mut standing = Standing::default();
        for row in &self.repo.read(statement).await? {
            let names = match row.get::<i64>("what")? {
                1 => &mut standing.paused,
                2 => &mut standing.limited,
                _ => &mut standing.queues,
            };
            names.insert(row.get("name")?);
        }
        Ok(standing)
    }
}
