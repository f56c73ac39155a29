//! Logins that are refused, each for its exact reason, and none of which leaves anything but a trace.

use std::time::Duration;

use mainstay_saml::Refusal;
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{Started, World, idp, refusal};

/// Changes the circumstances of a finished login, and expects the reason and that nothing is left of it.
async fn check(
    world: &World,
    change: impl AsyncFnOnce(&World, &mut Started) -> Option<String>,
    expected: SignInRefusal,
) {
    let connection = world.enabled().await;
    let mut started = world.start(&connection).await;
    let response = change(world, &mut started).await;
    let response = response.unwrap_or_else(|| world.answer(&started));
    let before = world.counts().await;
    let error = world.finish(&started, &response).await.unwrap_err();
    let refused = error.refused().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(refused.refusal, expected);
    assert_eq!(world.counts().await, before, "{expected:?} left something");
    let trace = world.sso.trace_show(&world.scope, refused.trace_id.unwrap()).await.unwrap();
    assert_eq!((trace.outcome, trace.refusal), (LoginOutcome::Refused, Some(expected)));
    assert_eq!((trace.expected, trace.actual), (refused.expected.clone(), refused.actual.clone()));
}

#[tokio::test]
async fn an_intent_that_does_not_fit_is_refused_by_name() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        check(
            &world,
            async |world, _| {
                world.age("sso_request_intents", &["issued_at", "expires_at"], 301).await;
                None
            },
            SignInRefusal::IntentExpired,
        )
        .await;
        check(
            &world,
            async |world, started| {
                started.browser = world.sso.browser_binding().unwrap();
                None
            },
            SignInRefusal::IntentOtherBrowser,
        )
        .await;
        check(
            &world,
            async |world, started| {
                let response = world.answer(started);
                started.connection = world.enabled().await;
                Some(response)
            },
            SignInRefusal::IntentOtherConnection,
        )
        .await;
        check(
            &world,
            async |world, _| {
                world.write("DELETE FROM sso_request_intents").await;
                None
            },
            SignInRefusal::IntentNotFound,
        )
        .await;
        check(
            &world,
            async |_, started| {
                started.redirect.relay_state = "rs_made-up".into();
                None
            },
            SignInRefusal::RelayStateInvalid,
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_browser_without_its_cookie_is_refused() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        let input = FinishInput { browser: None, ..started.input(&response) };
        assert_eq!(refusal(world.sso.sign_in_finish(input).await), SignInRefusal::BrowserBindingMissing);
        // The login can still be completed where it began.
        assert!(world.finish(&started, &response).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_the_protocol_refuses_is_refused_with_its_own_reason() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        check(
            &world,
            async |world, started| {
                let stranger = idp("https://idp.test", &world.clock);
                let grant = world.grant(&started.connection, Some(&started.redirect.request_id));
                let now = mainstay_core::Clock::now(&*world.clock);
                Some(stranger.respond(&grant, &crate::support::octets(), now).unwrap())
            },
            SignInRefusal::Saml(Refusal::SignatureInvalid),
        )
        .await;
        check(
            &world,
            async |world, started| {
                let other = world.start(&started.connection).await;
                Some(world.answer(&other))
            },
            SignInRefusal::Saml(Refusal::InResponseToMismatch),
        )
        .await;
        check(
            &world,
            async |world, started| Some(world.sign(&world.grant(&started.connection, None))),
            SignInRefusal::Saml(Refusal::InResponseToMissing),
        )
        .await;
        check(&world, async |_, _| Some("PGE+PC9hPg==".into()), SignInRefusal::Saml(Refusal::NotAResponse))
            .await;
        check(
            &world,
            async |world, started| {
                // Another tenant's response, whole and well signed, with this login's handle.
                let other = world.enabled().await;
                Some(world.sign(&world.grant(&other, Some(&started.redirect.request_id))))
            },
            SignInRefusal::Saml(Refusal::DestinationMismatch),
        )
        .await;
        check(
            &world,
            async |world, started| {
                let response = world.answer(started);
                world.clock.advance(Duration::from_secs(3_600));
                Some(response)
            },
            SignInRefusal::Saml(Refusal::ConfirmationExpired),
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_not_in_use_refuses_both_halves() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let start = async |id: ConnectionId, return_path: &str| {
            let browser = world.sso.browser_binding().unwrap();
            let input = StartInput { connection: id, return_path, browser: &browser, correlation_id: None };
            refusal(world.sso.sign_in_start(input).await)
        };
        let draft = world.draft().await;
        assert_eq!(start(draft.id, "/").await, SignInRefusal::ConnectionDraft);
        assert_eq!(refusal(world.sso.resolve(draft.id).await), SignInRefusal::ConnectionDraft);
        let gone = ConnectionId::generate(&*world.clock);
        assert_eq!(start(gone, "/").await, SignInRefusal::ConnectionNotFound);

        let connection = world.enabled().await;
        assert_eq!(start(connection.id, "//evil.test").await, SignInRefusal::ReturnPathInvalid);
        assert_eq!(start(connection.id, "https://evil.test").await, SignInRefusal::ReturnPathInvalid);
        let started = world.start(&connection).await;
        let before = world.counts().await;
        world.disable(&connection, SessionsOnDisable::Keep).await;
        assert_eq!(start(connection.id, "/").await, SignInRefusal::ConnectionDisabled);
        let result = world.finish(&started, &world.answer(&started)).await;
        assert_eq!(refusal(result), SignInRefusal::ConnectionDisabled);
        assert_eq!(world.counts().await, before);
        assert_eq!(world.last_trace().await.connection, Some(connection.id));
    })
    .await;
}

#[tokio::test]
async fn a_stored_connection_that_cannot_be_read_is_refused_and_not_guessed_at() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        world.write("UPDATE sso_certificates SET pem = 'not a certificate'").await;
        assert_eq!(refusal(world.sso.resolve(connection.id).await), SignInRefusal::ConnectionInvalid);
        world.write("UPDATE sso_connections SET policy = '{\"signatures\":\"none\"}'").await;
        assert_eq!(refusal(world.sso.resolve(connection.id).await), SignInRefusal::ConnectionInvalid);
    })
    .await;
}

#[tokio::test]
async fn a_failure_before_the_connection_is_known_leaves_a_trace_too() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let input = FinishInput {
            connection: None,
            saml_response: "****",
            relay_state: None,
            browser: None,
            correlation_id: Some("a\nb"),
        };
        let reason = refusal(world.sso.sign_in_finish(input).await);
        assert_eq!(reason, SignInRefusal::Saml(Refusal::NotBase64));
        let trace = world.last_trace().await;
        assert_eq!((trace.connection, trace.flow), (None, Flow::Unknown));
        assert_eq!(trace.correlation_id.as_deref(), Some("a\u{fffd}b"));
    })
    .await;
}
