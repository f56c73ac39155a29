//! Rows as they come from either database.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::value::{FromValue, Value};

/// One row: column names shared by the result, and this row's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) const fn new(columns: Arc<[Box<str>]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The column names, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(AsRef::as_ref)
    }

    /// The values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// A column's value as stored; `None` when there is no such column.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<&Value> {
        let at = self.columns.iter().position(|name| &**name == column)?;
        self.values.get(at)
    }

    /// A column's value as a Rust type.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when there is no such column or it holds another kind of value.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T> {
        let value = self.value(column).ok_or_else(|| self.no_such_column(column))?;
        read(column, value)
    }

    /// The value of the column at a place, from zero.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when there is no such column or it holds another kind of value.
    pub fn get_at<T: FromValue>(&self, place: usize) -> Result<T> {
        let value = self.values.get(place).ok_or_else(|| {
            Error::invalid_input(format!("the row has {} columns, none at {place}", self.values.len()))
        })?;
        read(self.columns.get(place).map_or("", AsRef::as_ref), value)
    }

    /// A text column read by the type's own parser; for typed ids and enums.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when there is no such column, it is not text or does not parse.
    pub fn parse<T>(&self, column: &str) -> Result<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text: String = self.get(column)?;
        parse_text(column, &text)
    }

    /// A text column read by the type's own parser, or nothing for null.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when there is no such column, it is not text or does not parse.
    pub fn parse_optional<T>(&self, column: &str) -> Result<Option<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text: Option<String> = self.get(column)?;
        text.map(|text| parse_text(column, &text)).transpose()
    }

    fn no_such_column(&self, column: &str) -> Error {
        Error::invalid_input(format!(
            "the row has no column {column:?}; it has {}",
            self.columns().collect::<Vec<_>>().join(", ")
        ))
    }
}

fn parse_text<T>(column: &str, text: &str) -> Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| Error::invalid_input(format!("column {column:?} does not parse: {error}")))
}

fn read<T: FromValue>(column: &str, value: &Value) -> Result<T> {
    let kind = value.kind();
    T::from_value(value.clone()).ok_or_else(|| {
        Error::invalid_input(format!("column {column:?} holds {kind} where {} is expected", T::EXPECTED))
    })
}

/// Reads a Rust type from a row. Derive it: each field is the column of its name.
///
/// ```
/// use mainstay_repo::FromRow;
///
/// #[derive(FromRow)]
/// struct Person {
///     id: i64,
///     name: Option<String>,
///     #[row(column = "years")]
///     age: u32,
/// }
/// ```
///
/// `#[row(parse)]` reads a text column by the type's `FromStr`; `#[row(json)]` reads a JSON column by its `Deserialize`.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when a column is missing or of another kind.
    fn from_row(row: &Row) -> Result<Self>;
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(row.clone())
    }
}

/// The error of a read that had to find a row.
pub(crate) fn no_row() -> Error {
    Error::new(ErrorKind::NotFound, "no row matches")
}
