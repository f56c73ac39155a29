//! The values that cross the boundary: the same meaning on SQLite and on PostgreSQL, or an error.

use mainstay_core::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A parameter or a column's value.
///
/// | value | SQLite (`STRICT` column) | PostgreSQL |
/// |---|---|---|
/// | `Null` | any | any |
/// | `Bool` | `INTEGER` 0 or 1 | `boolean` |
/// | `Int` | `INTEGER` | `smallint`, `integer`, `bigint` (out of range is an error) |
/// | `Float` | `REAL` (NaN is refused: SQLite stores it as null) | `real` where exact, `double precision` |
/// | `Text` | `TEXT` (NUL is refused: PostgreSQL cannot hold it) | `text`, `varchar` |
/// | `Bytes` | `BLOB` | `bytea` |
/// | `Json` | `TEXT` | `jsonb`, `json` |
/// | `Timestamp` | `INTEGER`, microseconds since 1970 | `timestamptz` |
/// | `Array` | `TEXT`, a JSON array for `json_each` | an array, for `= ANY($1)` |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Value {
    /// SQL null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float; never NaN in a database.
    Float(f64),
    /// Unicode text without NUL.
    Text(String),
    /// Octets.
    Bytes(Vec<u8>),
    /// A JSON document.
    Json(Json),
    /// An instant in UTC.
    Timestamp(Timestamp),
    /// A list of values of one kind, for `IN` and `ANY`; on SQLite not of bytes.
    Array(Vec<Value>),
}

impl Value {
    /// The kind's name, for error texts.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "json",
            Self::Timestamp(_) => "timestamp",
            Self::Array(_) => "array",
        }
    }

    /// About how much memory the value takes; the writers bound a group's size with it.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Json(json) => json.as_str().len(),
            Self::Array(values) => values.iter().map(Self::size_bytes).sum(),
            _ => size_of::<i64>(),
        }
    }

    /// Refuses what one of the two databases cannot hold exactly, before either sees it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for NaN, negative zero, and NUL in text or JSON.
    pub fn check_portable(&self) -> Result<()> {
        match self {
            Self::Float(number) if number.is_nan() => {
                Err(Error::invalid_input("a float parameter is NaN, which SQLite stores as null")
                    .with_help("store null, or the text 'NaN'"))
            }
            Self::Float(number) if *number == 0.0 && number.is_sign_negative() => {
                Err(Error::invalid_input("a float parameter is negative zero, which SQLite stores as zero")
                    .with_help("store 0.0"))
            }
            Self::Text(text) if text.contains('\0') => {
                Err(Error::invalid_input("a text parameter contains NUL, which PostgreSQL cannot hold")
                    .with_help("store it as bytes, or remove the NUL"))
            }
            Self::Json(json) if json.holds_nul() => {
                Err(Error::invalid_input("a JSON parameter contains \\u0000, which PostgreSQL cannot hold")
                    .with_help("store it as bytes, or remove the NUL"))
            }
            Self::Array(values) => values.iter().try_for_each(Self::check_portable),
            _ => Ok(()),
        }
    }
}

/// A JSON document, kept as the text that goes to the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(String);

impl Json {
    /// Serialises a value.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the value has no JSON form (a map with keys that are not text).
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        serde_json::to_string(value).map(Self).map_err(|source| {
            Error::invalid_input("a parameter cannot be written as JSON").with_source(source)
        })
    }

    /// Takes a text that is already JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is not.
    pub fn from_text(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|source| Error::invalid_input("a JSON parameter is not JSON").with_source(source))?;
        Ok(Self(text))
    }

    /// What a database gave back: JSON already, by the column's type.
    pub(crate) const fn from_database(text: String) -> Self {
        Self(text)
    }

    /// The document's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the document as a Rust type.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the document has another shape.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|source| {
            Error::invalid_input("a stored JSON document has another shape than the type it is read as")
                .with_source(source)
        })
    }

    /// Whether a string in the document holds U+0000. An escaped backslash before `u0000` is no NUL.
    fn holds_nul(&self) -> bool {
        self.0.match_indices("\\u0000").any(|(at, _)| {
            let before = self.0.as_bytes().get(..at).unwrap_or_default();
            before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
        })
    }
}

