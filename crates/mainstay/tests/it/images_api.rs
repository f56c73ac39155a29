//! `/api/v1/images…` where it changes something: names, pins, leases, archives in and out, collections and scrubs; who may, and who did.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use mainstay_testkit::{TestDatabase, pause};
use serde_json::{Value, json};

use crate::images::{Store, as_described, sample, tool};
use crate::support::browser::{Answer, Browser};
use crate::support::server::{json as document, mainstay};
use crate::workflows::{administrator, read};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with a session, and the description that its answers are held against.
struct Program<'a> {
    store: &'a Store<'a>,
    browser: Browser,
    openapi: Value,
}

impl<'a> Program<'a> {
    fn new(store: &'a Store<'a>) -> Self {
        let mut browser = administrator(&store.server);
        let me = read(&browser.get(&store.server.path("/api/v1/me")));
        let openapi = read(&browser.get(&store.server.path("/api/v1/openapi.json")));
        browser
            .extra
            .push(("x-mainstay-form-token".to_owned(), me["form_token"].as_str().unwrap().to_owned()));
        Self { store, browser, openapi }
    }

    fn send(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let path = self.store.server.path(&format!("/api/v1/images{path}"));
        match body {
            Value::Null => self.browser.send(method, &path, &[], ""),
            body => {
                self.browser.send(method, &path, &[("Content-Type", "application/json")], &body.to_string())
            }
        }
    }

