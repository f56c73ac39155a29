//! SQLite's index for JSON search: a number for each path with its value, as PostgreSQL's `jsonb_path_ops` has it inside. A search finds
//! candidates by the number and then looks at the document itself, so two texts with one number do no harm.

use serde_json::Value;

/// The most scalars of a document that are indexed; a document with more of them is a candidate in every search.
pub(super) const MAX_TERMS: usize = 1_024;
/// The term of documents that are candidates in every search.
pub(super) const UNINDEXED: i64 = 0;

/// The terms of all scalars that are reached through objects.
pub(super) fn terms(document: &Value) -> Vec<i64> {
    let mut found = Vec::new();
    walk(document, Hash::new(), &mut found);
    if found.len() > MAX_TERMS {
        return vec![UNINDEXED];
    }
    found
}

/// The term of one scalar at a path; none for what is no scalar.
pub(super) fn term(path: &[&str], value: &Value) -> Option<i64> {
    let hash = path.iter().fold(Hash::new(), |hash, key| hash.key(key));
    hash.scalar(value)
}

fn walk(value: &Value, hash: Hash, found: &mut Vec<i64>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if found.len() > MAX_TERMS {
                    return;
                }
                walk(value, hash.key(key), found);
            }
        }
        scalar => found.extend(hash.scalar(scalar)),
    }
}

/// FNV-1a over the path and the value. What is stored never changes its meaning: another function would be another table.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(
            bytes
                .iter()
                .fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        )
    }

    fn key(self, key: &str) -> Self {
        self.bytes(key.as_bytes()).bytes(&[0, b'k'])
    }

    fn scalar(self, value: &Value) -> Option<i64> {
        let hash = match value {
            Value::Bool(value) => self.bytes(&[b'b', u8::from(*value)]),
            Value::String(text) => self.bytes(b"s").bytes(text.as_bytes()),
            Value::Number(number) => match whole(number) {
                Some(whole) => self.bytes(b"i").bytes(&whole.to_le_bytes()),
                None => self.bytes(b"f").bytes(&number.as_f64()?.to_bits().to_le_bytes()),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let number = i64::from_le_bytes(hash.0.to_le_bytes());
        Some(if number == UNINDEXED { 1 } else { number })
    }
}

/// A number as an integer, however it is written: 123 and 123.0 are equal on both databases. Beyond what a float holds exactly, integers are
/// hashed as floats, so that both ways to write one meet.
fn whole(number: &serde_json::Number) -> Option<i64> {
    const LIMIT: i64 = 1 << 53;
    if let Some(whole) = number.as_i64() {
        return (-LIMIT..=LIMIT).contains(&whole).then_some(whole);
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LIMIT as f64)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within what a float holds exactly")]
    let whole = float as i64;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn each_scalar_behind_objects_has_its_term() {
        let document =
            json!({"initial": {"order_id": 123, "vip": true, "name": "x", "rows": [1, 2], "none": null}});
        let all = terms(&document);
        assert_eq!(all.len(), 3);
        for (path, value) in [
            (["initial", "order_id"], json!(123)),
            (["initial", "vip"], json!(true)),
            (["initial", "name"], json!("x")),
        ] {
            assert!(all.contains(&term(&path, &value).unwrap()), "{path:?}");
        }
        assert_eq!(
            term(&["initial", "order_id"], &json!(123.0)),
            term(&["initial", "order_id"], &json!(123))
        );
        assert_eq!(term(&["n"], &json!(100_000_000_000_000_000_i64)), term(&["n"], &json!(1e17)));
        for (path, value) in [
            (["initial", "order_id"], json!("123")),
            (["initial", "order_id"], json!(124)),
            (["initialorder", "id"], json!(123)),
            (["initial", "vip"], json!(1)),
        ] {
            assert!(!all.contains(&term(&path, &value).unwrap()), "{path:?}");
        }
        assert_eq!(term(&["a"], &json!([1])), None);
    }

    #[test]
    fn a_document_beyond_the_limit_is_always_a_candidate() {
        let with = |count: usize| {
            let members = (0..count).map(|at| (at.to_string(), json!(at))).collect::<Map<_, _>>();
            terms(&json!({"initial": members}))
        };
        assert_eq!(with(MAX_TERMS).len(), MAX_TERMS);
        assert_eq!(with(MAX_TERMS + 1), [UNINDEXED]);
    }
}
