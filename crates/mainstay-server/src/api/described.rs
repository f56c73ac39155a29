//! What the description of the interface says of workflows, runs and images.

mod images;
mod settings;

use http::Method;
use serde_json::{Map, Value, json};

use crate::auth::operator::FORM_TOKEN_HEADER;
use crate::problem::ProblemKind;

/// One operation.
struct Operation {
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Parameters of the query, each with its type and what it means.
    query: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of the body, or the media type of one that is no document.
    body: Option<&'static str>,
    status: u16,
    answer: Answer,
}

/// What is answered.
enum Answer {
    /// A document of a schema.
    Json(&'static str),
    /// A picture in one of three forms.
    Picture,
    /// A document of a schema, or the same as a picture.
    Drawn(&'static str),
    /// Octets of a media type.
    Octets(&'static str),
    Nothing,
}

const NAMESPACE: (&str, &str, &str) = ("namespace", "string", "The host's namespace; default when left out.");
const VERSION: (&str, &str, &str) = ("version", "integer", "The version; the current one when left out.");
const FORMAT: (&str, &str, &str) = ("format", "string", "svg, dot or text; svg when left out.");
const LIMIT: (&str, &str, &str) = ("limit", "integer", "How many, 1 to 1000; 50 when left out.");
const AFTER: (&str, &str, &str) = ("after", "string", "What the page before gave as next.");

const FILTERS: &[(&str, &str, &str)] = &[
    NAMESPACE,
    LIMIT,
    AFTER,
    ("order", "string", "newest or oldest; newest when left out."),
    ("id", "string", "A run's identifier, or a business key such as orderid::a17."),
    ("status", "string", "Only runs with this status."),
    ("status_in", "string", "Only runs with one of these statuses, separated by commas."),
    ("workflow", "string", "Only runs of this workflow."),
    ("workflow_version", "integer", "Only runs of this version."),
    ("workflow_family", "string", "Only runs of workflows whose name begins so."),
    ("tag", "string", "Only runs of workflows with this tag. May be repeated."),
    ("parent", "string", "Only runs that this run started."),
    ("since", "string", "Only runs that began then or later."),
    ("until", "string", "Only runs that began before."),
    (
        "where",
        "string",
        "A path into the context and its value: context.initial.order_id=123. May be repeated.",
    ),
];

fn operations() -> Vec<Operation> {
    reads().into_iter().chain(changes()).chain(settings::operations()).chain(images::operations()).collect()
}

/// An operation that only looks.
const fn get(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str, &'static str)],
    answer: Answer,
) -> Operation {
    Operation { method: Method::GET, path, id, summary, query, body: None, status: 200, answer }
}

fn reads() -> Vec<Operation> {
    vec![
        get("/api/v1/workflows", "workflows", "Every workflow", &[NAMESPACE], Answer::Json("Workflows")),
        get(
            "/api/v1/workflows/{workflow}",
            "workflow",
            "A workflow with its graph",
            &[NAMESPACE, VERSION],
            Answer::Json("Workflow"),
        ),
        get(
            "/api/v1/workflows/{workflow}/graph",
            "workflowGraph",
            "A workflow as a picture",
            &[NAMESPACE, VERSION, FORMAT],
            Answer::Picture,
        ),
        get("/api/v1/runs", "runs", "Runs that meet all conditions", FILTERS, Answer::Json("Runs")),
        get("/api/v1/runs/{run}", "run", "A run as a whole", &[NAMESPACE], Answer::Json("Run")),
        get(
            "/api/v1/runs/{run}/history",
            "history",
            "What happened to a run, oldest first",
            &[NAMESPACE, LIMIT, AFTER],
            Answer::Json("History"),
        ),
        get(
            "/api/v1/runs/{run}/graph",
            "runGraph",
            "A run as a picture",
            &[NAMESPACE, FORMAT],
            Answer::Picture,
        ),
    ]
}

fn changes() -> Vec<Operation> {
    let post = |path, id, summary, body, status, answer| {
        let (method, query): (_, &[_]) = (Method::POST, &[NAMESPACE]);
        Operation { method, path, id, summary, query, body, status, answer }
    };
    vec![
        post(
            "/api/v1/workflows/{workflow}/runs",
            "start",
            "Start a run",
            Some("NewRun"),
            201,
            Answer::Json("Begun"),
        ),
        post(
            "/api/v1/runs/{run}/signals",
            "signal",
            "Send a signal; it is kept until a step waits for it",
            Some("NewSignal"),
            200,
            Answer::Json("Sent"),
        ),
        post(
            "/api/v1/runs/{run}/cancel",
            "cancel",
            "Cancel a run: what was done is undone",
            Some("Reason"),
            202,
            Answer::Nothing,
        ),
        post(
            "/api/v1/runs/{run}/retry",
            "retry",
            "Do a failed or cancelled run again, as a new run",
            None,
            201,
            Answer::Json("Begun"),
        ),
        post(
            "/api/v1/runs/{run}/fork",
            "fork",
            "Do an ended run again from a step, as a new run",
            Some("From"),
            201,
            Answer::Json("Begun"),
        ),
        post(
            "/api/v1/runs/{run}/pause",
            "pause",
            "Let nothing new begin in a run",
            None,
            202,
            Answer::Nothing,
        ),
        post("/api/v1/runs/{run}/resume", "resume", "Let a paused run go on", None, 202, Answer::Nothing),
    ]
}

/// The paths, each with its methods.
pub(super) fn paths() -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.as_str().to_ascii_lowercase(), describe(&operation));
        }
    }
    paths
}