    /// A request that is granted, and its answer as the description has it.
    #[track_caller]
    fn does(&mut self, method: &str, path: &str, body: &Value, (status, schema): (u16, &str)) -> Value {
        let answer = self.send(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        if schema.is_empty() {
            return Value::Null;
        }
        let answer = read(&answer);
        as_described(&self.openapi, &self.openapi["components"]["schemas"][schema], &answer, path);
        answer
    }

    #[track_caller]
    fn is_refused(&mut self, method: &str, path: &str, body: &Value, status: u16, says: &str) {
        let answer = self.send(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        assert!(answer.body.contains(says), "{method} {path}: {}", answer.body);
    }

    /// Waits until a state of the server is as expected.
    #[track_caller]
    fn waits(&mut self, path: &str, schema: &str, is: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let state = self.does("GET", path, &Value::Null, (200, schema));
            if is(&state) {
                return state;
            }
            assert!(started.elapsed() < PATIENCE, "{path} stays {state}");
            pause(Duration::from_millis(50));
        }
    }
}

#[test]
fn programs_bring_images_in_change_them_and_take_them_out_on_sqlite() {
    programs_change(&TestDatabase::sqlite());
}

#[test]
fn programs_bring_images_in_change_them_and_take_them_out_on_postgres() {
    programs_change(&TestDatabase::postgres());
}

fn programs_change(database: &TestDatabase) {
    let store = Store::new(database);
    let mut program = Program::new(&store);
    let (none, ok) = (Value::Null, 200);
    sample(store.at());
    tool(store.at(), "skopeo", &["copy", "--insecure-policy", "oci:L:app", "oci-archive:in.tar:app"]);
    let archive = std::fs::read(store.at().join("in.tar")).unwrap();
    let import = store.server.path("/api/v1/images/import?name=team%2Fapp%3A1");
    let kind = [("Content-Type", "application/x-tar")];
    let arrived = program.browser.send_octets("POST", &import, &kind, &archive);
    assert_eq!(arrived.status, 201, "{}", arrived.body);
    let image = read(&arrived)["images"][0].clone();
    let digest = image["digest"].as_str().unwrap().to_owned();
    assert_eq!((&image["names"], &image["layers"]), (&json!(["team/app:1"]), &2.into()));
    let hostile = program.browser.send_octets("POST", &import, &kind, b"no archive at all");
    assert_eq!(hostile.status, 422, "{}", hostile.body);

    // The first digits are enough.
    let short = format!("/{}", &digest[7..19]);
    program.does("POST", &format!("{short}/tag"), &json!({ "name": "team/app:2" }), (ok, "ImageName"));
    let forked =
        program.does("POST", &format!("{short}/fork"), &json!({ "name": "mine" }), (ok, "ImageName"));
    assert_eq!(forked["forked_from"], digest.as_str());
    program.is_refused("POST", &format!("{short}/fork"), &json!({ "name": "mine" }), 409, "is taken");
    program.is_refused("POST", &format!("{short}/tag"), &json!({ "name": "-" }), 400, "is no name");
    program.is_refused("POST", &format!("{short}/tag"), &json!({ "nam": "x" }), 400, "nam");
    program.does("POST", "/team%2Fapp%3A2/untag", &none, (ok, "ImageName"));
    program.is_refused("POST", "/team%2Fapp%3A2/untag", &none, 404, "no name");
    let pinned = program.does("POST", &format!("{short}/pin"), &none, (ok, "ImageLine"));
    assert_eq!(pinned["pinned"], true);
    program.is_refused("DELETE", &format!("{short}?names=true"), &none, 409, "pinned");
    program.does("POST", &format!("{short}/unpin"), &none, (ok, "ImageLine"));

    let layers = program.does("GET", &format!("{short}/layers"), &none, (ok, "ImageLayers"));
    let layer = layers["chain"][0]["digest"].as_str().unwrap().to_owned();
    let blob = program.browser.get(&store.server.path(&format!("/api/v1/blobs/{}", &layer[7..17])));
    let blob = read(&blob);
    as_described(&program.openapi, &program.openapi["components"]["schemas"]["Blob"], &blob, "blob");
    assert_eq!((&blob["digest"], &blob["state"]), (&layer.as_str().into(), &"present".into()));
    let explained = program.does("GET", &format!("{short}/explain"), &none, (ok, "Explained"));
    assert_eq!(explained["claims"].as_array().unwrap().len(), 2, "{explained}");

    lineage(&mut program, &digest);
    leases(&mut program, &short);
    out_and_in_again(&mut program, &digest);
    cares(&mut program, &digest);
    let whole = program.does("GET", &format!("/{digest}/acts"), &none, (ok, "ImageActs"));
    let what: Vec<&str> =
        whole["acts"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    // What was refused without its lease is not there.
    assert_eq!(
        what,
        ["remove", "publish", "remove", "unpin", "pin", "unpin", "pin", "untag", "fork", "tag", "publish"]
    );
    assert!(whole["acts"][0]["actor"].as_str().unwrap().contains("Ada Lovelace"), "{whole}");
    // The command line tells the same, and who did what there.
    let told = store.json(&["acts", "--limit", "1"]);
    assert!(told["acts"][0]["actor"].as_str().is_some());
}

fn lineage(program: &mut Program<'_>, digest: &str) {
    let drawn = program.does("GET", "/lineage", &Value::Null, (200, "ImageLineage"));
    assert_eq!(drawn["images"][0]["digest"], digest);
    for (format, kind, begins) in
        [("svg", "image/svg+xml", "<svg"), ("dot", "text/vnd.graphviz; charset=utf-8", "digraph")]
    {
        let answer = program.send("GET", &format!("/lineage?format={format}"), &Value::Null);
        assert_eq!(answer.header("content-type"), Some(kind));
        assert!(answer.body.starts_with(begins) && answer.body.contains("mine"), "{}", answer.body);
    }
}

fn leases(program: &mut Program<'_>, image: &str) {
    let none = Value::Null;
    let held =
        program.does("POST", &format!("{image}/leases"), &json!({ "key": "job-7" }), (201, "ShortLease"));
    let token = held["token"].as_i64().unwrap();
    let lease = held["lease"].as_str().unwrap().to_owned();
    assert!(lease.starts_with(&format!("{token}-")), "{held}");
    assert_eq!(held["use_for_seconds"], 55.0);
    program.is_refused("DELETE", &format!("{image}?names=true"), &none, 409, "leased");
    let renewed = program.does("POST", &format!("/leases/{lease}/renew"), &none, (200, "ShortLease"));
    // Without what ends them, times that are written as short as they can be compare as they are.
    let until = |lease: &Value| lease["expires_at"].as_str().unwrap().trim_end_matches('Z').to_owned();
    assert!(until(&renewed) >= until(&held), "{renewed} {held}");
    let listed = program.does("GET", "/leases?limit=1", &none, (200, "ImageLeases"));
    assert_eq!((&listed["leases"][0]["token"], &listed["next"]), (&token.into(), &token.into()));
    // What is changed under the lease is not changed once it is lost.
    program.browser.extra.push(("Mainstay-Lease".to_owned(), lease.clone()));
    program.does("POST", &format!("{image}/pin"), &none, (200, "ImageLine"));
    program.does("POST", &format!("{image}/unpin"), &none, (200, "ImageLine"));
    program.does("DELETE", &format!("/leases/{lease}"), &none, (204, ""));
    program.is_refused("POST", &format!("{image}/pin"), &none, 409, "is not held any more");
    program.is_refused(
        "POST",
        &format!("{image}/tag"),
        &json!({ "name": "late" }),
        409,
        "is not held any more",
    );
    program.browser.extra.pop();
    program.browser.extra.push(("Mainstay-Lease".to_owned(), "7".to_owned()));
    program.is_refused("POST", &format!("{image}/pin"), &none, 400, "is no lease");
    program.browser.extra.pop();
    program.is_refused("POST", &format!("/leases/{lease}/renew"), &none, 404, "may have ended");
    program.is_refused("DELETE", "/leases/x", &none, 400, "is no lease");

    // A holder that does not end by itself, and is not the program's.
    let (mut holder, lease) = program.store.hold("mine");
    let held = lease["lease"].as_str().unwrap();
    program.is_refused("DELETE", &format!("/leases/{held}"), &none, 403, "revoke its holder");
    let listed = program.does("GET", "/leases", &none, (200, "ImageLeases"));
    let epoch = listed["leases"][0]["epoch"].as_i64().unwrap();
    let holders = program.does("GET", "/holders?limit=1", &none, (200, "ImageHolders"));
    assert_eq!((&holders["holders"][0]["epoch"], &holders["next"]), (&epoch.into(), &epoch.into()));
    let rest = program.does("GET", &format!("/holders?after={epoch}"), &none, (200, "ImageHolders"));
    assert_eq!((&rest["holders"], &rest["next"]), (&json!([]), &none));
    let revoked = program.does("POST", &format!("/holders/{epoch}/revoke"), &none, (200, "RevokedHolder"));
    assert_eq!(revoked["leases"], 1);
    program.is_refused("POST", &format!("/holders/{epoch}/revoke"), &none, 409, "already");
    let started = Instant::now();
    let ended = loop {
        if let Some(status) = holder.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "the holder does not notice");
        pause(Duration::from_millis(100));
    };
    // It learns at its heartbeat, tells, and gives back what it had.
    assert_eq!(ended.code(), Some(3));
    program.waits("/leases", "ImageLeases", |listed| listed["leases"] == json!([]));
}

/// An archive that is taken out and brought in again is the same image.
fn out_and_in_again(program: &mut Program<'_>, digest: &str) {
    let archive = program.send("GET", "/team%2Fapp%3A1/archive", &Value::Null);
    assert_eq!((archive.status, archive.header("content-type")), (200, Some("application/x-tar")));
    assert_eq!(archive.header("content-length"), Some(archive.octets.len().to_string().as_str()));
    let out = program.store.at().join("taken.tar");
    std::fs::write(&out, &archive.octets).unwrap();
    let told = tool(
        program.store.at(),
        "skopeo",
        &["inspect", "--format", "{{.Digest}}", "oci-archive:taken.tar:1"],
    );
    assert_eq!(told.trim(), digest);
    program.is_refused("GET", "/nothing/archive", &Value::Null, 404, "no image");
    let removed = program.does("DELETE", "/team%2Fapp%3A1?names=true", &Value::Null, (200, "RemovedImage"));
    assert_eq!(removed["names"], json!(["mine", "team/app:1"]));
    let kind = [("Content-Type", "application/x-tar")];
    let import = program.store.server.path("/api/v1/images/import?tag=1&name=again");
    let arrived = program.browser.send_octets("POST", &import, &kind, &archive.octets);
    assert_eq!((arrived.status, read(&arrived)["images"][0]["digest"].as_str()), (201, Some(digest)));
    // Files as images: a disk, and what changes it.
    let commit = |program: &mut Program<'_>, query: &str, content: &str| {
        let path = program.store.server.path(&format!("/api/v1/images/commit?{query}"));
        let answer =
            program.browser.send("POST", &path, &[("Content-Type", "application/octet-stream")], content);
        assert_eq!(answer.status, 201, "{}", answer.body);
        read(&answer)["images"][0].clone()
    };
    let disk = commit(program, "name=disk&label=golden", "a disk");
    let vm = commit(program, "parent=disk&name=vm", "changes");
    let shown = program.does("GET", "/vm", &Value::Null, (200, "Image"));
    assert_eq!((&shown["digest"], &shown["parent"]), (&vm["digest"], &disk["digest"]));
}

