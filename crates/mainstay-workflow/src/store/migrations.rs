//! This crate's tables, for both databases.

use mainstay_repo::{Component, Migration, Script};

/// The tables of workflows. Migrate it before a [`Store`](crate::store::Store) is opened.
///
/// On PostgreSQL the tables lie in the schema that the repo's URL names.
pub const COMPONENT: Component =
    Component { name: "workflow", migrations: &[CREATE, ACTS, TAGS, BEGINNINGS, WAKING, HOLDS] };

const CREATE: Migration = Migration {
    version: 1,
    name: "create workflows",
    sqlite: Script::reversible(
        include_str!("migrations/up_sqlite.sql"),
        include_str!("migrations/down_sqlite.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/up_postgres.sql"),
        include_str!("migrations/down_postgres.sql"),
    ),
};

const ACTS: Migration = Migration {
    version: 2,
    name: "remember who did what",
    sqlite: Script::reversible(
        include_str!("migrations/2_up_sqlite.sql"),
        include_str!("migrations/2_down.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/2_up_postgres.sql"),
        include_str!("migrations/2_down.sql"),
    ),
};

const TAGS: Migration = Migration {
    version: 3,
    name: "find runs by tags, keep queues with definitions",
    sqlite: Script::reversible(
        include_str!("migrations/3_up_sqlite.sql"),
        include_str!("migrations/3_down.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/3_up_postgres.sql"),
        include_str!("migrations/3_down.sql"),
    ),
};

const BEGINNINGS: Migration = Migration {
    version: 4,
    name: "write the history in order, note what begins",
    sqlite: Script::reversible(
        include_str!("migrations/4_up_sqlite.sql"),
        include_str!("migrations/4_down_sqlite.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/4_up_postgres.sql"),
        include_str!("migrations/4_down_postgres.sql"),
    ),
};

const WAKING: Migration = Migration {
    version: 5,
    name: "wake runs by their definition",
    sqlite: Script::reversible(
        include_str!("migrations/5_up_sqlite.sql"),
        include_str!("migrations/5_down.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/5_up_postgres.sql"),
        include_str!("migrations/5_down.sql"),
    ),
};

const HOLDS: Migration = Migration {
    version: 6,
    name: "say who holds what wakes a run, let old things go",
    sqlite: Script::reversible(
        include_str!("migrations/6_up_sqlite.sql"),
        include_str!("migrations/6_down_sqlite.sql"),
    ),
    postgres: Script::reversible(
        include_str!("migrations/6_up_postgres.sql"),
        include_str!("migrations/6_down_postgres.sql"),
    ),
};
