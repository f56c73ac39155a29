//! What runs are pinned to: the canonical text of each content of each version, and its fingerprint.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Row, Sql, Statement};

use super::Store;
use super::codec::{corrupt, decode, status};
use crate::definition::Workflow;
use crate::error::{Error, Result};
use crate::graph::{Fingerprint, Graph};
use crate::id::{DefinitionId, RunId};
use crate::plan::Status;

/// A definition as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDefinition {
    /// Which.
    pub id: DefinitionId,
    /// The workflow's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// What its content is told by.
    pub fingerprint: Fingerprint,
    /// Its content.
    pub graph: Graph,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// The queues that its host gave to handlers, as they were when an engine began to work on it last.
    pub queues: BTreeMap<String, String>,
}

const COLUMNS: &str = "SELECT id, name, version, fingerprint, graph, created_at, queues FROM wf_definitions WHERE namespace_id = $1";

/// The index of workflow and status is read as far as is counted, for each workflow and each status.
const COUNTS: Sql = Sql::new(
    "SELECT d.name AS workflow, s.status AS status, (SELECT count(*) FROM (SELECT 1 FROM wf_runs r \
        WHERE r.namespace_id = $1 AND r.workflow = d.name AND r.status = s.status LIMIT $2) AS few) AS runs \
     FROM (SELECT DISTINCT name FROM wf_definitions WHERE namespace_id = $1) AS d CROSS JOIN (SELECT 'running' AS status \
        UNION ALL SELECT 'waiting' UNION ALL SELECT 'paused' UNION ALL SELECT 'stopping' UNION ALL SELECT 'completed' \
        UNION ALL SELECT 'failed' UNION ALL SELECT 'cancelled') AS s",
);

/// The most runs of one workflow and one status that are counted.
pub const MAX_COUNTED: u32 = 10_000;

const TAG: &str = "INSERT INTO wf_tags (namespace_id, tag, definition_id, workflow) \
    SELECT namespace_id, $5, id, name FROM wf_definitions \
    WHERE namespace_id = $1 AND version = $2 AND name = $3 AND fingerprint = $4 ON CONFLICT DO NOTHING";
const TAGGED: &str = "SELECT workflow, definition_id FROM wf_tags WHERE namespace_id = $1 AND tag = $2";

impl Store {
    /// Keeps a workflow's content; does nothing when it is there.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn define(&self, flow: &Workflow, now: Timestamp) -> Result<DefinitionId> {
        let (name, version) = (flow.graph().name.as_str(), flow.graph().version);
        let fingerprint = flow.fingerprint().to_string();
        let find = || {
            Statement::new(
                "SELECT id FROM wf_definitions WHERE namespace_id = $1 AND name = $2 AND version = $3 AND fingerprint = $4",
            )
            .named("workflow.definition_find")
            .bind(self.namespace)
            .bind(name)
            .bind(version)
            .bind(fingerprint.as_str())
        };
        let mut found: Option<Row> = self.repo.read_optional(find()).await?;
        if found.is_none() {
            let insert = Statement::new(
                "INSERT INTO wf_definitions (namespace_id, name, version, fingerprint, graph, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .named("workflow.definition_new")
            .bind(self.namespace)
            .bind(name)
            .bind(version)
            .bind(fingerprint.as_str())
            .bind(flow.graph().canonical())
            .bind(now);
            let mut batch = Batch::new("workflow.define");
            batch.push(insert);
            for tag in &flow.graph().tags {
                let key = [name, fingerprint.as_str(), tag.as_str()];
                let statement =
                    Statement::new(TAG).named("workflow.tag_new").bind(self.namespace).bind(version);
                batch.push(key.into_iter().fold(statement, Statement::bind));
            }
            self.repo.batch(batch).await?;
            found = self.repo.read_optional(find()).await?;
        }
        let row = found.ok_or_else(|| Error::internal("a definition that was just kept is not there"))?;
        Ok(DefinitionId(row.get("id")?))
    }