/// Collections and scrubs go on after the answer; what they come to is told.
fn cares(program: &mut Program<'_>, digest: &str) {
    let (none, empty) = (Value::Null, json!({}));
    program.does("DELETE", &format!("/{digest}?names=true"), &none, (200, "RemovedImage"));
    let before = program.does("GET", "/collections", &none, (200, "ImageCollections"));
    assert_eq!(before["collections"], json!([]));
    program.does("POST", "/collection", &json!({ "full": true }), (202, ""));
    let after = program.waits("/collections", "ImageCollections", |now| now["collections"] != json!([]));
    assert_eq!((&after["failed"], &after["collections"][0]["blobs_removed"]), (&none, &4.into()), "{after}");
    assert!(after["collections"][0]["collector"].as_str().unwrap().contains("Ada Lovelace"));
    program.does("POST", "/scrub", &empty, (202, ""));
    let read_again = program.waits("/scrub", "ImageScrub", |now| !now["ended_at"].is_null());
    assert_eq!((&read_again["checked"], &read_again["damaged"]), (&2.into(), &0.into()));
    for (file, _) in program.store.blobs().iter().zip([(); 1]) {
        std::fs::write(file, "rotten").unwrap();
    }
    program.does("POST", "/scrub", &json!({ "restart": true }), (202, ""));
    let damaged =
        program.waits("/scrub", "ImageScrub", |now| !now["ended_at"].is_null() && now["damaged"] == 1);
    assert_eq!(damaged["damaged_now"].as_array().map(Vec::len), Some(1), "{damaged}");
    assert_eq!(damaged["damaged_now_total"], 1);
    let found = program.does("GET", "/findings?limit=1", &none, (200, "ImageFindings"));
    let lost = found["findings"][0].clone();
    assert_eq!((&lost["state"], &lost["digest"]), (&"open".into(), &damaged["damaged_now"][0]["digest"]));
    let before = format!("/findings?after={}", found["next"]);
    assert_eq!(program.does("GET", &before, &none, (200, "ImageFindings"))["findings"], json!([]));
    let passes = program.does("GET", "/scrubs", &none, (200, "ImageScrubs"));
    assert_eq!(
        (passes["scrubs"].as_array().map(Vec::len), &passes["scrubs"][0]["damaged"]),
        (Some(2), &1.into())
    );
    assert_eq!(
        program.does("GET", "/scrubs?limit=1", &none, (200, "ImageScrubs"))["scrubs"][0],
        passes["scrubs"][0]
    );
    program.is_refused("GET", "/scrubs?after=1", &none, 400, "unknown field `after`, expected `limit`");
    program.is_refused("GET", "/findings?limit=1001", &none, 400, "1 to 1000");
    // What the election refuses is the answer, and no failure of something that was begun.
    let paused = program.does("POST", "/pause", &json!({ "seconds": 7_200 }), (200, "CollectingOff"));
    program.is_refused("POST", "/pause", &json!({ "seconds": 7 * 24 * 3_600 + 1 }), 400, "at most 168 hours");
    program.is_refused("POST", "/pause", &json!({ "seconds": -1 }), 400, "seconds");
    let restored = program.does("POST", "/restored", &none, (200, "CollectingOff"));
    assert_eq!(restored["off_until"], paused["off_until"], "a longer pause stays");
    program.is_refused("POST", "/collection", &empty, 409, "off until");
    assert_eq!(program.does("GET", "/collections", &none, (200, "ImageCollections"))["failed"], none);
    // The medium goes: what is asked for is refused at once, and nothing is begun.
    std::fs::rename(format!("{}/mainstay-images", program.store.images), program.store.at().join("marker"))
        .unwrap();
    program.is_refused("POST", "/collection", &empty, 503, "cannot be had");
    program.is_refused("POST", "/scrub", &empty, 503, "cannot be had");
    std::fs::rename(program.store.at().join("marker"), format!("{}/mainstay-images", program.store.images))
        .unwrap();
}

