//! What the description says of images.

mod care;
mod image;
mod lease;

use http::Method;
use serde_json::{Map, Value, json};

use super::{Answer, LIMIT, Operation, count, fields, get, instant, list, maybe, object, reference, text};
use crate::images::LEASE_HEADER;

const AFTER: (&str, &str, &str) = ("after", "integer", "What the page before gave as next.");

/// An operation that changes something.
const fn change(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    status: u16,
    answer: Answer,
) -> Operation {
    Operation { method, path, id, summary, query: &[], body, status, answer }
}

pub(super) fn operations() -> Vec<Operation> {
    image::operations().into_iter().chain(lease::operations()).chain(care::operations()).collect()
}

/// The header that says under which lease a change is made, of an operation that heeds it.
pub(super) fn header(operation: &Operation) -> Option<Value> {
    const FENCED: [&str; 8] = [
        "importImage",
        "commitImage",
        "tagImage",
        "forkImage",
        "untagImage",
        "pinImage",
        "unpinImage",
        "removeImage",
    ];
    FENCED.contains(&operation.id).then(|| {
        json!({
            "name": LEASE_HEADER, "in": "header", "schema": { "type": "string" },
            "description": "The lease without which nothing is changed; 409 when it is not held any more.",
        })
    })
}

/// The schemas of bodies and answers.
pub(super) fn schemas() -> Map<String, Value> {
    let all = image::schemas().into_iter().chain(lease::schemas()).chain(care::schemas());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn octets() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "In octets." })
}

fn digest() -> Value {
    json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
}

fn maybe_digest() -> Value {
    json!({ "type": ["string", "null"], "pattern": "^sha256:[0-9a-f]{64}$" })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn maybe_instant() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn blob() -> Value {
    fields([("digest", digest()), ("size_bytes", octets())])
}

/// A page of something that is numbered.
fn page(of: &str, name: &'static str) -> Value {
    fields([(name, list(&reference(of))), ("next", maybe("integer"))])
}
