//! What the description says of images.

use http::Method;
use serde_json::{Map, Value, json};

use super::{Answer, LIMIT, Operation, count, fields, get, instant, list, maybe, object, reference, text};

const AFTER: (&str, &str, &str) = ("after", "integer", "What the page before gave as next.");
const FULL: (&str, &str, &str) = (
    "full",
    "boolean",
    "Whether to look at every blob and every file, and not only at blobs that lost a use a while ago.",
);

const BEFORE: (&str, &str, &str) =
    ("after", "integer", "What the page before gave as next; acts before it follow.");
const NAMES: (&str, &str, &str) =
    ("names", "boolean", "Whether all its names go with it, and not only the one that it is asked for by.");
const PICTURED: (&str, &str, &str) = ("format", "string", "json, svg or dot; json when left out.");
const INCOMING: &[(&str, &str, &str)] = &[
    ("tag", "string", "The image that the archive names so; the only one when left out."),
    ("all", "boolean", "All images, and the archive's list of them."),
    ("name", "string", "What the store calls it."),
    ("platform", "string", "Only the image for this platform, such as linux/amd64."),
];
const COMMITTED: &[(&str, &str, &str)] = &[
    (
        "parent",
        "string",
        "The image that the file changes; over one that was imported or pulled, the file is a layer: a tar archive. A whole disk when \
         left out.",
    ),
    (
        "platform",
        "string",
        "Of a parent for several platforms, which one; without a parent, that the file is the first layer for it.",
    ),
    ("name", "string", "A name to point at the new image."),
    ("label", "string", "What a person calls it."),
    ("media_type", "string", "What the file is; application/octet-stream when left out."),
];

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
    looks().into_iter().chain(of_an_image()).chain(changes()).chain(leases()).chain(care()).collect()
}

fn looks() -> Vec<Operation> {
    vec![
        get("/api/v1/images", "images", "Images, the oldest first", &[LIMIT, AFTER], Answer::Json("Images")),
        get("/api/v1/images/usage", "imageUsage", "Who uses how much", &[], Answer::Json("ImageUsage")),
        get(
            "/api/v1/images/lineage",
            "imageLineage",
            "Which image comes from which",
            &[PICTURED],
            Answer::Drawn("ImageLineage"),
        ),
        get(
            "/api/v1/images/acts",
            "imageActs",
            "Who did what, the newest first; the newest 10,000 are kept",
            &[LIMIT, BEFORE],
            Answer::Json("ImageActs"),
        ),
        get("/api/v1/blobs/{blob}", "blob", "A blob, and what keeps it", &[], Answer::Json("Blob")),
    ]
}

fn of_an_image() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/images/{image}",
            "image",
            "An image as a whole, by name, digest or the first digits of one",
            &[],
            Answer::Json("Image"),
        ),
        get(
            "/api/v1/images/{image}/layers",
            "imageLayers",
            "The layers of an image, the base first, and what belongs to it without being one",
            &[],
            Answer::Json("ImageLayers"),
        ),
        get(
            "/api/v1/images/{image}/explain",
            "explainImage",
            "Why an image is kept",
            &[],
            Answer::Json("Explained"),
        ),
        get(
            "/api/v1/images/{image}/acts",
            "actsOnImage",
            "Who did what with an image, also with one that is gone: the newest 1000",
            &[],
            Answer::Json("ImageActs"),
        ),
        get(
            "/api/v1/images/{image}/archive",
            "exportImage",
            "The image as an OCI archive",
            &[],
            Answer::Octets("application/x-tar"),
        ),
    ]
}

fn changes() -> Vec<Operation> {
    let post = |path, id, summary, body, answer| change(Method::POST, path, id, summary, body, 200, answer);
    let (name, line) = (Answer::Json("ImageName"), Answer::Json("ImageLine"));
    vec![
        Operation {
            query: INCOMING,
            ..change(
                Method::POST,
                "/api/v1/images/import",
                "importImage",
                "Bring in the images of an OCI archive: all that is asked for, or nothing",
                Some("application/x-tar"),
                201,
                Answer::Json("Arrived"),
            )
        },
        Operation {
            query: COMMITTED,
            ..change(
                Method::POST,
                "/api/v1/images/commit",
                "commitImage",
                "Make an image of a file: a whole disk, or changes to another image",
                Some("application/octet-stream"),
                201,
                Answer::Json("Arrived"),
            )
        },
        post("/api/v1/images/{image}/tag", "tagImage", "Point a name at an image", Some("NewName"), name),
        post(
            "/api/v1/images/{image}/fork",
            "forkImage",
            "Begin a new name at an image",
            Some("NewName"),
            Answer::Json("ImageName"),
        ),
        post(
            "/api/v1/images/{image}/untag",
            "untagImage",
            "Remove a name, which the path has; the image stays",
            None,
            Answer::Json("ImageName"),
        ),
        post("/api/v1/images/{image}/pin", "pinImage", "Keep an image whatever the policy says", None, line),
        post(
            "/api/v1/images/{image}/unpin",
            "unpinImage",
            "Keep it no more",
            None,
            Answer::Json("ImageLine"),
        ),
        Operation {
            query: &[NAMES],
            ..change(
                Method::DELETE,
                "/api/v1/images/{image}",
                "removeImage",
                "Remove an image that nothing else claims; needs the role admin",
                None,
                200,
                Answer::Json("RemovedImage"),
            )
        },
    ]
}

