//! What the description says of images.

use serde_json::{Map, Value, json};

use super::{Answer, LIMIT, Operation, count, fields, get, instant, list, maybe, object, reference, text};

const AFTER: (&str, &str, &str) = ("after", "integer", "What the page before gave as next.");
const FULL: (&str, &str, &str) = (
    "full",
    "boolean",
    "Whether to look at every blob and every file, and not only at blobs that lost a use a while ago.",
);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/images", "images", "Images, the oldest first", &[LIMIT, AFTER], Answer::Json("Images")),
        get("/api/v1/images/usage", "imageUsage", "Who uses how much", &[], Answer::Json("ImageUsage")),
        get(
            "/api/v1/images/collection",
            "imageCollection",
            "What a collection would do now; it does none of it",
            &[FULL],
            Answer::Json("ImageCollection"),
        ),
        get(
            "/api/v1/images/{image}",
            "image",
            "An image as a whole, by digest or by name",
            &[],
            Answer::Json("Image"),
        ),
    ]
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

/// An image in a list.
fn line() -> Map<String, Value> {
    let fields = [
        ("digest", digest()),
        ("names", list(&text())),
        ("label", maybe("string")),
        ("kind", json!({ "enum": ["chain", "index", "artifact", "other"] })),
        ("media_type", text()),
        ("layers", count()),
        ("size_bytes", octets()),
        ("pinned", json!({ "type": "boolean" })),
        ("leases", count()),
        ("created_at", instant()),
        ("last_used_at", instant()),
        ("number", number()),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn blob() -> Value {
    fields([("digest", digest()), ("size_bytes", octets())])
}

/// An image as a whole.
fn image() -> Value {
    let attachment =
        fields([("role", text()), ("digest", digest()), ("size_bytes", octets()), ("media_type", text())]);
    let name = fields([
        ("name", text()),
        ("forked_from", maybe_digest()),
        ("version", count()),
        ("updated_at", instant()),
    ]);
    let lease = fields([
        ("token", number()),
        ("holder", text()),
        ("key", text()),
        ("image", digest()),
        ("since", instant()),
        ("expires_at", instant()),
    ]);
    let more = [
        ("chain_id", maybe_digest()),
        ("parent", maybe_digest()),
        ("children", list(&digest())),
        ("chain", list(&blob())),
        ("attachments", list(&attachment)),
        ("references", list(&name)),
        ("held", list(&lease)),
    ];
    let mut image = line();
    image.extend(more.map(|(name, schema)| (name.to_owned(), schema)));
    object(image)
}

fn usage() -> Value {
    let of_image = fields([
        ("digest", digest()),
        ("label", maybe("string")),
        ("size_bytes", octets()),
        ("shared_bytes", octets()),
        ("unique_bytes", octets()),
    ]);
    fields([
        ("total_bytes", octets()),
        ("unique_bytes", octets()),
        ("shared_bytes", octets()),
        ("unused_bytes", octets()),
        ("free_bytes", octets()),
        ("quota_bytes", maybe("integer")),
        ("images", list(&of_image)),
    ])
}

fn collection() -> Value {
    let eviction = fields([
        ("digest", digest()),
        ("label", maybe("string")),
        ("reason", json!({ "enum": ["age", "room", "other"] })),
        ("frees_bytes", octets()),
        ("last_used_at", instant()),
    ]);
    fields([
        ("evict", list(&eviction)),
        ("blobs", list(&blob())),
        ("bytes", octets()),
        ("orphans", list(&text())),
        ("missing", list(&digest())),
    ])
}

/// The schemas of answers.
pub(super) fn schemas() -> Map<String, Value> {
    let all = [
        ("ImageLine", object(line())),
        ("Image", image()),
        ("Images", fields([("images", list(&reference("ImageLine"))), ("next", maybe("integer"))])),
        ("ImageUsage", usage()),
        ("ImageCollection", collection()),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
