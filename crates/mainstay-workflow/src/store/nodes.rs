//! Nodes: who lives. Leases belong to one life of one node; when it is over, so are they. The database's clock judges, so that nodes whose
//! clocks differ agree on who is silent.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Repo, Row, Sql, Statement};

use super::Store;
use super::claim::{RELEASE_ALL, key};
use super::limits::{MAX_NAME_BYTES, check_name};
use super::types::{Beat, Takeover, TaskKey};
use super::wake;
use crate::error::{Error, Result};
use crate::id::NodeId;

const JOIN: Sql = Sql::per_dialect(
    "INSERT INTO wf_nodes (namespace_id, name, started_at, seen_at) VALUES ($1, $2, \
        CAST(unixepoch('subsec') * 1000000 AS INTEGER), CAST(unixepoch('subsec') * 1000000 AS INTEGER)) RETURNING id",
    "INSERT INTO wf_nodes (namespace_id, name, started_at, seen_at) \
        VALUES ($1, $2, statement_timestamp(), statement_timestamp()) RETURNING id",
);
const ALL_OTHERS: Sql = Sql::per_dialect(
    "UPDATE wf_nodes SET dead_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) \
        WHERE namespace_id = $1 AND id <> $2 AND dead_at IS NULL",
    "UPDATE wf_nodes SET dead_at = statement_timestamp() WHERE namespace_id = $1 AND id <> $2 AND dead_at IS NULL",
);
const BEAT: Sql = Sql::per_dialect(
    "UPDATE wf_nodes SET seen_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) \
        WHERE namespace_id = $1 AND id = $2 AND dead_at IS NULL",
    "UPDATE wf_nodes SET seen_at = statement_timestamp() WHERE namespace_id = $1 AND id = $2 AND dead_at IS NULL",
);
const REVOKED: Sql = Sql::new(
    "SELECT run_id, step, part, number FROM wf_tasks WHERE namespace_id = $1 AND state = 2 AND node_id = $2 AND revoked",
);
const BURY: Sql = Sql::per_dialect(
    "UPDATE wf_nodes INDEXED BY wf_nodes_namespace_idx SET dead_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) \
        WHERE namespace_id = $1 \
        AND dead_at IS NULL AND seen_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $2",
    "UPDATE wf_nodes SET dead_at = statement_timestamp() WHERE namespace_id = $1 AND dead_at IS NULL \
        AND seen_at < statement_timestamp() - $2::bigint * interval '1 microsecond'",
);
/// A dead node is remembered as long as something is in its hands.
const FORGET: Sql = Sql::new(
    "DELETE FROM wf_nodes WHERE namespace_id = $1 AND dead_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM wf_tasks t \
     WHERE t.namespace_id = $1 AND t.state = 2 AND t.node_id = wf_nodes.id)",
);
/// Who leaves in order is dead for as long as it takes to give back what it holds.
const LEAVING: Sql = Sql::per_dialect(
    "UPDATE wf_nodes SET dead_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE namespace_id = $1 AND id = $2",
    "UPDATE wf_nodes SET dead_at = statement_timestamp() WHERE namespace_id = $1 AND id = $2",
);
const LEAVE: Sql = Sql::new("DELETE FROM wf_nodes WHERE namespace_id = $1 AND id = $2");

/// A node in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Which life.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// When it began, by the database's clock.
    pub started_at: Timestamp,
    /// When it was heard of last.
    pub seen_at: Timestamp,
    /// Since when it is given up; such a node is listed while something is left in its hands.
    pub dead_at: Option<Timestamp>,
    /// How many tasks are in its hands.
    pub tasks: u64,
}

/// A node of any namespace that was heard of lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveNode {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was heard of last, by the database's clock.
    pub seen_at: Timestamp,
    /// How long that is ago, by the same clock.
    pub silent_for: Duration,
}

/// How long a node counts as live that says nothing. Nodes say every few seconds that they live, and most give up another one after eight; one
/// that was killed counts for so long.
pub const LIVE_WITHIN: Duration = Duration::from_secs(60);

const LIVE: Sql = Sql::per_dialect(
    "SELECT s.name AS namespace, n.name, n.seen_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER) - n.seen_at AS silent \
        FROM wf_namespaces s JOIN wf_nodes n ON n.namespace_id = s.id WHERE n.dead_at IS NULL \
        AND n.seen_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1 ORDER BY n.id",
    "SELECT s.name AS namespace, n.name, n.seen_at, \
        (extract(epoch FROM statement_timestamp() - n.seen_at) * 1000000)::bigint AS silent \
        FROM wf_namespaces s JOIN wf_nodes n ON n.namespace_id = s.id WHERE n.dead_at IS NULL \
        AND n.seen_at > statement_timestamp() - $1::bigint * interval '1 microsecond' ORDER BY n.id",
);

/// The nodes of all namespaces that were heard of within [`LIVE_WITHIN`]: who would miss the tables. The tables have to be there.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn live_nodes(repo: &Repo) -> Result<Vec<LiveNode>> {
    let within = i64::try_from(LIVE_WITHIN.as_micros()).unwrap_or(i64::MAX);
    let rows: Vec<Row> = repo.read(Statement::new(LIVE).named("workflow.live_nodes").bind(within)).await?;
    let read = |row: &Row| {
        Ok(LiveNode {
            namespace: row.get("namespace")?,
            name: row.get("name")?,
            seen_at: row.get("seen_at")?,
            silent_for: Duration::from_micros(row.get::<i64>("silent")?.unsigned_abs()),
        })
    };
    rows.iter().map(read).collect()
}