#[test]
fn who_may_only_look_is_refused_every_change_and_a_change_needs_the_token_and_the_origin() {
    let database = TestDatabase::sqlite();
    let store = Store::with(&database, &["--dev"]);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "disk"]);
    let mut admin = Program::new(&store);
    let changes = changes(&admin.openapi);
    assert!(changes.len() >= 14, "{changes:?}");
    let token = admin.browser.extra.pop().unwrap();
    for (method, path, body) in &changes {
        admin.is_refused(method, path, body, 403, "x-mainstay-form-token");
    }
    admin.browser.extra = vec![token.clone(), ("Origin".to_owned(), "https://evil.example".to_owned())];
    for (method, path, body) in &changes {
        admin.is_refused(method, path, body, 403, "foreign-origin");
    }
    forms_need_the_token(&mut admin, &token);
    assert_eq!(store.json(&["inspect", "disk"])["pinned"], false);
    let paused = store.json(&["gc", "--pause", "2h"]);
    let until = paused["off_until"].as_str().unwrap().to_owned();
    assert_eq!(store.json(&["restored"])["off_until"], until.as_str(), "a longer pause stays");
    // The role of somebody who was let in to look.
    let mut alice = Browser::default();
    crate::dev_sign_in::sign_in(&mut alice, &store.server, "alice");
    let place = ["--database", store.database];
    let who = read(&alice.get(&store.server.path("/api/v1/me")));
    grant(&place, &who, "read");
    let mut alice = Browser::default();
    crate::dev_sign_in::sign_in(&mut alice, &store.server, "alice");
    let me = read(&alice.get(&store.server.path("/api/v1/me")));
    assert_eq!(me["role"], "read", "{me}");
    alice.extra.push(("x-mainstay-form-token".to_owned(), me["form_token"].as_str().unwrap().to_owned()));
    let mut alice = Program { store: &store, browser: alice, openapi: Value::Null };
    for (method, path, body) in &changes {
        alice.is_refused(method, path, body, 403, "has the role read");
    }
    assert_eq!(alice.send("GET", "/disk", &Value::Null).status, 200);
    let page = alice.browser.get(&store.server.path("/images/disk")).body;
    assert!(
        page.contains("disk") && !page.contains("method=\"post\" action=\"/images/"),
        "no form is shown that she may not send"
    );
    assert_eq!(store.names(), ["disk"]);
    let limits = [
        ("/api/v1/images?limit=0", 400),
        ("/api/v1/images?limit=1001", 400),
        ("/api/v1/images?limit=1000", 200),
    ];
    for (path, status) in limits {
        let answer = alice.browser.get(&store.server.path(path));
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(status == 200 || answer.body.contains("1 to 1000"), "{}", answer.body);
    }
}