fn describe(operation: &Operation) -> Value {
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let is_change = operation.method != Method::GET;
    // What stands between braces is chosen by the caller.
    let mut parameters: Vec<Value> = operation
        .path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(operation.query.iter().map(|(name, kind, means)| {
        json!({ "name": name, "in": "query", "description": means, "schema": { "type": kind } })
    }));
    if is_change {
        parameters.push(json!({
            "name": FORM_TOKEN_HEADER, "in": "header", "required": true, "schema": { "type": "string" },
            "description": "The session's form token, which /api/v1/me says.",
        }));
    }
    parameters.extend(images::header(operation));
    let content = match operation.answer {
        Answer::Json(name) => json!({ "application/json": { "schema": schema(name) } }),
        Answer::Picture => {
            let text = json!({ "schema": { "type": "string" } });
            json!({ "image/svg+xml": text, "text/vnd.graphviz": text, "text/plain": text })
        }
        Answer::Drawn(name) => {
            let text = json!({ "schema": { "type": "string" } });
            json!({ "application/json": { "schema": schema(name) }, "image/svg+xml": text, "text/vnd.graphviz": text })
        }
        Answer::Octets(kind) => json!({ (kind): {} }),
        Answer::Nothing => json!({}),
    };
    let answer = json!({ "description": operation.summary, "content": content });
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), answer);
    for kind in problems(is_change, operation.body.is_some()) {
        let problem = json!({
            "description": kind.title(),
            "content": { "application/problem+json": { "schema": schema("Problem") } },
        });
        responses.insert(kind.status().as_u16().to_string(), problem);
    }
    let described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [{ "session": [] }],
        "parameters": parameters,
        "responses": responses,
    });
    let Value::Object(mut described) = described else { return described };
    if let Some(body) = operation.body {
        let content = if body.contains('/') {
            json!({ (body): {} })
        } else {
            json!({ "application/json": { "schema": schema(body) } })
        };
        let body = json!({ "required": true, "content": content });
        described.insert("requestBody".to_owned(), body);
    }
    Value::Object(described)
}

fn problems(is_change: bool, has_body: bool) -> Vec<ProblemKind> {
    let mut kinds = vec![
        ProblemKind::Malformed,
        ProblemKind::NotSignedIn,
        ProblemKind::Forbidden,
        ProblemKind::NotFound,
        ProblemKind::Unavailable,
    ];
    if is_change {
        kinds.extend([ProblemKind::Conflict, ProblemKind::Unacceptable, ProblemKind::OutcomeUnknown]);
    }
    if has_body {
        kinds.extend([ProblemKind::TooLarge, ProblemKind::UnsupportedType]);
    }
    kinds
}

