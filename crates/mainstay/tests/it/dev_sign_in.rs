//! Signing in through the built-in identity provider, step by step as a browser does.

use crate::support::browser::{Answer, Browser};
use crate::support::html::{Form, text_after};
use crate::support::server::{Server, json};

/// The URL at which a login through the development provider begins.
pub(crate) fn login_url(browser: &mut Browser, server: &Server) -> String {
    let page = browser.get(&server.path("/login"));
    let start = page.body.find("/saml/conn_").unwrap_or_else(|| panic!("no connection is listed: {page:?}"));
    let path = page.body[start..].split('"').next().unwrap();
    server.path(path)
}

/// Goes through the provider up to the form that carries its answer back.
pub(crate) fn answered(browser: &mut Browser, server: &Server, user: &str, query: &str) -> Form {
    let start = login_url(browser, server) + query;
    let away = browser.get(&start);
    assert_eq!(away.status, 303, "{away:?}");
    let choice = browser.get(&away.location());
    assert!(choice.body.contains("Alice Example") && choice.body.contains("Bob Sample"), "{choice:?}");
    let chosen = Form::of(&choice).with("user", user).submit(browser);
    assert_eq!(chosen.status, 200, "{chosen:?}");
    Form::of(&chosen)
}

/// Signs in and gives the page that the user then sees.
pub(crate) fn sign_in(browser: &mut Browser, server: &Server, user: &str) -> Answer {
    let form = answered(browser, server, user, "");
    let done = form.submit(browser);
    browser.follow(done)
}

/// The stable code on a page that refuses.
pub(crate) fn refusal(page: &Answer) -> &str {
    text_after(&page.body, "<code>")
}

fn dev() -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    (directory, server)
}

#[test]
fn alice_signs_in_sees_herself_and_signs_out() {
    let (_directory, server) = dev();
    let mut browser = Browser::default();
    let first = browser.get(&server.path("/"));
    assert_eq!((first.status, first.location()), (303, server.path("/login")));

    let page = sign_in(&mut browser, &server, "alice");
    assert_eq!(page.status, 200);
    for part in
        ["Alice Example", "alice@example.test", "Development users", "SQLite", "Position", "operators"]
    {
        assert!(page.body.contains(part), "{part} is missing in {}", page.body);
    }
    let me: serde_json::Value = serde_json::from_str(&browser.get(&server.path("/api/v1/me")).body).unwrap();
    assert_eq!((me["subject"].as_str(), me["kind"].as_str()), (Some("alice@example.test"), Some("saml")));
    assert_eq!(me["role"], serde_json::Value::Null);

    let out = Form::of(&page).submit(&mut browser);
    assert_eq!((out.status, out.location()), (303, server.path("/login")));
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 401);
}

#[test]
fn signing_out_ends_the_session_itself_and_not_only_the_cookie() {
    let (_directory, server) = dev();
    let mut browser = Browser::default();
    let page = sign_in(&mut browser, &server, "bob");
    let mut stolen = browser.clone();
    Form::of(&page).submit(&mut browser);
    assert_eq!(stolen.get(&server.path("/api/v1/me")).status, 401);
}

#[test]
fn the_return_path_is_kept_and_only_a_local_one_is_taken() {
    let (_directory, server) = dev();
    let mut browser = Browser::default();
    let form = answered(&mut browser, &server, "alice", "?return_to=/api/v1/me");
    assert_eq!(form.submit(&mut browser).location(), server.path("/api/v1/me"));
    for elsewhere in ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "javascript:alert(1)"] {
        let start = login_url(&mut browser, &server) + "?return_to=" + elsewhere;
        let refused = browser.get(&start);
        assert_eq!((refused.status, refusal(&refused)), (400, "return_path_invalid"), "{elsewhere}");
    }
}

#[test]
fn a_response_is_good_once() {
    let (_directory, server) = dev();
    let mut browser = Browser::default();
    let form = answered(&mut browser, &server, "alice", "");
    assert_eq!(form.submit(&mut browser).status, 303);
    let again = form.submit(&mut browser);
    assert_eq!((again.status, refusal(&again)), (409, "replayed_assertion"));
    assert!(again.body.contains("req_") && again.body.contains("ltr_"), "an operator can find it: {again:?}");
    assert!(!again.body.contains(&form.field("SAMLResponse").unwrap()[..40]), "the message is never shown");
}

