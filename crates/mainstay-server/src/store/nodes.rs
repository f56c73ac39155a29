//! Who runs on the database: a row for each server, and for a command that no server survives, kept alive by its owner.
//!
//! The statements are PostgreSQL's: on SQLite a lock on a file says the same, at once and without writing, and the table stays
//! empty. Whether a row still counts is judged by the database's clock. Who comes in passes the gate first, a row that they all
//! write: so each sees whoever passed before.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Expect, FromRow, Sql, Statement};

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Server,
    Command,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Command => "command",
        }
    }
}

/// Whoever wants a row.
#[derive(Debug, Clone)]
pub(crate) struct NewNode {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Machine and process, for people.
    pub(crate) place: String,
    /// A server's public URL.
    pub(crate) public_url: String,
    /// The fingerprint of the development provider's certificate, where there is one.
    pub(crate) dev_key: Option<String>,
}

/// Somebody who runs.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) place: String,
    pub(crate) public_url: String,
    pub(crate) dev_key: Option<String>,
    pub(crate) seen_at: Timestamp,
}

const PASS: Sql = Sql::new("UPDATE server_gate SET passed = passed + 1 WHERE id = 1");
const FORGET: Sql = Sql::new(
    "DELETE FROM server_nodes WHERE seen_at < statement_timestamp() - $1::bigint * interval '1 microsecond'",
);
const OTHERS: Sql = Sql::new("SELECT id FROM server_nodes WHERE kind <> $1 LIMIT 1");
const INSERT: Sql = Sql::new(
    "INSERT INTO server_nodes (id, kind, place, public_url, dev_key, started_at, seen_at) \
     VALUES ($1, $2, $3, $4, $5, statement_timestamp(), statement_timestamp()) \
     ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at",
);
const SEEN: Sql = Sql::new("UPDATE server_nodes SET seen_at = statement_timestamp() WHERE id = $1");
const DELETE: Sql = Sql::new("DELETE FROM server_nodes WHERE id = $1");
const LIVE: Sql = Sql::new(
    "SELECT id, kind, place, public_url, dev_key, seen_at FROM server_nodes \
     WHERE seen_at >= statement_timestamp() - $1::bigint * interval '1 microsecond' ORDER BY id",
);

/// Adds a row, unless somebody of the other kind runs: a server and a command that takes its tables away exclude each other.
pub(crate) fn enter(node: &NewNode, ttl: Duration) -> Batch {
    let mut batch = Batch::new("server.node_enter");
    batch.push(Statement::new(PASS).named("server.gate_pass"));
    batch.push(Statement::new(FORGET).bind(micros(ttl)).named("server.node_forget"));
    batch.expect(Expect::NONE, Statement::new(OTHERS).bind(node.kind.as_str()).named("server.node_others"));
    batch.push(
        Statement::new(INSERT)
            .bind(&node.id)
            .bind(node.kind.as_str())
            .bind(&node.place)
            .bind(&node.public_url)
            .bind_optional_text(node.dev_key.as_ref())
            .named("server.node_insert"),
    );
    batch
}

/// Says that it still runs; no row when it was forgotten.
pub(crate) fn seen(id: &str) -> Statement {
    Statement::new(SEEN).bind(id).named("server.node_seen")
}

/// Removes a row.
pub(crate) fn leave(id: &str) -> Statement {
    Statement::new(DELETE).bind(id).named("server.node_leave")
}

/// Everybody who was seen of late.
pub(crate) fn live(ttl: Duration) -> Statement {
    Statement::new(LIVE).bind(micros(ttl)).named("server.node_live")
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
