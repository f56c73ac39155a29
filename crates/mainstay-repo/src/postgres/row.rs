//! Rows on their way from PostgreSQL: binary columns into [`Value`]s.

use std::sync::Arc;

use mainstay_core::Timestamp;
use postgres_types::{FromSql, Kind, Type};
use tokio_postgres::Column;

use super::types::{EPOCH_MICROS, is_textual};
use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{Json, Value};

/// A column's octets as they came.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        _type: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_type: &Type) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_type: &Type) -> bool {
        true
    }
}

/// Refuses a statement one of whose columns no [`Value`] can hold, before it runs.
pub(super) fn check_columns(columns: &[Column]) -> Result<()> {
    columns.iter().try_for_each(|column| {
        if is_readable(column.type_()) {
            return Ok(());
        }
        let (name, kind) = (column.name(), column.type_().name());
        Err(Error::invalid_input(format!(
            "column {name:?} is of PostgreSQL's type {kind}, which has no value that is the same on both databases"
        ))
        .with_help(match kind {
            "numeric" => format!("cast it in the SQL: {name}::bigint, {name}::double precision or {name}::text"),
            "timestamp" | "date" => format!("use timestamptz, or cast it in the SQL: {name}::timestamptz or {name}::text"),
            _ => format!("cast it in the SQL: {name}::text"),
        }))
    })
}

/// Reads a row.
pub(super) fn read(names: &Arc<[Box<str>]>, row: &tokio_postgres::Row) -> Result<Row> {
    let mut values = Vec::with_capacity(names.len());
    for (place, column) in row.columns().iter().enumerate() {
        let raw: Raw<'_> = row.try_get(place).map_err(|source| {
            Error::invalid_input(format!("column {:?} cannot be read", column.name())).with_source(source)
        })?;
        let value = match raw.0 {
            None => Value::Null,
            Some(bytes) => decode(column.type_(), bytes).ok_or_else(|| unreadable(column))?,
        };
        values.push(value);
    }
    Ok(Row::new(Arc::clone(names), values))
}

fn unreadable(column: &Column) -> Error {
    Error::invalid_input(format!(
        "column {:?} holds a value of PostgreSQL's type {} that the other database cannot hold: NaN, infinity, an instant \
         outside the years 1 to 9999, or an array of several dimensions",
        column.name(),
        column.type_().name()
    ))
    .with_help(format!("cast it in the SQL: {}::text", column.name()))
}

/// Whether columns of a type can be read.
fn is_readable(kind: &Type) -> bool {
    match kind.kind() {
        Kind::Domain(base) => is_readable(base),
        Kind::Array(element) => !matches!(element.kind(), Kind::Array(_)) && is_readable(element),
        _ => {
            matches!(
                *kind,
                Type::BOOL
                    | Type::INT2
                    | Type::INT4
                    | Type::INT8
                    | Type::OID
                    | Type::FLOAT4
                    | Type::FLOAT8
                    | Type::TEXT
                    | Type::VARCHAR
                    | Type::BPCHAR
                    | Type::NAME
                    | Type::CHAR
                    | Type::UNKNOWN
                    | Type::UUID
                    | Type::BYTEA
                    | Type::JSON
                    | Type::JSONB
                    | Type::TIMESTAMPTZ
                    | Type::VOID
            ) || is_textual(kind)
        }
    }
}

