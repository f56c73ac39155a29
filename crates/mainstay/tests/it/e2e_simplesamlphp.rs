//! SimpleSAMLphp signs a user in to the running binary, through its real login form.

use mainstay_testkit::TestDatabase;

use crate::dev_sign_in::refusal;
use crate::support::browser::Browser;
use crate::support::server::{Server, free_port, json};
use crate::support::simplesamlphp::SimpleSamlPhp;

/// Everything that must hold on either database.
fn check(database: &TestDatabase, describes: &str) {
    let provider = SimpleSamlPhp::start("127.0.0.1");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let settings = ["--database", database.url(), "--data", data, "--public-url", &url];
    json(&[&["migrate", "up"], settings.as_slice()].concat());
    let id = provider.connect(&settings);
    let start = || Server::start(&[settings.as_slice(), &["--listen", &listen]].concat());

    let server = start();
    let mut browser = Browser::default();
    let away = browser.get(&server.path(&format!("/saml/{id}/login")));
    assert_eq!(away.status, 303, "{away:?}");
    let form = provider.sign_in(&mut browser, &away);

    // The process dies between the request and the response.
    server.kill();
    let server = start();
    let done = form.submit(&mut browser);
    assert_eq!(done.status, 303, "{done:?}");
    let page = browser.follow(done);
    for part in ["Alice Example", "alice@example.test", "SimpleSAMLphp", describes, "Position"] {
        assert!(page.body.contains(part), "{part} is missing in {}", page.body);
    }

    let again = form.submit(&mut browser);
    assert_eq!((again.status, refusal(&again)), (409, "replayed_assertion"));
    let me = browser.get(&server.path("/api/v1/me"));
    assert_eq!(me.status, 200, "the refused repetition ended nobody's session");
    assert!(me.body.contains(&provider.metadata_url()), "{me:?}");
}

#[test]
fn e2e_simplesamlphp_signs_in_on_sqlite_across_a_kill() {
    check(&TestDatabase::sqlite(), "SQLite");
}

#[test]
fn e2e_simplesamlphp_signs_in_on_postgres_across_a_kill() {
    check(&TestDatabase::postgres(), "PostgreSQL");
}

#[test]
fn e2e_two_nodes_on_one_postgres_share_logins_and_replays() {
    let provider = SimpleSamlPhp::start("127.0.0.1");
    let database = TestDatabase::postgres();
    let (one_data, two_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let shared = ["--database", database.url(), "--public-url", &url];
    json(&[&["migrate", "up"], shared.as_slice()].concat());
    let id = provider.connect(&shared);
    let node = |listen: &str, data: &tempfile::TempDir| {
        Server::start(
            &[shared.as_slice(), &["--listen", listen, "--data", data.path().to_str().unwrap()]].concat(),
        )
    };
    let one = node(&listen, &one_data);
    let two = node("127.0.0.1:0", &two_data);
    let other = format!("http://{}", two.listen);

    // Begun on one node, finished on the other, as behind a balancer.
    let mut browser = Browser::default();
    let away = browser.get(&one.path(&format!("/saml/{id}/login")));
    let form = provider.sign_in(&mut browser, &away);
    assert_eq!(form.submit_to(&mut browser, &other).status, 303);
    assert_eq!(browser.get(&one.path("/api/v1/me")).status, 200, "the session is everybody's");

    // The same response is used up on every node.
    for origin in [&one.url, &other] {
        let again = form.submit_to(&mut browser, origin);
        assert_eq!((again.status, refusal(&again)), (409, "replayed_assertion"), "{origin}");
    }
    let mut stranger = Browser::default();
    let bounced = form.submit_to(&mut stranger, &other);
    assert_eq!(bounced.status, 200, "asked to come back with its cookie: {bounced:?}");
    assert_eq!(stranger.get(&one.path("/api/v1/me")).status, 401);
}
