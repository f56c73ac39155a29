//! Importing metadata: first, again, changed, broken.

use mainstay_core::PageSize;
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::{World, idp, kind};

pub fn input(xml: &str) -> MetadataInput {
    MetadataInput::pasted(xml.as_bytes().to_vec())
}

async fn bare(world: &World) -> Connection {
    let new = NewConnection { idp: None, ..world.new_connection() };
    world.sso.connection_create(&world.scope, &world.cause, new).await.unwrap()
}

#[tokio::test]
async fn the_first_import_completes_a_draft() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (scope, cause) = (&world.scope, &world.cause);
        let draft = bare(&world).await;
        let xml = world.idp.metadata();
        let imported = world.sso.metadata_import(scope, cause, draft.id, 1, input(&xml)).await.unwrap();
        assert_eq!(imported.revision.outcome, RevisionOutcome::Applied);
        assert_eq!(imported.connection.idp_entity_id.as_deref(), Some("https://idp.test"));
        assert_eq!(imported.connection, world.sso.connection_show(scope, draft.id).await.unwrap());
        let certificates = world.sso.certificate_list(scope, draft.id).await.unwrap();
        assert_eq!(certificates.len(), 1);
        assert_eq!(certificates[0].state, CertificateState::Active);
        assert_eq!(certificates[0].source, format!("metadata:{}", imported.revision.id));
        let enabled = world.sso.connection_enable(scope, cause, draft.id, 2).await.unwrap();
        world.sign_in(&enabled).await;

        let kept = world.sso.metadata_revision_xml(scope, draft.id, imported.revision.id).await.unwrap();
        assert_eq!(kept, xml);
        let again = world.sso.metadata_import(scope, cause, draft.id, 3, input(&xml)).await.unwrap();
        assert_eq!(again.revision.outcome, RevisionOutcome::Unchanged);
        assert_eq!(again.connection.lock_version, 3);
    })
    .await;
}

#[tokio::test]
async fn drift_is_held_back_until_it_is_accepted() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (scope, cause) = (&world.scope, &world.cause);
        let connection = world.enabled().await;
        let successor = idp("https://idp.test", &world.clock);
        let held =
            world.sso.metadata_import(scope, cause, connection.id, 2, input(&successor.metadata())).await;
        let ErrorKind::MetadataDrift(diff) = kind(held) else { panic!("not held back") };
        assert_eq!(diff.new_certificates, [successor.certificate.fingerprint().to_string()]);
        assert_eq!(diff.absent_certificates, [world.idp.certificate.fingerprint().to_string()]);
        assert_eq!(world.sso.connection_show(scope, connection.id).await.unwrap(), connection);
        world.sign_in(&connection).await;

        let accepted = MetadataInput { accept_drift: true, ..input(&successor.metadata()) };
        let imported = world.sso.metadata_import(scope, cause, connection.id, 2, accepted).await.unwrap();
        assert_eq!(imported.diff, diff);
        let certificates = world.sso.certificate_list(scope, connection.id).await.unwrap();
        let mut states: Vec<_> = certificates.iter().map(|record| record.state.as_str()).collect();
        states.sort_unstable();
        assert_eq!(states, ["active", "next"], "a new key waits for somebody to trust it");
    })
    .await;
}

#[tokio::test]
async fn another_entity_is_drift() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let connection = world.enabled().await;
        let mut other = world.idp.clone();
        other.entity_id = "https://other.test".into();
        other.sso_url = "https://other.test/sso".into();
        let import = world
            .sso
            .metadata_import(&world.scope, &world.cause, connection.id, 2, input(&other.metadata()))
            .await;
        let ErrorKind::MetadataDrift(diff) = kind(import) else { panic!("not held back") };
        assert_eq!(diff.entity_id, Some(("https://idp.test".into(), "https://other.test".into())));
        assert!(diff.sso_url.is_some() && diff.new_certificates.is_empty());
    })
    .await;
}

#[tokio::test]
async fn every_attempt_is_on_record() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (scope, cause) = (&world.scope, &world.cause);
        let draft = bare(&world).await;
        for broken in ["", "<a/>", "<!DOCTYPE a><a/>", "nul \0 here"] {
            let import = world.sso.metadata_import(scope, cause, draft.id, 1, input(broken)).await;
            assert_eq!(kind(import), ErrorKind::Metadata, "{broken:?}");
            world.clock.advance(std::time::Duration::from_millis(1));
        }
        let unsigned = MetadataInput {
            signers: vec![world.idp.certificate.clone()],
            source: MetadataSource::Url("https://idp.test/metadata".into()),
            ..input(&world.idp.metadata())
        };
        let import = world.sso.metadata_import(scope, cause, draft.id, 1, unsigned).await;
        assert_eq!(kind(import), ErrorKind::Metadata, "a pinned signer must have signed");
        let page =
            world.sso.metadata_revision_list(scope, draft.id, PageSize::clamped(3), None).await.unwrap();
        let rest =
            world.sso.metadata_revision_list(scope, draft.id, PageSize::default(), page.next.as_ref()).await;
        let all: Vec<_> = page.items.into_iter().chain(rest.unwrap().items).collect();
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|r| r.outcome == RevisionOutcome::Rejected && r.problem.is_some()));
        assert_eq!(all[0].source, "url:https://idp.test/metadata");
        assert_eq!(all[0].actor, "test:operator");
        assert_eq!(world.sso.connection_show(scope, draft.id).await.unwrap(), draft);
    })
    .await;
}
