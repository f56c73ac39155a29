//! What goes out and is dropped in the middle, and what runs where few threads may block.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mainstay_images::oci::flatten::Flatten;
use mainstay_images::oci::progress::{Event, Progress};
use mainstay_images::oci::{Commit, Container, Import, LayerContent, Oci};
use mainstay_images::{Heartbeat, ImageRef};
use mainstay_testkit::{Polled, TestDatabase, at_most_polls, eventually};

use super::registry::options;
use super::server::{Asks, DockerRegistry};
use super::tools::Sample;
use crate::support::World;

/// Begins something again and again, drops it ever later, and finds no lease while the node lives.
async fn keeps_no_lease<F: Future>(world: &World, what: &str, begin: impl Fn(usize) -> F) {
    let mut dropped = 0;
    loop {
        let polled = at_most_polls(1 + 2 * dropped, begin(dropped)).await;
        let ended = matches!(polled, Polled::Ready(_));
        // What was on its way when it was dropped comes a moment later, and is given back then.
        tokio::time::sleep(Duration::from_millis(5)).await;
        eventually(what, async || world.count("images_leases").await == 0).await;
        if ended {
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 0, "{what}: {dropped}");
}

/// Tells when it is known what goes out.
#[derive(Default)]
struct Planned(tokio::sync::Notify);

impl Progress for Planned {
    fn on(&self, event: Event<'_>) {
        if matches!(event, Event::Planned { .. }) {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn what_goes_out_ends_when_its_lease_is_lost() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let to = registry.reference("team/app:1");
    let app: ImageRef = "app".parse().unwrap();
    for is_push in [false, true] {
        let world = World::new(&TestDatabase::sqlite()).await;
        let node = world.images.join_with("node", Heartbeat::Host).await.unwrap();
        let planned = Arc::new(Planned::default());
        let oci = Oci::new(node.clone());
        oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
        let oci = oci.with_progress(Arc::clone(&planned) as Arc<dyn Progress>);
        let (options, out) = (options(), sample.at().join("lost"));
        let mut going_out = Box::pin(async {
            match is_push {
                true => oci.push(&app, &to, None, &options).await,
                false => oci.export(&app, &out, Container::Directory).await,
            }
        });
        tokio::select! {
            biased;
            done = &mut going_out => panic!("it ended before it was lost: {done:?}"),
            () = planned.0.notified() => {}
        }
        // Another life of the name begins, and this one may not renew any more.
        world.images.join_with("node", Heartbeat::Host).await.unwrap();
        node.renew().await.unwrap_err();
        let error = mainstay_images::Error::from(going_out.await.unwrap_err());
        assert!(error.is_stale(), "{error}");
        assert!(!out.exists());
    }
}

#[tokio::test]
async fn what_goes_out_and_is_dropped_keeps_no_lease() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    // One node for all of it, which lives on: nothing ends with it.
    let node = world.images.join_with("node", Heartbeat::Host).await.unwrap();
    let oci = Oci::new(node.clone());
    let image = oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap().remove(0);
    let app: ImageRef = "app".parse().unwrap();
    let out = sample.at();
    keeps_no_lease(&world, "an export", |at| {
        let (oci, app, path) = (oci.clone(), app.clone(), out.join(format!("out-{at}")));
        async move { oci.export(&app, path, Container::Directory).await.unwrap() }
    })
    .await;
    keeps_no_lease(&world, "a flattening", |at| {
        let (oci, app, path) = (oci.clone(), app.clone(), out.join(format!("{at}.erofs")));
        async move { oci.flatten(&app, path, &Flatten::default()).await.unwrap() }
    })
    .await;
    keeps_no_lease(&world, "a push", |at| {
        let (oci, app, to) = (oci.clone(), app.clone(), registry.reference(&format!("team/a{at}:1")));
        async move { oci.push(&app, &to, None, &options()).await.unwrap() }
    })
    .await;
    keeps_no_lease(&world, "a commit", |_| {
        let layer = LayerContent::Directory(out.join("fresh"));
        let (oci, commit) = (oci.clone(), Commit::over(app.clone(), layer));
        async move { oci.commit(commit).await.unwrap() }
    })
    .await;
    keeps_no_lease(&world, "a lease of a key", |_| {
        let node = node.clone();
        async move { node.acquire("key", image.id).await.unwrap().release().await.unwrap() }
    })
    .await;
    keeps_no_lease(&world, "work with an image", |_| {
        let node = node.clone();
        async move { node.with_image("key", image.id, |_| std::future::ready(())).await.unwrap() }
    })
    .await;
}

#[test]
fn one_thread_that_may_block_is_enough() {
    let sample = Sample::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let out = sample.at().to_owned();
    let layout = sample.layout;
    let worked = runtime.block_on(async move {
        let world = World::new(&TestDatabase::sqlite()).await;
        let oci = Oci::new(world.node().await);
        let work = async {
            oci.import(&layout, &Import::tagged("app").named("app")).await.unwrap();
            let app: ImageRef = "app".parse().unwrap();
            let layer = LayerContent::Directory(out.join("fresh"));
            oci.commit(Commit::over(app.clone(), layer)).await.unwrap();
            oci.export(&app, out.join("out.tar"), Container::Archive).await.unwrap();
            oci.flatten(&app, out.join("app.erofs"), &Flatten::default()).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(60), work).await.is_ok()
    });
    // Threads that wait for each other never end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(worked, "what waits for the threads that may block has taken all of them");
}
