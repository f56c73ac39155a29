//! What the description says of queues, schedules, nodes, what is held back, and who did what.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    AFTER, Answer, LIMIT, NAMESPACE, Operation, body, boolean, count, fields, get, instant, later, list,
    maybe, text,
};

const READY: &str = "How many of its tasks can be claimed; 10001 stands for any number above 10000.";
const OF_RUN: (&str, &str, &str) = ("run", "string", "Only acts about this run.");

pub(super) fn operations() -> Vec<Operation> {
    reads().into_iter().chain(changes()).collect()
}

fn reads() -> Vec<Operation> {
    vec![
        get("/api/v1/pauses", "pauses", "What is held back", &[NAMESPACE], Answer::Json("Pauses")),
        get("/api/v1/queues", "queues", "Queues with limits or tasks", &[NAMESPACE], Answer::Json("Queues")),
        get(
            "/api/v1/schedules",
            "schedules",
            "What starts by the clock",
            &[NAMESPACE],
            Answer::Json("Schedules"),
        ),
        get("/api/v1/nodes", "nodes", "Who works on the namespace", &[NAMESPACE], Answer::Json("Nodes")),
        get(
            "/api/v1/acts",
            "acts",
            "Who did what, the latest first",
            &[NAMESPACE, OF_RUN, LIMIT, AFTER],
            Answer::Json("Acts"),
        ),
    ]
}

fn changes() -> Vec<Operation> {
    let change = |method, path, id, summary, body, answer| {
        let query: &[_] = &[NAMESPACE];
        let status = if matches!(answer, Answer::Json("Begun")) { 201 } else { 200 };
        Operation { method, path, id, summary, query, body, status, answer }
    };
    let post = |path, id, summary| change(Method::POST, path, id, summary, None, Answer::Json("Changed"));
    let remove = |path, id, summary| change(Method::DELETE, path, id, summary, None, Answer::Json("Changed"));
    vec![
        remove("/api/v1/runs/{run}", "deleteRun", "Remove an ended run with its history"),
        change(
            Method::POST,
            "/api/v1/runs/prune",
            "prune",
            "Remove runs that ended before an instant; repeat it while there are more",
            Some("EndedBefore"),
            Answer::Json("Removed"),
        ),
        post("/api/v1/workflows/{workflow}/pause", "pauseWorkflow", "Let no step of a workflow begin"),
        post("/api/v1/workflows/{workflow}/resume", "resumeWorkflow", "Let a workflow go on"),
        post("/api/v1/namespace/pause", "pauseNamespace", "Let no step of any workflow begin"),
        post(
            "/api/v1/namespace/resume",
            "resumeNamespace",
            "Let everything go on that was paused as a whole",
        ),
        change(
            Method::PUT,
            "/api/v1/queues/{queue}",
            "setQueue",
            "Set what holds for a queue; what is left out is unlimited",
            Some("NewLimits"),
            Answer::Json("Changed"),
        ),
        remove("/api/v1/queues/{queue}", "removeQueue", "Take all limits from a queue"),
        change(
            Method::PUT,
            "/api/v1/schedules/{schedule}",
            "setSchedule",
            "Keep a schedule, in place of the one of its name",
            Some("NewSchedule"),
            Answer::Json("Changed"),
        ),
        remove("/api/v1/schedules/{schedule}", "removeSchedule", "Remove a schedule; its runs go on"),
        post("/api/v1/schedules/{schedule}/pause", "pauseSchedule", "Hold a schedule back"),
        post("/api/v1/schedules/{schedule}/resume", "resumeSchedule", "Let a schedule go on"),
        change(
            Method::POST,
            "/api/v1/schedules/{schedule}/trigger",
            "triggerSchedule",
            "Start what a schedule starts, now",
            None,
            Answer::Json("Begun"),
        ),
    ]
}

fn named<const N: usize>(all: [(&str, Value); N]) -> Map<String, Value> {
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

pub(super) fn schemas() -> Map<String, Value> {
    let queue = fields([
        ("queue", text()),
        ("concurrency", maybe("integer")),
        ("rate", maybe("integer")),
        ("rate_seconds", maybe("number")),
        ("paused", boolean()),
        ("ready", json!({ "type": "integer", "minimum": 0, "description": READY })),
        ("leased", count()),
    ]);
    let schedule = fields([
        ("schedule", text()),
        ("workflow", text()),
        ("version", maybe("integer")),
        ("paused", boolean()),
        ("next_at", later()),
        ("last_at", later()),
        ("plan", json!({ "type": "object" })),
    ]);
    let node = fields([
        ("node", json!({ "type": "integer" })),
        ("name", text()),
        ("started_at", instant()),
        ("seen_at", instant()),
        ("dead_at", later()),
        ("tasks", count()),
        ("held", list(&fields([("run", text()), ("attempt", text())]))),
    ]);
    let act = fields([
        ("number", json!({ "type": "integer" })),
        ("at", instant()),
        ("actor", text()),
        ("action", text()),
        ("run", maybe("string")),
        ("subject", text()),
        ("detail", json!({ "type": "object" })),
    ]);
    named([
        ("Changed", fields([("changed", boolean())])),
        ("Removed", fields([("removed", count()), ("more", boolean())])),
        (
            "Pauses",
            fields([("pauses", list(&fields([("workflow", maybe("string")), ("since", instant())])))]),
        ),
        ("Queues", fields([("queues", list(&queue))])),
        ("Schedules", fields([("schedules", list(&schedule))])),
        ("Nodes", fields([("nodes", list(&node))])),
        ("Acts", fields([("acts", list(&act)), ("next", maybe("string"))])),
        ("EndedBefore", body(&json!({ "ended_before": instant() }), &["ended_before"])),
        ("NewLimits", body(&new_limits(), &[])),
        ("NewSchedule", body(&new_schedule(), &["workflow", "cron"])),
    ])
}

fn new_limits() -> Value {
    json!({
        "concurrency": { "type": ["integer", "null"], "minimum": 1, "description": "How many run at a time." },
        "rate": { "type": ["integer", "null"], "minimum": 1, "description": "How many begin in rate_seconds." },
        "rate_seconds": { "type": ["number", "null"], "description": "Goes with rate." },
        "paused": { "type": "boolean", "description": "Whether none begins." },
    })
}

fn new_schedule() -> Value {
    json!({
        "workflow": text(),
        "cron": { "type": "string", "examples": ["30 2 * * MON-FRI Europe/Berlin"] },
        "catch_up": {
            "enum": ["latest", "skip", "all"],
            "description": "What becomes of times at which no node was there: one start for all, none, one for each.",
        },
        "version": { "type": ["integer", "null"], "description": "Exactly this version." },
        "input": { "description": "What each run is given." },
        "key": { "type": ["string", "null"], "description": "The value of the business key." },
        "priority": { "type": "integer", "description": "Smaller numbers go first." },
        "fairness": { "type": ["string", "null"], "description": "Among whom turns are shared out evenly." },
    })
}
