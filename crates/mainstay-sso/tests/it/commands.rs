//! Commands on connections: scope, readiness, versions, and what is stored comes back whole.

use std::time::Duration;

use mainstay_core::{Clock as _, PageSize};
use mainstay_saml::{
    CertificateValidity, DigestAlgorithm, DuplicateAttributes, LegacyOverride, Policy, SignatureAlgorithm,
    SignatureRequirement,
};
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, kind, organization, refusal, scope_in};

#[tokio::test]
async fn a_connection_is_stored_whole() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let mut new = world.new_connection();
        new.policy = Policy {
            signatures: SignatureRequirement::Both,
            clock_skew: Duration::from_secs(7),
            allow_idp_initiated: true,
            signature_algorithms: vec![SignatureAlgorithm::RsaSha512],
            digest_algorithms: vec![DigestAlgorithm::Sha384],
            legacy: Some(LegacyOverride { until: world.clock.now(), sha1: true, short_rsa_keys: true }),
            allow_inclusive_c14n: true,
            certificate_validity: CertificateValidity::Refuse,
            require_destination: false,
            require_audience: false,
            duplicate_attributes: DuplicateAttributes::Refuse,
            name_id_formats: vec!["f".into()],
            authn_contexts: vec!["c".into()],
            max_authn_age: Some(Duration::from_secs(9)),
        };
        new.request = RequestSettings {
            name_id_format: Some("f".into()),
            force_authn: true,
            is_passive: true,
            authn_contexts: vec!["c".into()],
        };
        new.preset = Preset::Adfs;
        let made = world.sso.connection_create(&world.scope, &world.cause, new).await.unwrap();
        let stored = world.sso.connection_show(&world.scope, made.id).await.unwrap();
        assert_eq!(stored, made);
        assert!(stored.acs_url.contains(&stored.id.to_string()));
    })
    .await;
}

#[tokio::test]
async fn enabling_lists_everything_that_is_missing() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let bare = NewConnection { display_name: "Bare".into(), ..NewConnection::default() };
        let draft = world.sso.connection_create(&world.scope, &world.cause, bare).await.unwrap();
        let all = vec![
            Missing::SpEntityId,
            Missing::AcsUrl,
            Missing::IdpEntityId,
            Missing::IdpSsoUrl,
            Missing::ActiveCertificate,
        ];
        assert_eq!(world.sso.connection_readiness(&world.scope, draft.id).await.unwrap(), all);
        let refused = world.sso.connection_enable(&world.scope, &world.cause, draft.id, 1).await;
        assert_eq!(kind(refused), ErrorKind::NotReady(all));

        let connection = world.enabled().await;
        let twice = world.sso.connection_enable(&world.scope, &world.cause, connection.id, 2).await;
        assert_eq!(kind(twice), ErrorKind::Status);
        let emptied = ConnectionUpdate { sp_entity_id: Some(String::new()), ..ConnectionUpdate::default() };
        let refused =
            world.sso.connection_update(&world.scope, &world.cause, connection.id, 2, emptied).await;
        assert_eq!(kind(refused), ErrorKind::NotReady(vec![Missing::SpEntityId]));
    })
    .await;
}

#[tokio::test]
async fn a_change_on_an_old_version_is_refused() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        assert_eq!(connection.lock_version, 2);
        let rename =
            |name: &str| ConnectionUpdate { display_name: Some(name.into()), ..ConnectionUpdate::default() };
        let (scope, cause, id) = (&world.scope, &world.cause, connection.id);
        let stale = world.sso.connection_update(scope, cause, id, 1, rename("late")).await;
        assert_eq!(kind(stale), ErrorKind::Stale { expected: 1 });
        let (a, b) = tokio::join!(
            world.sso.connection_update(scope, cause, id, 2, rename("a")),
            world.sso.connection_update(scope, cause, id, 2, rename("b")),
        );
        assert_eq!([a.is_ok(), b.is_ok()].into_iter().filter(|ok| *ok).count(), 1);
        for loser in [a, b].into_iter().filter(Result::is_err) {
            assert_eq!(kind(loser), ErrorKind::Stale { expected: 2 });
        }
        assert_eq!(world.sso.connection_show(scope, id).await.unwrap().lock_version, 3);
    })
    .await;
}

