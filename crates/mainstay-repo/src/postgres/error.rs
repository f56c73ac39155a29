//! What PostgreSQL's errors mean: SQLSTATE in, [`ErrorKind`] out, the same kinds as the SQLite driver's.

use std::error::Error as _;
use std::fmt::Write as _;

use tokio_postgres::error::{DbError, Severity};

use super::tls;
use crate::error::{ConstraintKind, Error, ErrorKind};

/// What to do about a pooler that was not announced.
pub(super) const POOLER_HELP: &str = "behind a pooler in transaction mode, add pooler=transaction to the URL";

/// Why a statement did not come to an end. What it means for the caller depends on what was sent before.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server refused; the connection stands.
    Refused(tokio_postgres::Error),
    /// The connection is gone. `certain`: the server said so before the statement was done, so it had no effect.
    Lost { source: tokio_postgres::Error, certain: bool },
    /// The server did not answer a cancel request in time; the connection must be thrown away.
    Silent,
    /// The values do not fit, before anything was sent.
    Unfit(Error),
    /// The statement ran, and a value that it returned cannot be read.
    Unreadable(Error),
}

impl Fault {
    /// Sorts the server's refusals from a connection that is gone. `done`: the statement's end had been reported.
    pub(super) fn of(source: tokio_postgres::Error, done: bool) -> Self {
        match source.as_db_error() {
            Some(error) if is_fatal(error) => {
                let certain = !done && is_from_the_server(error);
                Self::Lost { source, certain }
            }
            Some(_) => Self::Refused(source),
            None => Self::Lost { source, certain: false },
        }
    }

    /// Whether the connection can still be used.
    pub(super) const fn leaves_connection(&self) -> bool {
        !matches!(self, Self::Lost { .. } | Self::Silent)
    }

    /// The SQLSTATE of a refusal.
    pub(super) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused(source) | Self::Lost { source, .. } => {
                source.as_db_error().map(|error| error.code().code())
            }
            _ => None,
        }
    }

    /// Whether a prepared statement outlived the tables that it was made for; prepared anew, it will run.
    pub(super) fn is_stale_plan(&self) -> bool {
        match self {
            Self::Refused(source) => source
                .as_db_error()
                .is_some_and(|error| error.code().code() == "26000" || is_changed_table(error)),
            _ => false,
        }
    }

    /// The error for a caller of whom nothing was written. `place` names the server.
    pub(super) fn into_error(self, place: &str) -> Error {
        match self {
            Self::Refused(source) | Self::Lost { source, .. } => from_server(source, place),
            Self::Silent => unavailable(format!("PostgreSQL at {place} does not answer"))
                .with_help("check the server and the network between; retry"),
            Self::Unfit(error) | Self::Unreadable(error) => error,
        }
    }
}

/// PostgreSQL has no code of its own for this.
fn is_changed_table(error: &DbError) -> bool {
    error.code().code() == "0A000" && error.message().contains("cached plan")
}

/// PostgreSQL names the place in its source; a pooler does not, and it cannot know what the server did after all.
fn is_from_the_server(error: &DbError) -> bool {
    error.routine().is_some()
}

/// PgBouncer's own refusals have one SQLSTATE for nearly everything, so they are told apart by their words.
fn sort_pooler(error: &DbError) -> Option<(ErrorKind, Option<&'static str>)> {
    if is_from_the_server(error) || error.code().code() != "08P01" {
        return None;
    }
    let says = |words: &str| error.message().contains(words);
    if says("unsupported startup parameter") {
        Some((ErrorKind::Configuration, Some(POOLER_HELP)))
    } else if says("authentication failed") || says("no such user") {
        Some((
            ErrorKind::PermissionDenied,
            Some("check the user and the password in the URL, and the pooler's auth_file"),
        ))
    } else if says("no such database") {
        Some((
            ErrorKind::Configuration,
            Some("name the database in the pooler's configuration, or correct the URL"),
        ))
    } else {
        None
    }
}

fn is_fatal(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    }
}

