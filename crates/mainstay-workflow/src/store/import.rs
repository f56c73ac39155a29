//! Bringing over what another engine left: the table `workflow_instances` of Hephaestus (Elixir, PostgreSQL), in any version of its schema.
//!
//! Ended instances become ended runs. Those that were under way are kept too, as paused runs that no engine moves: nobody here has their
//! code at the place where they stood. The report names each of them, and each that could not be brought over, with the reason.

use std::collections::BTreeMap;

use mainstay_core::Timestamp;
use mainstay_repo::{Dialect, Repo, Row, Sql, Statement};
use serde_json::{Map, Value, json};

use super::Store;
use super::query::RunSummary;
use super::runs::StoredRun;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;
use crate::plan::Status;

/// How many instances are read at a time.
pub const IMPORT_PAGE: u32 = 200;
/// How many notes an [`ImportReport`] keeps; all are counted.
pub const MAX_IMPORT_NOTES: usize = 1_000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Instances that are here now.
    pub imported: u64,
    /// Of these, how many had not ended. They are paused for ever; start them again.
    pub unfinished: u64,
    /// Instances that could not be brought over.
    pub refused: u64,
    /// Which, and why; and which of the imported had not ended. At most [`MAX_IMPORT_NOTES`].
    pub notes: Vec<ImportNote>,
    /// The last identifier that was read: go on after it.
    pub last: Option<String>,
}

/// Something to know about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportNote {
    /// Its identifier there.
    pub id: String,
    /// What there is to know.
    pub text: String,
    /// Whether it is here.
    pub imported: bool,
}

/// A page goes along the primary key, in the key's own order: nothing is sorted, and nothing is written out that is not on the page.
macro_rules! read {
    ($after:literal) => {
        concat!(
            "SELECT i.id::text AS id, to_jsonb(i)::text AS instance, (extract(epoch FROM i.inserted_at) * 1000000)::bigint AS created, \
             (extract(epoch FROM i.updated_at) * 1000000)::bigint AS updated FROM workflow_instances i ",
            $after,
            " ORDER BY i.id LIMIT $1"
        )
    };
}

const FIRST: &str = read!("");
const NEXT_TEXT: &str = read!("WHERE i.id > $2");
const NEXT_UUID: &str = read!("WHERE i.id > $2::text::uuid");
/// The identifier's type changed with the versions of the table.
const IS_UUID: &str = "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('workflow_instances') \
    AND attname = 'id' AND atttypid = 'uuid'::regtype) AS is_uuid";
const KNOWN: Sql = Sql::per_dialect(
    "SELECT business_key, id FROM wf_runs INDEXED BY wf_runs_key_idx WHERE namespace_id = $1 AND business_key IS NOT NULL \
        AND business_key IN (SELECT value FROM json_each($2)) AND definition_id IS NULL",
    "SELECT business_key, id FROM wf_runs WHERE namespace_id = $1 AND business_key = ANY($2::text[]) AND definition_id IS NULL",
);

impl Store {
    /// Brings over all instances of the table `workflow_instances` of another database. An instance that is here already is replaced, so an
    /// import can be repeated, and one that broke off goes on `after` its report's last identifier.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the source is not PostgreSQL. [`ErrorKind::NotFound`]: the source has no such table; the text says where
    /// was looked. [`ErrorKind::Database`]: the source cannot be read, or this database cannot be written; what was brought over stays.
    pub async fn import(&self, source: &Repo, after: Option<&str>, now: Timestamp) -> Result<ImportReport> {
        let mut report = ImportReport { last: after.map(str::to_owned), ..ImportReport::default() };
        while self.import_page(source, &mut report, now).await? {}
        Ok(report)
    }

    /// Brings over the next page, after the report's last identifier, and adds to the report. Says whether there may be more.
    ///
    /// # Errors
    /// As [`Store::import`].
    pub async fn import_page(
        &self,
        source: &Repo,
        report: &mut ImportReport,
        now: Timestamp,
    ) -> Result<bool> {
        self.require()?;
        if source.dialect() != Dialect::Postgres {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the table workflow_instances lies in PostgreSQL",
            )
            .with_help("give a URL that begins with postgres://"));
        }
        let rows = match page(source, report.last.as_deref()).await {
            Ok(rows) => rows,
            Err(error) => return Err(unreadable(source, error).await),
        };
        let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<String>, _>>()?;
        let known =
            Statement::new(KNOWN).named("workflow.import_known").bind(self.namespace).bind(ids.clone());
        let mut runs: BTreeMap<String, RunId> = BTreeMap::new();
        for row in self.repo.read(known).await? {
            runs.insert(row.get("business_key")?, RunId::from_stored(row.get("id")?));
        }
        for (row, id) in rows.iter().zip(ids) {
            let run = runs.get(&id).copied().unwrap_or_else(|| self.next_run_id(now));
            match instance(row, &id, run).and_then(|stored| Ok((self.putting(&stored.run)?, stored))) {
                Ok((batch, stored)) => {
                    self.repo.batch(batch).await?;
                    report.imported += 1;
                    if let Some(text) = stored.unfinished {
                        report.unfinished += 1;
                        report.note(&id, text, true);
                    }
                }
                Err(error) if is_theirs(&error) => {
                    report.refused += 1;
                    report.note(&id, error.to_string(), false);
                }
                Err(error) => return Err(error),
            }
            report.last = Some(id);
        }
        Ok(u32::try_from(rows.len()).is_ok_and(|count| count == IMPORT_PAGE))
    }
}

