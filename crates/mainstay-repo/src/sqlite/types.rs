//! Values on their way into and out of SQLite.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

use crate::error::{Error, Result};
use crate::value::Value;

/// A value as a parameter.
pub(super) struct Bind<'a>(pub(super) &'a Value);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let borrowed = |value| Ok(ToSqlOutput::Borrowed(value));
        match self.0 {
            Value::Null => borrowed(ValueRef::Null),
            Value::Bool(value) => borrowed(ValueRef::Integer(i64::from(*value))),
            Value::Int(value) => borrowed(ValueRef::Integer(*value)),
            Value::Float(value) => borrowed(ValueRef::Real(*value)),
            Value::Text(value) => borrowed(ValueRef::Text(value.as_bytes())),
            Value::Bytes(value) => borrowed(ValueRef::Blob(value)),
            Value::Json(value) => borrowed(ValueRef::Text(value.as_str().as_bytes())),
            Value::Timestamp(value) => borrowed(ValueRef::Integer(value.as_unix_micros())),
            Value::Array(values) => {
                let text = array_text(values)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                Ok(ToSqlOutput::Owned(SqlValue::Text(text)))
            }
        }
    }
}

/// A list as the JSON array that `json_each` reads.
fn array_text(values: &[Value]) -> Result<String> {
    let items = values.iter().map(array_item).collect::<Result<Vec<_>>>()?;
    Ok(serde_json::Value::Array(items).to_string())
}

fn array_item(value: &Value) -> Result<serde_json::Value> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::from(i64::from(*value)),
        Value::Int(value) => serde_json::Value::from(*value),
        Value::Float(value) if value.is_finite() => serde_json::Value::from(*value),
        Value::Text(value) => serde_json::Value::from(value.as_str()),
        Value::Timestamp(value) => serde_json::Value::from(value.as_unix_micros()),
        Value::Json(value) => value.to()?,
        Value::Float(_) | Value::Bytes(_) | Value::Array(_) => {
            return Err(Error::invalid_input(format!(
                "an array parameter holds {}, which SQLite's JSON arrays cannot",
                value.kind()
            ))
            .with_help("send one statement for each value, in one batch"));
        }
    })
}

/// A column's value.
pub(super) fn read(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8(value.to_vec()).map_err(|source| {
            Error::invalid_input("a text column holds octets that are not UTF-8").with_source(source)
        })?),
        ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_become_json_and_what_json_cannot_hold_is_refused() {
        let list = [Value::Int(1), Value::from("a\"b"), Value::Null, Value::Bool(true)];
        assert_eq!(array_text(&list).unwrap(), r#"[1,"a\"b",null,1]"#);
        assert_eq!(array_text(&[]).unwrap(), "[]");
        for refused in [Value::Bytes(vec![1]), Value::Float(f64::INFINITY), Value::Array(vec![])] {
            assert!(array_text(&[refused]).is_err());
        }
    }
}