fn decode(kind: &Type, bytes: &[u8]) -> Option<Value> {
    match kind.kind() {
        Kind::Domain(base) => return decode(base, bytes),
        Kind::Array(element) => return decode_array(element, bytes),
        _ => {}
    }
    Some(match *kind {
        Type::BOOL => Value::Bool(*bytes.first()? != 0),
        Type::INT2 => Value::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => Value::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => Value::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::OID => Value::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT4 => float(f32::from_be_bytes(bytes.try_into().ok()?).into())?,
        Type::FLOAT8 => float(f64::from_be_bytes(bytes.try_into().ok()?))?,
        Type::UUID => Value::Text(print_uuid(bytes.try_into().ok()?)),
        Type::BYTEA => Value::Bytes(bytes.to_vec()),
        Type::JSON => Value::Json(Json::from_database(text(bytes)?)),
        Type::JSONB => Value::Json(Json::from_database(text(bytes.strip_prefix(&[1])?)?)),
        Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            Value::Timestamp(Timestamp::from_unix_micros(micros).ok()?)
        }
        Type::VOID => Value::Null,
        _ => Value::Text(text(bytes)?),
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn float(value: f64) -> Option<Value> {
    (!value.is_nan()).then_some(Value::Float(value))
}

fn print_uuid(octets: [u8; 16]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(36);
    for (at, octet) in octets.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{octet:02x}");
    }
    text
}

fn take_int(bytes: &mut &[u8]) -> Option<i32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*head))
}

fn decode_array(element: &Type, mut bytes: &[u8]) -> Option<Value> {
    let dimensions = take_int(&mut bytes)?;
    let (_has_null, _element) = (take_int(&mut bytes)?, take_int(&mut bytes)?);
    if dimensions == 0 {
        return Some(Value::Array(Vec::new()));
    }
    if dimensions != 1 {
        return None;
    }
    let (count, _lower_bound) = (take_int(&mut bytes)?, take_int(&mut bytes)?);
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match usize::try_from(take_int(&mut bytes)?) {
            Err(_negative) => Value::Null,
            Ok(length) => {
                let (head, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                decode(element, head)?
            }
        });
    }
    Some(Value::Array(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::types::Encoded;

    fn round_trip(value: Value, kind: &Type) {
        let encoded = Encoded::one([&value].into_iter(), std::slice::from_ref(kind)).unwrap();
        let mut out = bytes::BytesMut::new();
        for param in encoded.params() {
            postgres_types::ToSql::to_sql(&param, kind, &mut out).unwrap();
        }
        assert_eq!(decode(kind, &out), Some(value), "{kind}");
    }

    #[test]
    fn what_is_written_is_read() {
        round_trip(Value::Bool(true), &Type::BOOL);
        round_trip(Value::Int(-7), &Type::INT2);
        round_trip(Value::Int(i32::MIN.into()), &Type::INT4);
        round_trip(Value::Int(i64::MAX), &Type::INT8);
        round_trip(Value::Float(0.25), &Type::FLOAT4);
        round_trip(Value::Float(f64::MIN_POSITIVE), &Type::FLOAT8);
        round_trip(Value::from("ä"), &Type::TEXT);
        round_trip(Value::from("00112233-4455-6677-8899-aabbccddeeff"), &Type::UUID);
        round_trip(Value::from(vec![0_u8, 255]), &Type::BYTEA);
        round_trip(Value::Json(Json::from_text("[1]").unwrap()), &Type::JSONB);
        round_trip(Value::Json(Json::from_text("[1]").unwrap()), &Type::JSON);
        round_trip(Value::Timestamp(Timestamp::MIN), &Type::TIMESTAMPTZ);
        round_trip(Value::Timestamp(Timestamp::MAX), &Type::TIMESTAMPTZ);
        round_trip(Value::Array(vec![]), &Type::TEXT_ARRAY);
        round_trip(Value::Array(vec![Value::from("a"), Value::Null, Value::from("")]), &Type::TEXT_ARRAY);
    }

    #[test]
    fn what_the_other_database_cannot_hold_is_not_read() {
        assert_eq!(decode(&Type::FLOAT8, &f64::NAN.to_be_bytes()), None);
        assert_eq!(decode(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()), None);
        assert_eq!(decode(&Type::INT8, &[0]), None);
        assert!(!is_readable(&Type::NUMERIC));
        assert!(!is_readable(&Type::NUMERIC_ARRAY));
        assert!(is_readable(&Type::INT8_ARRAY));
    }

    #[test]
    fn a_broken_array_is_not_read() {
        for bytes in [&[0_u8, 0][..], &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 20]] {
            assert_eq!(decode_array(&Type::INT8, bytes), None);
        }
    }
}
