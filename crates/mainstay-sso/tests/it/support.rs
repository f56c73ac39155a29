//! A world for one test: a database with the tables of sign-in, an identity provider, and a clock that can be moved.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock as _, FixedClock, SystemClock};
use mainstay_repo::{Repo, Row, Sql, Statement, Target};
use mainstay_saml::idp::{Grant, IdentityProvider};
use mainstay_saml::{KeyKind, Policy, ServiceProvider};
use mainstay_sso::*;
use mainstay_testkit::TestDatabase;

pub const ALICE: &str = "alice@example.test";

pub struct World {
    pub repo: Repo,
    pub sso: Sso,
    pub clock: Arc<FixedClock>,
    pub idp: IdentityProvider,
    pub scope: Scope,
    pub cause: Cause,
}

/// One login that was started.
pub struct Started {
    pub connection: Connection,
    pub redirect: Redirect,
    pub browser: BrowserBinding,
}

pub fn organization(name: &str) -> OrganizationId {
    OrganizationId::new(name).unwrap()
}

pub fn scope_in(name: &str, role: Role) -> Scope {
    Scope::new(Actor::new(format!("admin:{name}")).unwrap(), Some(organization(name)), role)
}

pub fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    SystemRandom.fill(&mut octets).unwrap();
    octets
}

pub fn idp(entity_id: &str, clock: &FixedClock) -> IdentityProvider {
    let sso_url = format!("{entity_id}/sso");
    IdentityProvider::generate(entity_id, sso_url, KeyKind::EcdsaP256, clock.now()).unwrap()
}

impl World {
    pub async fn new(database: &TestDatabase) -> Self {
        Self::with(database, |_| {}).await
    }

    pub async fn with(database: &TestDatabase, change: impl FnOnce(&mut SsoOptions)) -> Self {
        let repo = database.repo().await;
        repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        Self::on(repo, change)
    }

    /// Another handle on a database that has the tables.
    pub fn on(repo: Repo, change: impl FnOnce(&mut SsoOptions)) -> Self {
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let mut options = SsoOptions { clock: Arc::clone(&clock) as _, ..SsoOptions::default() };
        change(&mut options);
        Self {
            sso: Sso::new(repo.clone(), options).unwrap(),
            repo,
            idp: idp("https://idp.test", &clock),
            clock,
            scope: Scope::system(Actor::new("test:operator").unwrap()),
            cause: Cause::new("a test").unwrap(),
        }
    }

    pub fn new_connection(&self) -> NewConnection {
        NewConnection {
            display_name: "Example".into(),
            organization: Some(organization("example")),
            sp_entity_id: "https://app.test/saml".into(),
            acs_url: AcsUrl::Template("https://app.test/sso/{connection}/acs".into()),
            idp: Some(IdpFields {
                entity_id: self.idp.entity_id.clone(),
                sso_url: self.idp.sso_url.clone(),
                certificates: vec![self.idp.certificate.to_pem()],
            }),
            ..NewConnection::default()
        }
    }

    pub async fn draft(&self) -> Connection {
        self.sso.connection_create(&self.scope, &self.cause, self.new_connection()).await.unwrap()
    }

    pub async fn enabled(&self) -> Connection {
        self.enabled_with(|_| {}).await
    }

    pub async fn enabled_with(&self, change: impl FnOnce(&mut NewConnection)) -> Connection {
        let mut new = self.new_connection();
        change(&mut new);
        let draft = self.sso.connection_create(&self.scope, &self.cause, new).await.unwrap();
        self.sso.connection_enable(&self.scope, &self.cause, draft.id, draft.lock_version).await.unwrap()
    }

    pub async fn set_policy(&self, connection: &Connection, policy: Policy) -> Connection {
        let update = ConnectionUpdate { policy: Some(policy), ..ConnectionUpdate::default() };
        let version = connection.lock_version;
        self.sso.connection_update(&self.scope, &self.cause, connection.id, version, update).await.unwrap()
    }

    pub async fn disable(&self, connection: &Connection, sessions: SessionsOnDisable) -> Connection {
        let (id, version) = (connection.id, connection.lock_version);
        self.sso.connection_disable(&self.scope, &self.cause, id, version, sessions).await.unwrap()
    }

