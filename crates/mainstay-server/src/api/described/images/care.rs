//! Collections, and reading everything again.

use http::Method;
use serde_json::{Value, json};

use super::{
    Answer, LIMIT, Operation, blob, change, count, digest, fields, flag, get, instant, list, maybe,
    maybe_instant, number, octets, text,
};

const FULL: (&str, &str, &str) = (
    "full",
    "boolean",
    "Whether to look at every blob and every file, and not only at blobs that lost a use a while ago.",
);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/images/collection",
            "imageCollection",
            "What a collection would do now; it does none of it",
            &[FULL],
            Answer::Json("ImageCollection"),
        ),
        change(
            Method::POST,
            "/api/v1/images/collection",
            "collectImages",
            "Begin a collection by the policy, which goes on after the answer; needs the role admin",
            Some("NewCollection"),
            202,
            Answer::Nothing,
        ),
        get(
            "/api/v1/images/collections",
            "imageCollections",
            "Past collections, the newest first, and whether one goes on",
            &[LIMIT],
            Answer::Json("ImageCollections"),
        ),
        get(
            "/api/v1/images/scrub",
            "imageScrub",
            "How far reading everything again has come, and what is damaged",
            &[],
            Answer::Json("ImageScrub"),
        ),
        change(
            Method::POST,
            "/api/v1/images/scrub",
            "scrubImages",
            "Begin to read everything again, or go on; it goes on after the answer",
            Some("NewScrub"),
            202,
            Answer::Nothing,
        ),
    ]
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
        (
            "total",
            fields([("evict", number()), ("blobs", number()), ("orphans", number()), ("missing", number())]),
        ),
    ])
}

/// What a collection did, with when and by whom.
fn past_collection() -> Value {
    fields([
        ("number", number()),
        ("collector", text()),
        ("started_at", instant()),
        ("ended_at", instant()),
        ("holders_reaped", count()),
        ("leases_reaped", count()),
        ("images_evicted", count()),
        ("blobs_removed", count()),
        ("bytes_removed", octets()),
        ("orphans_removed", count()),
        ("orphan_bytes", octets()),
        ("unlink_failures", count()),
        ("foreign_files", count()),
        ("missing", list(&digest())),
        ("waiting", count()),
    ])
}

/// Work that did not come to its end; null if there is none.
fn failed() -> Value {
    let failure = fields([("at", instant()), ("why", text())]);
    json!({ "oneOf": [failure, { "type": "null" }] })
}

fn scrub() -> Value {
    fields([
        ("started_at", maybe_instant()),
        ("ended_at", maybe_instant()),
        ("checked", count()),
        ("bytes", octets()),
        ("damaged", count()),
        ("damaged_now", list(&blob())),
        ("running", flag()),
        ("failed", failed()),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let collections = [
        ("collector", maybe("string")),
        ("off_until", maybe_instant()),
        ("failed", failed()),
        ("collections", list(&past_collection())),
    ];
    let choice = |name: &str, means: &str| {
        let field = json!({ "type": "boolean", "default": false, "description": means });
        json!({ "type": "object", "properties": { (name): field } })
    };
    vec![
        ("ImageCollection", collection()),
        ("ImageCollections", fields(collections)),
        ("ImageScrub", scrub()),
        ("NewCollection", choice("full", FULL.2)),
        ("NewScrub", choice("restart", "Whether to begin anew, whatever was left of the last pass.")),
    ]
}
