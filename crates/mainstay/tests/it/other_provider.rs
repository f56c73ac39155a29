//! Whole logins through the running server with an identity provider that does what the usual ones do not.

use std::time::{Duration, Instant};

use mainstay_core::{Clock as _, SystemClock, Timestamp};
use mainstay_saml::idp::{Canonicalization, Grant, IdentityProvider};
use mainstay_saml::{KeyKind, ServiceProvider};
use mainstay_testkit::{TestDatabase, pause};
use serde_json::Value;

use crate::dev_sign_in::{login_url, refusal, sign_in};
use crate::support::browser::{Answer, Browser};
use crate::support::html::Form;
use crate::support::server::{Server, json, run};

/// A server that knows one identity provider, which signs in whoever the test wants.
struct Trusted<'a> {
    database: &'a TestDatabase,
    server: Server,
    idp: IdentityProvider,
    id: String,
    sp: ServiceProvider,
    _directory: tempfile::TempDir,
}

impl<'a> Trusted<'a> {
    fn on(database: &'a TestDatabase) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::in_directory(directory.path(), &["--database", database.url()]);
        let now = SystemClock.now();
        let idp =
            IdentityProvider::generate("https://idp.test", "https://idp.test/sso", KeyKind::EcdsaP256, now);
        let idp = idp.unwrap();
        let file = directory.path().join("idp.xml");
        std::fs::write(&file, idp.metadata()).unwrap();
        let add = [
            "sso",
            "connection",
            "add",
            "--enable",
            "--public-url",
            &server.url,
            "--database",
            database.url(),
        ];
        let added = json(&[add.as_slice(), &["--metadata", file.to_str().unwrap()]].concat());
        let text = |name: &str| added["connection"][name].as_str().unwrap().to_owned();
        let sp = ServiceProvider::new(text("sp_entity_id"), text("acs_url"));
        Self { database, server, idp, id: text("id"), sp, _directory: directory }
    }

    /// Begins a login and posts the provider's answer, with whatever the test changes in it.
    fn sign_in(&self, browser: &mut Browser, change: impl FnOnce(&mut Grant)) -> Answer {
        let start = login_url(browser, &self.server);
        let away = browser.get(&start).location();
        let request = self.idp.parse_request(away.split_once('?').unwrap().1).unwrap();
        let mut grant = Grant::new(&self.sp, Some(&request.id), "carol@example.test");
        change(&mut grant);
        let mut random = [0; 32];
        random.copy_from_slice(&[request.id.as_bytes(), &[0; 32]].concat()[..32]);
        let response = self.idp.respond(&grant, &random, SystemClock.now()).unwrap();
        let fields =
            [("SAMLResponse", response.as_str()), ("RelayState", request.relay_state.as_deref().unwrap())];
        browser.post(&self.sp.acs_url, &fields)
    }

    fn policy(&self, set: &[&str]) -> Value {
        let policy = ["sso", "connection", "policy", &self.id, "--database", self.database.url()];
        json(&[policy.as_slice(), set].concat())["policy"].clone()
    }

    fn me(&self, browser: &mut Browser) -> Answer {
        browser.get(&self.server.path("/api/v1/me"))
    }
}

fn inclusive_canonicalization(database: &TestDatabase) {
    let trusted = Trusted::on(database);
    for canonicalization in [Canonicalization::Inclusive10, Canonicalization::Inclusive11] {
        let login = || {
            let mut browser = Browser::default();
            let answer = trusted.sign_in(&mut browser, |grant| grant.canonicalization = canonicalization);
            (answer, trusted.me(&mut browser).status)
        };
        assert_eq!(trusted.policy(&[])["allow_inclusive_c14n"], false);
        let (page, me) = login();
        assert_eq!((page.status, refusal(&page), me), (403, "inclusive_canonicalization_not_allowed", 401));
        // The running server goes by the new policy from the next login on.
        assert_eq!(trusted.policy(&["--set", "allow_inclusive_c14n=true"])["allow_inclusive_c14n"], true);
        let (page, me) = login();
        assert_eq!((page.status, me), (303, 200), "{page:?}");
        trusted.policy(&["--set", "allow_inclusive_c14n=false"]);
        let (page, me) = login();
        assert_eq!((page.status, refusal(&page), me), (403, "inclusive_canonicalization_not_allowed", 401));
    }
    let policy = [
        "sso",
        "connection",
        "policy",
        &trusted.id,
        "--set",
        "clock_skew=soon",
        "--database",
        database.url(),
    ];
    assert_eq!(run(&policy).status.code(), Some(2));
}

