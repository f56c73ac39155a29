//! Values on their way to PostgreSQL: each is written in the binary form of the type that the server inferred for its
//! placeholder, or refused. Nothing is rounded and nothing is cast silently.

use std::ops::Range;

use bytes::BytesMut;
use postgres_types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::error::{Error, Result};
use crate::value::Value;

/// PostgreSQL counts instants from 2000-01-01; this is that day in microseconds since 1970.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Parameters in wire form, checked: sending them cannot fail on their values any more.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    params: Vec<Option<Range<usize>>>,
}

/// One parameter's octets; none is null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'a>(Option<&'a [u8]>);

impl ToSql for Slice<'_> {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(self.0.map_or(IsNull::Yes, |bytes| {
            out.extend_from_slice(bytes);
            IsNull::No
        }))
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Encoded {
    /// Writes one statement's values.
    pub(super) fn one<'a>(values: impl ExactSizeIterator<Item = &'a Value>, types: &[Type]) -> Result<Self> {
        check_count(values.len(), types.len())?;
        let mut encoded = Self::default();
        for (place, (value, kind)) in values.zip(types).enumerate() {
            encoded.push(|out| encode(value, kind, out).map_err(|misfit| misfit.at(place + 1, kind)))?;
        }
        Ok(encoded)
    }

    /// Writes several callers' values as arrays, one array a placeholder: `rows` of equal length.
    pub(super) fn transposed(rows: &[Vec<&Value>], types: &[Type]) -> Result<Self> {
        check_count(rows.first().map_or(0, Vec::len), types.len())?;
        let mut encoded = Self::default();
        for (place, kind) in types.iter().enumerate() {
            let Kind::Array(element) = kind.kind() else {
                return Err(Error::invalid_input(format!(
                    "the bulk text of a mergeable statement has {} at ${}, where an array is due",
                    kind.name(),
                    place + 1
                )));
            };
            let column = rows.iter().map(|row| row.get(place).copied().unwrap_or(&Value::Null));
            encoded.push(|out| {
                encode_array(column, rows.len(), element, out)
                    .map(|()| IsNull::No)
                    .map_err(|misfit| misfit.at(place + 1, kind))
            })?;
        }
        Ok(encoded)
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<IsNull>) -> Result<()> {
        let start = self.bytes.len();
        let range = match write(&mut self.bytes)? {
            IsNull::Yes => None,
            IsNull::No => Some(start..self.bytes.len()),
        };
        self.params.push(range);
        Ok(())
    }

    /// The parameters, for the client.
    pub(super) fn params(&self) -> impl ExactSizeIterator<Item = Slice<'_>> {
        self.params.iter().map(|range| Slice(range.clone().and_then(|range| self.bytes.get(range))))
    }
}

fn check_count(given: usize, wanted: usize) -> Result<()> {
    if given == wanted {
        return Ok(());
    }
    Err(Error::invalid_input(format!("the statement has {wanted} placeholders and {given} parameters"))
        .with_help("bind one parameter for each of $1, $2, …"))
}

