//! What runs are pinned to: the canonical text of each content of each version, and its fingerprint.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Timestamp;
use mainstay_repo::{
    Batch, Capability, ErrorKind as RepoErrorKind, Expect, Row, Sql, Statement, Topology as _,
};

use super::codec::{corrupt, decode, status};
use super::nodes::{LIVE_WITHIN, live_nodes};
use super::{ATTEMPTS, Store, busy, is_refused};
use crate::definition::Workflow;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Fingerprint, Graph, Node};
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
    /// Whether a start that names no version gets this one, as the host said that began to work last.
    pub is_current: bool,
    /// Whether it is the content that its version has, and not one that it had.
    pub is_registered: bool,
}

const COLUMNS: &str = "SELECT id, name, version, fingerprint, graph, created_at, queues, is_current, is_registered FROM wf_definitions WHERE namespace_id = $1";

/// The index of workflow and status is read as far as is counted, for each workflow and each status.
const COUNTS: Sql = Sql::new(
    "SELECT d.name AS workflow, s.status AS status, (SELECT count(*) FROM (SELECT 1 FROM wf_runs r \
        WHERE r.namespace_id = $1 AND r.workflow = d.name AND r.status = s.status LIMIT $2) AS few) AS runs \
     FROM (SELECT DISTINCT name FROM wf_definitions WHERE namespace_id = $1) AS d CROSS JOIN (SELECT 'running' AS status \
        UNION ALL SELECT 'waiting' UNION ALL SELECT 'paused' UNION ALL SELECT 'stopping' UNION ALL SELECT 'completed' \
        UNION ALL SELECT 'failed' UNION ALL SELECT 'cancelled') AS s",
);

/// The contents of a version.
const CONTENTS: &str = "SELECT id, fingerprint, is_registered FROM wf_definitions WHERE namespace_id = $1 AND name = $2 AND version = $3";
/// The open runs of a content, as far as they are counted.
const OPEN: &str = "SELECT count(*) AS open FROM (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $1 AND r.workflow = $2 \
    AND r.status IN ('running', 'waiting', 'paused', 'stopping') AND r.definition_id = $3 LIMIT $4) AS few";
/// How many differences between two contents are told.
const MAX_DIFFERENCES: usize = 8;

/// The most runs of one workflow and one status that are counted.
pub const MAX_COUNTED: u32 = 10_000;

const TAG: &str = "INSERT INTO wf_tags (namespace_id, tag, definition_id, workflow) \
    SELECT namespace_id, $5, id, name FROM wf_definitions \
    WHERE namespace_id = $1 AND version = $2 AND name = $3 AND fingerprint = $4 ON CONFLICT DO NOTHING";
const TAGGED: &str = "SELECT workflow, definition_id FROM wf_tags WHERE namespace_id = $1 AND tag = $2";

