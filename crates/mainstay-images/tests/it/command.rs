//! Commands: who may do what, who did it, and what a look from outside finds.

use std::sync::Arc;

use mainstay_core::{Actor, Caller, Role};
use mainstay_images::files::DiskFiles;
use mainstay_images::*;
use mainstay_repo::Target;
use mainstay_testkit::for_each_database;

use crate::support::{World, bring, commit, options};

fn with(world: &World, name: &str, role: Role) -> Commands {
    world.images.acting(Caller::new(Actor::new(name).unwrap(), role))
}

/// What was done, the oldest first.
async fn done(commands: &Commands) -> Vec<(String, String, Option<String>)> {
    let acts = commands.acts(None, MAX_PAGE).await.unwrap();
    acts.into_iter().rev().map(|act| (act.actor, act.action, act.subject)).collect()
}

fn act(actor: &str, action: Action, subject: &str) -> (String, String, Option<String>) {
    (actor.to_owned(), action.as_str().to_owned(), Some(subject.to_owned()).filter(|it| !it.is_empty()))
}

#[tokio::test]
async fn each_command_asks_for_its_role_and_is_written_down_with_its_change() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (ada, bob) = (with(&world, "ada", Role::Write), with(&world, "bob", Role::Admin));
        let node = ada.join().await.unwrap();
        let ingest = node.ingest();
        let digests = bring(&ingest, &["base"]).await;
        let set = CommitSet {
            images: vec![NewImage::chain(digests.clone())],
            refs: vec![RefUpdate { name: "app".into(), image: digests[0], expect: RefExpect::Any }],
            guard: None,
        };
        let image = ingest.commit(set).await.unwrap().images.remove(0);
        node.leave().await.unwrap();
        let id: ImageRef = image.id.into();

        ada.tag(&id, "app:2").await.unwrap();
        assert_eq!(ada.fork(&id, "mine").await.unwrap().forked_from, Some(image.digest));
        let taken = ada.fork(&id, "mine").await.unwrap_err();
        assert_eq!(
            (taken.kind(), taken.to_string().contains("\"mine\" is taken")),
            (&ErrorKind::Conflict, true)
        );
        ada.untag("app:2").await.unwrap();
        assert_eq!(ada.untag("app:2").await.unwrap_err().kind(), &ErrorKind::NotFound);
        assert!(ada.pin(&id, true).await.unwrap().pinned);
        let pinned = bob.remove(&id, Names::All).await.unwrap_err();
        assert_eq!(pinned.kind(), &ErrorKind::InUse);
        assert_eq!(world.images.references_of(image.id).await.unwrap().len(), 2, "all or nothing");
        ada.pin(&id, false).await.unwrap();
        assert_eq!(bob.remove(&id, Names::Only(Some("app"))).await.unwrap_err().kind(), &ErrorKind::InUse);
        assert_eq!(world.images.references_of(image.id).await.unwrap().len(), 2, "all or nothing");
        assert_eq!(bob.remove(&id, Names::All).await.unwrap().names, ["app", "mine"]);
        let collected =
            bob.collect(&CollectOptions { full: true, ..CollectOptions::default() }).await.unwrap();
        assert_eq!(collected.blobs_removed, 1);
        assert!(world.images.collections(1).await.unwrap()[0].collector.starts_with("bob "));
        ada.scrub(&ScrubOptions::default()).await.unwrap();

        let expected = [
            act("ada", Action::Publish, "app"),
            act("ada", Action::Tag, "app:2"),
            act("ada", Action::Fork, "mine"),
            act("ada", Action::Untag, "app:2"),
            act("ada", Action::Pin, ""),
            act("ada", Action::Unpin, ""),
            act("bob", Action::Remove, "app mine"),
            act("bob", Action::Collect, "full"),
            act("ada", Action::Scrub, ""),
        ];
        assert_eq!(done(&ada).await, expected, "what was refused is no act");
        let of_it = ada.acts_on(&image.digest, 2).await.unwrap();
        assert_eq!(of_it.iter().map(|act| act.action.as_str()).collect::<Vec<_>>(), ["remove", "unpin"]);
        let second = ada.acts(Some(of_it[0].id), 1).await.unwrap();
        assert_eq!(second[0].action, "unpin");
    })
    .await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing_and_leaves_no_act() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        world.images.tag(&image.id.into(), "app").await.unwrap();
        let (eve, ada) = (with(&world, "eve", Role::Read), with(&world, "ada", Role::Write));
        let id: ImageRef = image.id.into();
        eve.look().unwrap();
        for refused in [
            eve.join().await.map(drop),
            eve.tag(&id, "x").await.map(drop),
            eve.fork(&id, "x").await.map(drop),
            eve.untag("app").await.map(drop),
            eve.pin(&id, true).await.map(drop),
            eve.lease(&id, "vm").await.map(drop),
            eve.scrub(&ScrubOptions::default()).await.map(drop),
            ada.remove(&id, Names::All).await.map(drop),
            ada.collect(&CollectOptions::default()).await.map(drop),
            ada.revoke(HolderId::new(1)).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!((error.kind(), error.http_status()), (&ErrorKind::Forbidden, 403), "{error}");
            assert!(error.to_string().contains("has the role") && error.help().is_some(), "{error}");
        }
        assert_eq!(done(&eve).await, []);
        assert_eq!(world.images.references_of(image.id).await.unwrap().len(), 1);
        assert!(world.images.leases(None, 1).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_short_lease_is_renewed_and_released_by_its_token_and_by_nobody_else() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let id: ImageRef = image.id.into();
        let (ada, bob) = (with(&world, "ada", Role::Write), with(&world, "bob", Role::Admin));
        let lease = ada.lease(&id, "vm-1").await.unwrap();
        assert_eq!(bob.remove(&id, Names::All).await.unwrap_err().kind(), &ErrorKind::InUse);
        world.meddle("UPDATE images_holders SET expires_at = expires_at - 1000000").await;
        let renewed = ada.renew(lease.lease).await.unwrap();
        assert!(renewed.expires_at >= lease.expires_at, "{renewed:?} {lease:?}");
        let options = world.images.options();
        assert_eq!([lease.use_for, renewed.use_for], [options.ttl - options.margin; 2]);
        // A restored database gives the same numbers again, to a lease of another image for the same caller.
        world.meddle("UPDATE images_holders SET nonce = nonce + 1").await;
        for refused in [ada.renew(lease.lease).await.map(drop), ada.release(lease.lease).await] {
            assert_eq!(refused.unwrap_err().kind(), &ErrorKind::NotFound);
        }
        world.meddle("UPDATE images_holders SET nonce = nonce - 1").await;
        for refused in [bob.renew(lease.lease).await.map(drop), bob.release(lease.lease).await] {
            assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Forbidden);
        }
        // A key of another use takes nothing away.
        let second = ada.lease(&id, "vm-1").await.unwrap();
        world.meddle("UPDATE images SET last_used_at = 1").await;
        ada.release(lease.lease).await.unwrap();
        // It was in use until now, which is what an eviction asks.
        assert!(world.number("SELECT last_used_at AS n FROM images").await > 1);
        assert_eq!(ada.release(lease.lease).await.unwrap_err().kind(), &ErrorKind::NotFound);
        assert_eq!(world.images.leases(None, 9).await.unwrap().len(), 1);

        // Revoked: it may not be renewed, and it keeps its image until its time is over.
        let holder = world.images.lease_info(second.token).await.unwrap().unwrap().lease.holder;
        let (until, leases) = bob.revoke(holder).await.unwrap();
        assert_eq!((until, leases), (second.expires_at, 1));
        assert_eq!(bob.revoke(holder).await.unwrap_err().kind(), &ErrorKind::Conflict);
        assert!(ada.renew(second.lease).await.unwrap_err().is_stale());
        assert_eq!(bob.remove(&id, Names::All).await.unwrap_err().kind(), &ErrorKind::InUse);
        world.expire_all().await;
        bob.collect(&CollectOptions::default()).await.unwrap();
        bob.remove(&id, Names::All).await.unwrap();
        assert_eq!(bob.revoke(holder).await.unwrap_err().kind(), &ErrorKind::NotFound);
        // A lease of what is not there leaves no holder behind.
        let before = world.count("images_holders").await;
        assert_eq!(ada.lease(&image.digest.into(), "vm").await.unwrap_err().kind(), &ErrorKind::NotFound);
        assert_eq!(world.count("images_holders").await, before);
    })
    .await;
}

