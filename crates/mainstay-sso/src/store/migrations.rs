//! This crate's tables, for both databases.

use mainstay_repo::{Component, Migration, Script};

/// The tables of sign-in. Migrate it before the first [`Sso`](crate::Sso) is used.
pub const COMPONENT: Component = Component { name: "sso", migrations: &[CREATE, NAME_KEY] };

const CREATE: Migration = Migration {
    version: 1,
    name: "create sign-in",
    sqlite: Script::reversible(
        concat!(
            include_str!("migrations/core_sqlite.sql"),
            include_str!("migrations/intents_sqlite.sql"),
            include_str!("migrations/replay_sqlite.sql"),
        ),
        include_str!("migrations/down_sqlite.sql"),
    ),
    postgres: Script::reversible(
        concat!(
            include_str!("migrations/core_postgres.sql"),
            include_str!("migrations/intents_postgres.sql"),
            include_str!("migrations/replay_postgres.sql"),
        ),
        include_str!("migrations/down_postgres.sql"),
    ),
};

/// Connections can be found by their display name. Rows that are there already get a key of the database's own making, which
/// differs from ours in letters outside ASCII on SQLite and in doubled spaces, until their connection is changed next.
const NAME_KEY: Migration = Migration {
    version: 2,
    name: "find connections by name",
    sqlite: Script::reversible(NAME_KEY_UP, NAME_KEY_DOWN),
    postgres: Script::reversible(NAME_KEY_UP, NAME_KEY_DOWN),
};

const NAME_KEY_UP: &str = include_str!("migrations/name_key_up.sql");
const NAME_KEY_DOWN: &str = include_str!("migrations/name_key_down.sql");
