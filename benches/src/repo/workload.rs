//! The one workload: an upsert of a row with a 1 KiB JSON state, and a read of one row by its key.

use mainstay_repo::{Component, Json, Migration, Repo, Script, Sql, Statement, Target};

/// How many keys there are: about 13 MiB of rows, a hot set that every peer can hold in memory.
pub const KEYS: u64 = 10_000;

pub const UPSERT_SQLITE: &str = "INSERT INTO kv (id, state, version) VALUES ($1, $2, 1) \
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = kv.version + 1";
pub const UPSERT_POSTGRES: &str = "INSERT INTO kv (id, state, version) VALUES ($1, $2, 1) \
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = kv.version + 1";
const UPSERT_MANY: &str = "INSERT INTO kv (id, state, version) \
     SELECT id, state, 1 FROM unnest($1::bigint[], $2::jsonb[]) AS many (id, state) \
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = kv.version + 1";
pub const READ: &str = "SELECT state, version FROM kv WHERE id = $1";

const COMPONENT: Component = Component {
    name: "bench",
    migrations: &[Migration {
        version: 1,
        name: "create kv",
        sqlite: Script::reversible(
            "CREATE TABLE kv (id INTEGER PRIMARY KEY, state TEXT NOT NULL, version INTEGER NOT NULL) STRICT",
            "DROP TABLE kv",
        ),
        postgres: Script::reversible(
            "CREATE TABLE kv (id bigint PRIMARY KEY, state jsonb NOT NULL, version bigint NOT NULL)",
            "DROP TABLE kv",
        ),
    }],
};

/// A state of 1 KiB.
pub fn state() -> String {
    format!("{{\"note\":\"{}\"}}", "x".repeat(1024 - 11))
}

/// Creates the table.
pub async fn prepare(repo: &Repo) {
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("the table");
}

/// Fills every key, in batches.
pub async fn fill(repo: &Repo) {
    for first in (0..KEYS).step_by(1_000) {
        let mut batch = mainstay_repo::Batch::new("bench.fill");
        for key in first..(first + 1_000).min(KEYS) {
            batch.push(upsert(key, false));
        }
        repo.batch(batch).await.expect("filled");
    }
}

/// Our upsert; with `merge` PostgreSQL may make one statement of many.
pub fn upsert(key: u64, merge: bool) -> Statement {
    let sql = if merge {
        Sql::mergeable(UPSERT_SQLITE, UPSERT_POSTGRES, UPSERT_MANY)
    } else {
        Sql::per_dialect(UPSERT_SQLITE, UPSERT_POSTGRES)
    };
    Statement::new(sql).bind(key_of(key)).bind(Json::from_text(state()).expect("JSON"))
}

/// A key from a random number.
pub fn key_of(random: u64) -> i64 {
    i64::try_from(random % KEYS).unwrap_or(0)
}
