//! Sessions: they end when they must, and what their owners may do is decided at each request.

use mainstay_core::PageSize;
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{ALICE, World, kind, scope_in};

#[tokio::test]
async fn a_session_slides_and_ends() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let signed_in = world.sign_in(&world.enabled().await).await;
        let session = async || world.sso.session(&signed_in.token).await.unwrap();
        let first = session().await.unwrap();
        let idle = first.idle_expires_at.saturating_since(first.created_at);
        let absolute = first.absolute_expires_at.saturating_since(first.created_at);
        assert_eq!((idle.as_secs(), absolute.as_secs()), (30 * 60, 12 * 60 * 60));

        // Within a minute nothing is written.
        world.age("sso_sessions", &["idle_expires_at"], 50).await;
        let within = session().await.unwrap();
        assert_eq!(session().await.unwrap().idle_expires_at, within.idle_expires_at);
        // After a minute its use moves the idle end.
        world.age("sso_sessions", &["idle_expires_at"], 20).await;
        let before = session().await.unwrap().idle_expires_at;
        let moved = session().await.unwrap().idle_expires_at;
        assert!(moved.saturating_since(before).as_secs() >= 60, "{before} {moved}");
        // Unused for half an hour it is gone.
        world.age("sso_sessions", &["idle_expires_at"], 31 * 60).await;
        assert!(session().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn use_does_not_outlast_the_absolute_end() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let signed_in = world.sign_in(&world.enabled().await).await;
        let session = async || world.sso.session(&signed_in.token).await.unwrap();
        // Eleven hours and 50 minutes later, just used.
        let later = 11 * 3_600 + 50 * 60;
        world.age("sso_sessions", &["created_at", "idle_expires_at", "absolute_expires_at"], later).await;
        let revive = mainstay_repo::Sql::per_dialect(
            "UPDATE sso_sessions SET idle_expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + 60000000",
            "UPDATE sso_sessions SET idle_expires_at = now() + interval '60 seconds'",
        );
        world.write(revive).await;
        assert!(session().await.is_some());
        let session_now = session().await.unwrap();
        assert_eq!(session_now.idle_expires_at, session_now.absolute_expires_at);
        world.age("sso_sessions", &["idle_expires_at", "absolute_expires_at"], 11 * 60).await;
        assert!(session().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn sessions_are_revoked_by_owner_name_and_index() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(world.sign_in(&connection).await);
        }
        let live = async || {
            let filter = SessionFilter { connection: Some(connection.id) };
            world
                .sso
                .session_list(&world.scope, &filter, PageSize::default(), None)
                .await
                .unwrap()
                .items
                .len()
        };
        assert_eq!(live().await, 4);
        assert!(world.sso.session_revoke(&sessions[0].token).await.unwrap());
        assert!(!world.sso.session_revoke(&sessions[0].token).await.unwrap());
        assert!(world.sso.session(&sessions[0].token).await.unwrap().is_none());

        let id = sessions[1].session_id;
        let stranger = scope_in("other", Role::Admin);
        let cause = &world.cause;
        assert_eq!(kind(world.sso.session_revoke_by_id(&stranger, cause, id).await), ErrorKind::NotFound);
        assert_eq!(world.sso.session_revoke_by_id(&world.scope, cause, id).await.unwrap(), 1);
        let by_index = world.sso.session_revoke_by_index(&world.scope, cause, connection.id, "idx-1").await;
        assert_eq!(by_index.unwrap(), 2);
        assert_eq!(live().await, 0);
        let none =
            world.sso.session_list(&stranger, &SessionFilter::default(), PageSize::default(), None).await;
        assert!(none.unwrap().items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_stored() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let signed_in = world.sign_in(&world.enabled().await).await;
        let rows =
            world.repo.read(mainstay_repo::Statement::new("SELECT * FROM sso_sessions")).await.unwrap();
        let secret = signed_in.token.expose().trim_start_matches(SessionToken::PREFIX);
        assert!(!format!("{rows:?}").contains(secret));
        let other = SessionToken::parse(&format!("st_{}", "A".repeat(43))).unwrap();
        assert!(world.sso.session(&other).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn administrators_are_appointed_and_dismissed_at_once() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let signed_in = world.sign_in(&connection).await;
        let scope = async || world.sso.session(&signed_in.token).await.unwrap().unwrap().scope();
        let (root, cause, id) = (&world.scope, &world.cause, connection.id);
        assert_eq!(scope().await, None);

        let local = scope_in("example", Role::Admin);
        world.sso.administrator_grant(&local, cause, id, ALICE, Role::Write, false).await.unwrap();
        let mine = scope().await.unwrap();
        assert_eq!((mine.role, mine.organization), (Role::Write, connection.organization.clone()));
        assert_eq!(mine.actor.as_str(), format!("saml:{ALICE}"));
        let more = world.sso.administrator_grant(&local, cause, id, ALICE, Role::Admin, true).await;
        assert_eq!(kind(more), ErrorKind::Forbidden);

        world.sso.administrator_grant(root, cause, id, ALICE, Role::Admin, true).await.unwrap();
        let mine = scope().await.unwrap();
        assert_eq!((mine.role, mine.organization), (Role::Admin, None));
        assert_eq!(world.sso.administrator_list(&local).await.unwrap().len(), 1);

        world.sso.administrator_revoke(root, cause, id, ALICE).await.unwrap();
        assert_eq!(scope().await, None);
        let again = world.sso.administrator_revoke(root, cause, id, ALICE).await;
        assert_eq!(kind(again), ErrorKind::NotFound);

        let nobody = NewConnection { organization: None, ..world.new_connection() };
        let free = world.sso.connection_create(root, cause, nobody).await.unwrap();
        let unconfined = world.sso.administrator_grant(root, cause, free.id, ALICE, Role::Read, false).await;
        assert_eq!(kind(unconfined), ErrorKind::Invalid { field: "global" });
    })
    .await;
}