/// Why a value does not go into a type.
enum Misfit {
    Kind(&'static str),
    Range(&'static str),
    Size,
}

impl Misfit {
    fn at(self, place: usize, kind: &Type) -> Error {
        let name = kind.name();
        match self {
            Self::Kind(value) => Error::invalid_input(format!(
                "parameter ${place} is of kind {value}, which does not go into PostgreSQL's {name}"
            ))
            .with_help(format!(
                "bind another kind, or say in the SQL what it is: ${place}::{}",
                natural_type(value)
            )),
            Self::Range(value) => Error::invalid_input(format!(
                "parameter ${place}, of kind {value}, cannot be held exactly by PostgreSQL's {name}"
            ))
            .with_help("use a wider column type, or another value"),
            Self::Size => Error::invalid_input(format!("parameter ${place} is larger than PostgreSQL takes")),
        }
    }
}

/// The type to cast a placeholder to, by the value's kind.
fn natural_type(value: &str) -> &'static str {
    match value {
        "bool" => "boolean",
        "int" => "bigint",
        "float" => "double precision",
        "bytes" => "bytea",
        "json" => "jsonb",
        "timestamp" => "timestamptz",
        "array" => "text[] or bigint[]",
        _ => "text",
    }
}

fn encode(value: &Value, kind: &Type, out: &mut Vec<u8>) -> std::result::Result<IsNull, Misfit> {
    if let Kind::Domain(base) = kind.kind() {
        return encode(value, base, out);
    }
    match value {
        Value::Null => return Ok(IsNull::Yes),
        Value::Bool(value) if *kind == Type::BOOL => out.push(u8::from(*value)),
        Value::Int(value) => encode_int(*value, kind, out)?,
        Value::Float(value) => encode_float(*value, kind, out)?,
        Value::Text(text) => encode_text(text, kind, out)?,
        Value::Bytes(bytes) if *kind == Type::BYTEA => out.extend_from_slice(bytes),
        Value::Json(json) if *kind == Type::JSONB => {
            out.push(1);
            out.extend_from_slice(json.as_str().as_bytes());
        }
        Value::Json(json) if *kind == Type::JSON => out.extend_from_slice(json.as_str().as_bytes()),
        Value::Timestamp(instant) if *kind == Type::TIMESTAMPTZ => {
            // Years 1 to 9999 stay far from the ends of i64.
            out.extend_from_slice(&instant.as_unix_micros().saturating_sub(EPOCH_MICROS).to_be_bytes());
        }
        Value::Array(values) => match kind.kind() {
            Kind::Array(element) => encode_array(values.iter(), values.len(), element, out)?,
            _ => return Err(Misfit::Kind("array")),
        },
        other => return Err(Misfit::Kind(other.kind())),
    }
    Ok(IsNull::No)
}

fn encode_int(value: i64, kind: &Type, out: &mut Vec<u8>) -> std::result::Result<(), Misfit> {
    let range = |_| Misfit::Range("int");
    match *kind {
        Type::INT8 => out.extend_from_slice(&value.to_be_bytes()),
        Type::INT4 => out.extend_from_slice(&i32::try_from(value).map_err(range)?.to_be_bytes()),
        Type::INT2 => out.extend_from_slice(&i16::try_from(value).map_err(range)?.to_be_bytes()),
        Type::OID => out.extend_from_slice(&u32::try_from(value).map_err(range)?.to_be_bytes()),
        _ => return Err(Misfit::Kind("int")),
    }
    Ok(())
}

fn encode_float(value: f64, kind: &Type, out: &mut Vec<u8>) -> std::result::Result<(), Misfit> {
    match *kind {
        Type::FLOAT8 => out.extend_from_slice(&value.to_be_bytes()),
        Type::FLOAT4 => {
            #[expect(clippy::cast_possible_truncation, reason = "the next line refuses what was lost")]
            let narrow = value as f32;
            if f64::from(narrow).to_bits() != value.to_bits() {
                return Err(Misfit::Range("float"));
            }
            out.extend_from_slice(&narrow.to_be_bytes());
        }
        _ => return Err(Misfit::Kind("float")),
    }
    Ok(())
}

fn encode_text(text: &str, kind: &Type, out: &mut Vec<u8>) -> std::result::Result<(), Misfit> {
    match *kind {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            out.extend_from_slice(text.as_bytes());
        }
        Type::UUID => out.extend_from_slice(&parse_uuid(text).ok_or(Misfit::Range("text"))?),
        _ if is_textual(kind) => out.extend_from_slice(text.as_bytes()),
        _ => return Err(Misfit::Kind("text")),
    }
    Ok(())
}

/// Types of extensions and users whose binary form is their text.
pub(super) fn is_textual(kind: &Type) -> bool {
    matches!(kind.kind(), Kind::Enum(_)) || kind.name() == "citext"
}

/// A UUID in its canonical form, 8-4-4-4-12 hexadecimal digits.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let hyphens = [8, 13, 18, 23];
    if bytes.len() != 36 || hyphens.iter().any(|at| bytes.get(*at) != Some(&b'-')) {
        return None;
    }
    let mut digits = bytes
        .iter()
        .enumerate()
        .filter(|(at, _)| !hyphens.contains(at))
        .map(|(_, digit)| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let mut uuid = [0; 16];
    for octet in &mut uuid {
        *octet = (digits.next()?? << 4) | digits.next()??;
    }
    Some(uuid)
}

fn encode_array<'a>(
    values: impl Iterator<Item = &'a Value>,
    count: usize,
    element: &Type,
    out: &mut Vec<u8>,
) -> std::result::Result<(), Misfit> {
    let count = i32::try_from(count).map_err(|_| Misfit::Size)?;
    let dimensions = i32::from(count > 0);
    out.extend_from_slice(&dimensions.to_be_bytes());
    // "May hold nulls": the server only uses it as a hint.
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&element.oid().to_be_bytes());
    if count == 0 {
        return Ok(());
    }
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    for value in values {
        encode_element(value, element, out)?;
    }
    Ok(())
}

