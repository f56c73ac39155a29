//! What every answer has and what every request must pass: headers, cookies, origins, limits.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mainstay_server::limits;

use crate::cli::metadata;
use crate::dev_sign_in::{answered, login_url, refusal, sign_in};
use crate::support::browser::Browser;
use crate::support::html::Form;
use crate::support::server::{Server, json};

fn dev(args: &[&str]) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &[&["--dev"], args].concat());
    (directory, server)
}

#[test]
fn every_answer_has_its_headers() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    for path in ["/", "/login", "/healthz", "/nowhere", "/api/v1/me", "/assets/mainstay.css", "/metrics"] {
        let answer = browser.get(&server.path(path));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "plain http has no such promise");
    }
}

#[test]
fn no_page_has_anything_inline() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let mut pages = vec![browser.get(&server.path("/login")), browser.get(&server.path("/nowhere"))];
    pages.push(browser.get(&server.setup_link.clone().unwrap()));
    pages.push(sign_in(&mut browser, &server, "alice"));
    for page in pages {
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.body.contains(inline), "{inline} in {}", page.body);
        }
        let scripts = page.body.matches("<script").count();
        assert_eq!(scripts, page.body.matches("<script src=\"/assets/").count(), "{}", page.body);
    }
}

#[test]
fn probes_and_documents_answer() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    assert_eq!(browser.get(&server.path("/healthz")).body, "ok\n");
    assert_eq!(browser.get(&server.path("/readyz")).body, "ready\n");
    sign_in(&mut browser, &server, "alice");
    let metrics = browser.get(&server.path("/metrics")).body;
    assert!(metrics.contains("mainstay_logins_total{outcome=\"accepted\""), "{metrics}");
    assert!(metrics.contains("mainstay_http_request_seconds_bucket"), "{metrics}");
    let openapi = browser.get(&server.path("/api/v1/openapi.json"));
    let document: serde_json::Value = serde_json::from_str(&openapi.body).unwrap();
    let me: serde_json::Value = serde_json::from_str(&browser.get(&server.path("/api/v1/me")).body).unwrap();
    let described = &document["components"]["schemas"]["Me"]["properties"];
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(described), names(&me), "the description and the answer have the same fields");
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn problems_are_documents_for_programs_and_pages_for_people() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let program = browser.get(&server.path("/api/v1/nothing"));
    assert_eq!(program.header("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&program.body).unwrap();
    assert_eq!(problem["type"], "https://mainstay.invalid/problems/not-found");
    assert_eq!(problem["status"], 404);
    let person = browser.get(&server.path("/nothing"));
    assert_eq!((person.status, refusal(&person)), (404, "not-found"));
    assert!(person.header("content-type").unwrap().starts_with("text/html"));
    let method = browser.post(&server.path("/login"), &[]);
    assert_eq!(method.status, 405);
}

#[test]
fn odd_paths_and_queries_get_a_page_as_well() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    for (path, status, code) in [
        ("/setup/%ff", 404, "not-found"),
        ("/saml/%ff/login", 404, "not-found"),
        ("/saml/%ff/metadata", 404, "not-found"),
        ("/login?organization=a&organization=b", 400, "malformed"),
        ("/saml/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/login?return_to=a&return_to=b", 400, "malformed"),
    ] {
        let page = browser.get(&server.path(path));
        assert_eq!((page.status, refusal(&page)), (status, code), "{path}");
    }
}

#[test]
fn metadata_is_at_a_stable_url() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let url = login_url(&mut browser, &server).replace("/login", "/metadata");
    let metadata = browser.get(&url);
    assert_eq!(metadata.header("content-type"), Some("application/samlmetadata+xml"));
    assert!(metadata.body.contains(&format!("entityID=\"{url}\"")), "{}", metadata.body);
    assert!(metadata.body.contains(&url.replace("/metadata", "/acs")), "{}", metadata.body);
    for unknown in ["/saml/x/metadata", "/saml/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/metadata"] {
        assert_eq!(browser.get(&server.path(unknown)).status, 404, "{unknown}");
    }
}

#[test]
fn over_plain_http_cookies_say_what_they_are() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let start = login_url(&mut browser, &server);
    let away = browser.get(&start);
    let binding = away.set_cookie("mainstay-login-insecure").unwrap();
    assert!(
        binding.contains("; HttpOnly; SameSite=Lax; Max-Age=600") && binding.contains("; Path=/"),
        "{binding}"
    );
    let done = answered(&mut browser, &server, "alice", "").submit(&mut browser);
    let session = done.set_cookie("mainstay-insecure").unwrap();
    assert!(session.contains("; HttpOnly; SameSite=Lax; Max-Age=28800"), "{session}");
    assert!(!session.contains("Domain"), "{session}");
}

