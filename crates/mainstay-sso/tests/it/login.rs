//! Logins that succeed, and that only one of two does.

use mainstay_saml::idp::Signed;
use mainstay_sso::*;
use mainstay_testkit::{TestDatabase, for_each_database};

use crate::support::{ALICE, World, refusal};

#[tokio::test]
async fn a_login_leads_to_a_session_in_one_batch() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let started = world.start(&connection).await;
        assert!(started.redirect.url.starts_with("https://idp.test/sso?SAMLRequest="));
        assert_eq!(world.counts().await, [1, 0, 0, 0, 0]);

        let signed_in = world.finish(&started, &world.answer(&started)).await.unwrap();
        assert_eq!(world.counts().await, [1, 1, 1, 1, 1]);
        assert_eq!(signed_in.principal.name_id, ALICE);
        assert_eq!(signed_in.principal.attribute("groups").collect::<Vec<_>>(), ["staff", "admins"]);
        assert_eq!((signed_in.return_path.as_str(), signed_in.flow), ("/inbox", Flow::SpInitiated));

        let session = world.sso.session(&signed_in.token).await.unwrap().unwrap();
        assert_eq!(session.principal, signed_in.principal);
        assert_eq!((session.id, session.connection), (signed_in.session_id, Some(connection.id)));
        assert_eq!(session.session_index.as_deref(), Some("idx-1"));
        assert_eq!(session.organization, connection.organization);
        assert!(session.scope().is_none(), "nobody is an administrator by signing in");

        let trace = world.sso.trace_show(&world.scope, signed_in.trace_id).await.unwrap();
        assert_eq!((trace.outcome, trace.refusal), (LoginOutcome::Succeeded, None));
        assert_eq!(trace.name_id.as_deref(), Some(ALICE));
        assert_eq!(trace.correlation_id.as_deref(), Some("finish-1"));
        assert!(!trace.checks.entries().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_login_needs_no_read_of_the_connection_once_it_is_known() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let connection = world.enabled().await;
    for signed in [Signed::Assertion, Signed::Response, Signed::Both] {
        let started = world.start(&connection).await;
        let mut grant = world.grant(&connection, Some(&started.redirect.request_id));
        grant.signed = signed;
        assert!(world.finish(&started, &world.sign(&grant)).await.is_ok(), "{signed:?}");
    }
}

#[tokio::test]
async fn the_same_response_twice_is_a_replay() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let started = world.start(&world.enabled().await).await;
        let response = world.answer(&started);
        let first = world.finish(&started, &response).await.unwrap();
        let again = world.finish(&started, &response).await.unwrap_err();
        let refused = again.refused().unwrap();
        assert_eq!(refused.refusal, SignInRefusal::ReplayedAssertion);
        assert_eq!(refused.actual.as_deref(), Some(first.trace_id.to_string().as_str()));
        assert_eq!(world.counts().await, [1, 1, 1, 1, 1]);
        let trace = world.last_trace().await;
        assert_eq!(trace.refusal, Some(SignInRefusal::ReplayedAssertion));
        assert!(!trace.checks.entries().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_answered_request_is_not_answered_again() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let started = world.start(&world.enabled().await).await;
        world.finish(&started, &world.answer(&started)).await.unwrap();
        let second = world.finish(&started, &world.answer(&started)).await;
        assert_eq!(refusal(second), SignInRefusal::IntentConsumed);
        assert_eq!(world.counts().await, [1, 1, 1, 1, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_exactly_one_wins() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let started = world.start(&world.enabled().await).await;
        // Half of them carry the same response, the others one of their own.
        let same = world.answer(&started);
        let responses: Vec<_> =
            (0..16).map(|n| if n % 2 == 0 { same.clone() } else { world.answer(&started) }).collect();
        let results = join_all(responses.iter().map(|response| world.finish(&started, response))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for result in results.into_iter().filter(Result::is_err) {
            let reason = refusal(result);
            assert!(
                matches!(reason, SignInRefusal::ReplayedAssertion | SignInRefusal::IntentConsumed),
                "{reason:?}"
            );
        }
        assert_eq!(world.counts().await, [1, 1, 1, 1, 1]);
    })
    .await;
}

/// Polls all of them in turn on one task, so that they are at the database together.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_login_may_end_at_another_node() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let other = World::on(database.repo().await, |_| {});
    let started = world.start(&world.enabled().await).await;
    let response = world.answer(&started);
    let signed_in = other.finish(&started, &response).await.unwrap();
    assert!(world.sso.session(&signed_in.token).await.unwrap().is_some());
    assert_eq!(refusal(world.finish(&started, &response).await), SignInRefusal::ReplayedAssertion);
}