    /// Keeps the queues that a host gave to a workflow's handlers; does nothing when they are known.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(crate) async fn set_queues(&self, id: DefinitionId, queues: &BTreeMap<String, String>) -> Result<()> {
        let text = if queues.is_empty() { None } else { Some(super::write::json(queues)?) };
        let statement = Statement::new(
            "UPDATE wf_definitions SET queues = $3 WHERE namespace_id = $1 AND id = $2 AND queues IS DISTINCT FROM $3",
        );
        let statement = statement.named("workflow.definition_queues").bind(self.namespace).bind(id.0);
        self.repo.write(statement.bind(text)).await?;
        Ok(())
    }

    /// The definitions whose workflow has all these tags, by the workflow's name.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(super) async fn tagged(&self, tags: &BTreeSet<String>) -> Result<BTreeMap<String, BTreeSet<i64>>> {
        let mut found: Option<BTreeMap<String, BTreeSet<i64>>> = None;
        for tag in tags {
            let statement = Statement::new(TAGGED).named("workflow.tagged").bind(self.namespace);
            let mut these: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
            for row in self.repo.read(statement.bind(tag.as_str())).await? {
                these.entry(row.get("workflow")?).or_default().insert(row.get("definition_id")?);
            }
            found = Some(match found {
                None => these,
                Some(mut before) => {
                    before.retain(|name, ids| {
                        ids.retain(|id| these.get(name).is_some_and(|these| these.contains(id)));
                        !ids.is_empty()
                    });
                    before
                }
            });
        }
        Ok(found.unwrap_or_default())
    }

    /// What a run is pinned to.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database); [`Corrupt`](crate::ErrorKind::Corrupt) when the text is not that of its fingerprint.
    pub async fn definition(&self, id: DefinitionId) -> Result<Option<StoredDefinition>> {
        let statement = Statement::new(const_format(COLUMNS, " AND id = $2")).named("workflow.definition");
        let row: Option<Row> = self.repo.read_optional(statement.bind(self.namespace).bind(id.0)).await?;
        row.as_ref().map(read).transpose()
    }

    /// What a run is pinned to; none when it is not there or came from elsewhere.
    ///
    /// # Errors
    /// As [`Store::definition`].
    pub async fn definition_of(&self, run: RunId) -> Result<Option<StoredDefinition>> {
        let sql = const_format(
            COLUMNS,
            " AND id = (SELECT definition_id FROM wf_runs WHERE namespace_id = $1 AND id = $2)",
        );
        let statement = Statement::new(sql).named("workflow.definition_of").bind(self.namespace);
        let row: Option<Row> = self.repo.read_optional(statement.bind(run.get())).await?;
        row.as_ref().map(read).transpose()
    }

    /// The contents that a workflow had, the latest first.
    ///
    /// # Errors
    /// As [`Store::definition`].
    pub async fn definitions(&self, name: &str) -> Result<Vec<StoredDefinition>> {
        let statement =
            Statement::new(const_format(COLUMNS, " AND name = $2 ORDER BY version DESC, id DESC"));
        let statement = statement.named("workflow.definitions").bind(self.namespace).bind(name);
        self.repo.read(statement).await?.iter().map(read).collect()
    }
}

impl Store {
    /// The names and versions of all definitions, each once, the highest version first.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn versions(&self) -> Result<Vec<(String, u32)>> {
        let statement = Statement::new(
            "SELECT DISTINCT name, version FROM wf_definitions WHERE namespace_id = $1 ORDER BY name, version DESC",
        );
        let rows = self.repo.read(statement.named("workflow.versions").bind(self.namespace)).await?;
        rows.iter().map(|row| Ok((row.get("name")?, row.get("version")?))).collect()
    }

    /// How many runs each workflow has of each status, up to [`MAX_COUNTED`] + 1, which stands for more: so the cost does not grow with the
    /// number of runs. Statuses that no run has are left out.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn counts(&self) -> Result<Vec<(String, Status, u64)>> {
        let statement = Statement::new(COUNTS).named("workflow.counts").bind(self.namespace);
        let rows = self.repo.read(statement.bind(MAX_COUNTED + 1)).await?;
        let read =
            |row: &Row| Ok((row.get("workflow")?, status(&row.get::<String>("status")?)?, row.get("runs")?));
        let counts: Vec<_> = rows.iter().map(read).collect::<Result<_>>()?;
        Ok(counts.into_iter().filter(|(_, _, count)| *count > 0).collect())
    }
}

fn const_format(head: &str, tail: &str) -> mainstay_repo::Sql {
    let text = format!("{head}{tail}");
    mainstay_repo::Sql::dynamic(text.clone(), text)
}

fn read(row: &Row) -> Result<StoredDefinition> {
    let graph: Graph = decode("definition", &row.get::<String>("graph")?)?;
    let fingerprint: Fingerprint = row.parse("fingerprint")?;
    if graph.fingerprint() != fingerprint {
        return Err(corrupt("a stored definition is not the one that its fingerprint names"));
    }
    Ok(StoredDefinition {
        id: DefinitionId(row.get("id")?),
        name: row.get("name")?,
        version: row.get("version")?,
        fingerprint,
        graph,
        created_at: row.get("created_at")?,
        queues: match row.get::<Option<String>>("queues")? {
            Some(text) => decode("queues of a definition", &text)?,
            None => BTreeMap::new(),
        },
    })
}