#[tokio::test]
async fn nobody_leaves_their_scope() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let (id, version, cause) = (connection.id, connection.lock_version, &world.cause);
        let stranger = scope_in("other", Role::Admin);
        let reader = scope_in("example", Role::Read);
        let writer = scope_in("example", Role::Write);

        for (scope, expected) in [(&stranger, ErrorKind::NotFound), (&reader, ErrorKind::Forbidden)] {
            let sso = &world.sso;
            let update = ConnectionUpdate::default();
            assert_eq!(kind(sso.connection_update(scope, cause, id, version, update).await), expected);
            assert_eq!(kind(sso.connection_enable(scope, cause, id, version).await), expected);
            let disable = sso.connection_disable(scope, cause, id, version, SessionsOnDisable::Keep).await;
            assert_eq!(kind(disable), expected);
            assert_eq!(kind(sso.connection_delete(scope, cause, id, version).await), expected);
            let pem = world.idp.certificate.to_pem();
            assert_eq!(kind(sso.certificate_stage(scope, cause, id, version, &pem).await), expected);
            assert_eq!(kind(sso.certificate_activate(scope, cause, id, version, "f").await), expected);
            assert_eq!(kind(sso.certificate_retire(scope, cause, id, version, "f").await), expected);
            assert_eq!(kind(sso.certificate_rollback(scope, cause, id, version, "f", "g").await), expected);
            let input = crate::metadata::input(&world.idp.metadata());
            assert_eq!(kind(sso.metadata_import(scope, cause, id, version, input).await), expected);
            let grant = sso.administrator_grant(scope, cause, id, "bob", Role::Admin, false).await;
            assert_eq!(kind(grant), expected);
            assert_eq!(kind(sso.administrator_revoke(scope, cause, id, "bob").await), expected);
            assert_eq!(kind(sso.session_revoke_by_index(scope, cause, id, "i").await), expected);
            assert_eq!(kind(sso.setup_token_issue(scope, cause).await), ErrorKind::Forbidden);
            assert_eq!(kind(sso.verify_audit_chain(scope, None).await), ErrorKind::Forbidden);
        }
        assert_eq!(kind(world.sso.connection_show(&stranger, id).await), ErrorKind::NotFound);
        assert_eq!(kind(world.sso.certificate_list(&stranger, id).await), ErrorKind::NotFound);
        assert_eq!(
            kind(world.sso.connection_delete(&writer, cause, id, version).await),
            ErrorKind::Forbidden
        );
        assert!(world.sso.connection_show(&reader, id).await.is_ok());

        let elsewhere = world.sso.connection_create(&stranger, cause, world.new_connection()).await;
        assert_eq!(kind(elsewhere), ErrorKind::Forbidden);
        let nowhere = NewConnection { organization: None, ..world.new_connection() };
        assert_eq!(kind(world.sso.connection_create(&writer, cause, nowhere).await), ErrorKind::Forbidden);
        assert_eq!(world.sso.connection_show(&world.scope, id).await.unwrap(), connection);
    })
    .await;
}