/// Every change of images that the description of the interface has, with a body of its schema: whatever is described later is refused
/// to the same people, or these tests fail.
fn changes(openapi: &Value) -> Vec<(String, String, Value)> {
    let mut changes = Vec::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/v1/images") else { continue };
        let path = path.replace("{image}", "disk").replace("{lease}", "1").replace("{holder}", "1");
        assert!(!path.contains('{'), "{path}: say what stands for its parameter here");
        for (method, operation) in methods.as_object().unwrap() {
            if method != "get" {
                changes.push((method.to_uppercase(), path.clone(), body(openapi, operation)));
            }
        }
    }
    changes
}

/// A body with every field that is asked for.
fn body(openapi: &Value, operation: &Value) -> Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let Some(reference) = schema["$ref"].as_str() else { return Value::Null };
    let schema = openapi.pointer(reference.strip_prefix('#').unwrap()).unwrap();
    let of = |kind: &Value| match kind.as_str() {
        Some("boolean") => json!(true),
        Some("integer") => json!(1),
        _ => json!("x"),
    };
    let fields = schema["properties"].as_object().unwrap().iter();
    fields.map(|(name, field)| (name.clone(), of(&field["type"]))).collect::<serde_json::Map<_, _>>().into()
}

/// No form of the console does anything without the session's token, or comes from elsewhere.
fn forms_need_the_token(admin: &mut Program<'_>, token: &(String, String)) {
    let forms = [
        "/images/disk/tag",
        "/images/disk/fork",
        "/images/disk/untag",
        "/images/disk/pin",
        "/images/disk/unpin",
        "/images/disk/remove",
        "/images/leases/1/revoke",
        "/images/collect",
        "/images/scrub",
    ];
    let fields = |form: &str| {
        let word = form.rsplit('/').next().unwrap();
        [("name", "disk"), ("confirm", word), ("full", "yes"), ("restart", "yes")]
            .map(|(a, b)| (a, b.to_owned()))
    };
    let held = std::mem::take(&mut admin.browser.extra);
    for form in forms {
        let sent = fields(form);
        for wrong in [Some("x"), Some(""), None] {
            let mut sent: Vec<(&str, &str)> =
                sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
            sent.extend(wrong.map(|wrong| ("form_token", wrong)));
            let refused = admin.browser.post(&admin.store.server.path(form), &sent);
            assert_eq!(refused.status, 403, "{form} {wrong:?}: {}", refused.body);
            assert!(refused.body.contains("stale-form"), "{form} {wrong:?}: {}", refused.body);
        }
        admin.browser.extra = held.clone();
        let mut sent: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
        sent.push(("form_token", &token.1));
        let refused = admin.browser.post(&admin.store.server.path(form), &sent);
        assert!(refused.status == 403 && refused.body.contains("foreign-origin"), "{form}: {}", refused.body);
        admin.browser.extra.clear();
    }
    admin.browser.extra = held;
    let acts = admin.store.json(&["acts"]);
    assert_eq!(acts["acts"].as_array().map(Vec::len), Some(1), "nothing was done but the commit: {acts}");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_taken() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let mut program = Program::new(&store);
    let octets = |length: usize| vec![b'x'; length];
    let (json, tar) =
        ([("Content-Type", "application/json")], [("Content-Type", "application/octet-stream")]);
    // A file that becomes an image has its limit; a document has another.
    let commit = store.server.path("/api/v1/images/commit?name=disk");
    let arrived = program.browser.send_octets("POST", &commit, &tar, &octets(4 * 1024 * 1024));
    assert_eq!(arrived.status, 201, "{}", arrived.body);
    let tag = store.server.path("/api/v1/images/disk/tag");
    let refused = program.browser.send_octets("POST", &tag, &json, &octets(16 * 1024 + 1));
    assert_eq!((refused.status, refused.header("content-type")), (413, Some("application/problem+json")));
    // More than may ever come, by its head alone.
    let (session, value) = program.browser.extra.last().cloned().unwrap();
    let cookie = program.browser.cookie("127.0.0.1", "mainstay-insecure").unwrap();
    for (length, status) in [(65_u64 << 30, ""), ((65 << 30) + 1, "413")] {
        let mut connection = std::net::TcpStream::connect(&store.server.listen).unwrap();
        let head = format!(
            "POST /api/v1/images/commit HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: mainstay-insecure={cookie}\r\n\
             {session}: {value}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n",
            store.server.listen
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection
            .set_read_timeout(Some(if status.is_empty() { Duration::from_millis(500) } else { PATIENCE }))
            .unwrap();
        let mut answer = [0; 4096];
        let read = connection.read(&mut answer).unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        // What is within the limit is waited for, or refused because the disk of this machine has no room for it.
        let waits = answer.is_empty() || answer.starts_with("HTTP/1.1 503 ");
        let refused = answer.starts_with("HTTP/1.1 413 ") && answer.contains("mainstay images import");
        assert_eq!((waits, refused), (status.is_empty(), !status.is_empty()), "{length}: {answer}");
    }
}

#[test]
fn a_collector_that_was_killed_here_keeps_nobody_waiting_on_sqlite() {
    after_a_killed_collector(&TestDatabase::sqlite());
}

#[test]
fn a_collector_that_was_killed_here_keeps_nobody_waiting_on_postgres() {
    after_a_killed_collector(&TestDatabase::postgres());
}

/// A collection that rests so long between its steps that it is under way until it is killed.
fn killed_while_collecting(program: &mut Program<'_>) {
    let store = program.store;
    let args = ["images", "gc", "--full", "--rest", "4294967295"];
    let place = ["--database", store.database, "--images", &store.images];
    let mut collector = mainstay().args(args).args(place).spawn().unwrap();
    program.waits("/collections", "ImageCollections", |now| now["collector"].is_string());
    program.is_refused("POST", "/collection", &json!({}), 409, "collects");
    collector.kill().unwrap();
    collector.wait().unwrap();
}

fn after_a_killed_collector(database: &TestDatabase) {
    let store = Store::new(database);
    let mut program = Program::new(&store);
    let past = |now: &Value| now["collections"].as_array().unwrap().len();
    killed_while_collecting(&mut program);
    let started = Instant::now();
    program.does("POST", "/collection", &json!({}), (202, ""));
    program.waits("/collections", "ImageCollections", |now| past(now) == 1);
    // By the console's form.
    killed_while_collecting(&mut program);
    let token = program.browser.extra.last().unwrap().1.clone();
    let fields = [("form_token", token.as_str()), ("confirm", "collect")];
    let sent = program.browser.post(&store.server.path("/images/collect"), &fields);
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, Some("/images/care?done=collect")),
        "{}",
        sent.body
    );
    program.waits("/collections", "ImageCollections", |now| past(now) == 2);
    assert!(started.elapsed() < Duration::from_secs(45), "their turns would have ended by now");
}

/// Gives a role over all organizations to who signed in.
fn grant(place: &[&str], who: &Value, role: &str) {
    let (connection, subject) = (who["connection"].as_str().unwrap(), who["subject"].as_str().unwrap());
    let args = [
        "sso",
        "administrator",
        "grant",
        connection,
        "--global",
        "--role",
        role,
        "--name-id",
        subject,
        "--cause",
        "a test",
    ];
    document(&[&args, place].concat());
}