fn leases() -> Vec<Operation> {
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
            "Who leases or publishes",
            &[],
            Answer::Json("ImageHolders"),
        ),
        change(
            Method::POST,
            "/api/v1/images/{image}/leases",
            "leaseImage",
            "Lease an image for a minute; renew it by its token",
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

fn care() -> Vec<Operation> {
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

fn attachment() -> Value {
    fields([("role", text()), ("digest", digest()), ("size_bytes", octets()), ("media_type", text())])
}

fn name() -> Value {
    fields([
        ("name", text()),
        ("forked_from", maybe_digest()),
        ("version", count()),
        ("updated_at", instant()),
    ])
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

/// An image as a whole.
fn image() -> Value {
    let more = [
        ("chain_id", maybe_digest()),
        ("parent", maybe_digest()),
        ("children", list(&digest())),
        ("chain", list(&blob())),
        ("attachments", list(&attachment())),
        ("references", list(&reference("ImageName"))),
        ("held", list(&reference("ImageLease"))),
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

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn maybe_instant() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

/// What keeps something, down to what keeps the images that use it.
fn claim() -> Value {
    let properties = json!({ "text": text(), "because": list(&reference("Claim")) });
    json!({ "type": "object", "properties": properties, "required": ["text"] })
}

fn short_lease() -> Value {
    fields([
        ("token", number()),
        ("holder", text()),
        ("key", text()),
        ("image", digest()),
        ("expires_at", instant()),
    ])
}

fn lineage() -> Value {
    let image = fields([
        ("digest", digest()),
        ("parent", maybe_digest()),
        ("names", list(&text())),
        ("label", maybe("string")),
        ("size_bytes", octets()),
        ("pinned", flag()),
        ("leases", count()),
    ]);
    fields([("images", list(&image))])
}

fn acts() -> Value {
    let act = fields([
        ("number", number()),
        ("at", instant()),
        ("actor", text()),
        ("action", text()),
        ("image", maybe_digest()),
        ("subject", maybe("string")),
    ]);
    fields([("acts", list(&act)), ("next", maybe("integer"))])
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

fn whole_blob() -> Value {
    fields([
        ("digest", digest()),
        ("size_bytes", octets()),
        ("kind", json!({ "enum": ["base", "delta", "layer", "document"] })),
        ("media_type", text()),
        ("state", json!({ "enum": ["present", "deleting", "damaged"] })),
        ("verified_at", maybe_instant()),
        ("claims", list(&reference("Claim"))),
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

fn layers() -> Value {
    fields([
        ("digest", digest()),
        ("chain_id", maybe_digest()),
        ("chain", list(&blob())),
        ("attachments", list(&attachment())),
    ])
}

/// What changes are given. A field that may be left out is not required.
fn bodies() -> Vec<(&'static str, Value)> {
    let choice = |name: &str, means: &str| {
        let field = json!({ "type": "boolean", "default": false, "description": means });
        json!({ "type": "object", "properties": { (name): field } })
    };
    vec![
        ("NewName", fields([("name", text())])),
        ("NewLease", fields([("key", text())])),
        ("NewCollection", choice("full", FULL.2)),
        ("NewScrub", choice("restart", "Whether to begin anew, whatever was left of the last pass.")),
    ]
}

/// The schemas of bodies and answers.
pub(super) fn schemas() -> Map<String, Value> {
    let explained = [
        ("digest", digest()),
        ("what", json!({ "enum": ["image", "blob"] })),
        ("claims", list(&reference("Claim"))),
    ];
    let collections = [
        ("collector", maybe("string")),
        ("off_until", maybe_instant()),
        ("failed", failed()),
        ("collections", list(&past_collection())),
    ];
    let page =
        |of: &str, name: &'static str| fields([(name, list(&reference(of))), ("next", maybe("integer"))]);
    let all = [
        ("ImageLine", object(line())),
        ("Image", image()),
        ("Images", page("ImageLine", "images")),
        ("ImageName", name()),
        ("ImageLease", lease()),
        ("ImageLeases", page("ImageLease", "leases")),
        ("ImageHolders", fields([("holders", list(&holder()))])),
        ("ImageLayers", layers()),
        ("ImageLineage", lineage()),
        ("ImageActs", acts()),
        ("ImageUsage", usage()),
        ("ImageCollection", collection()),
        ("ImageCollections", fields(collections)),
        ("ImageScrub", scrub()),
        ("Arrived", fields([("images", list(&reference("ImageLine")))])),
        ("Blob", whole_blob()),
        ("Claim", claim()),
        ("Explained", fields(explained)),
        ("RemovedImage", fields([("digest", digest()), ("names", list(&text())), ("size_bytes", octets())])),
        ("RevokedHolder", fields([("epoch", number()), ("until", instant()), ("leases", count())])),
        ("ShortLease", short_lease()),
    ];
    all.into_iter().chain(bodies()).map(|(name, schema)| (name.to_owned(), schema)).collect()
}
