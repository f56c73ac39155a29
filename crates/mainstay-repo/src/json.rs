//! JSON search that means the same on both databases, and uses an index on both.
//!
//! A [`JsonField`] names a scalar inside a JSON column by its path. It gives the condition for a statement and the DDL of
//! the index that serves it:
//!
//! | | SQLite | PostgreSQL |
//! |---|---|---|
//! | condition | `json_extract(col, path) = $n`, and the type must match | `col @> jsonb_build_object(…)` |
//! | index | on the expression `json_extract(col, path)` | GIN, `jsonb_path_ops`, one for the column |
//!
//! ```
//! use mainstay_repo::json::JsonField;
//! use mainstay_repo::{Sql, Statement};
//!
//! let order = JsonField::new("context", &["initial", "order_id"])?;
//! let condition = order.equals(123_i64, 1)?;
//! let sql = Sql::dynamic(
//!     format!("SELECT id FROM runs WHERE {}", condition.sqlite),
//!     format!("SELECT id FROM runs WHERE {}", condition.postgres),
//! );
//! let find = Statement::new(sql).bind(condition.value);
//! # Ok::<(), mainstay_repo::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::statement::Dialect;
use crate::value::Value;

/// A scalar inside a JSON column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonField {
    column: String,
    path: Vec<String>,
}

/// A condition in both dialects and the value of its one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonCondition {
    /// SQLite's text.
    pub sqlite: String,
    /// PostgreSQL's text.
    pub postgres: String,
    /// What to bind to the parameter.
    pub value: Value,
}

impl JsonField {
    /// The deepest path.
    pub const MAX_DEPTH: usize = 16;
    /// The longest key of a path, in octets.
    pub const MAX_KEY_BYTES: usize = 128;

    /// A field of a column. Keys are letters, digits, `_` and `-`: what both databases write the same way in a path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the column is not an identifier, or the path is
    /// empty, too deep or holds another character.
    pub fn new(column: &str, path: &[&str]) -> Result<Self> {
        if !is_identifier(column) {
            return Err(Error::invalid_input(format!("{column:?} is not a column's name")));
        }
        if path.is_empty() || path.len() > Self::MAX_DEPTH {
            return Err(Error::invalid_input(format!(
                "a JSON path has 1 to {} keys, not {}",
                Self::MAX_DEPTH,
                path.len()
            )));
        }
        if let Some(key) = path.iter().find(|key| !is_key(key)) {
            return Err(Error::invalid_input(format!("{key:?} is not a key of a JSON path"))
                .with_help("keys are 1 to 128 letters, digits, underscores and hyphens"));
        }
        Ok(Self { column: column.to_owned(), path: path.iter().map(|key| (*key).to_owned()).collect() })
    }

    /// The condition that the field is there and equals a value; `place` is the number of its parameter.
    ///
    /// A number never equals a text, and true never equals 1.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the value is not a text, a number or a truth value.
    pub fn equals(&self, value: impl Into<Value>, place: usize) -> Result<JsonCondition> {
        let value = value.into();
        value.check_portable()?;
        let (types, cast) = match &value {
            Value::Text(_) => ("'text'", "text"),
            Value::Int(_) => ("'integer', 'real'", "bigint"),
            Value::Float(_) => ("'integer', 'real'", "double precision"),
            Value::Bool(_) => ("'true', 'false'", "boolean"),
            other => {
                return Err(Error::invalid_input(format!(
                    "a JSON field is compared with a scalar, not with {}",
                    other.kind()
                )));
            }
        };
        let path = self.sqlite_path();
        let column = &self.column;
        let sqlite = format!(
            "(json_extract({column}, '{path}') = ${place} AND json_type({column}, '{path}') IN ({types}))"
        );
        let object =
            self.path.iter().rev().fold(format!("${place}::{cast}"), |inner, key| {
                format!("jsonb_build_object('{key}', {inner})")
            });
        Ok(JsonCondition { sqlite, postgres: format!("({column} @> {object})"), value })
    }

    /// The DDL of the index that serves [`JsonField::equals`]; on PostgreSQL one index serves every field of the column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when a name is not an identifier.
    pub fn index_ddl(&self, dialect: Dialect, index: &str, table: &str) -> Result<String> {
        if let Some(wrong) = [index, table].into_iter().find(|name| !is_identifier(name)) {
            return Err(Error::invalid_input(format!("{wrong:?} is not an identifier")));
        }
        Ok(match dialect {
            Dialect::Sqlite => {
                format!(
                    "CREATE INDEX {index} ON {table} (json_extract({}, '{}'))",
                    self.column,
                    self.sqlite_path()
                )
            }
            Dialect::Postgres => {
                format!("CREATE INDEX {index} ON {table} USING gin ({} jsonb_path_ops)", self.column)
            }
        })
    }

    fn sqlite_path(&self) -> String {
        self.path.iter().fold("$".to_owned(), |path, key| format!("{path}.\"{key}\""))
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.len() <= 63
}

fn is_key(key: &str) -> bool {
    (1..=JsonField::MAX_KEY_BYTES).contains(&key.len())
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_name_the_same_field() {
        let condition = JsonField::new("state", &["a", "b"]).unwrap().equals("x", 2).unwrap();
        assert_eq!(
            condition.sqlite,
            r#"(json_extract(state, '$."a"."b"') = $2 AND json_type(state, '$."a"."b"') IN ('text'))"#
        );
        assert_eq!(
            condition.postgres,
            "(state @> jsonb_build_object('a', jsonb_build_object('b', $2::text)))"
        );
    }

    #[test]
    fn what_could_leave_the_path_is_refused() {
        let deep = vec!["k"; JsonField::MAX_DEPTH];
        let long = "k".repeat(JsonField::MAX_KEY_BYTES);
        assert!(JsonField::new("c", &deep).is_ok());
        assert!(JsonField::new("c", &[&deep[..], &["k"]].concat()).is_err());
        assert!(JsonField::new("c", &[&long]).is_ok());
        assert!(JsonField::new("c", &[&format!("{long}k")]).is_err());
        for (column, key) in
            [("c; DROP", "k"), ("", "k"), ("c", ""), ("c", "a'b"), ("c", "a\"b"), ("c", "a.b")]
        {
            assert!(JsonField::new(column, &[key]).is_err(), "{column} {key}");
        }
        assert!(JsonField::new("c", &[]).is_err());
        assert!(JsonField::new("c", &["k"]).unwrap().equals(Value::Null, 1).is_err());
    }
}
