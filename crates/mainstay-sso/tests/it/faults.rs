//! What becomes of a login and of a command when the database fails, or its answer is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mainstay_repo::middleware::{Middleware, Next, async_trait};
use mainstay_repo::{
    Action, Error as RepoError, ErrorKind as RepoKind, Operation, Outcome, Result as RepoResult,
};
use mainstay_repo::{Payload, Sql, Statement};
use mainstay_sso::*;
use mainstay_testkit::{TestDatabase, for_each_database};

use crate::support::{World, refusal};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The batch does not reach the database, and nobody says so.
    LostBefore,
    /// The batch is run, and its answer is lost.
    LostAfter,
    /// The database is away.
    Away,
    /// So much time passes before the batch that intents expire.
    Late,
}

/// Fails the next batches in a given way.
#[derive(Clone, Default)]
struct Trouble(Arc<(AtomicUsize, Mutex<Option<Fault>>)>);

impl Trouble {
    fn next(&self, fault: Fault, times: usize) {
        *self.0.1.lock().unwrap() = Some(fault);
        self.0.0.store(times, Ordering::SeqCst);
    }
}

#[async_trait]
impl Middleware for Trouble {
    async fn process(&self, operation: Operation, next: Next<'_>) -> RepoResult<Outcome> {
        let one_less = |left: usize| left.checked_sub(1);
        let due = operation.action() == Action::Batch
            && self.0.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        let fault = *self.0.1.lock().unwrap();
        let Some(fault) = fault.filter(|_| due) else { return next.run(operation).await };
        let request_id = operation.request_id();
        if fault == Fault::Late {
            let expire = Sql::per_dialect(
                "UPDATE sso_request_intents SET expires_at = expires_at - 400000000",
                "UPDATE sso_request_intents SET expires_at = expires_at - interval '400 seconds'",
            );
            next.run(operation.clone().with_payload(Payload::Write(Statement::new(expire)))).await?;
            return next.run(operation).await;
        }
        if fault == Fault::LostAfter {
            drop(next.run(operation).await);
        }
        Err(match fault {
            Fault::Away => RepoError::new(RepoKind::Unavailable, "away"),
            _ => RepoError::new(RepoKind::Unknown { request_id }, "lost"),
        })
    }
}

async fn troubled(database: &TestDatabase) -> (World, Trouble) {
    let trouble = Trouble::default();
    drop(World::new(database).await);
    let repo = database.options().with(trouble.clone()).connect().await.unwrap();
    (World::on(repo, |_| {}), trouble)
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        let connection = world.enabled().await;
        for (done, fault) in [(1, Fault::LostBefore), (2, Fault::LostAfter)] {
            let started = world.start(&connection).await;
            let response = world.answer(&started);
            trouble.next(fault, 1);
            let signed_in = world.finish(&started, &response).await.unwrap();
            assert!(world.sso.session(&signed_in.token).await.unwrap().is_some());
            assert_eq!(world.counts().await, [done; 5], "{fault:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_can_be_asked_for() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        let connection = world.enabled().await;
        for (done, fault) in [(1, Fault::LostBefore), (2, Fault::LostAfter)] {
            let started = world.start(&connection).await;
            let response = world.answer(&started);
            trouble.next(fault, 2);
            let SignInError::Unknown(pending) = world.finish(&started, &response).await.unwrap_err() else {
                panic!("{fault:?}: it was known")
            };
            let signed_in = world.sso.sign_in_resolve(*pending).await.unwrap();
            assert!(world.sso.session(&signed_in.token).await.unwrap().is_some());
            assert_eq!(world.counts().await, [done; 5], "{fault:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_was_faster_wins_over_an_unknown_outcome() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        trouble.next(Fault::LostBefore, 2);
        let SignInError::Unknown(pending) = world.finish(&started, &response).await.unwrap_err() else {
            panic!("it was known")
        };
        world.finish(&started, &response).await.unwrap();
        let late = world.sso.sign_in_resolve(*pending).await;
        assert_eq!(refusal(late), SignInRefusal::ReplayedAssertion);
        assert_eq!(world.counts().await, [1; 5]);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_away_loses_nothing() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        trouble.next(Fault::Away, 1);
        let error = world.finish(&started, &response).await.unwrap_err();
        assert!(matches!(&error, SignInError::Store(error) if error.kind() == &ErrorKind::Unavailable));
        assert_eq!(error.http_status(), 503);
        assert_eq!(world.counts().await, [1, 0, 0, 0, 0]);
        world.finish(&started, &response).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_fails_at_its_last_step_leaves_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        world.write("ALTER TABLE sso_sessions RENAME TO sso_sessions_away").await;
        let error = world.finish(&started, &response).await.unwrap_err();
        assert!(matches!(error, SignInError::Store(_)), "{error:?}");
        world.write("ALTER TABLE sso_sessions_away RENAME TO sso_sessions").await;
        assert_eq!(world.counts().await, [1, 0, 0, 0, 0]);
        world.finish(&started, &response).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_is_done_once() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        for (done, fault) in [(1, Fault::LostBefore), (2, Fault::LostAfter)] {
            trouble.next(fault, 1);
            let connection = world.draft().await;
            assert_eq!(world.sso.connection_show(&world.scope, connection.id).await.unwrap(), connection);
            assert_eq!(world.count("SELECT count(*) FROM sso_connections").await, done, "{fault:?}");
            assert_eq!(world.count("SELECT count(*) FROM sso_audit_events").await, done, "{fault:?}");
        }
        trouble.next(Fault::Away, 1);
        let created = world.sso.connection_create(&world.scope, &world.cause, world.new_connection()).await;
        assert_eq!(crate::support::kind(created), ErrorKind::Unavailable);
        let verdict = world.sso.verify_audit_chain(&world.scope, None).await.unwrap();
        assert!(matches!(verdict, ChainVerdict::Intact { events: 2, .. }));
    })
    .await;
}

#[tokio::test]
async fn an_intent_that_expires_during_the_judgement_is_not_used() {
    for_each_database(async |database| {
        let (world, trouble) = troubled(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        trouble.next(Fault::Late, 1);
        assert_eq!(refusal(world.finish(&started, &response).await), SignInRefusal::IntentExpired);
        assert_eq!(world.counts().await, [1, 0, 0, 0, 0]);
    })
    .await;
}