fn unavailable(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// The error of a server that did not answer a connection attempt in time.
pub(super) fn no_answer(place: &str, waited: std::time::Duration) -> Error {
    unavailable(format!("PostgreSQL at {place} did not accept a connection within {waited:?}"))
        .with_help("check that the server runs and that no firewall drops the packets; see connect_timeout")
}

/// The error of a connection attempt.
pub(super) fn from_connect(source: tokio_postgres::Error, place: &str) -> Error {
    if source.as_db_error().is_some() {
        return from_server(source, place);
    }
    let cause = causes(&source);
    let text = source.to_string();
    if text.contains("TLS") {
        let (why, help) = tls::explain(&source)
            .unwrap_or_else(|| (format!("the TLS handshake failed: {cause}"), tls::HANDSHAKE_HELP));
        return Error::configuration(format!("no encrypted connection to PostgreSQL at {place}: {why}"))
            .with_help(help)
            .with_source(source);
    }
    if text.contains("authentication") || text.contains("configuration") {
        return Error::new(
            ErrorKind::PermissionDenied,
            format!("PostgreSQL at {place} could not be signed in to: {cause}"),
        )
        .with_help("check the user and the password in the URL")
        .with_source(source);
    }
    unavailable(format!("PostgreSQL at {place} cannot be reached: {cause}"))
        .with_help("check that the server runs, and the host and port in the URL")
        .with_source(source)
}

/// The error of a server's refusal, or of a connection that is gone, when nothing was written.
pub(super) fn from_server(source: tokio_postgres::Error, place: &str) -> Error {
    let Some(error) = source.as_db_error() else {
        return unavailable(format!("the connection to PostgreSQL at {place} is gone: {}", causes(&source)))
            .with_help("retry; it is opened again by itself")
            .with_source(source);
    };
    let (kind, help) = if let Some(sorted) = sort_pooler(error) {
        sorted
    } else if is_changed_table(error) {
        (ErrorKind::Busy, Some("the table was altered at this moment; retry"))
    } else {
        sort(error)
    };
    let mapped = Error::new(kind, describe(error, place));
    let mapped = match (help, error.hint()) {
        (Some(help), _) => mapped.with_help(help),
        (None, Some(hint)) => mapped.with_help(hint.to_owned()),
        (None, None) => mapped,
    };
    mapped.with_source(source)
}

/// The chain of causes in one line; tokio-postgres's own text alone says little.
fn causes(error: &tokio_postgres::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{inner}");
        cause = inner.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

/// PostgreSQL's message and detail. The detail of a constraint holds the row's values, so it is left out there.
fn describe(error: &DbError, place: &str) -> String {
    let class = error.code().code().get(..2).unwrap_or_default();
    let mut text = format!("PostgreSQL: {} (SQLSTATE {})", error.message(), error.code().code());
    if matches!(class, "08" | "28" | "3D" | "53" | "57" | "58") {
        let _ = write!(text, " at {place}");
    }
    if class != "23"
        && let Some(detail) = error.detail()
    {
        let _ = write!(text, ": {detail}");
    }
    text
}

/// The kind of an error and its mend.
fn sort(error: &DbError) -> (ErrorKind, Option<&'static str>) {
    let name = || error.constraint().map(str::to_owned);
    let constraint = |constraint, name| ErrorKind::Constraint { constraint, name };
    let code = error.code().code();
    match code {
        "23505" | "23P01" => (ErrorKind::Conflict { constraint: name().unwrap_or_default() }, None),
        "23503" | "23001" => (constraint(ConstraintKind::ForeignKey, name()), None),
        "23502" => (constraint(ConstraintKind::NotNull, error.column().map(str::to_owned)), None),
        "23000" | "23514" | "44000" | "P0001" => (constraint(ConstraintKind::Check, name()), None),
        "25006" => {
            (ErrorKind::ReadOnly, Some("send it with `write` or `batch`, to a server that takes writes"))
        }
        "3D000" => (
            ErrorKind::Configuration,
            Some("create the database with `createdb`, or correct its name in the URL"),
        ),
        "3F000" => (ErrorKind::Configuration, Some("create the schema, or correct schema= in the URL")),
        // Statements that another client prepared on the same server connection, or that were prepared on another one.
        "26000" | "42P05" => (ErrorKind::Configuration, Some(POOLER_HELP)),
        "42501" => (ErrorKind::PermissionDenied, Some("GRANT the privilege to the user in the URL")),
        "53100" => (ErrorKind::StorageFull, Some("free space on the server's disk, then retry")),
        "53300" => {
            (ErrorKind::Unavailable, Some("lower pool_size= and committers=, or raise max_connections"))
        }
        "55P03" => (ErrorKind::Busy, Some("another transaction holds the row or table; retry")),
        "57014" => (ErrorKind::Timeout, Some("narrow the statement, add an index, or allow more time")),
        "57P04" => {
            (ErrorKind::Configuration, Some("the database was dropped; create it again or correct the URL"))
        }
        "25P03" | "25P04" => (ErrorKind::Timeout, Some("keep transactions short")),
        "XX001" | "XX002" | "58P01" => {
            (ErrorKind::Corrupt, Some("do not retry; check the server's disk and restore from a backup"))
        }
        _ => sort_class(code),
    }
}

fn sort_class(code: &str) -> (ErrorKind, Option<&'static str>) {
    match code.get(..2).unwrap_or_default() {
        "08" | "53" | "57" | "58" => (
            ErrorKind::Unavailable,
            Some("retry when the server runs again; connections are opened again by themselves"),
        ),
        "28" => {
            (ErrorKind::PermissionDenied, Some("check the user and the password in the URL, and pg_hba.conf"))
        }
        "40" | "55" => (ErrorKind::Busy, Some("another transaction was in the way; retry")),
        "0A" | "21" | "22" | "25" | "42" | "54" | "2B" | "2F" | "34" | "38" | "39" | "3B" | "P0" => {
            (ErrorKind::InvalidInput, None)
        }
        "23" | "27" | "09" => (ErrorKind::Constraint { constraint: ConstraintKind::Check, name: None }, None),
        _ => (ErrorKind::Internal, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_their_kinds() {
        for (code, kind) in [
            ("08006", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("53200", ErrorKind::Unavailable),
            ("28P01", ErrorKind::PermissionDenied),
            ("40001", ErrorKind::Busy),
            ("40P01", ErrorKind::Busy),
            ("42P01", ErrorKind::InvalidInput),
            ("22003", ErrorKind::InvalidInput),
            ("21000", ErrorKind::InvalidInput),
            ("XX000", ErrorKind::Internal),
        ] {
            assert_eq!(sort_class(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_silent_server_is_unavailable_and_named() {
        let error = Fault::Silent.into_error("db.example:5432");
        assert_eq!(error.kind(), &ErrorKind::Unavailable);
        assert!(error.message().contains("db.example:5432"));
    }
}
