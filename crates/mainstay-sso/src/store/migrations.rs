//! This crate's tables, for both databases.

use mainstay_repo::{Component, Migration, Script};

/// The tables of sign-in. Migrate it before the first [`Sso`](crate::Sso) is used.
pub const COMPONENT: Component = Component { name: "sso", migrations: &[CREATE] };

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
