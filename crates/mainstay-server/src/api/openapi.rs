//! The description of the HTTP interface (OpenAPI 3.1), built from what the code knows and kept as `openapi.json`.

use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Map, Value, json};

use super::described;
use crate::problem::{ProblemKind, TYPE_BASE};

/// One operation of the interface.
struct Operation {
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Whether a session cookie is needed.
    session: bool,
    /// The schema of the answer.
    answer: &'static str,
    problems: &'static [ProblemKind],
}

const OPERATIONS: &[Operation] = &[Operation {
    path: "/api/v1/me",
    id: "me",
    summary: "Who is signed in",
    session: true,
    answer: "Me",
    problems: &[ProblemKind::NotSignedIn, ProblemKind::Unavailable],
}];

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1")], text()).into_response()
}

/// The document's text, the same on every build.
#[must_use]
pub(crate) fn text() -> String {
    let mut text = serde_json::to_string_pretty(&build()).unwrap_or_default();
    text.push('\n');
    text
}

fn build() -> Value {
    let mut paths: Map<String, Value> = OPERATIONS
        .iter()
        .map(|operation| (operation.path.to_owned(), json!({ "get": describe(operation) })))
        .collect();
    paths.extend(described::paths());
    let mut schemas = described::schemas();
    schemas.extend([("Me".to_owned(), me()), ("Problem".to_owned(), problem())]);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay",
            "version": "1",
            "description": "Every error is an RFC 9457 problem document; match on its type.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-mainstay" },
            },
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut responses = Map::new();
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let answer = json!({
        "description": operation.summary,
        "content": { "application/json": { "schema": schema(operation.answer) } },
    });
    responses.insert("200".to_owned(), answer);
    for kind in operation.problems {
        let problem = json!({
            "description": kind.title(),
            "content": { "application/problem+json": { "schema": schema("Problem") } },
        });
        responses.insert(kind.status().as_u16().to_string(), problem);
    }
    let security = if operation.session { json!([{ "session": [] }]) } else { json!([]) };
    json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": security,
        "responses": responses,
    })
}

/// An object whose fields are always there; what may be missing is null.
pub(super) fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn me() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let maybe = |description: &str| json!({ "type": ["string", "null"], "description": description });
    let instant = || json!({ "type": "string", "format": "date-time" });
    let attribute = object(&json!({
        "name": text("The attribute's name."),
        "friendly_name": maybe("A name for people; never a key."),
        "values": { "type": "array", "items": { "type": "string" } },
    }));
    let session = object(&json!({
        "id": text("Names the session; it opens nothing."),
        "created_at": instant(),
        "idle_expires_at": instant(),
        "expires_at": instant(),
    }));
    let properties = json!({
        "subject": text("The identity provider's name for the user."),
        "issuer": text("The identity provider's entity id."),
        "name": text("The best name that the attributes have; the subject otherwise."),
        "email": maybe("The e-mail address, if one came."),
        "kind": { "type": "string", "enum": ["saml", "setup"], "description": "How the session began." },
        "role": { "enum": ["read", "write", "admin", null], "description": "What the user may administrate." },
        "organization": maybe("The tenant."),
        "connection": maybe("The connection through which the user signed in."),
        "attributes": { "type": "array", "items": attribute },
        "session": session,
        "form_token": text("What a change has to carry in the header x-mainstay-form-token."),
    });
    object(&properties)
}

fn problem() -> Value {
    let types: Vec<String> =
        ProblemKind::ALL.iter().map(|kind| format!("{TYPE_BASE}{}", kind.code())).collect();
    let properties = json!({
        "type": { "type": "string", "format": "uri", "examples": types },
        "title": { "type": "string" },
        "status": { "type": "integer" },
        "detail": { "type": "string" },
    });
    object(&properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test asks whether to refresh its golden file")]
    fn the_document_is_the_committed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        if std::env::var("MAINSTAY_GOLDEN").is_ok_and(|value| value == "refresh") {
            std::fs::write(path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text(), committed, "the interface changed; look at it, then run cargo xtask golden");
    }
}