#[test]
fn over_https_cookies_belong_to_the_host_and_the_promise_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(
        directory.path(),
        &["--dev", "--allow-dev-on-network", "--public-url", "https://id.example.com"],
    );
    // What a reverse proxy passes on.
    let local = |path: &str| exchange(&server.listen, &request("GET", path, "id.example.com"));
    let page = local("/login");
    assert!(page.contains("strict-transport-security: max-age="), "{page}");
    let start = page[page.find("/saml/conn_").unwrap()..].split('"').next().unwrap().to_owned();
    let away = local(&start);
    let cookie = away.lines().find(|line| line.starts_with("set-cookie:")).unwrap();
    assert!(cookie.contains("__Host-mainstay-login=bb_"), "{cookie}");
    assert!(
        cookie.contains("SameSite=None") && cookie.contains("; Secure") && cookie.contains("Path=/"),
        "{cookie}"
    );
}

pub(crate) fn request(method: &str, path: &str, host: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn another_host_name_leads_to_the_public_one() {
    let (_directory, server) = dev(&[]);
    let send = |method: &str, path: &str| exchange(&server.listen, &request(method, path, "evil.example"));
    let page = send("GET", "/login?x=1");
    assert!(
        page.starts_with("HTTP/1.1 307") && page.contains(&format!("location: {}/login?x=1", server.url)),
        "{page}"
    );
    assert!(send("POST", "/logout").starts_with("HTTP/1.1 421"));
    assert!(send("GET", "/healthz").starts_with("HTTP/1.1 200"), "probes use any name");
}

#[test]
fn behind_a_proxy_the_name_is_the_one_that_it_passes_on() {
    let (_directory, server) = dev(&["--trusted-proxies", "127.0.0.1"]);
    let mut browser = Browser::default();
    let mut by = |name: Option<&str>| {
        browser.extra =
            name.map(|name| ("X-Forwarded-Host".to_owned(), name.to_owned())).into_iter().collect();
        browser.get(&server.path("/login")).status
    };
    assert_eq!(by(Some("evil.example")), 307);
    assert_eq!(by(Some(server.url.strip_prefix("http://").unwrap())), 200);
    // A proxy that says nothing and rewrites the Host header must not send browsers in circles.
    assert_eq!(by(None), 200);
}

#[test]
fn forms_of_other_sites_are_refused() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let page = sign_in(&mut browser, &server, "alice");
    let form = Form::of(&page);
    for (name, value) in
        [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")]
    {
        browser.extra = vec![(name.to_owned(), value.to_owned())];
        let refused = form.submit(&mut browser);
        assert_eq!((refused.status, refusal(&refused)), (403, "foreign-origin"), "{name}: {value}");
    }
    browser.extra.clear();
    for token in ["", "AAAA", &"A".repeat(43)] {
        let stale = Form::of(&page).with("form_token", token).submit(&mut browser);
        assert_eq!((stale.status, refusal(&stale)), (403, "stale-form"), "{token}");
    }
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 200, "none of them signed her out");
    browser.extra = vec![("Origin".to_owned(), server.url.clone())];
    assert_eq!(form.submit(&mut browser).status, 303);
}

#[test]
fn two_cookies_of_one_name_are_none() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    sign_in(&mut browser, &server, "alice");
    let session = browser.cookie("127.0.0.1", "mainstay-insecure").unwrap().to_owned();
    browser.forget("mainstay-insecure");
    browser.extra =
        vec![("Cookie".to_owned(), format!("mainstay-insecure={session}; mainstay-insecure=st_x"))];
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 401);
    browser.extra = vec![("Cookie".to_owned(), format!("mainstay-insecure={session}"))];
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 200);
}

#[test]
fn a_body_at_the_limit_is_read_and_one_beyond_is_not() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let acs = login_url(&mut browser, &server).replace("/login", "/acs");
    let rest = "SAMLResponse=&bounced=1".len();
    let at_limit = "A".repeat(limits::ACS_BODY_BYTES - rest);
    let read = browser.post(&acs, &[("SAMLResponse", &at_limit), ("bounced", "1")]);
    assert_eq!((read.status, refusal(&read)), (413, "message_too_large"), "the verifier's own limit");
    let beyond = browser.post(&acs, &[("SAMLResponse", &format!("{at_limit}A")), ("bounced", "1")]);
    assert_eq!((beyond.status, refusal(&beyond)), (413, "too-large"));
}

