//! Pruning removes what nobody needs any more, and nothing that somebody does.

use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::World;

#[tokio::test]
async fn only_what_is_long_over_goes() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        world.sign_in(&connection).await;
        world.sso.setup_token_issue(&world.scope, &world.cause).await.unwrap();
        assert_eq!(world.sso.prune().await.unwrap(), Pruned::default());

        let day = 24 * 3_600;
        world.age("sso_request_intents", &["issued_at", "expires_at"], day).await;
        world.age("sso_replay_keys", &["expires_at"], day).await;
        world.age("sso_sessions", &["idle_expires_at"], day).await;
        world.age("sso_setup_tokens", &["expires_at"], day).await;
        world.start(&connection).await;
        let kept = world.sign_in(&connection).await;
        let pruned = world.sso.prune().await.unwrap();
        let counts =
            [pruned.intents, pruned.replay_keys, pruned.sessions, pruned.setup_tokens, pruned.traces];
        assert_eq!(counts, [1, 1, 1, 1, 0]);
        assert!(!pruned.more());
        assert!(world.sso.session(&kept.token).await.unwrap().is_some());
        assert_eq!(world.counts().await, [2, 1, 1, 1, 2]);

        world.clock.advance(std::time::Duration::from_secs(91 * 24 * 3_600));
        assert_eq!(world.sso.prune().await.unwrap().traces, 2);
    })
    .await;
}
