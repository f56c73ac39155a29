//! Runs as people and programs look for them: one, or a page of many.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::{Cursor, Page, PageSize, Timestamp};
use mainstay_repo::json::JsonField;
use mainstay_repo::{Dialect, Row, Sql, Statement, Value as Column};

use super::Store;
use super::codec::{STATUSES, decode, status, status_text};
use super::filter::{Filter, Order, scalar};
use super::limits::CURSOR_HELP;
use super::terms::{UNINDEXED, term};
use crate::error::{Error, ErrorKind, Result};
use crate::id::RunId;
use crate::plan::{Attempt, Status};

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Which.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// The business key, `key::value`.
    pub key: Option<String>,
    /// What is with it, in one word.
    pub status: Status,
    /// Why it ended so.
    pub reason: Option<String>,
    /// Smaller numbers go first.
    pub priority: i16,
    /// The run that it is a child of, and the attempt that it is there.
    pub parent: Option<(RunId, Attempt)>,
    /// Whether the engine moves it; a run that came from elsewhere is only kept.
    pub managed: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When its status changed last.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

pub(super) const COLUMNS: &str = "r.id, r.workflow, r.version, r.business_key, r.status, r.reason, r.priority, r.parent_id, \
    r.parent_attempt, r.definition_id IS NOT NULL AS managed, r.created_at, r.updated_at, r.ended_at";

pub(super) fn summary(row: &Row) -> Result<RunSummary> {
    let parent: Option<i64> = row.get("parent_id")?;
    let attempt: Option<String> = row.get("parent_attempt")?;
    let parent = match (parent, attempt) {
        (Some(run), Some(attempt)) => Some((RunId::from_stored(run), decode("attempt", &attempt)?)),
        _ => None,
    };
    Ok(RunSummary {
        run: RunId::from_stored(row.get("id")?),
        workflow: row.get("workflow")?,
        version: row.get("version")?,
        key: row.get("business_key")?,
        status: status(&row.get::<String>("status")?)?,
        reason: row.get("reason")?,
        priority: row.get::<i64>("priority")?.try_into().unwrap_or_default(),
        parent,
        managed: row.get("managed")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        ended_at: row.get("ended_at")?,
    })
}

/// A text in both dialects and its parameters.
struct Building {
    sqlite: String,
    postgres: String,
    params: Vec<Column>,
}

impl Building {
    /// Adds a condition; `?` is its value's place.
    fn and(&mut self, condition: &str, value: impl Into<Column>) {
        let place = self.place(value);
        let text = format!(" AND {}", condition.replace('?', &place));
        self.both(&text);
    }

