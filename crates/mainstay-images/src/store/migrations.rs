//! This crate's tables, for both databases.

use mainstay_repo::{Component, Migration, Script};

/// The tables of images. Migrate it before the first [`Images`](crate::Images) is opened.
pub const COMPONENT: Component =
    Component { name: "images", migrations: &[CREATE, ACTS, FINDINGS, LIVES, MARKS] };

const DOWN: &str = include_str!("migrations/down.sql");

const CREATE: Migration = Migration {
    version: 1,
    name: "create images",
    sqlite: Script::reversible(include_str!("migrations/sqlite.sql"), DOWN),
    postgres: Script::reversible(include_str!("migrations/postgres.sql"), DOWN),
};

const ACTS_DOWN: &str = include_str!("migrations/acts_down.sql");

const ACTS: Migration = Migration {
    version: 2,
    name: "remember who did what with images",
    sqlite: Script::reversible(include_str!("migrations/acts_sqlite.sql"), ACTS_DOWN),
    postgres: Script::reversible(include_str!("migrations/acts_postgres.sql"), ACTS_DOWN),
};

const FINDINGS_DOWN: &str = include_str!("migrations/findings_down.sql");

const FINDINGS: Migration = Migration {
    version: 3,
    name: "remember what scrubs found, and which process collects",
    sqlite: Script::reversible(include_str!("migrations/findings_sqlite.sql"), FINDINGS_DOWN),
    postgres: Script::reversible(include_str!("migrations/findings_postgres.sql"), FINDINGS_DOWN),
};

const LIVES_DOWN: &str = include_str!("migrations/lives_down.sql");

const LIVES: Migration = Migration {
    version: 4,
    name: "tell lives of holders and turns of collectors from those before a restore",
    sqlite: Script::reversible(include_str!("migrations/lives_sqlite.sql"), LIVES_DOWN),
    postgres: Script::reversible(include_str!("migrations/lives_postgres.sql"), LIVES_DOWN),
};

const MARKS_DOWN: &str = include_str!("migrations/marks_down.sql");

const MARKS: Migration = Migration {
    version: 5,
    name: "find what a transaction made whose answer was lost, and tell of files that cannot be read",
    sqlite: Script::reversible(include_str!("migrations/marks_sqlite.sql"), MARKS_DOWN),
    postgres: Script::reversible(include_str!("migrations/marks_postgres.sql"), MARKS_DOWN),
};
