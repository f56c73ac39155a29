//! Flags that hold back whole workflows, or everything. What is out goes on; nothing new is claimed. What was claimed and must not begin is
//! set aside, also for a run that is paused alone.

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Sql, Statement};

use serde_json::json;

use super::claim::task_row;
use super::limits::{MAX_NAME_BYTES, check_name};
use super::rows::{Bulk, Rows};
use super::types::TaskKey;
use super::{NewAct, Store};
use crate::action::Action;
use crate::error::Result;
use crate::id::NodeId;

/// What is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The workflow; none for everything.
    pub workflow: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// How many tasks come back with one statement.
const PORTION: i64 = 1_000;

/// Tasks that were set aside and need not be any more. Those of a definition stand together in the index, so that what is held back as a whole
/// is not gone through.
macro_rules! aside {
    ($head:literal, $free:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM wf_tasks WHERE namespace_id = $1 AND state = 3 AND definition_id ",
            $free,
            " (SELECT d.id FROM wf_definitions d WHERE d.namespace_id = $1 AND NOT EXISTS (SELECT 1 FROM wf_pauses p \
             WHERE p.namespace_id = $1 AND p.workflow IN ('', d.name)))",
            $tail
        )
    };
}

const COME_BACK: Sql = Sql::per_dialect(
    aside!(
        "UPDATE wf_tasks SET state = 1 WHERE (run_id, step, part) IN (SELECT run_id, step, part",
        "IN",
        " AND NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = wf_tasks.run_id AND r.status = 'paused') LIMIT $2)"
    ),
    aside!(
        "UPDATE wf_tasks SET state = 1 WHERE ctid = ANY (ARRAY (SELECT ctid",
        "= ANY (ARRAY",
        ") AND NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = wf_tasks.run_id AND r.status = 'paused') \
         LIMIT $2 FOR UPDATE SKIP LOCKED))"
    ),
);

/// Whether there are such tasks. A look costs no commit.
const ASIDE: Sql = Sql::per_dialect(
    aside!(
        "SELECT 1 AS one",
        "IN",
        " AND NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = wf_tasks.run_id AND r.status = 'paused') LIMIT 1"
    ),
    aside!(
        "SELECT 1 AS one",
        "= ANY (ARRAY",
        ") AND NOT EXISTS (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $1 AND r.id = wf_tasks.run_id AND r.status = 'paused') LIMIT 1"
    ),
);

/// The row is looked at again when somebody else was just changing it: what was taken back meanwhile is not set aside.
const SET_ASIDE: Bulk = Bulk {
    name: "workflow.put_aside",
    sqlite: "UPDATE wf_tasks SET state = 3, node_id = NULL, begun = 0 WHERE run_id = $1 AND step = $2 AND part = $3 AND number = $4 \
        AND state = 2 AND node_id = $5 AND NOT revoked",
    postgres: "UPDATE wf_tasks t SET state = 3, node_id = NULL, begun = false \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) \
        WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part AND t.number = u.number \
        AND t.state = 2 AND t.node_id = $5 AND NOT t.revoked",
};

impl Store {
    /// Holds back a workflow, or everything. Holding back twice is holding back.
    ///
    /// # Errors
    /// The name is malformed; [`Database`](crate::ErrorKind::Database).
    pub async fn pause_workflow(&self, workflow: Option<&str>, now: Timestamp) -> Result<()> {
        self.require()?;
        if let Some(name) = workflow {
            check_name("name of a workflow", name, MAX_NAME_BYTES)?;
        }
        let statement = Statement::new(
            "INSERT INTO wf_pauses (namespace_id, workflow, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        );
        let statement =
            statement.named("workflow.pause").bind(self.namespace).bind(workflow.unwrap_or_default());
        let act = NewAct::new(Action::WorkflowPause, workflow.unwrap_or_default(), json!({}));
        self.change(statement.bind(now), &act).await.map(drop)
    }

    /// Lets a workflow, or everything, go on. What is held back by another flag stays so. Says whether it was held back.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn resume_workflow(&self, workflow: Option<&str>) -> Result<bool> {
        let flag = Statement::new("DELETE FROM wf_pauses WHERE namespace_id = $1 AND workflow = $2");
        let flag = flag.named("workflow.resume").bind(self.namespace).bind(workflow.unwrap_or_default());
        let act = NewAct::new(Action::WorkflowResume, workflow.unwrap_or_default(), json!({}));
        let was_held = self.change(flag, &act).await?;
        // Also when it was not: who resumed it may have died on the way.
        self.come_back().await?;
        Ok(was_held)
    }

    /// Sets tasks of a node aside that were not begun: their workflow is held back, or their run is paused. They stay the same attempts.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn set_aside(&self, node: NodeId, keys: &[TaskKey]) -> Result<()> {
        for group in keys.chunks(super::MAX_GROUP) {
            let mut rows = Rows::new();
            group.iter().for_each(|key| rows.push(task_row(key)));
            let mut batch = Batch::new("workflow.put_aside");
            rows.write(&mut batch, self.dialect(), &SET_ASIDE, &[node.0.into()], false);
            self.repo.batch(batch).await?;
        }
        Ok(())
    }

    /// Lets tasks come back that were set aside for a flag that is no longer there; says how many. Most come back with
    /// [`Store::resume_workflow`]; but a claim that read the flag just before it went may set tasks aside just after, and who
    /// resumed may have died half-way. So each node asks from time to time.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn come_back(&self) -> Result<u64> {
        let aside = Statement::new(ASIDE).named("workflow.set_aside").bind(self.namespace);
        let mut came = 0;
        if self.repo.read(aside).await?.is_empty() {
            return Ok(came);
        }
        loop {
            let mut batch = Batch::new("workflow.come_back");
            let back =
                Statement::new(COME_BACK).named("workflow.come_back").bind(self.namespace).bind(PORTION);
            let back = batch.push(back);
            let outcome = self.repo.batch(batch).await?;
            let portion = outcome.get(back).map_or(0, mainstay_repo::Written::rows_affected);
            came += portion;
            if portion < PORTION.unsigned_abs() {
                return Ok(came);
            }
        }
    }

    /// What is held back.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let statement =
            Statement::new("SELECT workflow, since FROM wf_pauses WHERE namespace_id = $1 ORDER BY workflow");
        let rows = self.repo.read(statement.named("workflow.pauses").bind(self.namespace)).await?;
        rows.iter()
            .map(|row| {
                let workflow: String = row.get("workflow")?;
                let workflow = Some(workflow).filter(|name| !name.is_empty());
                Ok(Pause { workflow, since: row.get("since")? })
            })
            .collect()
    }
}