    fn place(&mut self, value: impl Into<Column>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    fn both(&mut self, text: &str) {
        self.sqlite.push_str(text);
        self.postgres.push_str(text);
    }
}

/// The definitions that have the tags that are asked for, by workflow.
type Tagged = BTreeMap<String, BTreeSet<i64>>;

/// A search by tags looks each workflow up that has them, if these are no more.
const MAX_TAGGED: usize = 32;

/// How a search goes at the table. SQLite keeps no statistics unless it is told to, so it is told the index.
struct Access {
    /// The index for SQLite.
    index: Option<&'static str>,
    /// Whether each status is looked up by itself.
    by_status: bool,
}

impl Access {
    fn of(filter: &Filter, tagged: &Tagged) -> Self {
        let by = |index, by_status| Self { index: Some(index), by_status };
        match &filter.id {
            Some(id) if id.parse::<RunId>().is_ok() => Self { index: None, by_status: false },
            Some(_) => by("wf_runs_key_idx", false),
            None if filter.parent.is_some() => by("wf_runs_parent_idx", false),
            None if !filter.context.is_empty() => Self { index: None, by_status: false },
            None if filter.workflow.is_some() || (!filter.tags.is_empty() && tagged.len() <= MAX_TAGGED) => {
                by("wf_runs_workflow_idx", true)
            }
            None if filter.statuses.is_some() => by("wf_runs_status_idx", true),
            None => Self { index: None, by_status: false },
        }
    }
}

impl Store {
    /// A page of the runs that meet all conditions. The cost of a page does not depend on how many come before it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a cursor of something else; [`ErrorKind::Database`].
    pub async fn list(
        &self,
        filter: &Filter,
        order: Order,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<RunSummary>> {
        let after = after.map(|cursor| cursor.as_str().parse::<RunId>()).transpose().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "the cursor is not one of a list of runs")
                .with_help(CURSOR_HELP)
                .with_source(error)
        })?;
        if filter.statuses.as_ref().is_some_and(std::collections::BTreeSet::is_empty) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let tagged = self.tagged(&filter.tags).await?;
        if !filter.tags.is_empty() && tagged.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let statement = self.search(filter, &tagged, order, size, after)?;
        let runs = self.repo.read(statement).await?.iter().map(summary).collect::<Result<Vec<_>>>()?;
        Ok(Page::from_surplus(runs, size, |run| Cursor::new(run.run.to_string())))
    }

    fn search(
        &self,
        filter: &Filter,
        tagged: &Tagged,
        order: Order,
        size: PageSize,
        after: Option<RunId>,
    ) -> Result<Statement> {
        let mut text =
            Building { sqlite: String::new(), postgres: String::new(), params: vec![self.namespace.into()] };
        let access = Access::of(filter, tagged);
        self.conditions(&mut text, filter, &access, order, after)?;
        if !tagged.is_empty() {
            let ids: Vec<String> = tagged.values().flatten().map(i64::to_string).collect();
            text.both(&format!(" AND r.definition_id IN ({})", ids.join(", ")));
        }
        // Each workflow by itself, where only its tags are asked for.
        let names: Vec<String> = match &filter.workflow {
            None if access.by_status && !tagged.is_empty() => {
                tagged.keys().map(|name| format!(" AND r.workflow = {}", text.place(name.as_str()))).collect()
            }
            _ => vec![String::new()],
        };
        let direction = if order == Order::Newest { "DESC" } else { "ASC" };
        let limit = text.place(size.get() + 1);
        let whole = |from: &str, conditions: &str| {
            let one = |place: &str| {
                format!(
                    "SELECT {COLUMNS} FROM {from} WHERE r.namespace_id = $1{place}{conditions} ORDER BY r.id {direction} LIMIT {limit}"
                )
            };
            if !access.by_status {
                return one("");
            }
            // The index has the runs of each status in order: a page of each of them, of which the page is made.
            let statuses = STATUSES
                .iter()
                .filter(|(status, _)| filter.statuses.as_ref().is_none_or(|wanted| wanted.contains(status)));
            let places = statuses.flat_map(|(_, word)| {
                names.iter().map(move |name| format!("{name} AND r.status = '{word}'"))
            });
            let branches: Vec<String> =
                places.map(|place| format!("SELECT * FROM ({}) AS b", one(&place))).collect();
            format!("{} ORDER BY id {direction} LIMIT {limit}", branches.join(" UNION ALL "))
        };
        let hint = access.index.map_or_else(String::new, |index| format!(" INDEXED BY {index}"));
        let sql = Sql::dynamic(
            whole(&format!("wf_runs r{hint}"), &text.sqlite),
            whole("wf_runs r", &text.postgres),
        );
        Ok(Statement::new(sql).named("workflow.list").bind_all(text.params))
    }

    fn conditions(
        &self,
        text: &mut Building,
        filter: &Filter,
        access: &Access,
        order: Order,
        after: Option<RunId>,
    ) -> Result<()> {
        match filter.id.as_deref().map(|id| (id, id.parse::<RunId>())) {
            Some((_, Ok(run))) => text.and("r.id = ?", run.get()),
            Some((key, Err(_))) => text.and("r.business_key = ?", key),
            None => {}
        }
        if let Some(statuses) = filter.statuses.as_ref().filter(|_| !access.by_status) {
            let words: Vec<String> =
                statuses.iter().map(|status| format!("'{}'", status_text(*status))).collect();
            text.both(&format!(" AND r.status IN ({})", words.join(", ")));
        }
        if let Some(name) = &filter.workflow {
            text.and("r.workflow = ?", name.as_str());
        }
        if let Some(version) = filter.version {
            text.and("r.version = ?", version);
        }
        if let Some(prefix) = &filter.family {
            // A range, so that no sign in the prefix has a meaning. No text is after the last of all characters.
            text.and("r.workflow >= ?", prefix.as_str());
            text.and("r.workflow < ?", format!("{prefix}\u{10ffff}"));
        }
        if let Some(parent) = filter.parent {
            text.and("r.parent_id = ?", parent.get());
        }
        if let Some(since) = filter.since {
            text.and("r.created_at >= ?", since);
            text.and("r.id >= ?", RunId::first_at(since).get());
        }
        if let Some(until) = filter.until {
            text.and("r.created_at < ?", until);
        }
        for (path, value) in &filter.context {
            self.context_condition(text, path, value)?;
        }
        if let Some(after) = after {
            text.and(if order == Order::Newest { "r.id < ?" } else { "r.id > ?" }, after.get());
        }
        Ok(())
    }

    /// The index gives candidates, the document decides.
    fn context_condition(
        &self,
        text: &mut Building,
        path: &[String],
        value: &serde_json::Value,
    ) -> Result<()> {
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        let place = text.params.len() + 1;
        let condition = JsonField::new("context", &keys)?.equals(scalar(value)?, place)?;
        text.params.push(condition.value);
        // As an array, so that PostgreSQL asks the index first and does not go through all runs in the hope of soon finding a page of them.
        text.postgres.push_str(&format!(
            " AND r.id = ANY (ARRAY (SELECT run_id FROM wf_contexts WHERE {}))",
            condition.postgres
        ));
        text.sqlite.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM wf_contexts c WHERE c.run_id = r.id AND {})",
            condition.sqlite
        ));
        if self.dialect() == Dialect::Sqlite {
            let term = text.place(term(&keys, value).unwrap_or(UNINDEXED));
            text.sqlite.push_str(&format!(
                " AND r.id IN (SELECT run_id FROM wf_terms WHERE namespace_id = $1 AND term IN ({term}, {UNINDEXED}))"
            ));
        }
        Ok(())
    }
}
