//! Sign-in: how fast a signed answer is validated, and how many logins a second are durable. `cargo xtask bench sso`.
//!
//! The peers here are targets: the protocol libraries that others use are measured by their own programs, and their figures
//! stand beside ours in `docs/benchmarks.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_benches::Row;
use mainstay_core::{Clock as _, SystemClock};
use mainstay_repo::{Repo, Target};
use mainstay_saml::idp::{Grant, IdentityProvider};
use mainstay_saml::{KeyKind, Policy, ResponseInput, ServiceProvider, validate_response};
use mainstay_sso::{
    AcsUrl, Actor, BrowserBinding, COMPONENT, Cause, Connection, FinishInput, IdpFields, NewConnection,
    OrganizationId, Random as _, Redirect, Scope, Sso, SsoOptions, StartInput, SystemRandom,
};
use mainstay_testkit::TestDatabase;

const CALLERS: usize = 64;
const VALIDATIONS_TARGET: f64 = 15_000.0;
const LOGINS_TARGET: f64 = 5_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let (json, rounds, logins) =
        if has("--quick") { (has("--json"), 1, 40) } else { (has("--json"), 3, 150) };
    let rate = median((0..rounds).map(|_| validations(Duration::from_secs(2))).collect());
    Row::rate("saml_validate_rsa2048_one_core", rate, "target", VALIDATIONS_TARGET).print(json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (name, database) in [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())] {
        let rates = (0..rounds).map(|_| runtime.block_on(logins_per_second(&database, logins))).collect();
        Row::rate(format!("login_{name}_64"), median(rates), "target", LOGINS_TARGET).print(json);
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    SystemRandom.fill(&mut octets).expect("random octets");
    octets
}

fn identity_provider() -> IdentityProvider {
    IdentityProvider::generate(
        "https://idp.test",
        "https://idp.test/sso",
        KeyKind::Rsa(2048),
        SystemClock.now(),
    )
    .expect("a key")
}

/// Full validations a second on one thread: decode, parse, canonicalise, verify, and every check of the profile.
fn validations(time: Duration) -> f64 {
    let idp = identity_provider();
    let sp = ServiceProvider::new("https://app.test/saml", "https://app.test/saml/acs");
    let mut grant = Grant::new(&sp, Some("id_request"), "alice@example.test");
    grant.attributes = (0..12)
        .map(|n| (format!("urn:oid:1.3.6.1.4.1.5923.1.1.1.{n}"), vec![format!("a value of attribute {n}")]))
        .collect();
    let response = idp.respond(&grant, &octets(), SystemClock.now()).expect("signed");
    let trust = idp.trust(Policy::default());
    let input = ResponseInput {
        saml_response: &response,
        sp: &sp,
        trust: &trust,
        expected_request_id: Some("id_request"),
        now: SystemClock.now(),
    };
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < time {
        std::hint::black_box(validate_response(&input).expect("valid"));
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

struct Started {
    redirect: Redirect,
    browser: BrowserBinding,
    response: String,
}

/// Logins a second from 64 callers: each finds its intent, validates the answer and commits its one batch.
async fn logins_per_second(database: &TestDatabase, logins: usize) -> f64 {
    let repo: Repo = database.repo().await;
    repo.migrator().migrate(&COMPONENT, Target::Latest).await.expect("the tables");
    let sso = Arc::new(Sso::new(repo.clone(), SsoOptions::default()).expect("options"));
    let idp = identity_provider();
    let connection = connect(&sso, &idp).await;
    let mut work = Vec::new();
    for _ in 0..CALLERS {
        let mut all = Vec::with_capacity(logins);
        for _ in 0..logins {
            all.push(start(&sso, &idp, &connection).await);
        }
        work.push(all);
    }
    let began = Instant::now();
    let tasks: Vec<_> = work
        .into_iter()
        .map(|all| {
            let (sso, id) = (Arc::clone(&sso), connection.id);
            tokio::spawn(async move {
                for started in all {
                    let input = FinishInput {
                        connection: Some(id),
                        saml_response: &started.response,
                        relay_state: Some(&started.redirect.relay_state),
                        browser: Some(&started.browser),
                        correlation_id: None,
                    };
                    sso.sign_in_finish(input).await.expect("signed in");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let rate = (CALLERS * logins) as f64 / began.elapsed().as_secs_f64();
    repo.close().await;
    rate
}

async fn connect(sso: &Sso, idp: &IdentityProvider) -> Connection {
    let scope = Scope::system(Actor::new("bench:operator").expect("a name"));
    let cause = Cause::new("a benchmark").expect("a cause");
    let new = NewConnection {
        display_name: "Bench".into(),
        organization: Some(OrganizationId::new("bench").expect("a name")),
        sp_entity_id: "https://app.test/saml".into(),
        acs_url: AcsUrl::Template("https://app.test/sso/{connection}/acs".into()),
        idp: Some(IdpFields {
            entity_id: idp.entity_id.clone(),
            sso_url: idp.sso_url.clone(),
            certificates: vec![idp.certificate.to_pem()],
        }),
        ..NewConnection::default()
    };
    let draft = sso.connection_create(&scope, &cause, new).await.expect("created");
    sso.connection_enable(&scope, &cause, draft.id, draft.lock_version).await.expect("enabled")
}

async fn start(sso: &Sso, idp: &IdentityProvider, connection: &Connection) -> Started {
    let browser = sso.browser_binding().expect("random octets");
    let input =
        StartInput { connection: connection.id, return_path: "/", browser: &browser, correlation_id: None };
    let redirect = sso.sign_in_start(input).await.expect("started");
    let sp = ServiceProvider::new(connection.sp_entity_id.clone(), connection.acs_url.clone());
    let grant = Grant::new(&sp, Some(&redirect.request_id), "alice@example.test");
    let response = idp.respond(&grant, &octets(), SystemClock.now()).expect("signed");
    Started { redirect, browser, response }
}