fn encode_element(value: &Value, element: &Type, out: &mut Vec<u8>) -> std::result::Result<(), Misfit> {
    let start = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    if let IsNull::No = encode(value, element, out)? {
        let length = out.len() - start - size_of::<i32>();
        let length = i32::try_from(length).map_err(|_| Misfit::Size)?;
        if let Some(place) = out.get_mut(start..start + size_of::<i32>()) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mainstay_core::Timestamp;

    use super::*;
    use crate::value::Json;

    fn wire(value: &Value, kind: &Type) -> Option<Vec<u8>> {
        let encoded = Encoded::one([value].into_iter(), std::slice::from_ref(kind)).ok()?;
        let slice = encoded.params().next()?;
        slice.0.map(<[u8]>::to_vec)
    }

    fn refused(value: impl Into<Value>, kind: &Type) -> String {
        Encoded::one([&value.into()].into_iter(), std::slice::from_ref(kind)).unwrap_err().to_string()
    }

    #[test]
    fn integers_go_where_they_fit_exactly() {
        assert_eq!(wire(&Value::Int(-2), &Type::INT2), Some(vec![0xff, 0xfe]));
        assert_eq!(wire(&Value::Int(32_767), &Type::INT2), Some(vec![0x7f, 0xff]));
        assert!(refused(32_768_i64, &Type::INT2).contains("int2"));
        assert!(refused(i64::from(i32::MAX) + 1, &Type::INT4).contains("int4"));
        assert_eq!(wire(&Value::Int(i64::MIN), &Type::INT8), Some(i64::MIN.to_be_bytes().to_vec()));
        assert!(refused(1_i64, &Type::TEXT).contains("$1::bigint"));
        assert!(refused(1_i64, &Type::NUMERIC).contains("numeric"));
    }

    #[test]
    fn floats_are_exact_or_refused() {
        assert_eq!(wire(&Value::Float(0.5), &Type::FLOAT4), Some(0.5_f32.to_be_bytes().to_vec()));
        assert!(refused(0.1, &Type::FLOAT4).contains("exactly"));
        assert_eq!(wire(&Value::Float(0.1), &Type::FLOAT8), Some(0.1_f64.to_be_bytes().to_vec()));
        assert!(wire(&Value::Float(f64::INFINITY), &Type::FLOAT4).is_some());
    }

    #[test]
    fn text_json_and_instants() {
        assert_eq!(wire(&"ä".into(), &Type::VARCHAR), Some("ä".as_bytes().to_vec()));
        assert!(refused("x", &Type::INT8).contains("int8"));
        let json = Value::Json(Json::from_text("{}").unwrap());
        assert_eq!(wire(&json, &Type::JSONB), Some(b"\x01{}".to_vec()));
        assert_eq!(wire(&json, &Type::JSON), Some(b"{}".to_vec()));
        let epoch = Value::Timestamp(Timestamp::UNIX_EPOCH);
        assert_eq!(wire(&epoch, &Type::TIMESTAMPTZ), Some((-EPOCH_MICROS).to_be_bytes().to_vec()));
        assert!(refused(Timestamp::UNIX_EPOCH, &Type::TIMESTAMP).contains("timestamptz"));
        assert!(wire(&Value::Null, &Type::INT8).is_none());
    }

    #[test]
    fn uuids_are_canonical_or_refused() {
        let uuid = "00112233-4455-6677-8899-AaBbCcDdEeFf";
        let octets: Vec<u8> = (0..16).map(|at| at * 0x11).collect();
        assert_eq!(wire(&uuid.into(), &Type::UUID), Some(octets));
        for wrong in ["", "00112233-4455-6677-8899-aabbccddeef", "00112233x4455-6677-8899-aabbccddeeff"] {
            refused(wrong, &Type::UUID);
        }
    }

    #[test]
    fn arrays_hold_nulls_and_may_be_empty() {
        let array = Value::Array(vec![Value::Int(1), Value::Null]);
        let mut expected = Vec::new();
        for word in [1, 1, 20, 2, 1, 8, 0, 1, -1] {
            expected.extend_from_slice(&i32::to_be_bytes(word));
        }
        assert_eq!(wire(&array, &Type::INT8_ARRAY), Some(expected));
        assert_eq!(wire(&Value::Array(vec![]), &Type::TEXT_ARRAY).map(|bytes| bytes.len()), Some(12));
        refused(Value::Array(vec![Value::Array(vec![])]), &Type::INT8_ARRAY);
        refused(vec![1_i64], &Type::TEXT_ARRAY);
    }

    #[test]
    fn rows_become_columns() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let (a, b) = (Value::from("a"), Value::Null);
        let encoded =
            Encoded::transposed(&[vec![&one, &a], vec![&two, &b]], &[Type::INT8_ARRAY, Type::TEXT_ARRAY])
                .unwrap();
        let direct = wire(&Value::Array(vec![Value::Int(1), Value::Int(2)]), &Type::INT8_ARRAY).unwrap();
        assert_eq!(encoded.params().next().unwrap().0, Some(&direct[..]));
        assert!(Encoded::transposed(&[vec![&one]], &[Type::INT8]).is_err());
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let error = Encoded::one([].into_iter(), &[Type::INT8]).unwrap_err();
        assert!(error.message().contains("1 placeholders and 0 parameters"));
    }
}
