//! Stores in memory, and tables of the host's own.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_repo::Statement;
use mainstay_sso::*;
use mainstay_testkit::{TestDatabase, for_each_database};

use crate::support::{World, kind, refusal};

fn in_memory(options: &mut SsoOptions) {
    options.intents = IntentStore::Memory;
    options.replay_keys = ReplayStore::Memory;
    options.memory_stores = MemoryStores::Allow;
}

#[tokio::test]
async fn stores_in_memory_keep_the_same_rules() {
    let world = World::with(&TestDatabase::sqlite(), in_memory).await;
    let connection = world.enabled().await;
    let started = world.start(&connection).await;
    let response = world.answer(&started);
    let signed_in = world.finish(&started, &response).await.unwrap();
    assert!(world.sso.session(&signed_in.token).await.unwrap().is_some());
    assert_eq!(refusal(world.finish(&started, &response).await), SignInRefusal::ReplayedAssertion);
    assert_eq!(refusal(world.finish(&started, &world.answer(&started)).await), SignInRefusal::IntentConsumed);
    assert_eq!(world.counts().await, [0, 0, 0, 1, 1]);

    let mut started = world.start(&connection).await;
    started.browser = world.sso.browser_binding().unwrap();
    let result = world.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::IntentOtherBrowser);

    let started = world.start(&connection).await;
    world.disable(&connection, SessionsOnDisable::Keep).await;
    let result = world.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::ConnectionDisabled);
}

#[tokio::test]
async fn intents_in_memory_expire() {
    let world = World::with(&TestDatabase::sqlite(), |options| {
        in_memory(options);
        options.lifetimes.intent = Duration::from_millis(1);
    })
    .await;
    let started = world.start(&world.enabled().await).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let result = world.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::IntentExpired);
    assert_eq!(world.sso.prune().await.unwrap().intents, 1);
    let result = world.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::IntentNotFound);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_in_memory_warns_once_and_names_its_replacement() {
    let database = TestDatabase::sqlite();
    let repo = database.repo().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let world = World::on(repo, |options| {
        in_memory(options);
        options.memory_stores = MemoryStores::Warn;
    });
    let copy = world.sso.clone();
    assert!(copy.browser_binding().is_ok() && world.sso.browser_binding().is_ok());
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("WARN").count(), 2, "{text}");
    for part in [
        "request intents",
        "replay keys",
        "single-node and non-durable",
        "IntentStore::Table",
        "ReplayStore::Table",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_store_in_memory_can_be_refused() {
    let database = TestDatabase::sqlite();
    let repo = database.repo().await;
    for (intents, replay_keys) in
        [(IntentStore::Memory, ReplayStore::default()), (IntentStore::default(), ReplayStore::Memory)]
    {
        let options =
            SsoOptions { intents, replay_keys, memory_stores: MemoryStores::Refuse, ..SsoOptions::default() };
        assert_eq!(kind(Sso::new(repo.clone(), options)), ErrorKind::Configuration);
    }
    let same = SsoOptions {
        intents: IntentStore::Table(IntentTable::new("shared").unwrap()),
        replay_keys: ReplayStore::Table(ReplayTable::new("shared").unwrap()),
        ..SsoOptions::default()
    };
    assert_eq!(kind(Sso::new(repo, same)), ErrorKind::Configuration);
}

#[tokio::test]
async fn the_host_may_own_the_tables() {
    for_each_database(async |database| {
        let (intents, replay_keys) =
            (IntentTable::new("app_intents").unwrap(), ReplayTable::new("app_replay").unwrap());
        let world = World::with(database, |options| {
            options.intents = IntentStore::Table(intents.clone());
            options.replay_keys = ReplayStore::Table(replay_keys.clone());
        })
        .await;
        let dialect = world.repo.dialect();
        for ddl in [intents.ddl(dialect), replay_keys.ddl(dialect)] {
            for statement in ddl.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
                let sql = mainstay_repo::Sql::dynamic(statement.to_owned(), statement.to_owned());
                world.repo.write(Statement::new(sql)).await.unwrap();
            }
        }
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        world.finish(&started, &response).await.unwrap();
        assert_eq!(refusal(world.finish(&started, &response).await), SignInRefusal::ReplayedAssertion);
        assert_eq!(world.counts().await, [0, 0, 0, 1, 1]);
        assert_eq!(world.count("SELECT count(*) FROM app_intents WHERE consumed_at IS NOT NULL").await, 1);
        assert_eq!(world.count("SELECT count(*) FROM app_replay").await, 1);
        world.age("app_intents", &["expires_at"], 24 * 3_600).await;
        assert_eq!(world.sso.prune().await.unwrap().intents, 1);
    })
    .await;
}
