//! Leases and who has them.

use http::Method;
use serde_json::{Value, json};

use super::{
    AFTER, Answer, LIMIT, Operation, change, count, digest, fields, flag, get, instant, number, page, text,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/images/leases",
            "imageLeases",
            "Leases, the oldest first",
            &[LIMIT, AFTER],
            Answer::Json("ImageLeases"),
        ),
        get(
            "/api/v1/images/holders",
            "imageHolders",
            "Who leases or publishes, the oldest first",
            &[LIMIT, AFTER],
            Answer::Json("ImageHolders"),
        ),
        change(
            Method::POST,
            "/api/v1/images/{image}/leases",
            "leaseImage",
            "Lease an image for a minute; renew it by what its lease is called in the answer",
            Some("NewLease"),
            201,
            Answer::Json("ShortLease"),
        ),
        change(
            Method::POST,
            "/api/v1/images/leases/{lease}/renew",
            "renewLease",
            "Renew a lease of one's own for a minute from now",
            None,
            200,
            Answer::Json("ShortLease"),
        ),
        change(
            Method::DELETE,
            "/api/v1/images/leases/{lease}",
            "releaseLease",
            "Give a lease of one's own back",
            None,
            204,
            Answer::Nothing,
        ),
        change(
            Method::POST,
            "/api/v1/images/holders/{holder}/revoke",
            "revokeHolder",
            "Let a holder renew no more; nothing of what it claims goes before its time has run out; needs the role admin",
            None,
            200,
            Answer::Json("RevokedHolder"),
        ),
    ]
}

fn lease() -> Value {
    fields([
        ("token", number()),
        ("holder", text()),
        ("epoch", number()),
        ("key", text()),
        ("image", digest()),
        ("since", instant()),
        ("expires_at", instant()),
    ])
}

fn holder() -> Value {
    fields([
        ("epoch", number()),
        ("name", text()),
        ("live", flag()),
        ("fresh", flag()),
        ("expires_at", instant()),
        ("leases", count()),
        ("publishing", count()),
    ])
}

fn short_lease() -> Value {
    let lease = "What renews and releases it, and what Mainstay-Lease names in changes that must not be made without it.";
    let seconds = "How long the image may be used. Count it from the moment at which the request was sent, on a clock that is never set; \
         renew it long before.";
    let instant =
        "When it ends, by the database's clock; for people, since the caller's clock may show another time.";
    fields([
        ("lease", described(text(), lease)),
        ("token", number()),
        ("holder", text()),
        ("key", text()),
        ("image", digest()),
        ("use_for_seconds", described(json!({ "type": "number", "minimum": 0 }), seconds)),
        ("expires_at", described(super::instant(), instant)),
    ])
}

/// A value, and what it means.
fn described(mut value: Value, means: &str) -> Value {
    if let Some(schema) = value.as_object_mut() {
        schema.insert("description".to_owned(), means.into());
    }
    value
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("ImageLease", lease()),
        ("ImageLeases", page("ImageLease", "leases")),
        ("ImageHolder", holder()),
        ("ImageHolders", page("ImageHolder", "holders")),
        ("RevokedHolder", fields([("epoch", number()), ("until", instant()), ("leases", count())])),
        ("ShortLease", short_lease()),
        ("NewLease", fields([("key", text())])),
    ]
}
