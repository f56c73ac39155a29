//! Running one statement: prepare from the cache, bind by number, step, collect.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{CachedStatement, Connection};

use super::error::translate;
use super::types::{Bind, read};
use crate::batch::{Written, resolve_params};
use crate::error::{Error, ErrorKind, Result};
use crate::row::Row;
use crate::statement::{Dialect, Statement};
use crate::value::Value;

type Columns = Arc<[Box<str>]>;

/// What is learnt of a statement's text when it is first prepared.
struct Known {
    /// The number in each placeholder's name, by the place that SQLite gave it.
    numbers: Box<[usize]>,
    /// The highest of them: how many parameters must be bound.
    wanted: usize,
    columns: Mutex<Columns>,
}

/// A statement that is ready to run, and its text.
pub(super) struct Prepared<'s, 't> {
    sql: &'t str,
    statement: CachedStatement<'s>,
    known: Arc<Known>,
}

/// A connection and what it has learnt of the statements that it has run, so that a point read does not learn it anew.
pub(super) struct Session {
    connection: Connection,
    known: RefCell<HashMap<String, Arc<Known>>>,
}

impl Session {
    /// How many statements' texts are remembered; the memory starts over beyond that.
    const MAX_KNOWN: usize = 1_024;

    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, known: RefCell::default() }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a statement that must not write.
    pub(super) fn read(&self, statement: &Statement) -> Result<Vec<Row>> {
        let (mut prepared, known) = self.prepare(statement)?;
        if !prepared.readonly() {
            return Err(Error::new(ErrorKind::ReadOnly, "a statement that writes was sent as a read")
                .with_help("send it by Repo::write or in a batch"));
        }
        self.bind(&mut prepared, &known, &resolve_params(statement, &[])?)?;
        self.collect(&mut prepared, &known)
    }

    /// Runs a statement that may write.
    pub(super) fn write(&self, statement: &Statement) -> Result<Written> {
        self.write_next(statement, &[], &mut None)
    }

    /// Runs a statement of a batch; `done` holds what those before it did. In a batch the same text comes many times in a row: what was
    /// prepared for it is kept from one to the next.
    pub(super) fn write_next<'s, 't>(
        &'s self,
        statement: &'t Statement,
        done: &[Written],
        kept: &mut Option<Prepared<'s, 't>>,
    ) -> Result<Written> {
        let sql = statement.sql().text(Dialect::Sqlite);
        let Prepared { statement: prepared, known, .. } = match kept {
            Some(same) if same.sql == sql => same,
            kept => {
                // The one before goes back into the cache first: it may be the same as a later one.
                *kept = None;
                let (prepared, known) = self.prepare(statement)?;
                kept.insert(Prepared { sql, statement: prepared, known })
            }
        };
        self.bind(prepared, known, &resolve_params(statement, done)?)?;
        let readonly = prepared.readonly();
        let before = self.connection.total_changes();
        let rows = self.collect(prepared, known)?;
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

    fn prepare(&self, statement: &Statement) -> Result<(CachedStatement<'_>, Arc<Known>)> {
        let sql = statement.sql().text(Dialect::Sqlite);
        let prepared = self.connection.prepare_cached(sql).map_err(|error| self.translate(error))?;
        if let Some(known) = self.known.borrow().get(sql) {
            return Ok((prepared, Arc::clone(known)));
        }
        let known = Arc::new(Known::learn(&prepared)?);
        let mut memory = self.known.borrow_mut();
        if memory.len() >= Self::MAX_KNOWN {
            memory.clear();
        }
        memory.insert(sql.to_owned(), Arc::clone(&known));
        Ok((prepared, known))
    }

    fn bind(
        &self,
        prepared: &mut CachedStatement<'_>,
        known: &Known,
        params: &[Cow<'_, Value>],
    ) -> Result<()> {
        if known.wanted != params.len() {
            return Err(wrong_count(known.wanted, params.len()));
        }
        for (place, number) in (1..).zip(&known.numbers) {
            let value = params.get(number - 1).ok_or_else(|| wrong_count(*number, params.len()))?;
            prepared.raw_bind_parameter(place, Bind(value)).map_err(|error| self.translate(error))?;
        }
        Ok(())
    }

    fn collect(&self, prepared: &mut CachedStatement<'_>, known: &Known) -> Result<Vec<Row>> {
        if prepared.column_count() == 0 {
            prepared.raw_execute().map_err(|error| self.translate(error))?;
            return Ok(Vec::new());
        }
        let mut collected = Vec::new();
        let mut columns: Option<Columns> = None;
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.translate(error))? {
            // Asked for after the first step: it prepares the statement anew when the table has changed.
            let columns = columns.get_or_insert_with(|| known.columns_of(row.as_ref()));
            let mut values = Vec::with_capacity(columns.len());
            for place in 0..columns.len() {
                values.push(row.get_ref(place).map_err(|error| self.translate(error)).and_then(read)?);
            }
            collected.push(Row::new(Arc::clone(columns), values));
        }
        Ok(collected)
    }
}

impl Known {
    /// SQLite takes `$1` for a name and numbers the names as they come, so the number is read from the name.
    fn learn(prepared: &CachedStatement<'_>) -> Result<Self> {
        let number = |place| {
            prepared
                .parameter_name(place)
                .and_then(|name| name.strip_prefix('$'))
                .and_then(|number| number.parse::<usize>().ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| Error::invalid_input("a placeholder is not of the form $1, $2, …"))
        };
        let numbers = (1..=prepared.parameter_count()).map(number).collect::<Result<Box<[_]>>>()?;
        let wanted = numbers.iter().copied().max().unwrap_or(0);
        Ok(Self { numbers, wanted, columns: Mutex::new(names_of(prepared)) })
    }

    /// The column names; `SELECT *` changes them when the table does.
    fn columns_of(&self, prepared: &rusqlite::Statement<'_>) -> Columns {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let same = columns.len() == prepared.column_count()
            && columns
                .iter()
                .enumerate()
                .all(|(place, name)| prepared.column_name(place).is_ok_and(|now| now == &**name));
        if !same {
            *columns = names_of(prepared);
        }
        Arc::clone(&columns)
    }
}

#[allow(clippy::useless_conversion, reason = "older versions of rusqlite in our range return a Vec")]
fn names_of(prepared: &rusqlite::Statement<'_>) -> Columns {
    prepared.column_names().into_iter().map(Box::from).collect()
}

fn wrong_count(wanted: usize, given: usize) -> Error {
    Error::invalid_input(format!(
        "the statement has placeholders up to ${wanted}, and {given} parameters were bound"
    ))
}
