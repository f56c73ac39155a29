//! Running one statement: prepare from the cache, bind by number, step, collect.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};

use super::error::translate;
use super::types::{Bind, read};
use crate::batch::{Written, resolve_params};
use crate::error::{Error, ErrorKind, Result};
use crate::row::Row;
use crate::statement::{Dialect, Statement};
use crate::value::Value;

type Columns = Arc<[Box<str>]>;

/// A connection and the column names of the statements that it has run, so that a point read does not build them anew.
pub(super) struct Session {
    connection: Connection,
    columns: RefCell<HashMap<String, Columns>>,
}

impl Session {
    /// How many statements' column names are kept; the cache starts over beyond that.
    const MAX_COLUMN_SETS: usize = 1_024;

    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, columns: RefCell::default() }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a statement that must not write.
    pub(super) fn read(&self, statement: &Statement) -> Result<Vec<Row>> {
        let mut prepared = self.prepare(statement)?;
        if !prepared.readonly() {
            return Err(Error::new(ErrorKind::ReadOnly, "a statement that writes was sent as a read")
                .with_help("send it by Repo::write or in a batch"));
        }
        self.bind(&mut prepared, &resolve_params(statement, &[])?)?;
        self.collect(&mut prepared, statement)
    }

    /// Runs a statement that may write; `done` holds what the statements before it in the batch did.
    pub(super) fn write(&self, statement: &Statement, done: &[Written]) -> Result<Written> {
        let mut prepared = self.prepare(statement)?;
        self.bind(&mut prepared, &resolve_params(statement, done)?)?;
        let readonly = prepared.readonly();
        let before = self.connection.total_changes();
        let rows = self.collect(&mut prepared, statement)?;
        let affected = if readonly {
            u64::try_from(rows.len()).unwrap_or(u64::MAX)
        } else if self.connection.total_changes() == before {
            // The connection's count of changed rows is that of the last INSERT, UPDATE or DELETE; this was none.
            0
        } else {
            self.connection.changes()
        };
        Ok(Written::new(affected, rows))
    }

    /// Runs SQL that belongs to the driver itself.
    pub(super) fn run(&self, sql: &str) -> Result<()> {
        let mut prepared = self.connection.prepare_cached(sql).map_err(|error| self.translate(error))?;
        prepared.raw_execute().map(drop).map_err(|error| self.translate(error))
    }

    pub(super) fn translate(&self, error: rusqlite::Error) -> Error {
        translate(&self.connection, error)
    }

    fn prepare(&self, statement: &Statement) -> Result<CachedStatement<'_>> {
        let sql = statement.sql().text(Dialect::Sqlite);
        self.connection.prepare_cached(sql).map_err(|error| self.translate(error))
    }

    /// Binds by the number in `$1`. SQLite takes `$1` for a name and numbers the names as they come, so the number is read
    /// from the name that SQLite reports.
    fn bind(&self, prepared: &mut CachedStatement<'_>, params: &[Cow<'_, Value>]) -> Result<()> {
        let mut highest = 0;
        for place in 1..=prepared.parameter_count() {
            let number = prepared
                .parameter_name(place)
                .and_then(|name| name.strip_prefix('$'))
                .and_then(|number| number.parse::<usize>().ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| Error::invalid_input("a placeholder is not of the form $1, $2, …"))?;
            highest = highest.max(number);
            let value = params.get(number - 1).ok_or_else(|| wrong_count(number, params.len()))?;
            prepared.raw_bind_parameter(place, Bind(value)).map_err(|error| self.translate(error))?;
        }
        if highest == params.len() { Ok(()) } else { Err(wrong_count(highest, params.len())) }
    }

    fn collect(&self, prepared: &mut CachedStatement<'_>, statement: &Statement) -> Result<Vec<Row>> {
        let count = prepared.column_count();
        if count == 0 {
            prepared.raw_execute().map_err(|error| self.translate(error))?;
            return Ok(Vec::new());
        }
        let columns = self.column_names(prepared, statement);
        let mut rows = prepared.raw_query();
        let mut collected = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.translate(error))? {
            let values = (0..count)
                .map(|place| row.get_ref(place).map_err(|error| self.translate(error)).and_then(read))
                .collect::<Result<Vec<_>>>()?;
            collected.push(Row::new(Arc::clone(&columns), values));
        }
        Ok(collected)
    }

    fn column_names(&self, prepared: &CachedStatement<'_>, statement: &Statement) -> Columns {
        let sql = statement.sql().text(Dialect::Sqlite);
        let mut kept = self.columns.borrow_mut();
        if let Some(columns) = kept.get(sql) {
            // `SELECT *` changes its columns when the table does.
            let same = columns.len() == prepared.column_count()
                && columns
                    .iter()
                    .enumerate()
                    .all(|(place, name)| prepared.column_name(place).is_ok_and(|now| now == &**name));
            if same {
                return Arc::clone(columns);
            }
        }
        let columns: Columns = prepared.column_names().into_iter().map(Box::from).collect();
        if kept.len() >= Self::MAX_COLUMN_SETS {
            kept.clear();
        }
        kept.insert(sql.to_owned(), Arc::clone(&columns));
        columns
    }
}

fn wrong_count(wanted: usize, given: usize) -> Error {
    Error::invalid_input(format!(
        "the statement has placeholders up to ${wanted}, and {given} parameters were bound"
    ))
}