#[tokio::test]
async fn collecting_is_paused_and_a_restore_made_known_by_administrators_and_written_down() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (ada, bob) = (with(&world, "ada", Role::Write), with(&world, "bob", Role::Admin));
        let second = std::time::Duration::from_secs(1);
        for refused in [ada.pause_collecting(second).await, ada.after_restore().await] {
            assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Forbidden);
        }
        for wrong in [std::time::Duration::ZERO, MAX_PAUSE + second] {
            let refused = bob.pause_collecting(wrong).await.unwrap_err();
            assert!(matches!(refused.kind(), ErrorKind::Invalid { field: "pause" }), "{refused}");
        }
        let until = bob.pause_collecting(MAX_PAUSE).await.unwrap();
        assert_eq!(world.images.collecting().await.unwrap().off_until, Some(until));
        assert_eq!(bob.pause_collecting(second).await.unwrap(), until, "a longer one stays");
        let off = bob.collect(&CollectOptions::default()).await.unwrap_err();
        assert_eq!(off.kind(), &ErrorKind::CollectingOff);
        let node = world.images.join("n").await.unwrap();
        assert_eq!(bob.after_restore().await.unwrap(), until);
        assert!(node.renew().await.is_err(), "it must join anew");
        let expected = [
            act("bob", Action::Pause, "604800 s"),
            act("bob", Action::Pause, "1 s"),
            act("bob", Action::Restored, ""),
        ];
        assert_eq!(done(&bob).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_was_moved_meanwhile_stays_where_it_is() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let (old, new) = {
            let node = world.node().await;
            (world.publish(&node, &["old"]).await, world.publish(&node, &["new"]).await)
        };
        let (old_id, new_id): (ImageRef, ImageRef) = (old.id.into(), new.id.into());
        let ada = with(&world, "ada", Role::Write);
        ada.tag(&old_id, "app").await.unwrap();
        ada.tag(&new_id, "app").await.unwrap();
        let moved = ada.untag_from(&old_id, "app").await.unwrap_err();
        assert_eq!(moved.kind(), &ErrorKind::Conflict, "{moved}");
        assert_eq!(world.images.references_of(new.id).await.unwrap().len(), 1);
        assert_eq!(ada.untag_from(&new_id, "app").await.unwrap().name, "app");
        assert_eq!(ada.untag_from(&new_id, "app").await.unwrap_err().kind(), &ErrorKind::Conflict);
        let expected = [
            act("ada", Action::Tag, "app"),
            act("ada", Action::Tag, "app"),
            act("ada", Action::Untag, "app"),
        ];
        assert_eq!(done(&ada).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_holder_is_revoked_however_many_there_are() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let bob = with(&world, "bob", Role::Admin);
        let many: Vec<String> =
            (0..MAX_PAGE).map(|at| format!("({}, 'a{at}', 0, 0)", 1_000_000 + at)).collect();
        world
            .meddle(&format!(
                "INSERT INTO images_holders (id, name, live, expires_at) VALUES {}",
                many.join(", ")
            ))
            .await;
        let lease = bob.lease(&image.id.into(), "vm").await.unwrap();
        let holder = world.images.lease_info(lease.token).await.unwrap().unwrap().lease.holder;
        // The oldest first, page by page; each once.
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = world.images.holders(after, MAX_PAGE + 1).await.unwrap();
            assert!(page.len() <= MAX_PAGE as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            seen.extend(page.iter().map(|it| it.id));
        }
        assert!(seen.is_sorted() && seen.contains(&holder));
        assert_eq!(seen.len(), MAX_PAGE as usize + 2, "those, the node that published, and this one");
        assert_eq!(bob.revoke(holder).await.unwrap(), (lease.expires_at, 1));
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_is_refused_is_no_act_and_one_that_begins_is_told_of() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let bob = with(&world, "bob", Role::Admin);
        let told = std::sync::atomic::AtomicBool::new(false);
        let tell = || told.store(true, std::sync::atomic::Ordering::Relaxed);
        world.meddle("UPDATE images_collector SET holder = 'other', until = 9000000000000000").await;
        let refused = bob.collect_telling(&CollectOptions::default(), tell).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Conflict, "{refused}");
        assert_eq!((done(&bob).await, told.load(std::sync::atomic::Ordering::Relaxed)), (vec![], false));
        world.meddle("UPDATE images_collector SET until = 1000").await;
        bob.collect_telling(&CollectOptions::default(), tell).await.unwrap();
        assert_eq!(done(&bob).await, [act("bob", Action::Collect, "")]);
        assert!(told.load(std::sync::atomic::Ordering::Relaxed));
    })
    .await;
}