#[tokio::test]
async fn lists_show_what_is_in_scope_page_by_page() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        for n in 0..5 {
            let organization = Some(organization(if n % 2 == 0 { "even" } else { "odd" }));
            let new = NewConnection { organization, ..world.new_connection() };
            world.sso.connection_create(&world.scope, &world.cause, new).await.unwrap();
        }
        let list = async |scope: &Scope, filter: ConnectionFilter| {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let size = PageSize::clamped(2);
                let page = world.sso.connection_list(scope, &filter, size, after.as_ref()).await.unwrap();
                seen.extend(page.items.into_iter().map(|connection| connection.id));
                after = page.next;
                if after.is_none() {
                    return seen;
                }
            }
        };
        let of =
            |name| ConnectionFilter { organization: Some(organization(name)), ..ConnectionFilter::default() };
        let all = list(&world.scope, ConnectionFilter::default()).await;
        assert_eq!(all.len(), 5);
        assert!(all.is_sorted());
        assert_eq!(list(&world.scope, of("odd")).await.len(), 2);
        assert_eq!(list(&scope_in("odd", Role::Read), ConnectionFilter::default()).await.len(), 2);
        assert_eq!(list(&scope_in("odd", Role::Read), of("even")).await.len(), 0);
        let enabled = ConnectionFilter { status: Some(Status::Enabled), ..ConnectionFilter::default() };
        assert_eq!(list(&world.scope, enabled).await.len(), 0);

        let named = |name: &str| ConnectionFilter { named: Some(name.into()), ..ConnectionFilter::default() };
        let alone = NewConnection {
            display_name: "Élan  Vital Ltd".into(),
            organization: None,
            ..world.new_connection()
        };
        let alone = world.sso.connection_create(&world.scope, &world.cause, alone).await.unwrap();
        for name in ["Élan  Vital Ltd", "élan vital ltd", " ÉLAN VITAL  LTD "] {
            assert_eq!(list(&world.scope, named(name)).await, [alone.id], "{name}");
        }
        for name in ["", "élan", "%", "Élan Vital Ltd."] {
            assert_eq!(list(&world.scope, named(name)).await, [], "{name}");
        }
        assert_eq!(list(&world.scope, named("odd")).await, list(&world.scope, of("odd")).await);
        assert_eq!(list(&scope_in("even", Role::Read), named("odd")).await, []);
        let (id, version) = (alone.id, alone.lock_version);
        let update = ConnectionUpdate { display_name: Some("Renamed".into()), ..ConnectionUpdate::default() };
        world.sso.connection_update(&world.scope, &world.cause, id, version, update).await.unwrap();
        assert_eq!(list(&world.scope, named("Élan Vital Ltd")).await, []);
        assert_eq!(list(&world.scope, named("renamed")).await, [alone.id]);

        // Traces and audit events are confined as well.
        let size = PageSize::default();
        let audit =
            world.sso.audit_list(&scope_in("odd", Role::Read), &AuditFilter::default(), size, None).await;
        let audit = audit.unwrap().items;
        assert_eq!(audit.len(), 2);
        assert!(audit.iter().all(|event| event.organization == Some(organization("odd"))));
    })
    .await;
}

#[tokio::test]
async fn deleting_ends_sessions_and_keeps_the_history() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let signed_in = world.sign_in(&connection).await;
        let (scope, cause, id) = (&world.scope, &world.cause, connection.id);
        assert_eq!(kind(world.sso.connection_delete(scope, cause, id, 2).await), ErrorKind::Status);
        let connection = world.disable(&connection, SessionsOnDisable::Keep).await;
        assert!(world.sso.session(&signed_in.token).await.unwrap().is_some());
        world.sso.connection_delete(scope, cause, id, connection.lock_version).await.unwrap();

        assert!(world.sso.session(&signed_in.token).await.unwrap().is_none());
        assert_eq!(refusal(world.sso.resolve(id).await), SignInRefusal::ConnectionNotFound);
        assert!(world.sso.trace_show(scope, signed_in.trace_id).await.is_ok());
        let filter = AuditFilter { connection: Some(id) };
        let audit = world.sso.audit_list(scope, &filter, PageSize::default(), None).await.unwrap();
        let actions: Vec<_> = audit.items.iter().map(|event| event.action.as_str()).collect();
        let expected = ["connection.delete", "connection.disable", "connection.enable", "connection.create"];
        assert_eq!(actions, expected);
    })
    .await;
}

#[tokio::test]
async fn disabling_may_end_the_sessions() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let signed_in = world.sign_in(&connection).await;
        world.disable(&connection, SessionsOnDisable::Revoke).await;
        assert!(world.sso.session(&signed_in.token).await.unwrap().is_none());
    })
    .await;
}