impl Store {
    /// What is in a node's hands, at most so many.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn held(&self, node: NodeId, limit: u32) -> Result<Vec<TaskKey>> {
        let statement = Statement::new(
            "SELECT run_id, step, part, number FROM wf_tasks WHERE namespace_id = $1 AND state = 2 AND node_id = $2 LIMIT $3",
        );
        let statement = statement.named("workflow.held").bind(self.namespace).bind(node.0).bind(limit);
        self.repo.read(statement).await?.iter().map(key).collect()
    }

    /// The nodes that work on this namespace.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn nodes(&self) -> Result<Vec<NodeView>> {
        let statement = Statement::new(
            "SELECT id, name, started_at, seen_at, dead_at, (SELECT count(*) FROM wf_tasks t WHERE t.namespace_id = $1 \
                AND t.state = 2 AND t.node_id = n.id) AS tasks FROM wf_nodes n WHERE namespace_id = $1 ORDER BY id",
        );
        let rows = self.repo.read(statement.named("workflow.nodes").bind(self.namespace)).await?;
        let read = |row: &Row| {
            Ok(NodeView {
                node: NodeId(row.get("id")?),
                name: row.get("name")?,
                started_at: row.get("started_at")?,
                seen_at: row.get("seen_at")?,
                dead_at: row.get("dead_at")?,
                tasks: row.get("tasks")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// A new life begins.
    ///
    /// # Errors
    /// The name is too long; [`Database`](crate::ErrorKind::Database).
    pub async fn join(&self, name: &str, takeover: Takeover) -> Result<NodeId> {
        check_name("node", name, MAX_NAME_BYTES)?;
        let mut batch = Batch::new("workflow.join");
        let new = batch.push(Statement::new(JOIN).named("workflow.join").bind(self.namespace).bind(name));
        if takeover == Takeover::Everyone {
            let others = Statement::new(ALL_OTHERS).named("workflow.bury_all").bind(self.namespace);
            batch.push(others.bind(new.column("id")));
            wake::free(&mut batch, self.namespace);
        }
        let outcome = self.repo.batch(batch).await?;
        let row = outcome.get(new).and_then(|written| written.rows().first());
        let row = row.ok_or_else(|| Error::internal("a node that has just joined has no row"))?;
        Ok(NodeId(row.get("id")?))
    }

    /// The node says that it lives, and learns what is not wanted any more.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn beat(&self, node: NodeId) -> Result<Beat> {
        let mut batch = Batch::new("workflow.beat");
        let beat = batch.push(Statement::new(BEAT).named("workflow.beat").bind(self.namespace).bind(node.0));
        let revoked =
            batch.push(Statement::new(REVOKED).named("workflow.revoked").bind(self.namespace).bind(node.0));
        let outcome = self.repo.batch(batch).await?;
        let alive = outcome.get(beat).is_some_and(|written| written.rows_affected() == 1);
        let rows = outcome.get(revoked).map(mainstay_repo::Written::rows).unwrap_or_default();
        Ok(Beat { alive, revoked: rows.iter().map(key).collect::<Result<_>>()? })
    }

    /// What of a node's is not wanted any more.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn revoked(&self, node: NodeId) -> Result<Vec<TaskKey>> {
        let statement = Statement::new(REVOKED).named("workflow.revoked").bind(self.namespace).bind(node.0);
        self.repo.read(statement).await?.iter().map(key).collect()
    }

    /// Gives up nodes that were silent for so long: what they kept from others is due again, and [`Store::take_over`] finds what was in their
    /// hands. Says how many.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn bury(&self, silent_for: Duration) -> Result<u64> {
        let micros = i64::try_from(silent_for.as_micros()).unwrap_or(i64::MAX / 4);
        let mut batch = Batch::new("workflow.bury");
        let buried =
            batch.push(Statement::new(BURY).named("workflow.bury").bind(self.namespace).bind(micros));
        wake::free(&mut batch, self.namespace);
        batch.push(Statement::new(FORGET).named("workflow.forget_nodes").bind(self.namespace));
        let outcome = self.repo.batch(batch).await?;
        Ok(outcome.get(buried).map_or(0, mainstay_repo::Written::rows_affected))
    }

    /// The life ends in order: what is still in the node's hands or kept for it is anybody's at once, as the same attempts.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn leave(&self, node: NodeId) -> Result<()> {
        let mut batch = Batch::new("workflow.leave");
        batch.push(
            Statement::new(RELEASE_ALL).named("workflow.leave_tasks").bind(self.namespace).bind(node.0),
        );
        batch.push(Statement::new(LEAVING).named("workflow.leaving").bind(self.namespace).bind(node.0));
        wake::free(&mut batch, self.namespace);
        batch.push(Statement::new(LEAVE).named("workflow.leave").bind(self.namespace).bind(node.0));
        self.repo.batch(batch).await?;
        Ok(())
    }
}