#[tokio::test]
async fn acts_are_forgotten_beyond_their_limit() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let ada = with(&world, "ada", Role::Write);
        ada.pin(&image.id.into(), true).await.unwrap();
        let first = ada.acts(None, 1).await.unwrap()[0].id;
        // As if so many had come in between.
        let moved = first + 10_000 - 1;
        world
            .meddle(&format!("INSERT INTO images_acts (id, at, actor, action) VALUES ({moved}, 0, 'x', 'x')"))
            .await;
        if world.repo.dialect() == mainstay_repo::Dialect::Postgres {
            world.meddle(&format!("SELECT setval('images_acts_id_seq', {moved})")).await;
        }
        ada.pin(&image.id.into(), false).await.unwrap();
        let kept: Vec<i64> = ada.acts(None, MAX_PAGE).await.unwrap().iter().map(|act| act.id).collect();
        assert_eq!(kept, [moved + 1, moved], "the 10,000th but one goes, the 10,000 newest stay");
    })
    .await;
}

#[tokio::test]
async fn a_look_from_outside_finds_whose_a_directory_is_and_what_a_crash_left() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let look = async |directory: &std::path::Path| {
            checkup(world.repo.clone(), Arc::new(DiskFiles::new(directory)), options()).await.unwrap()
        };
        let image = world.publish(&world.node().await, &["base"]).await;
        std::fs::write(world.directory.path().join("tmp/77"), "half of it").unwrap();
        world.meddle("UPDATE images_blobs SET state = 1").await;
        world.expire_all().await;
        let ours = look(world.directory.path()).await;
        assert!(matches!(ours.marker, Marker::Ours), "{ours:?}");
        assert_eq!(ours.store.as_deref(), Some(world.images.store_id()));
        assert_eq!((ours.leftovers, ours.marked, ours.ended_holders, ours.bytes), (1, 1, 1, 4), "{ours:?}");
        assert!(ours.space.is_some() && ours.last_collection.is_none());
        assert!(ours.scrub.is_some_and(|scrub| scrub.started_at.is_none()));
        assert_eq!(world.count("images_holders").await, 1, "it only looked");
        world.meddle("UPDATE images_blobs SET state = 2").await;
        assert_eq!(look(world.directory.path()).await.damaged[0].digest, image.digest);

        let empty = tempfile::tempdir().unwrap();
        let away = look(empty.path()).await;
        assert!(matches!(away.marker, Marker::Absent) && away.prepared, "{away:?}");
        assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "it only looked");
        std::fs::write(empty.path().join("mainstay-images"), "imgs_other\n").unwrap();
        let foreign = look(empty.path()).await;
        assert!(matches!(&foreign.marker, Marker::Foreign { store } if store == "imgs_other"), "{foreign:?}");

        // New tables are another store, and the old directory is not theirs.
        world.repo.migrator().migrate(&COMPONENT, Target::Version(0)).await.unwrap();
        world.repo.migrator().migrate(&COMPONENT, Target::Latest).await.unwrap();
        let never = look(world.directory.path()).await;
        assert!(matches!(never.marker, Marker::Foreign { .. }) && never.store.is_none(), "{never:?}");
        let files = Arc::new(DiskFiles::new(world.directory.path()));
        let error = Images::open(world.repo.clone(), files, options()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Medium);
        for said in ["migrate down", "restore the database", "make an empty one", "import the images anew"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_collection_under_way_is_seen_and_a_restore_too() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let now = world.images.collecting().await.unwrap();
        assert_eq!((now.collector, now.off_until), (None, None));
        world.meddle("UPDATE images_collector SET holder = 'other', until = 9000000000000000").await;
        assert_eq!(world.images.collecting().await.unwrap().collector.as_deref(), Some("other"));
        world.meddle("UPDATE images_collector SET until = 1000").await;
        assert_eq!(world.images.collecting().await.unwrap().collector, None, "it was killed long ago");
        let until = world.images.after_restore().await.unwrap();
        assert_eq!(world.images.collecting().await.unwrap().off_until, Some(until));
        let node = world.images.join("n").await.unwrap();
        let ingest = node.ingest();
        let layers = bring(&ingest, &["x"]).await;
        commit(&ingest, NewImage::chain(layers)).await;
    })
    .await;
}