#[tokio::test]
async fn a_node_with_an_old_picture_of_a_connection_follows_the_new_one() {
    let database = TestDatabase::postgres();
    let world = World::new(&database).await;
    let other = World::on(database.repo().await, |_| {});
    let connection = world.enabled().await;
    let started = other.start(&connection).await;
    // The other node remembers the connection; this one rolls the certificate over.
    let successor = crate::support::idp("https://idp.test", &world.clock);
    let staged = world
        .sso
        .certificate_stage(&world.scope, &world.cause, connection.id, 2, &successor.certificate.to_pem())
        .await
        .unwrap();
    let fingerprint = &staged.fingerprint;
    world.sso.certificate_activate(&world.scope, &world.cause, connection.id, 3, fingerprint).await.unwrap();
    let grant = world.grant(&connection, Some(&started.redirect.request_id));
    let response =
        successor.respond(&grant, &crate::support::octets(), mainstay_core::Clock::now(&*world.clock));
    assert!(other.finish(&started, &response.unwrap()).await.is_ok());

    // And the other way: what it remembers would let the user in, and the connection is disabled.
    let started = other.start(&connection).await;
    let connection = world.sso.connection_show(&world.scope, connection.id).await.unwrap();
    world.disable(&connection, SessionsOnDisable::Keep).await;
    let result = other.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::ConnectionDisabled);
}

#[tokio::test]
async fn an_unsolicited_login_needs_the_connections_consent() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let post = async |connection: Option<ConnectionId>, relay_state: Option<&str>, response: &str| {
            let input = FinishInput {
                connection,
                saml_response: response,
                relay_state,
                browser: None,
                correlation_id: None,
            };
            world.sso.sign_in_finish(input).await
        };
        let unsolicited = || world.sign(&world.grant(&connection, None));
        let refused = refusal(post(Some(connection.id), None, &unsolicited()).await);
        assert_eq!(refused, SignInRefusal::Saml(mainstay_saml::Refusal::UnsolicitedNotAllowed));

        let policy = mainstay_saml::Policy { allow_idp_initiated: true, ..connection.policy.clone() };
        world.set_policy(&connection, policy).await;
        let response = unsolicited();
        let signed_in = post(Some(connection.id), Some("/reports"), &response).await.unwrap();
        assert_eq!((signed_in.flow, signed_in.return_path.as_str()), (Flow::IdpInitiated, "/reports"));
        let again = refusal(post(Some(connection.id), Some("/reports"), &response).await);
        assert_eq!(again, SignInRefusal::ReplayedAssertion);
        assert_eq!(refusal(post(None, None, &unsolicited()).await), SignInRefusal::ConnectionUnknown);

        // Consent to unsolicited logins does not make a login out of an answer whose intent is gone.
        let started = world.start(&connection).await;
        let answer = world.answer(&started);
        assert_eq!(refusal(post(Some(connection.id), None, &answer).await), SignInRefusal::RelayStateMissing);
        let other_handle = "rs_AAAAAAAAAAAAAAAAAAAAAA";
        let refused = refusal(post(Some(connection.id), Some(other_handle), &unsolicited()).await);
        assert_eq!(refused, SignInRefusal::IntentNotFound);
    })
    .await;
}
