//! Two tables whose rows come in pairs: a pair that is not whole after a crash proves a torn write.

use mainstay_repo::{Batch, Component, Expect, Migration, Script, Sql, Statement};

/// The tables.
pub const COMPONENT: Component = Component {
    name: "linked",
    migrations: &[Migration {
        version: 1,
        name: "create the linked tables",
        sqlite: Script::reversible(
            "CREATE TABLE heads (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
             CREATE TABLE tails (head TEXT PRIMARY KEY REFERENCES heads (id), size INTEGER NOT NULL) STRICT;
             CREATE TABLE tally (id INTEGER PRIMARY KEY, pairs INTEGER NOT NULL) STRICT;
             INSERT INTO tally (id, pairs) VALUES (1, 0)",
            "DROP TABLE tally; DROP TABLE tails; DROP TABLE heads",
        ),
        postgres: Script::reversible(
            "CREATE TABLE heads (id text PRIMARY KEY, body text NOT NULL);
             CREATE TABLE tails (head text PRIMARY KEY REFERENCES heads (id), size bigint NOT NULL);
             CREATE TABLE tally (id bigint PRIMARY KEY, pairs bigint NOT NULL);
             INSERT INTO tally (id, pairs) VALUES (1, 0)",
            "DROP TABLE tally; DROP TABLE tails; DROP TABLE heads",
        ),
    }],
};

/// Writes a pair and counts it; some pairs are of several pages.
#[must_use]
pub fn pair(id: &str, size: u32) -> Batch {
    let body = "x".repeat(usize::try_from(size).unwrap_or_default());
    let mut batch = Batch::new("linked.pair");
    let head = batch.expect(
        Expect::ONE,
        Statement::new("INSERT INTO heads (id, body) VALUES ($1, $2) RETURNING id").bind(id).bind(body),
    );
    batch.expect(
        Expect::ONE,
        Statement::new("INSERT INTO tails (head, size) VALUES ($1, $2)").bind(head.column("id")).bind(size),
    );
    batch.expect(Expect::ONE, Statement::new("UPDATE tally SET pairs = pairs + 1 WHERE id = 1"));
    batch
}

/// The ids of all whole pairs, as `id`.
#[must_use]
pub fn whole_pairs() -> Statement {
    Statement::new(
        "SELECT id FROM heads JOIN tails ON tails.head = heads.id WHERE length(heads.body) = tails.size ORDER BY id",
    )
}

/// How many heads, tails and counted pairs there are, as `heads`, `tails` and `pairs`.
#[must_use]
pub fn counts() -> Statement {
    Statement::new(
        "SELECT (SELECT count(*) FROM heads) AS heads, (SELECT count(*) FROM tails) AS tails, \
         (SELECT pairs FROM tally WHERE id = 1) AS pairs",
    )
}

/// What is wrong with the database itself, as `problem`; no row when nothing is.
#[must_use]
pub fn damage() -> Statement {
    Statement::new(Sql::per_dialect(
        "SELECT integrity_check AS problem FROM pragma_integrity_check WHERE integrity_check <> 'ok' \
         UNION ALL SELECT \"table\" || ' has a broken reference' FROM pragma_foreign_key_check",
        // Reads every row through its index and through the table.
        "SELECT 'a row is in only one of index and table' AS problem FROM heads h \
         FULL JOIN (SELECT id FROM heads ORDER BY id) i ON h.id = i.id WHERE h.id IS NULL OR i.id IS NULL",
    ))
}