impl Store {
    /// Keeps a workflow's content as that of its version; does nothing when it is.
    ///
    /// # Errors
    /// [`OtherGraph`](ErrorKind::OtherGraph): the version has another content, and open runs are pinned to that or other nodes may begin some:
    /// nobody would go on with these. [`Database`](ErrorKind::Database).
    pub async fn define(&self, flow: &Workflow, now: Timestamp) -> Result<DefinitionId> {
        let (name, version) = (flow.graph().name.as_str(), flow.graph().version);
        let fingerprint = flow.fingerprint().to_string();
        for _ in 0..ATTEMPTS {
            let find = Statement::new(CONTENTS).named("workflow.definition_find").bind(self.namespace);
            let contents = self.repo.read(find.bind(name).bind(version)).await?;
            let contents = contents.iter().map(content).collect::<Result<Vec<_>>>()?;
            let own = contents.iter().find(|content| content.fingerprint == fingerprint);
            if let Some(own) = own.filter(|own| own.is_registered) {
                return Ok(own.id);
            }
            let mut batch = Batch::new("workflow.define");
            if let Some(other) = contents.iter().find(|content| content.is_registered) {
                self.may_replace(other.id, flow.graph()).await?;
                tracing::info!(workflow = name, version, "the version has another content from now on");
                batch.expect(Expect::ONE, self.register(other.id, false));
            }
            match own {
                Some(own) => drop(batch.expect(Expect::ONE, self.register(own.id, true))),
                None => self.new_content(&mut batch, flow, &fingerprint, now),
            }
            match self.repo.batch(batch).await {
                Ok(_) => {}
                // Somebody else was first.
                Err(error)
                    if is_refused(&error) || matches!(error.kind(), RepoErrorKind::Constraint { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    fn register(&self, id: DefinitionId, is_registered: bool) -> Statement {
        let statement = Statement::new(
            "UPDATE wf_definitions SET is_registered = $3 WHERE namespace_id = $1 AND id = $2 AND is_registered <> $3",
        );
        statement.named("workflow.definition_register").bind(self.namespace).bind(id.0).bind(is_registered)
    }

    fn new_content(&self, batch: &mut Batch, flow: &Workflow, fingerprint: &str, now: Timestamp) {
        let (name, version) = (flow.graph().name.as_str(), flow.graph().version);
        let insert = Statement::new(
            "INSERT INTO wf_definitions (namespace_id, name, version, fingerprint, graph, created_at, is_registered) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        );
        let insert = insert.named("workflow.definition_new").bind(self.namespace).bind(name).bind(version);
        let insert = insert.bind(fingerprint).bind(flow.graph().canonical()).bind(now).bind(true);
        batch.expect(Expect::ONE, insert);
        for tag in &flow.graph().tags {
            let key = [name, fingerprint, tag.as_str()];
            let statement = Statement::new(TAG).named("workflow.tag_new").bind(self.namespace).bind(version);
            batch.push(key.into_iter().fold(statement, Statement::bind));
        }
    }

    /// Refuses another content for a version as long as somebody may rely on the one that it has.
    async fn may_replace(&self, stored: DefinitionId, given: &Graph) -> Result<()> {
        let open = self.open_runs(&given.name, stored).await?;
        // On a database of one process nobody else is there.
        let live =
            if self.repo.has(Capability::ManyWriters) { live_nodes(&self.repo).await? } else { Vec::new() };
        let at_work: Vec<String> = live
            .into_iter()
            .filter(|node| node.namespace == self.namespace())
            .map(|node| node.name)
            .collect();
        if open == 0 && at_work.is_empty() {
            return Ok(());
        }
        let stored = self.definition(stored).await?;
        let differs = stored.map_or_else(String::new, |stored| difference(&stored.graph, given));
        let (name, version) = (&given.name, given.version);
        let (why, instead) = if open > 0 {
            let open = match open {
                1 => "an open run is".to_owned(),
                MAX_COUNTED => format!("{open} or more open runs are"),
                _ => format!("{open} open runs are"),
            };
            (
                format!("{open} pinned to that, and nobody would go on with it"),
                "end these runs with the application as it was",
            )
        } else {
            let nodes = at_work.join(", ");
            (format!("nodes are at work that may begin runs of it: {nodes}"), "end these nodes")
        };
        let text = format!("{name} v{version} is kept here with another content ({differs}); {why}");
        Err(Error::new(ErrorKind::OtherGraph, text).with_help(format!(
            "give the change the next version and keep v{version} as it was beside it, or {instead} first: then it takes the place; a node that was \
             killed counts for {} s more",
            LIVE_WITHIN.as_secs()
        )))
    }

    /// How many open runs are pinned to contents that a version of the workflow had and has no more, at most [`MAX_COUNTED`] of each: nobody
    /// goes on with them but an application that still has that content. Earlier versions of Mainstay let it come to that.
    ///
    /// # Errors
    /// [`Database`](ErrorKind::Database).
    pub async fn left_behind(&self, flow: &Workflow) -> Result<u64> {
        let (name, version) = (flow.graph().name.as_str(), flow.graph().version);
        let find = Statement::new(CONTENTS).named("workflow.definition_find").bind(self.namespace);
        let contents = self.repo.read(find.bind(name).bind(version)).await?;
        let mut left = 0_u64;
        for content in contents.iter().map(content) {
            let content = content?;
            if !content.is_registered {
                left = left.saturating_add(u64::from(self.open_runs(name, content.id).await?));
            }
        }
        Ok(left)
    }

    /// The open runs of a content, at most [`MAX_COUNTED`].
    async fn open_runs(&self, workflow: &str, content: DefinitionId) -> Result<u32> {
        let open = Statement::new(OPEN).named("workflow.definition_open").bind(self.namespace);
        let row: Row = self.repo.read_one(open.bind(workflow).bind(content.0).bind(MAX_COUNTED)).await?;
        Ok(row.get("open")?)
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

    /// Notes that a start of a workflow which names no version gets this one; does nothing when that is known.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(crate) async fn set_current(&self, workflow: &str, id: DefinitionId) -> Result<()> {
        const CURRENT: &str = "SELECT 1 AS one FROM wf_definitions WHERE namespace_id = $1 AND name = $2 AND id = $3 AND is_current";
        const BEFORE: &str = "UPDATE wf_definitions SET is_current = $4 WHERE namespace_id = $1 AND name = $2 AND id <> $3 AND is_current";
        const NOW: &str =
            "UPDATE wf_definitions SET is_current = $4 WHERE namespace_id = $1 AND name = $2 AND id = $3";
        let on = |sql| {
            let statement = Statement::new(sql).named("workflow.definition_current").bind(self.namespace);
            statement.bind(workflow).bind(id.0)
        };
        for _ in 0..ATTEMPTS {
            if self.repo.read_optional::<Row>(on(CURRENT)).await?.is_some() {
                return Ok(());
            }
            let mut batch = Batch::new("workflow.definition_current");
            batch.push(on(BEFORE).bind(false));
            batch.push(on(NOW).bind(true));
            match self.repo.batch(batch).await {
                Ok(_) => return Ok(()),
                // Another host says so of another version at this moment.
                Err(error) if matches!(error.kind(), RepoErrorKind::Constraint { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
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

    /// The contents that a workflow had, the highest version first, and of each the content that it has now.
    ///
    /// # Errors
    /// As [`Store::definition`].
    pub async fn definitions(&self, name: &str) -> Result<Vec<StoredDefinition>> {
        let statement = Statement::new(const_format(
            COLUMNS,
            " AND name = $2 ORDER BY version DESC, is_registered DESC, id DESC",
        ));
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
        is_current: row.get("is_current")?,
        is_registered: row.get("is_registered")?,
    })
}

/// A content of a version.
struct Content {
    id: DefinitionId,
    fingerprint: String,
    is_registered: bool,
}

fn content(row: &Row) -> Result<Content> {
    let id = DefinitionId(row.get("id")?);
    Ok(Content { id, fingerprint: row.get("fingerprint")?, is_registered: row.get("is_registered")? })
}

/// What of a content is another.
fn difference(stored: &Graph, given: &Graph) -> String {
    let steps = |graph: &Graph| {
        graph.nodes.iter().map(|node| (node.key.to_string(), node.clone())).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (steps(stored), steps(given));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut differs: Vec<String> = keys
        .into_iter()
        .filter_map(|key| match (before.get(key), after.get(key)) {
            (Some(_), None) => Some(format!("the step {key} is gone")),
            (None, Some(_)) => Some(format!("the step {key} is new")),
            (Some(before), Some(after)) => {
                part(before, after).map(|part| format!("{part} of the step {key}"))
            }
            (None, None) => None,
        })
        .collect();
    let whole = [
        (stored.start != given.start, "the start"),
        (stored.tags != given.tags, "the tags"),
        (stored.metadata != given.metadata, "the metadata"),
        (stored.unique != given.unique, "the business key"),
        (stored.deadline_ms != given.deadline_ms, "the deadline"),
    ];
    differs.extend(whole.into_iter().filter(|(is_another, _)| *is_another).map(|(_, part)| part.to_owned()));
    let more = differs.len().saturating_sub(MAX_DIFFERENCES);
    differs.truncate(MAX_DIFFERENCES);
    if more > 0 {
        differs.push(format!("{more} more"));
    }
    differs.join(", ")
}

/// What of a step is another: its members are those of its stored form.
fn part(before: &Node, after: &Node) -> Option<String> {
    let members = |node: &Node| match serde_json::to_value(node) {
        Ok(serde_json::Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let others: Vec<&str> =
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect();
    (!others.is_empty()).then(|| others.join(" and "))
}
