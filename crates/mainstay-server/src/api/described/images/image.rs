//! Images themselves: looking at them, bringing them in and out, changing their names.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    AFTER, Answer, LIMIT, Operation, blob, change, count, digest, fields, flag, get, instant, list, maybe,
    maybe_digest, maybe_instant, number, object, octets, page, reference, text,
};

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

pub(super) fn operations() -> Vec<Operation> {
    looks().into_iter().chain(of_an_image()).chain(changes()).collect()
}

fn looks() -> Vec<Operation> {
    vec![
        get("/api/v1/images", "images", "Images, the oldest first", &[LIMIT, AFTER], Answer::Json("Images")),
        get(
            "/api/v1/images/usage",
            "imageUsage",
            "Who uses how much: the 1000 images with most of their own; of a large store up to a minute old",
            &[],
            Answer::Json("ImageUsage"),
        ),
        get(
            "/api/v1/images/lineage",
            "imageLineage",
            "Which image comes from which, of 10,000 images at most; of a large store up to a minute old",
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
        ("damaged", count()),
        ("created_at", instant()),
        ("last_used_at", instant()),
        ("number", number()),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
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
        ("damaged_blobs", list(&digest())),
    ];
    let mut image = line();
    image.extend(more.map(|(name, schema)| (name.to_owned(), schema)));
    object(image)
}

fn usage() -> Value {
    let of_image = fields([
        ("digest", digest()),
        ("names", list(&text())),
        ("label", maybe("string")),
        ("size_bytes", octets()),
        ("shared_bytes", octets()),
        ("unique_bytes", octets()),
        ("reclaimable_bytes", octets()),
    ]);
    fields([
        ("total_bytes", octets()),
        ("unique_bytes", octets()),
        ("shared_bytes", octets()),
        ("unused_bytes", octets()),
        ("reclaimable_bytes", octets()),
        ("free_bytes", octets()),
        ("quota_bytes", maybe("integer")),
        ("images", list(&of_image)),
        ("images_total", count()),
    ])
}

/// What keeps something, down to what keeps the images that use it.
fn claim() -> Value {
    let properties = json!({ "text": text(), "because": list(&reference("Claim")) });
    json!({ "type": "object", "properties": properties, "required": ["text"] })
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

fn layers() -> Value {
    fields([
        ("digest", digest()),
        ("chain_id", maybe_digest()),
        ("chain", list(&blob())),
        ("attachments", list(&attachment())),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let explained = [
        ("digest", digest()),
        ("what", json!({ "enum": ["image", "blob"] })),
        ("claims", list(&reference("Claim"))),
    ];
    vec![
        ("ImageLine", object(line())),
        ("Image", image()),
        ("Images", page("ImageLine", "images")),
        ("ImageName", name()),
        ("ImageLayers", layers()),
        ("ImageLineage", lineage()),
        ("ImageActs", acts()),
        ("ImageUsage", usage()),
        ("Arrived", fields([("images", list(&reference("ImageLine")))])),
        ("Blob", whole_blob()),
        ("Claim", claim()),
        ("Explained", fields(explained)),
        ("RemovedImage", fields([("digest", digest()), ("names", list(&text())), ("size_bytes", octets())])),
        ("NewName", fields([("name", text())])),
    ]
}