macro_rules! value_from {
    ($($from:ty => $pattern:ident => $build:expr),+ $(,)?) => {$(
        impl From<$from> for Value {
            fn from($pattern: $from) -> Self {
                $build
            }
        }
    )+};
}

value_from! {
    bool => value => Self::Bool(value),
    i64 => value => Self::Int(value),
    i32 => value => Self::Int(i64::from(value)),
    i16 => value => Self::Int(i64::from(value)),
    u32 => value => Self::Int(i64::from(value)),
    u16 => value => Self::Int(i64::from(value)),
    u8 => value => Self::Int(i64::from(value)),
    f64 => value => Self::Float(value),
    String => value => Self::Text(value),
    &str => value => Self::Text(value.to_owned()),
    &String => value => Self::Text(value.clone()),
    Vec<u8> => value => Self::Bytes(value),
    &[u8] => value => Self::Bytes(value.to_vec()),
    Json => value => Self::Json(value),
    Timestamp => value => Self::Timestamp(value),
    Vec<i64> => value => Self::Array(value.into_iter().map(Self::Int).collect()),
    Vec<String> => value => Self::Array(value.into_iter().map(Self::Text).collect()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Reads a Rust type from a column's value. SQLite gives truth values and instants as integers and JSON as text, so a
/// reader accepts the storage form of either database and nothing looser.
pub trait FromValue: Sized {
    /// What is expected, for the error text.
    const EXPECTED: &'static str;

    /// Reads the value; `None` when it is of another kind or out of range.
    fn from_value(value: Value) -> Option<Self>;
}

impl FromValue for Value {
    const EXPECTED: &'static str = "any value";

    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "a bool";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(value),
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}

macro_rules! from_int {
    ($($to:ty => $expected:literal),+ $(,)?) => {$(
        impl FromValue for $to {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Int(value) => Self::try_from(value).ok(),
                    _ => None,
                }
            }
        }
    )+};
}

from_int! {
    i64 => "an int",
    i32 => "an int of 32 bits",
    i16 => "an int of 16 bits",
    u64 => "an int that is not negative",
    u32 => "an unsigned int of 32 bits",
    u16 => "an unsigned int of 16 bits",
    u8 => "an unsigned int of 8 bits",
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a float";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "text";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const EXPECTED: &'static str = "bytes";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bytes(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue for Timestamp {
    const EXPECTED: &'static str = "a timestamp";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Timestamp(value) => Some(value),
            Value::Int(micros) => Self::from_unix_micros(micros).ok(),
            _ => None,
        }
    }
}

impl FromValue for Json {
    const EXPECTED: &'static str = "JSON";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Json(value) => Some(value),
            Value::Text(text) => Self::from_text(text).ok(),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_database_cannot_hold_is_refused() {
        for value in [
            Value::Float(f64::NAN),
            Value::Float(-0.0),
            Value::from("a\0b"),
            Value::Json(Json::from_text(r#"{"a":"\u0000"}"#).unwrap()),
            Value::from(vec!["\0".to_owned()]),
        ] {
            assert!(value.check_portable().is_err(), "{value:?}");
        }
        for value in [
            Value::Float(f64::INFINITY),
            Value::Json(Json::from_text(r#"{"a":"\\u0000"}"#).unwrap()),
            Value::from(i64::MIN),
        ] {
            assert!(value.check_portable().is_ok(), "{value:?}");
        }
    }

    #[test]
    fn storage_forms_of_both_databases_are_read() {
        assert_eq!(bool::from_value(Value::Int(1)), Some(true));
        assert_eq!(bool::from_value(Value::Int(2)), None);
        assert_eq!(Timestamp::from_value(Value::Int(0)), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(u8::from_value(Value::Int(256)), None);
        assert_eq!(Option::<i64>::from_value(Value::Null), Some(None));
        assert_eq!(i64::from_value(Value::Null), None);
        assert_eq!(<Json as FromValue>::from_value(Value::Text("{".into())), None);
    }
}
