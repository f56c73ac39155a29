//! Statements as data: they can be sent, recorded, refused and run again.

use std::borrow::Cow;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::batch::BackReference;
use crate::error::{Error, Result};
use crate::value::Value;

/// The database behind a [`Repo`](crate::Repo), as far as SQL differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite, alone or under LiteFS.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// SQL text with `$1`, `$2`, … placeholders: one text for both databases, or one for each, side by side.
///
/// ```
/// use mainstay_repo::Sql;
///
/// const FIND: Sql = Sql::new("SELECT id, name FROM people WHERE id = $1");
/// const PICK: Sql = Sql::per_dialect(
///     "SELECT id FROM people WHERE id IN (SELECT value FROM json_each($1))",
///     "SELECT id FROM people WHERE id = ANY($1)",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sql {
    sqlite: Cow<'static, str>,
    postgres: Cow<'static, str>,
    bulk: Option<Cow<'static, str>>,
}

impl Sql {
    /// One text that means the same on both databases.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { sqlite: Cow::Borrowed(text), postgres: Cow::Borrowed(text), bulk: None }
    }

    /// Two texts that mean the same, each in its dialect.
    #[must_use]
    pub const fn per_dialect(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite: Cow::Borrowed(sqlite), postgres: Cow::Borrowed(postgres), bulk: None }
    }

    /// A text that was put together at run time, from parts that the program holds; values go into parameters.
    #[must_use]
    pub fn dynamic(sqlite: String, postgres: String) -> Self {
        Self { sqlite: Cow::Owned(sqlite), postgres: Cow::Owned(postgres), bulk: None }
    }

    /// Two texts, and PostgreSQL's form for many rows at once: the same parameters, each as an array
    /// (`unnest($1::text[], …)`).
    ///
    /// The committer uses it when several callers send this statement at the same moment. The plain statement must
    /// affect exactly one row and return none; if the many do not affect exactly as many rows as there are callers, the
    /// group is rolled back and each runs alone.
    #[must_use]
    pub const fn mergeable(sqlite: &'static str, postgres: &'static str, bulk: &'static str) -> Self {
        Self {
            sqlite: Cow::Borrowed(sqlite),
            postgres: Cow::Borrowed(postgres),
            bulk: Some(Cow::Borrowed(bulk)),
        }
    }

    /// The text for a dialect.
    #[must_use]
    pub fn text(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }

    /// PostgreSQL's form for many rows at once, if there is one.
    #[must_use]
    pub fn bulk(&self) -> Option<&str> {
        self.bulk.as_deref()
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

/// A parameter: a value, or a column of a row that an earlier statement of the same batch returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Param {
    /// A value.
    Value(Value),
    /// A value that only the batch's run will know.
    Back(BackReference),
}

impl<T: Into<Value>> From<T> for Param {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl From<BackReference> for Param {
    fn from(reference: BackReference) -> Self {
        Self::Back(reference)
    }
}

/// One SQL statement with its parameters.
///
/// ```
/// use mainstay_repo::Statement;
///
/// let find = Statement::new("SELECT name FROM people WHERE id = $1").bind(7_i64);
/// assert_eq!(find.params().len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    sql: Sql,
    params: Vec<Param>,
    name: Option<Cow<'static, str>>,
    table: Option<Cow<'static, str>>,
}

impl Statement {
    /// The most parameters that a statement takes, as many as SQLite's default build.
    pub const MAX_PARAMS: usize = 32_766;

