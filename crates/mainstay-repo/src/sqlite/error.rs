//! What SQLite's errors mean, in the terms that both databases share.

use rusqlite::{Connection, Error as SqliteError, ffi};

use crate::error::{ConstraintKind, Error, ErrorKind};

/// What SQLite says where a row is restricted by those that refer to it; a trigger of the host's says what the host wrote.
const RESTRICTED: &str = "FOREIGN KEY constraint failed";

/// Turns an error of SQLite into ours. The connection is asked for the names of constraints, which SQLite's message
/// gives only as columns.
pub(super) fn translate(connection: &Connection, error: SqliteError) -> Error {
    match &error {
        SqliteError::SqliteFailure(code, message) => {
            let message = message.clone().unwrap_or_else(|| code.to_string());
            let mut translated = from_code(connection, code.extended_code, &message);
            if !matches!(translated.kind(), ErrorKind::Conflict { .. } | ErrorKind::Constraint { .. }) {
                translated = translated.with_source(error);
            }
            translated
        }
        SqliteError::ToSqlConversionFailure(source) => Error::invalid_input(source.to_string()),
        SqliteError::MultipleStatement => Error::invalid_input("the text holds more than one SQL statement")
            .with_help("put each into a batch"),
        other => Error::invalid_input(other.to_string()).with_source(error),
    }
}

fn from_code(connection: &Connection, code: i32, message: &str) -> Error {
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            let constraint = unique_name(connection, code, message);
            return Error::new(
                ErrorKind::Conflict { constraint: constraint.clone() },
                format!("a row with that key is there already (constraint {constraint})"),
            );
        }
        // `ON DELETE RESTRICT` is a trigger of SQLite's own.
        ffi::SQLITE_CONSTRAINT_TRIGGER if message != RESTRICTED => {}
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
            return constraint(
                ConstraintKind::ForeignKey,
                None,
                "a row that it refers to is not there, or is still referred to",
            );
        }
        ffi::SQLITE_CONSTRAINT_CHECK => {
            let name = after_colon(message).map(str::to_owned);
            return constraint(ConstraintKind::Check, name, "the row does not meet a check");
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let column = after_colon(message).and_then(|path| path.rsplit('.').next()).map(str::to_owned);
            return constraint(ConstraintKind::NotNull, column, "a column must not be null");
        }
        ffi::SQLITE_CONSTRAINT_DATATYPE => {
            return Error::invalid_input(format!("a value is of another type than its column: {message}"));
        }
        ffi::SQLITE_IOERR_CORRUPTFS => return corrupt(message),
        _ => {}
    }
    match code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => {
            Error::new(ErrorKind::Busy, "another process holds the database's write lock")
                .with_help("end the other process or wait for it; `fuser FILE` names it")
        }
        ffi::SQLITE_INTERRUPT => Error::new(ErrorKind::Timeout, "the deadline passed while the statement was running; nothing was written")
            .with_help("narrow the statement, add an index, or allow more time"),
        ffi::SQLITE_READONLY => Error::new(ErrorKind::ReadOnly, format!("the database cannot be written: {message}"))
            .with_help("use Repo::write for writes; if the file is read-only, give this user the right to write it and its directory"),
        ffi::SQLITE_FULL => Error::new(ErrorKind::StorageFull, "the disk is full; nothing was written")
            .with_help("free space on the database's file system; the handle recovers by itself"),
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => corrupt(message),
        ffi::SQLITE_IOERR => Error::new(ErrorKind::Unavailable, format!("the disk refused an operation: {message}"))
            .with_help("look at the kernel's log and at the file system's free space and quota"),
        ffi::SQLITE_CANTOPEN => Error::new(ErrorKind::Unavailable, format!("the database file cannot be opened: {message}"))
            .with_help("check that the file and its directory exist and that this user may write them"),
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => Error::new(ErrorKind::PermissionDenied, message.to_owned()),
        ffi::SQLITE_NOMEM => Error::new(ErrorKind::Unavailable, "SQLite has no memory left"),
        ffi::SQLITE_INTERNAL | ffi::SQLITE_MISUSE => Error::new(ErrorKind::Internal, message.to_owned()),
        _ => Error::invalid_input(format!("SQLite refused the statement: {message}")),
    }
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the file is damaged or is not a SQLite database: {message}"))
        .with_help("check the path; if it is right, restore a backup and keep this file for analysis")
}

fn constraint(constraint: ConstraintKind, name: Option<String>, what: &str) -> Error {
    let message = match &name {
        Some(name) => format!("{what} ({name})"),
        None => what.to_owned(),
    };
    Error::new(ErrorKind::Constraint { constraint, name }, message)
}

fn after_colon(message: &str) -> Option<&str> {
    message.split_once(": ").map(|(_, rest)| rest)
}

/// The name of the violated unique constraint. SQLite says `UNIQUE constraint failed: people.email, people.team`, or
/// `index 'name'` for an index on expressions.
fn unique_name(connection: &Connection, code: i32, message: &str) -> String {
    let rest = after_colon(message).unwrap_or(message);
    if let Some(index) = rest.strip_prefix("index '") {
        return index.trim_end_matches('\'').to_owned();
    }
    let mut table = "";
    let columns: Vec<&str> = rest
        .split(", ")
        .map(|path| match path.rsplit_once('.') {
            Some((before, column)) => {
                table = before;
                column
            }
            None => path,
        })
        .collect();
    if code == ffi::SQLITE_CONSTRAINT_UNIQUE {
        index_on(connection, table, &columns).unwrap_or_else(|| format!("{table}_{}_key", columns.join("_")))
    } else {
        format!("{table}_pkey")
    }
}

/// The unique index on exactly these columns, by its own name; one that SQLite made for a table constraint gets the name
/// that PostgreSQL would give it.
fn index_on(connection: &Connection, table: &str, columns: &[&str]) -> Option<String> {
    let mut find = connection
        .prepare_cached(
            "SELECT il.name, il.origin, (SELECT group_concat(name, ', ') FROM \
             (SELECT name FROM pragma_index_info(il.name) ORDER BY seqno)) AS columns \
             FROM pragma_index_list(?1) il WHERE il.\"unique\"",
        )
        .ok()?;
    let wanted = columns.join(", ");
    let mut rows = find.query([table]).ok()?;
    while let Ok(Some(row)) = rows.next() {
        let (name, origin, on): (String, String, Option<String>) =
            (row.get(0).ok()?, row.get(1).ok()?, row.get(2).ok()?);
        if on.as_deref() == Some(wanted.as_str()) {
            return match origin.as_str() {
                "c" => Some(name),
                "pk" => Some(format!("{table}_pkey")),
                _ => None,
            };
        }
    }
    None
}