#[test]
fn inclusive_canonicalization_is_what_the_policy_says_on_sqlite() {
    inclusive_canonicalization(&TestDatabase::sqlite());
}

#[test]
fn inclusive_canonicalization_is_what_the_policy_says_on_postgres() {
    inclusive_canonicalization(&TestDatabase::postgres());
}

fn the_session_ends_with_the_providers(database: &TestDatabase) {
    let trusted = Trusted::on(database);
    let (mut short, mut usual) = (Browser::default(), Browser::default());
    assert_eq!(trusted.sign_in(&mut usual, |_| {}).status, 303);
    let mut end = Timestamp::UNIX_EPOCH;
    let answer = trusted.sign_in(&mut short, |grant| {
        end = SystemClock.now().saturating_add(Duration::from_secs(5));
        grant.session_not_on_or_after = Some(end);
    });
    assert_eq!(answer.status, 303, "{answer:?}");
    let me: Value = serde_json::from_str(&trusted.me(&mut short).body).unwrap();
    // SAML's times have milliseconds here; the session's end is the message's, not ours.
    let told: Timestamp = me["session"]["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(told <= end && end <= told.saturating_add(Duration::from_secs(1)), "{told} {end}");
    let idle: Timestamp = me["session"]["idle_expires_at"].as_str().unwrap().parse().unwrap();
    assert!(idle <= told, "{idle} {told}");

    let started = Instant::now();
    loop {
        let before = SystemClock.now();
        let status = trusted.me(&mut short).status;
        let after = SystemClock.now();
        if status == 401 {
            assert!(after >= told, "it ended at {after}, before {told}");
            break;
        }
        assert!(status == 200 && before < told, "{status}: it goes on at {before}, after {told}");
        assert!(started.elapsed() < Duration::from_secs(60), "it does not end");
        pause(Duration::from_millis(50));
    }
    let page = short.get(&trusted.server.path("/"));
    assert_eq!((page.status, page.location()), (303, trusted.server.path("/login")));
    assert_eq!(trusted.me(&mut usual).status, 200, "a session without such an end goes on");

    // One that has ended already begins nothing.
    let past = SystemClock.now().saturating_sub(Duration::from_secs(600));
    let page = trusted.sign_in(&mut short, |grant| grant.session_not_on_or_after = Some(past));
    assert_eq!((page.status, refusal(&page)), (403, "session_expired"));
}

#[test]
fn the_session_ends_with_the_providers_on_sqlite() {
    the_session_ends_with_the_providers(&TestDatabase::sqlite());
}

#[test]
fn the_session_ends_with_the_providers_on_postgres() {
    the_session_ends_with_the_providers(&TestDatabase::postgres());
}

#[test]
fn the_development_provider_lets_its_session_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::in_directory(directory.path(), &["--dev"]);
    let lasts = |session: Option<&str>| {
        let mut browser = Browser::default();
        let start = login_url(&mut browser, &server);
        let away = browser.get(&start);
        let choice = browser.get(&away.location());
        assert!(choice.body.contains("in one minute"), "{choice:?}");
        let mut form = Form::of(&choice).with("user", "alice");
        if let Some(session) = session {
            form = form.with("session", session);
        }
        let chosen = form.submit(&mut browser);
        if chosen.status != 200 {
            return Err((chosen.status, refusal(&chosen).to_owned()));
        }
        Form::of(&chosen).submit(&mut browser);
        let me: Value = serde_json::from_str(&browser.get(&server.path("/api/v1/me")).body).unwrap();
        let at = |name: &str| me["session"][name].as_str().unwrap().parse::<Timestamp>().unwrap();
        Ok(at("expires_at").saturating_since(at("created_at")).as_secs())
    };
    assert_eq!(lasts(None), Ok(8 * 60 * 60));
    assert_eq!(lasts(Some("")), Ok(8 * 60 * 60));
    // A part of the minute is over when the session begins.
    assert!((1..=60).contains(&lasts(Some("minute")).unwrap()));
    assert!((61..=3600).contains(&lasts(Some("hour")).unwrap()));
    assert_eq!(lasts(Some("for ever")), Err((400, "malformed".to_owned())));
    sign_in(&mut Browser::default(), &server, "bob");
}