/// The schemas of bodies and answers.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = answers();
    schemas.extend(bodies());
    schemas.extend(settings::schemas());
    schemas.extend(images::schemas());
    schemas
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn maybe(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn later() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn status() -> Value {
    json!({ "enum": ["running", "waiting", "paused", "stopping", "completed", "failed", "cancelled"] })
}

fn line() -> Map<String, Value> {
    let fields = [
        ("run", text()),
        ("workflow", text()),
        ("version", json!({ "type": "integer" })),
        ("key", maybe("string")),
        ("status", status()),
        ("reason", maybe("string")),
        ("priority", json!({ "type": "integer" })),
        ("parent", maybe("string")),
        ("managed", json!({ "type": "boolean" })),
        ("created_at", instant()),
        ("updated_at", instant()),
        ("ended_at", later()),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn object(properties: impl IntoIterator<Item = (String, Value)>) -> Value {
    super::openapi::object(&Value::Object(properties.into_iter().collect()))
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    object(fields.map(|(name, schema)| (name.to_owned(), schema)))
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What a run's context is.
const CONTEXT: &str = "Its input, its attributes and the results of its steps; null when it is larger than 16 MiB: the history has all of it, \
                       page by page.";

fn answers() -> Map<String, Value> {
    let items = json!({ "oneOf": [
        fields([("all", count()), ("succeeded", count()), ("failed", count())]), { "type": "null" }
    ] });
    let step = fields([
        ("step", text()),
        ("kind", json!({ "enum": ["task", "tx", "wait", "timer", "child", "map", "done"] })),
        (
            "state",
            json!({ "enum": ["idle", "skipped", "running", "waiting", "ended", "failed", "abandoned"] }),
        ),
        ("undone", boolean()),
        ("event", maybe("string")),
        ("attempts", maybe("integer")),
        ("until", later()),
        ("items", items),
    ]);
    let mut run = line();
    run.extend([
        ("workflow_paused".to_owned(), boolean()),
        ("seq".to_owned(), maybe("integer")),
        ("deadline".to_owned(), later()),
        ("steps".to_owned(), list(&step)),
        ("awaits".to_owned(), list(&fields([("step", text()), ("signals", list(&text()))]))),
        ("not_undone".to_owned(), list(&text())),
        ("mailbox".to_owned(), list(&fields([("signal", text()), ("payload", json!({}))]))),
        ("unread".to_owned(), count()),
        ("scheduled".to_owned(), list(&fields([("at", instant()), ("signal", text())]))),
        ("children".to_owned(), list(&reference("RunLine"))),
        ("context".to_owned(), json!({ "description": CONTEXT })),
        ("context_bytes".to_owned(), count()),
        ("tags".to_owned(), list(&text())),
        ("telemetry".to_owned(), json!({})),
    ]);
    let record = fields([
        ("seq", count()),
        ("at", instant()),
        ("is", text()),
        ("step", maybe("string")),
        ("text", text()),
        ("fact", json!({ "type": "object" })),
    ]);
    let workflow = fields([
        ("workflow", text()),
        ("versions", list(&json!({ "type": "integer" }))),
        ("paused", json!({ "type": "boolean" })),
        ("runs", json!({ "type": "object", "additionalProperties": count() })),
    ]);
    let all = [
        ("RunLine", object(line())),
        ("Run", object(run)),
        ("Runs", fields([("runs", list(&reference("RunLine"))), ("next", maybe("string"))])),
        ("History", fields([("history", list(&record)), ("next", maybe("string"))])),
        ("Workflows", fields([("workflows", list(&workflow))])),
        (
            "Workflow",
            fields([
                ("workflow", text()),
                ("version", json!({ "type": "integer" })),
                ("fingerprint", text()),
                ("graph", json!({ "type": "object" })),
            ]),
        ),
        ("Begun", fields([("run", text())])),
        ("Sent", fields([("accepted", json!({ "type": "boolean" }))])),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A body refuses fields that it does not know.
fn body(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn bodies() -> Map<String, Value> {
    let new_run = json!({
        "input": { "description": "What the run is given." },
        "version": { "type": ["integer", "null"], "description": "Exactly this version." },
        "key": { "type": ["string", "null"], "description": "The value of the business key." },
        "priority": { "type": "integer", "description": "Smaller numbers go first." },
        "fairness": { "type": ["string", "null"], "description": "Among whom turns are shared out evenly." },
        "attributes": { "type": ["object", "null"], "description": "What it can be found by besides its input." },
        "paused": { "type": "boolean", "description": "Whether it begins paused." },
    });
    let signal = json!({
        "signal": text(),
        "payload": { "description": "What it says." },
        "sender": { "type": ["string", "null"], "description": "A second signal with the same one changes nothing." },
        "at": {
            "type": ["string", "null"], "format": "date-time",
            "description": "Not before this instant; the run does not see it until then.",
        },
    });
    let all = [
        ("NewRun", body(&new_run, &[])),
        ("NewSignal", body(&signal, &["signal"])),
        ("From", body(&json!({ "from": text() }), &["from"])),
        ("Reason", body(&json!({ "reason": text() }), &["reason"])),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