    pub async fn start(&self, connection: &Connection) -> Started {
        let browser = self.sso.browser_binding().unwrap();
        let redirect = self
            .sso
            .sign_in_start(StartInput {
                connection: connection.id,
                return_path: "/inbox",
                browser: &browser,
                correlation_id: Some("start-1"),
            })
            .await
            .unwrap();
        Started { connection: connection.clone(), redirect, browser }
    }

    pub fn grant(&self, connection: &Connection, in_response_to: Option<&str>) -> Grant {
        let sp = ServiceProvider::new(connection.sp_entity_id.clone(), connection.acs_url.clone());
        let mut grant = Grant::new(&sp, in_response_to, ALICE);
        grant.session_index = Some("idx-1".into());
        grant.attributes = vec![("groups".into(), vec!["staff".into(), "admins".into()])];
        grant
    }

    pub fn sign(&self, grant: &Grant) -> String {
        self.idp.respond(grant, &octets(), self.clock.now()).unwrap()
    }

    pub fn answer(&self, started: &Started) -> String {
        self.sign(&self.grant(&started.connection, Some(&started.redirect.request_id)))
    }

    pub async fn finish(&self, started: &Started, response: &str) -> Result<SignedIn, SignInError> {
        // Identifiers sort by time, and the clock stands still.
        self.clock.advance(Duration::from_millis(1));
        self.sso.sign_in_finish(started.input(response)).await
    }

    pub async fn sign_in(&self, connection: &Connection) -> SignedIn {
        let started = self.start(connection).await;
        self.finish(&started, &self.answer(&started)).await.unwrap()
    }

    /// The number in the first column of the first row.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let row: Row = self.repo.read_one(Statement::new(sql)).await.unwrap();
        row.get_at(0).unwrap()
    }

    /// Rows of every table that a login writes: intents, used intents, replay keys, sessions, successful traces.
    pub async fn counts(&self) -> [i64; 5] {
        [
            self.count("SELECT count(*) FROM sso_request_intents").await,
            self.count("SELECT count(*) FROM sso_request_intents WHERE consumed_at IS NOT NULL").await,
            self.count("SELECT count(*) FROM sso_replay_keys").await,
            self.count("SELECT count(*) FROM sso_sessions").await,
            self.count("SELECT count(*) FROM sso_login_traces WHERE outcome = 'succeeded'").await,
        ]
    }

    pub async fn write(&self, sql: impl Into<Sql>) {
        self.repo.write(Statement::new(sql)).await.unwrap();
    }

    /// Lets time pass for rows of a table: an instant of theirs moves so many seconds into the past.
    pub async fn age(&self, table: &str, columns: &[&str], seconds: i64) {
        let set = |micros: &dyn Fn(&str) -> String| {
            let all: Vec<_> = columns.iter().map(|column| micros(column)).collect();
            format!("UPDATE {table} SET {}", all.join(", "))
        };
        let sqlite = set(&|column| format!("{column} = {column} - {seconds} * 1000000"));
        let postgres = set(&|column| format!("{column} = {column} - {seconds} * interval '1 second'"));
        self.write(Sql::dynamic(sqlite, postgres)).await;
    }

    pub async fn last_trace(&self) -> LoginTrace {
        let size = mainstay_core::PageSize::clamped(1);
        let page = self.sso.trace_list(&self.scope, &TraceFilter::default(), size, None).await.unwrap();
        page.items.into_iter().next().unwrap()
    }
}

impl Started {
    pub fn input<'a>(&'a self, response: &'a str) -> FinishInput<'a> {
        FinishInput {
            connection: Some(self.connection.id),
            saml_response: response,
            relay_state: Some(&self.redirect.relay_state),
            browser: Some(&self.browser),
            correlation_id: Some("finish-1"),
        }
    }
}

/// The exact reason of a refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, SignInError>) -> SignInRefusal {
    match result {
        Err(SignInError::Refused(refused)) => refused.refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// The kind of an error.
#[track_caller]
pub fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind().clone()
}