    /// A statement without parameters yet.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Self { sql: sql.into(), params: Vec::new(), name: None, table: None }
    }

    /// Adds the next parameter.
    #[must_use]
    pub fn bind(mut self, param: impl Into<Param>) -> Self {
        self.params.push(param.into());
        self
    }

    /// Adds the next parameter as the text that `value` prints; for typed ids.
    #[must_use]
    pub fn bind_text(self, value: impl Display) -> Self {
        self.bind(value.to_string())
    }

    /// Adds the next parameter as the text that `value` prints, or null.
    #[must_use]
    pub fn bind_optional_text(self, value: Option<impl Display>) -> Self {
        self.bind(value.map(|value| value.to_string()))
    }

    /// Adds parameters in order.
    #[must_use]
    pub fn bind_all<P: Into<Param>>(mut self, params: impl IntoIterator<Item = P>) -> Self {
        self.params.extend(params.into_iter().map(Into::into));
        self
    }

    /// Names the statement for traces, metrics and the slow-operation log.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = Some(Cow::Borrowed(name));
        self
    }

    /// Says which table it is about, for middleware.
    #[must_use]
    pub fn on_table(mut self, table: &'static str) -> Self {
        self.table = Some(Cow::Borrowed(table));
        self
    }

    /// The SQL of every dialect.
    #[must_use]
    pub const fn sql(&self) -> &Sql {
        &self.sql
    }

    /// The parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The statement's name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The table it is about, if that was said.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// About how much memory the parameters take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.params
            .iter()
            .map(|param| match param {
                Param::Value(value) => value.size_bytes(),
                Param::Back(_) => size_of::<BackReference>(),
            })
            .sum()
    }

    /// Moves what it refers to: its batch was put behind so many statements of another one.
    pub(crate) fn shift(&mut self, by: usize) {
        for param in &mut self.params {
            if let Param::Back(reference) = param {
                reference.shift(by);
            }
        }
    }

    /// Checks all that can be checked before a database sees it. `index` is its place in a batch; alone it is zero.
    pub(crate) fn check(&self, index: usize) -> Result<()> {
        if self.params.len() > Self::MAX_PARAMS {
            return Err(Error::invalid_input(format!(
                "a statement has {} parameters; the most is {}",
                self.params.len(),
                Self::MAX_PARAMS
            ))
            .with_help("send an array, or several statements in one batch"));
        }
        refuse_control(&self.sql.sqlite)?;
        refuse_control(&self.sql.postgres)?;
        self.params.iter().try_for_each(|param| match param {
            Param::Value(value) => value.check_portable(),
            Param::Back(reference) => reference.check(index),
        })
    }
}

/// Statements that would end the transaction of others, or change a connection that others use.
const CONTROL_WORDS: [&str; 21] = [
    "ABORT",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "COPY",
    "DEALLOCATE",
    "DETACH",
    "DISCARD",
    "END",
    "LISTEN",
    "LOCK",
    "NOTIFY",
    "PRAGMA",
    "PREPARE",
    "RELEASE",
    "RESET",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "UNLISTEN",
];

/// Refuses a statement that begins with a word of transaction or session control. Several callers share a transaction, so
/// one that commits or rolls back by itself would break the promise made to the others.
fn refuse_control(sql: &str) -> Result<()> {
    let Some(text) = behind_comments(sql) else {
        return Err(Error::invalid_input("a statement is empty"));
    };
    let end = text.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let first = text.get(..end).unwrap_or_default();
    match CONTROL_WORDS.iter().find(|word| word.eq_ignore_ascii_case(first)) {
        None => Ok(()),
        Some(word) => Err(Error::invalid_input(format!(
            "a statement begins with {word}, which is not the caller's to say"
        ))
        .with_help(
            "use Repo::begin for transactions, a Batch for what belongs together, and the URL for settings",
        )),
    }
}

/// A statement behind the white space and comments that it begins with; none when nothing follows them.
fn behind_comments(sql: &str) -> Option<&str> {
    let mut rest = sql.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n')?.1
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else {
            return (!rest.is_empty()).then_some(rest);
        };
        rest = after.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_words_are_refused_behind_comments_too() {
        for sql in [
            "COMMIT",
            " rollback",
            "-- x\nBEGIN",
            "/* a */ /* b */ set x = 1",
            "PRAGMA x",
            "",
            "-- only",
            "/* open",
        ] {
            assert!(refuse_control(sql).is_err(), "{sql}");
        }
        for sql in
            ["SELECT 1", "INSERT INTO t VALUES (1)", "settle", "(SELECT 1)", "WITH a AS (SELECT 1) SELECT 1"]
        {
            assert!(refuse_control(sql).is_ok(), "{sql}");
        }
    }
}