#[tokio::test]
async fn the_first_digits_of_a_digest_are_enough_when_they_begin_no_other() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let node = world.node().await;
        let image = world.publish(&node, &["base"]).await;
        let layer = Digest::of(b"base");
        let digits = |digest: &Digest, count: usize| digest.to_string()[..count].to_owned();
        for count in [6, 7, 63, 64] {
            let found = world.images.find(&digits(&image.digest, count)).await.unwrap();
            assert_eq!(found.id, image.id, "{count}");
            let found = world.images.find_blob(&format!("sha256:{}", digits(&layer, count))).await.unwrap();
            assert_eq!(found, Some(layer), "{count}");
        }
        assert_eq!(world.images.find(&digits(&image.digest, 5)).await.unwrap_err().kind(), &ErrorKind::NotFound);
        assert_eq!(world.images.find_blob("000000").await.unwrap(), None);
        // A name that reads as digits comes first.
        world.images.tag(&image.id.into(), "abcdef").await.unwrap();
        assert_eq!(world.images.find("abcdef").await.unwrap().id, image.id);
        // Another image that begins alike: a manifest of the same beginning cannot be had, a row can.
        let alike = format!("{}{}", digits(&image.digest, 10), "0".repeat(54));
        let (table, text) = match world.repo.dialect() {
            mainstay_repo::Dialect::Postgres => ("images", format!("'\\x{alike}'::bytea")),
            _ => ("images", format!("x'{alike}'")),
        };
        world
            .meddle(&format!(
                "INSERT INTO {table} (digest, chain_id, kind, media_type, depth, chain, size, pinned, created_at, last_used_at) \
                 SELECT {text}, chain_id, kind, media_type, depth, chain, size, pinned, created_at, last_used_at FROM images"
            ))
            .await;
        let error = world.images.find(&digits(&image.digest, 10)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("more of its digits"), "{error}");
        assert_eq!(world.images.find(&alike).await.unwrap().digest.to_string(), alike);
    })
    .await;
}

