//! The numbers of rows, which are never given twice, not even after a restore.

use mainstay_repo::{Dialect, Sql, Statement};

/// Publications.
pub(crate) const INTENTS: Numbered = Numbered("images_intents", "inc");
/// The tables that number their rows.
pub(crate) const TABLES: &[Numbered] = &[
    INTENTS,
    Numbered("images_holders", "id"),
    Numbered("images_leases", "token"),
    Numbered("images_blobs", "id"),
    Numbered("images", "id"),
];

/// A table and the column that numbers its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered(&'static str, &'static str);

/// Passes over so many numbers, and over all up to `least`.
pub(crate) fn skip(dialect: Dialect, table: &Numbered, least: i64, jump: i64) -> Vec<Statement> {
    let Numbered(name, column) = table;
    match dialect {
        Dialect::Sqlite => vec![
            dynamic(format!(
                "INSERT INTO sqlite_sequence (name, seq) SELECT '{name}', 0 \
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{name}')"
            )),
            dynamic(format!("UPDATE sqlite_sequence SET seq = MAX(seq, $1) + $2 WHERE name = '{name}'"))
                .bind(least)
                .bind(jump),
        ],
        _ => vec![
            dynamic(format!(
                "SELECT setval('{name}_{column}_seq', \
                 GREATEST((SELECT last_value FROM {name}_{column}_seq), CAST($1 AS bigint)) + CAST($2 AS bigint))"
            ))
            .bind(least)
            .bind(jump),
        ],
    }
}

fn dynamic(text: String) -> Statement {
    Statement::new(Sql::dynamic(text.clone(), text)).named("images.numbers_skip")
}