impl ImportReport {
    fn note(&mut self, id: &str, text: String, imported: bool) {
        if self.notes.len() < MAX_IMPORT_NOTES {
            self.notes.push(ImportNote { id: id.to_owned(), text, imported });
        }
    }
}

/// The instances that follow an identifier.
async fn page(source: &Repo, after: Option<&str>) -> mainstay_repo::Result<Vec<Row>> {
    let read = |sql: &'static str| Statement::new(sql).named("workflow.import_read").bind(IMPORT_PAGE);
    let Some(after) = after else { return source.read(read(FIRST)).await };
    let row: Row = source.read_one(Statement::new(IS_UUID).named("workflow.import_key")).await?;
    source.read(read(if row.get("is_uuid")? { NEXT_UUID } else { NEXT_TEXT }).bind(after)).await
}

/// Why the table cannot be read: most often because it is not where the URL points.
async fn unreadable(source: &Repo, error: mainstay_repo::Error) -> Error {
    const WHERE: &str = "SELECT current_schema() AS schema, to_regclass('workflow_instances') IS NOT NULL AS found, \
        (SELECT string_agg(DISTINCT n.nspname, ', ' ORDER BY n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relname = 'workflow_instances' AND c.relkind IN ('r', 'p', 'v', 'm')) AS elsewhere";
    let look =
        Statement::new(Sql::dynamic(WHERE.to_owned(), WHERE.to_owned())).named("workflow.import_where");
    // When the source cannot even be asked, what it said first says why.
    let Ok(Some(row)) = source.read_optional::<Row>(look).await else { return error.into() };
    if row.get("found").unwrap_or(true) {
        return error.into();
    }
    let schema = row.get::<Option<String>>("schema").ok().flatten().unwrap_or_default();
    let elsewhere = row.get::<Option<String>>("elsewhere").ok().flatten();
    let text =
        format!("there is no table workflow_instances in the schema {schema:?} of {}", source.describe());
    let told = Error::new(ErrorKind::NotFound, text).with_source(error);
    told.with_help(match elsewhere {
        Some(schemas) => {
            format!("it is in the schema {schemas}: end the URL of the source with ?schema=NAME")
        }
        None => "name the database of the other engine with the URL of the source".to_owned(),
    })
}

/// Whether an instance is at fault, and not a database.
fn is_theirs(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::TooLarge { .. }
            | ErrorKind::Corrupt
            | ErrorKind::Database(mainstay_repo::ErrorKind::InvalidInput)
    )
}

/// An instance as it is kept here.
struct Instance {
    run: StoredRun,
    unfinished: Option<String>,
}

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

fn instance(row: &Row, id: &str, run: RunId) -> Result<Instance> {
    let text: String = row.get("instance")?;
    let instance: Value =
        serde_json::from_str(&text).map_err(|_| refused("the row is not readable as JSON"))?;
    let word = |name: &str| instance.get(name).and_then(Value::as_str);
    let workflow = word("workflow").ok_or_else(|| refused("it names no workflow"))?;
    let was = word("status").ok_or_else(|| refused("it has no status"))?;
    let status = match was {
        "completed" => Status::Completed,
        "failed" => Status::Failed,
        "cancelled" => Status::Cancelled,
        "pending" | "running" | "waiting" => Status::Paused,
        other => return Err(refused(format!("it has the status {other:?}, which is none of that engine's"))),
    };
    let version = match instance.get("workflow_version") {
        None | Some(Value::Null) => 1,
        Some(version) => version
            .as_u64()
            .and_then(|version| u32::try_from(version).ok())
            .filter(|version| *version > 0)
            .ok_or_else(|| refused(format!("it has the version {version}")))?,
    };
    let created_at = at(row, "created")?;
    let updated_at = at(row, "updated")?;
    let ended_at = (status != Status::Paused).then_some(updated_at);
    let state = instance.get("state").filter(|state| state.is_object());
    let state = state.ok_or_else(|| refused("its state is not an object"))?;
    let unfinished = (status == Status::Paused).then(|| {
        let steps = |name: &str| state.get(name).map_or_else(|| "[]".to_owned(), Value::to_string);
        format!(
            "it was {was}, and is kept paused: completed {}, active {}",
            steps("completed_steps"),
            steps("active_steps")
        )
    });
    let summary = RunSummary {
        run,
        workflow: workflow.to_owned(),
        version,
        key: Some(id.to_owned()),
        status,
        reason: unfinished.clone(),
        priority: 0,
        parent: None,
        managed: false,
        created_at,
        updated_at,
        ended_at,
    };
    Ok(Instance { run: StoredRun { summary, context: context(state)? }, unfinished })
}

fn at(row: &Row, column: &str) -> Result<Timestamp> {
    let micros: Option<i64> = row.get(column)?;
    let at = micros.and_then(|micros| Timestamp::from_unix_micros(micros).ok());
    at.ok_or_else(|| refused(format!("the time at which it was {column} is missing or out of range")))
}

/// The context as it was; what else the state says is kept under `attributes.imported`.
fn context(state: &Value) -> Result<Value> {
    let context = state.get("context").cloned().unwrap_or_else(|| json!({}));
    let part = |name: &str| context.get(name).cloned().unwrap_or(Value::Null);
    let steps = part("steps");
    if !steps.is_object() && !steps.is_null() {
        return Err(refused("the steps in its context are not an object"));
    }
    let kept = ["current_step", "active_steps", "completed_steps", "runtime_metadata"];
    let imported: Map<String, Value> = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), state.get(name)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    Ok(json!({"initial": part("initial"), "steps": steps, "attributes": {"imported": imported}}))
}