#[test]
fn what_is_not_a_response_is_refused_exactly() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let acs = login_url(&mut browser, &server).replace("/login", "/acs");
    let empty = browser.post(&acs, &[("Nothing", "x")]);
    assert_eq!((empty.status, refusal(&empty)), (400, "malformed"));
    let twice = browser.post(&acs, &[("SAMLResponse", "QQ=="), ("SAMLResponse", "QQ==")]);
    assert_eq!((twice.status, refusal(&twice)), (400, "malformed"));
    let unknown = server.path("/saml/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/login");
    let unknown = browser.get(&unknown);
    assert_eq!((unknown.status, refusal(&unknown)), (404, "connection_not_found"));
}

#[test]
fn the_burst_passes_and_the_next_waits() {
    // Every request comes by a proxy, so that the client's address is ours to choose.
    let (_directory, server) = dev(&["--trusted-proxies", "127.0.0.1"]);
    let mut browser = Browser::default();
    let acs = login_url(&mut browser, &server).replace("/login", "/acs");
    let mut post_from = |client: &str| {
        browser.extra = vec![("X-Forwarded-For".to_owned(), client.to_owned())];
        browser.post(&acs, &[("SAMLResponse", "QQ=="), ("bounced", "1")])
    };
    for number in 0..limits::ACS_BURST {
        assert_ne!(post_from("192.0.2.1").status, 429, "the burst ends after {number}");
    }
    // A few more pass, since the bucket fills while it is emptied.
    let mut more = std::iter::repeat_with(|| post_from("192.0.2.1")).take(10 * limits::ACS_BURST as usize);
    let limited = more.find(|answer| answer.status == 429).expect("there is a limit");
    drop(more);
    assert_eq!(refusal(&limited), "too-many-requests");
    assert!(limited.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_ne!(post_from("192.0.2.2").status, 429, "another client has its own");
}

#[test]
fn setup_links_cannot_be_tried_for_long() {
    let (_directory, server) = dev(&[]);
    let mut browser = Browser::default();
    let wrong = server.path(&format!("/setup/setup_{}", "A".repeat(43)));
    let tries = std::iter::repeat_with(|| browser.get(&wrong).status).take(2 * limits::SETUP_BURST as usize);
    let tries: Vec<u16> = tries.collect();
    let burst = limits::SETUP_BURST as usize;
    assert_eq!(tries[..burst], vec![403; burst]);
    assert!(tries[burst..].contains(&429), "{tries:?}");
    let right = browser.get(&server.setup_link.clone().unwrap());
    assert_eq!(right.status, 429, "nor can the right one be found among them");
}

#[test]
fn many_connections_are_searched_and_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let file = metadata(directory.path());
    json(&["migrate", "up", "--data", data]);
    for number in 0..=limits::SIGN_IN_LISTED {
        let (name, organization) = (format!("Company {number}"), format!("company-{number}"));
        let add = ["sso", "connection", "add", "--enable", "--name", &name, "--organization", &organization];
        json(&[&add, ["--metadata", file.to_str().unwrap(), "--data", data].as_slice()].concat());
    }
    let alone = ["sso", "connection", "add", "--enable", "--name", "Alone & Free", "--data", data];
    json(&[&alone, ["--metadata", file.to_str().unwrap()].as_slice()].concat());
    let server = Server::in_directory(directory.path(), &[]);
    let mut browser = Browser::default();
    let asks = browser.get(&server.path("/login"));
    assert!(asks.body.contains("name=\"organization\"") && !asks.body.contains("Company"), "{asks:?}");
    let found = browser.get(&server.path("/login?organization=company-3"));
    assert!(found.body.contains("Company 3") && !found.body.contains("Company 4"), "{found:?}");
    // One that belongs to no organisation is found by its own name.
    let found = browser.get(&server.path("/login?organization=alone+%26+FREE"));
    assert!(found.body.contains("Alone &amp; Free") && !found.body.contains("Company"), "{found:?}");
    let part = browser.get(&server.path("/login?organization=Alone"));
    assert!(part.body.contains("Nothing goes by that name"), "a part of a name finds nobody: {part:?}");
    let none = browser.get(&server.path("/login?organization=%3Cscript%3E"));
    assert!(none.body.contains("Nothing goes by that name"), "{none:?}");
    assert!(none.body.contains("&lt;script&gt;") && !none.body.contains("<script>"), "{none:?}");
}
