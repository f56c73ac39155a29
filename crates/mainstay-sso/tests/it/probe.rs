//! The probe sees each table go, whichever it is.

use mainstay_repo::{ErrorKind, Sql};
use mainstay_sso::*;
use mainstay_testkit::for_each_database;

use crate::support::World;

#[tokio::test]
async fn every_table_that_is_missing_is_noticed() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        world.sso.probe().await.unwrap();
        for table in [
            "sso_connections",
            "sso_certificates",
            "sso_metadata_revisions",
            "sso_login_traces",
            "sso_sessions",
            "sso_administrators",
            "sso_setup_tokens",
            "sso_audit_head",
            "sso_audit_events",
            IntentTable::DEFAULT,
            ReplayTable::DEFAULT,
        ] {
            let rename = |from: &str, to: &str| {
                let text = format!("ALTER TABLE {from} RENAME TO {to}");
                Sql::dynamic(text.clone(), text)
            };
            world.write(rename(table, "elsewhere")).await;
            let error = world.sso.probe().await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::InvalidInput, "{table}: {error:?}");
            world.write(rename("elsewhere", table)).await;
            world.sso.probe().await.unwrap();
        }
    })
    .await;
}
