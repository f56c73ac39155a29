//! This crate's tables, for both databases.

use mainstay_repo::{Component, Migration, Script};

/// The server's own tables: who runs on a database that several share.
pub(crate) const COMPONENT: Component = Component { name: "server", migrations: &[CREATE] };

const CREATE: Migration = Migration {
    version: 1,
    name: "create nodes",
    sqlite: Script::reversible(include_str!("migrations/nodes_sqlite.sql"), DOWN),
    postgres: Script::reversible(include_str!("migrations/nodes_postgres.sql"), DOWN),
};

const DOWN: &str = "DROP TABLE server_nodes; DROP TABLE server_gate;";
