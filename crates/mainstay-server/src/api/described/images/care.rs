//! Collections, and reading everything again.

use http::Method;
use serde_json::{Value, json};

use super::{
    Answer, LIMIT, Operation, blob, change, count, digest, fields, flag, get, instant, list, maybe,
    maybe_instant, number, octets, page, text,
};

const FULL: (&str, &str, &str) = (
    "full",
    "boolean",
    "Whether to look at every blob and every file, and not only at blobs that lost a use a while ago.",
);

const EARLIER: (&str, &str, &str) =
    ("after", "integer", "What the page before gave as next; findings before it follow.");

pub(super) fn operations() -> Vec<Operation> {
    collections().into_iter().chain(scrubs()).collect()
}

fn collections() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/images/collection",
            "imageCollection",
            "What a collection would do now; it does none of it. Of a large store up to a minute old",
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
        change(
            Method::POST,
            "/api/v1/images/pause",
            "pauseCollecting",
            "Collect nothing for so many seconds, a week at most; a longer pause that is on stays; needs the role admin",
            Some("NewPause"),
            200,
            Answer::Json("CollectingOff"),
        ),
        change(
            Method::POST,
            "/api/v1/images/restored",
            "imagesRestored",
            "Say that the database was restored from a backup, before anything publishes; needs the role admin",
            None,
            200,
            Answer::Json("CollectingOff"),
        ),
    ]
}

fn scrubs() -> Vec<Operation> {
    vec![
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
        get(
            "/api/v1/images/scrubs",
            "imageScrubs",
            "Passes that read everything again to their end, the newest first; the newest 200 are kept",
            &[LIMIT],
            Answer::Json("ImageScrubs"),
        ),
        get(
            "/api/v1/images/findings",
            "imageFindings",
            "Blobs that were found missing or wrong and what became of them, the newest first; the newest 10,000 are kept",
            &[LIMIT, EARLIER],
            Answer::Json("ImageFindings"),
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
        ("orphan_bytes", octets()),
        ("beginnings", fields([("count", number()), ("bytes", octets())])),
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
        ("missing_total", count()),
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
        ("damaged_now_total", count()),
        ("running", flag()),
        ("failed", failed()),
    ])
}

/// A pass that was read to its end.
fn past_scrub() -> Value {
    fields([
        ("started_at", maybe_instant()),
        ("ended_at", maybe_instant()),
        ("checked", count()),
        ("bytes", octets()),
        ("damaged", count()),
    ])
}

fn finding() -> Value {
    fields([
        ("number", number()),
        ("found_at", instant()),
        ("digest", digest()),
        ("file", number()),
        ("size_bytes", octets()),
        ("fault", json!({ "enum": ["missing", "wrong", "unreadable", "other"] })),
        ("state", json!({ "enum": ["open", "repaired", "removed", "other"] })),
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
        ("ImageScrubs", fields([("scrubs", list(&past_scrub()))])),
        ("ImageFinding", finding()),
        ("ImageFindings", page("ImageFinding", "findings")),
        ("CollectingOff", fields([("off_until", instant())])),
        ("NewPause", fields([("seconds", count())])),
        ("NewCollection", choice("full", FULL.2)),
        ("NewScrub", choice("restart", "Whether to begin anew, whatever was left of the last pass.")),
    ]
}