#[test]
fn a_login_belongs_to_the_browser_that_began_it() {
    let (_directory, server) = dev();
    let (mut attacker, mut victim) = (Browser::default(), Browser::default());
    let form = answered(&mut attacker, &server, "bob", "");
    // Without any cookie our own page posts the form once more; then it is refused.
    let bounced = form.submit(&mut victim);
    assert_eq!(bounced.status, 200);
    let refused = Form::of(&bounced).submit(&mut victim);
    assert_eq!((refused.status, refusal(&refused)), (403, "browser_binding_missing"));
    // With a cookie of its own as well.
    answered(&mut victim, &server, "alice", "");
    let refused = form.submit(&mut victim);
    assert_eq!((refused.status, refusal(&refused)), (403, "intent_other_browser"));
    assert_eq!(victim.get(&server.path("/api/v1/me")).status, 401);
}

#[test]
fn a_cross_site_post_comes_back_with_its_cookie() {
    let (_directory, server) = dev();
    let mut browser = Browser::default();
    let form = answered(&mut browser, &server, "alice", "");
    // What a browser does with a Lax cookie when another site posts: it keeps it to itself.
    let bounced = form.submit(&mut Browser::default());
    assert!(bounced.body.contains("/assets/submit.js"), "{bounced:?}");
    assert!(bounced.set_cookie("mainstay-insecure").is_none());
    let again = Form::of(&bounced);
    assert_eq!(again.field("bounced"), Some("1"));
    // Our own page posts the same fields; that is same-site, and the cookie is there.
    let done = again.submit(&mut browser);
    assert_eq!(done.status, 303, "{done:?}");
    assert!(browser.follow(done).body.contains("Alice Example"));
}

#[test]
fn the_provider_exists_only_with_its_flag_and_its_users_go_with_it() {
    let (directory, server) = dev();
    let mut browser = Browser::default();
    sign_in(&mut browser, &server, "alice");
    drop(server);
    let server = Server::in_directory(directory.path(), &[]);
    for path in ["/dev/idp/sso", "/dev/idp/metadata"] {
        assert_eq!(browser.get(&server.path(path)).status, 404, "{path}");
    }
    assert_eq!(browser.get(&server.path("/api/v1/me")).status, 401, "the session of a test user has ended");
    let data = directory.path().join("data");
    let list = json(&["sso", "connection", "list", "--data", data.to_str().unwrap()]);
    assert_eq!(list["connections"][0]["status"], "disabled");
}

#[test]
fn the_setup_link_makes_one_administrator() {
    let (_directory, server) = dev();
    let link = server.setup_link.clone().unwrap();
    let mut browser = Browser::default();
    let page = browser.get(&link);
    assert_eq!(browser.get(&link).status, 200, "looking at it does not use it up");
    let mut form = Form::of(&page).with("name", "Ada Lovelace");
    form.action = link.clone();
    let done = form.submit(&mut browser);
    let page = browser.follow(done);
    assert!(page.body.contains("Ada Lovelace") && page.body.contains("Development users"), "{page:?}");
    let me: serde_json::Value = serde_json::from_str(&browser.get(&server.path("/api/v1/me")).body).unwrap();
    assert_eq!((me["kind"].as_str(), me["role"].as_str()), (Some("setup"), Some("admin")));

    let second = form.submit(&mut Browser::default());
    assert_eq!((second.status, refusal(&second)), (403, "setup-link"));
    // Whoever opens a link that does nothing is told before they type anything.
    let used = Browser::default().get(&link);
    assert_eq!((used.status, refusal(&used)), (403, "setup-link"));
    assert!(used.body.contains("It was used before") && !used.body.contains("<form"), "{used:?}");
    let wrong = Browser::default().get(&server.path(&format!("/setup/setup_{}", "A".repeat(43))));
    assert_eq!((wrong.status, refusal(&wrong)), (403, "setup-link"));
    assert!(wrong.body.contains("It was never issued") && !wrong.body.contains("<form"), "{wrong:?}");
    let made_up = Browser::default().get(&server.path("/setup/setup_x"));
    assert_eq!(made_up.status, 404);
}

#[test]
fn an_administrator_is_granted_and_no_link_is_needed_any_more() {
    let (directory, server) = dev();
    let mut browser = Browser::default();
    sign_in(&mut browser, &server, "alice");
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let list = json(&["sso", "connection", "list", "--data", data]);
    let id = list["connections"][0]["id"].as_str().unwrap().to_owned();
    let granted = json(&[
        "sso",
        "administrator",
        "grant",
        &id,
        "--name-id",
        "alice@example.test",
        "--global",
        "--data",
        data,
    ]);
    assert_eq!(granted["administrators"][0]["role"], "admin");
    let me: serde_json::Value = serde_json::from_str(&browser.get(&server.path("/api/v1/me")).body).unwrap();
    assert_eq!(me["role"], "admin", "from the next request on");
    drop(server);
    assert_eq!(Server::in_directory(directory.path(), &["--dev"]).setup_link, None);
}
