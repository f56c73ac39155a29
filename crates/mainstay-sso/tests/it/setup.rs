//! Setup tokens: one use, one hour, one administrator.

use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, kind};

#[tokio::test]
async fn a_token_makes_one_administrators_session() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let token = world.sso.setup_token_issue(&world.scope, &world.cause).await.unwrap();
        let token = SetupToken::parse(token.expose()).unwrap();
        assert_eq!(
            kind(world.sso.setup_token_consume(&token, " ").await),
            ErrorKind::Invalid { field: "name" }
        );
        world.sso.setup_token_check(&token).await.unwrap();
        let (session_token, session) = world.sso.setup_token_consume(&token, "root").await.unwrap();
        assert_eq!((session.kind, session.role), (SessionKind::Setup, Some(Role::Admin)));
        let scope = world.sso.session(&session_token).await.unwrap().unwrap().scope().unwrap();
        assert_eq!(
            (scope.actor.as_str(), scope.role, scope.organization.clone()),
            ("setup:root", Role::Admin, None)
        );
        world.sso.connection_create(&scope, &world.cause, world.new_connection()).await.unwrap();

        let again = world.sso.setup_token_consume(&token, "root").await;
        assert_eq!(kind(again), ErrorKind::SetupTokenConsumed);
        assert_eq!(kind(world.sso.setup_token_check(&token).await), ErrorKind::SetupTokenConsumed);
        assert_eq!(world.count("SELECT count(*) FROM sso_sessions").await, 1);
    })
    .await;
}

#[tokio::test]
async fn of_two_users_of_a_token_one_wins() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let token = world.sso.setup_token_issue(&world.scope, &world.cause).await.unwrap();
        let (a, b) = tokio::join!(
            world.sso.setup_token_consume(&token, "a"),
            world.sso.setup_token_consume(&token, "b")
        );
        assert_ne!(a.is_ok(), b.is_ok());
        for loser in [a, b].into_iter().filter(Result::is_err) {
            assert_eq!(kind(loser), ErrorKind::SetupTokenConsumed);
        }
        assert_eq!(world.count("SELECT count(*) FROM sso_sessions").await, 1);
        let verdict = world.sso.verify_audit_chain(&world.scope, None).await.unwrap();
        assert!(matches!(verdict, ChainVerdict::Intact { events: 2, .. }));
    })
    .await;
}

#[tokio::test]
async fn an_old_or_invented_token_opens_nothing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let token = world.sso.setup_token_issue(&world.scope, &world.cause).await.unwrap();
        world.age("sso_setup_tokens", &["expires_at"], 3_601).await;
        assert_eq!(kind(world.sso.setup_token_consume(&token, "a").await), ErrorKind::SetupTokenExpired);
        assert_eq!(kind(world.sso.setup_token_check(&token).await), ErrorKind::SetupTokenExpired);
        let invented = SetupToken::parse(&format!("setup_{}", "A".repeat(43))).unwrap();
        assert_eq!(kind(world.sso.setup_token_consume(&invented, "a").await), ErrorKind::SetupTokenInvalid);
        assert_eq!(kind(world.sso.setup_token_check(&invented).await), ErrorKind::SetupTokenInvalid);
        assert_eq!(world.count("SELECT count(*) FROM sso_sessions").await, 0);
    })
    .await;
}
