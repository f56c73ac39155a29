//! Closing: what runs ends, what comes later is refused, and the database can be opened again at once.

use mainstay_repo::{Batch, ErrorKind, Statement, Target};
use mainstay_testkit::TestDatabase;

use crate::support::{all_kv, create_kv, kind, put, soon};

on_every_database!(after_close_everything_is_refused, what_was_acknowledged_stays, a_dropped_handle_closes);

async fn after_close_everything_is_refused(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let clone = repo.clone();
    soon(repo.close()).await;
    soon(repo.close()).await;
    for repo in [repo, clone] {
        let mut batch = Batch::new("closed");
        batch.push(put(1, 1));
        for result in [
            soon(repo.read(Statement::new("SELECT 1 AS one"))).await.map(drop),
            soon(repo.write(put(1, 1))).await.map(drop),
            soon(repo.batch(batch)).await.map(drop),
            soon(repo.begin()).await.map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(kind(&error), ErrorKind::Closed, "{error:?}");
            assert!(error.help().is_some());
        }
        let component = &mainstay_conformance::linked::COMPONENT;
        let error = soon(repo.migrator().migrate(component, Target::Latest)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Closed, "{error:?}");
    }
    assert_eq!(all_kv(&db.repo().await).await, []);
}

async fn what_was_acknowledged_stays(db: &TestDatabase) {
    let repo = db.repo().await;
    create_kv(&repo).await;
    let tasks: Vec<_> = (0..16_i64)
        .map(|task| {
            let repo = repo.clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for number in 0..10_000 {
                    let id = task * 10_000 + number;
                    match repo.write(put(id, id)).await {
                        Ok(_) => kept.push(id),
                        Err(error) => {
                            assert_eq!(error.kind(), &ErrorKind::Closed, "{error:?}");
                            break;
                        }
                    }
                }
                kept
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    soon(repo.close()).await;
    let mut kept = Vec::new();
    for task in tasks {
        kept.extend(soon(task).await.unwrap());
    }
    kept.sort_unstable();
    assert!(!kept.is_empty());
    let stored: Vec<i64> = all_kv(&db.repo().await).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(stored, kept, "closing leaves no outcome unknown");
}

async fn a_dropped_handle_closes(db: &TestDatabase) {
    for id in 0..10 {
        let repo = soon(db.repo()).await;
        if id == 0 {
            create_kv(&repo).await;
        }
        soon(repo.write(put(id, id))).await.unwrap();
        drop(repo);
    }
    assert_eq!(all_kv(&db.repo().await).await.len(), 10);
}
