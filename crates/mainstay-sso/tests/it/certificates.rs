//! The life of certificates: rollover, rollback, the last active one, and two operators at once.

use mainstay_saml::Refusal;
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, idp, kind, refusal};

#[tokio::test]
async fn a_rollover_has_no_gap() {
    for_each_database(async |database| {
        let mut world = World::new(database).await;
        let connection = world.enabled().await;
        let id = connection.id;
        let old = world.idp.certificate.fingerprint().to_string();
        let successor = idp("https://idp.test", &world.clock);
        let pem = successor.certificate.to_pem();
        let (scope, cause) = (world.scope.clone(), world.cause.clone());

        let staged = world.sso.certificate_stage(&scope, &cause, id, 2, &pem).await.unwrap();
        assert_eq!(staged.state, CertificateState::Next);
        let twice = world.sso.certificate_stage(&scope, &cause, id, 3, &pem).await;
        assert_eq!(kind(twice), ErrorKind::Conflict { what: "certificate" });

        // Staged is not trusted yet.
        let predecessor = std::mem::replace(&mut world.idp, successor);
        let started = world.start(&connection).await;
        let result = world.finish(&started, &world.answer(&started)).await;
        assert_eq!(refusal(result), SignInRefusal::Saml(Refusal::SignatureInvalid));

        world.sso.certificate_activate(&scope, &cause, id, 3, &staged.fingerprint).await.unwrap();
        world.sign_in(&connection).await;
        let successor = std::mem::replace(&mut world.idp, predecessor);
        world.sign_in(&connection).await;

        world.sso.certificate_retire(&scope, &cause, id, 4, &old).await.unwrap();
        let started = world.start(&connection).await;
        let result = world.finish(&started, &world.answer(&started)).await;
        assert_eq!(refusal(result), SignInRefusal::Saml(Refusal::SignatureInvalid));
        let last = world.sso.certificate_retire(&scope, &cause, id, 5, &staged.fingerprint).await;
        assert_eq!(kind(last), ErrorKind::LastActiveCertificate);

        // The new key was a mistake: back, in one step.
        world.sso.certificate_rollback(&scope, &cause, id, 5, &old, &staged.fingerprint).await.unwrap();
        world.sign_in(&connection).await;
        world.idp = successor;
        let started = world.start(&connection).await;
        let result = world.finish(&started, &world.answer(&started)).await;
        assert_eq!(refusal(result), SignInRefusal::Saml(Refusal::SignatureInvalid));
        let states: Vec<_> = world.sso.certificate_list(&scope, id).await.unwrap();
        assert_eq!(states.len(), 2);
        for record in states {
            let expected =
                if record.fingerprint == old { CertificateState::Active } else { CertificateState::Retired };
            assert_eq!(record.state, expected);
            assert!(record.activated_at.is_some() && record.retired_at.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn two_operators_cannot_retire_both_of_two() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let (scope, cause, id) = (&world.scope, &world.cause, connection.id);
        let old = world.idp.certificate.fingerprint().to_string();
        let pem = idp("https://idp.test", &world.clock).certificate.to_pem();
        let new = world.sso.certificate_stage(scope, cause, id, 2, &pem).await.unwrap().fingerprint;
        world.sso.certificate_activate(scope, cause, id, 3, &new).await.unwrap();
        let (a, b) = tokio::join!(
            world.sso.certificate_retire(scope, cause, id, 4, &old),
            world.sso.certificate_retire(scope, cause, id, 4, &new),
        );
        assert_ne!(a.is_ok(), b.is_ok());
        for loser in [a, b].into_iter().filter(Result::is_err) {
            assert_eq!(kind(loser), ErrorKind::Stale { expected: 4 });
        }
        let active = world.count("SELECT count(*) FROM sso_certificates WHERE state = 'active'").await;
        assert_eq!(active, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_certificate_is_not_staged() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let id = world.draft().await.id;
        let staged = world.sso.certificate_stage(&world.scope, &world.cause, id, 1, "hello").await;
        assert_eq!(kind(staged), ErrorKind::Invalid { field: "certificate" });
        let absent = world.sso.certificate_activate(&world.scope, &world.cause, id, 1, "00").await;
        assert_eq!(kind(absent), ErrorKind::NotFound);
    })
    .await;
}