#[tokio::test]
async fn who_acts_under_a_lease_changes_nothing_once_it_is_lost() {
    for_each_database(async |database| {
        let world = World::new(database).await;
        let image = world.publish(&world.node().await, &["base"]).await;
        let id: ImageRef = image.id.into();
        let ada = with(&world, "ada", Role::Admin);
        ada.tag(&id, "before").await.unwrap();
        let lease = ada.lease(&id, "vm-1").await.unwrap().lease;
        let under = ada.clone().under(lease.to_string().parse().unwrap());
        under.tag(&id, "under").await.unwrap();
        under.pin(&id, true).await.unwrap();
        under.pin(&id, false).await.unwrap();
        let node = under.join().await.unwrap();
        let commit = async |octets: &'static str| {
            let ingest = node.ingest();
            let layers = crate::support::bring(&ingest, &[octets]).await;
            let set = CommitSet { images: vec![NewImage::chain(layers)], refs: Vec::new(), guard: None };
            ingest.commit(set).await.map(drop)
        };
        commit("made under the lease").await.unwrap();
        let (acts, names) = (done(&ada).await, world.images.references_of(image.id).await.unwrap().len());

        ada.release(lease).await.unwrap();
        for refused in [
            under.tag(&id, "after").await.map(drop),
            under.fork(&id, "after").await.map(drop),
            under.untag("before").await.map(drop),
            under.untag_from(&id, "before").await.map(drop),
            under.pin(&id, true).await.map(drop),
            under.remove(&id, Names::All).await.map(drop),
            commit("too late").await,
        ] {
            let error = refused.unwrap_err();
            assert!(error.is_stale() && error.to_string().contains("is not held any more"), "{error}");
        }
        assert_eq!(world.images.references_of(image.id).await.unwrap().len(), names);
        assert!(!world.images.image(&id).await.unwrap().pinned);
        assert_eq!(done(&ada).await, acts, "what did not happen is not written down");
        ada.remove(&id, Names::All).await.unwrap();
    })
    .await;
}
