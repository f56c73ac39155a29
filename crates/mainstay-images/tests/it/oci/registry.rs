//! Pull and push with a real registry, also through a front that breaks, lies and asks for tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use mainstay_core::Secret;
use mainstay_images::oci::limits::MAX_ANSWER;
use mainstay_images::oci::progress::{Event, Progress};
use mainstay_images::oci::registry::{Credentials, RegistryOptions, Retry, Transport};
use mainstay_images::oci::{Container, ErrorKind, Import, Oci, Platform, Reference, Refusal, Select};
use mainstay_images::{Digest, ImageRef};
use mainstay_testkit::{Proxy, TestDatabase, eventually, for_each_database};

use super::front::{Front, TOKEN};
use super::server::{Asks, DockerRegistry, PASSWORD, USER, reference};
use super::tools::{BIG, Sample, blob, skopeo};
use crate::support::World;

/// Waits that are short, because the test's registry is near.
pub fn options() -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.retry = Retry::default().waiting(Duration::from_millis(1), Duration::from_millis(20));
    options.piece = 256 * 1024;
    options
}

fn account(password: &str) -> RegistryOptions {
    let mut options = options();
    options.credentials =
        Credentials::Password { user: USER.to_owned(), password: Secret::new(password.to_owned()) };
    options
}

/// A registry with the sample.
pub struct Registered {
    pub sample: Sample,
    pub registry: DockerRegistry,
}

impl Registered {
    /// A registry into which skopeo brought the sample.
    pub async fn new() -> Self {
        let (sample, registry) = (Sample::new(), DockerRegistry::start(Asks::Nothing).await);
        for image in ["app", "multi"] {
            let to = format!("docker://{}/team/{image}:1", registry.address);
            let from = format!("oci:L:{image}");
            skopeo(sample.at(), &["copy", "--all", "--dest-tls-verify=false", &from, &to]);
        }
        Self { sample, registry }
    }
}

#[derive(Default)]
struct Resumes(Mutex<Vec<u64>>);

impl Progress for Resumes {
    fn on(&self, event: Event<'_>) {
        if let Event::Resumed { at, .. } = event {
            self.0.lock().unwrap().push(at);
        }
    }
}

pub async fn pull(
    oci: &Oci,
    from: &Reference,
    options: &RegistryOptions,
) -> Result<Digest, mainstay_images::oci::Error> {
    Ok(oci.pull(from, &Select::All, Some("pulled"), options).await?[0].digest)
}

#[tokio::test]
async fn what_skopeo_pushed_is_pulled_octet_for_octet() {
    let Registered { sample, registry } = Registered::new().await;
    for_each_database(async |database| {
        let world = World::new(database).await;
        let oci = Oci::new(world.node().await);
        for image in ["app", "multi"] {
            let from = registry.reference(&format!("team/{image}:1"));
            assert_eq!(pull(&oci, &from, &options()).await.unwrap(), sample.listed(image).digest.0);
        }
        let out = tempfile::tempdir().unwrap();
        oci.export(&"pulled".parse().unwrap(), out.path().join("out"), Container::Directory).await.unwrap();
        for name in ["multi", "app", "base"] {
            let (copy, original) = (
                blob(&out.path().join("out"), &sample.listed(name)),
                blob(&sample.layout, &sample.listed(name)),
            );
            assert_eq!(std::fs::read(copy).unwrap(), std::fs::read(original).unwrap());
        }
    })
    .await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let select = Select::Platform(Platform::new("linux", "arm64"));
    let images = oci.pull(&registry.reference("team/multi:1"), &select, None, &options()).await.unwrap();
    assert_eq!((images.len(), images[0].digest), (1, sample.listed("base").digest.0));
    let by_digest = registry.reference(&format!("team/app@{}", sample.listed("app").digest));
    assert_eq!(pull(&oci, &by_digest, &options()).await.unwrap(), sample.listed("app").digest.0);
    let plan9 = Select::Platform(Platform::new("plan9", "mips"));
    for image in ["app", "multi"] {
        let from = registry.reference(&format!("team/{image}:1"));
        let error = oci.pull(&from, &plan9, None, &options()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::OtherPlatform, "{error}");
    }
    let missing = pull(&oci, &registry.reference("team/nothing:1"), &options()).await.unwrap_err();
    assert!(
        missing.kind() == &ErrorKind::NotFound && missing.to_string().contains("team/nothing:1"),
        "{missing}"
    );
    let mut nothing_to_trust = options();
    nothing_to_trust.trusted = b"no certificate".to_vec();
    let error = pull(&oci, &by_digest, &nothing_to_trust).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Invalid && error.to_string().contains("no certificate"), "{error}");
    let pulled: ImageRef = "pulled".parse().unwrap();
    let error = oci.push(&pulled, &by_digest, Some("No/Repository"), &options()).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Invalid && error.to_string().contains("No/Repository"), "{error}");
}

#[tokio::test]
async fn a_pull_goes_on_where_it_broke() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    for no_ranges in [false, true] {
        let world = World::new(&TestDatabase::sqlite()).await;
        let heard = Arc::new(Resumes::default());
        let oci = Oci::new(world.node().await).with_progress(Arc::clone(&heard) as Arc<dyn Progress>);
        *front.faults() = Default::default();
        // With ranges, each answer brings a third; without, a later one must bring all.
        front.faults().cut_after = Some(BIG / 3);
        front.faults().no_ranges = no_ranges;
        if no_ranges {
            let options = options();
            let pulling = pull(&oci, &from, &options);
            let mending = async {
                eventually("it resumed", async || !heard.0.lock().unwrap().is_empty()).await;
                front.faults().cut_after = None;
            };
            let (pulled, ()) = tokio::join!(pulling, mending);
            assert_eq!(pulled.unwrap(), sample.listed("app").digest.0);
        } else {
            assert_eq!(pull(&oci, &from, &options()).await.unwrap(), sample.listed("app").digest.0);
        }
        let at = heard.0.lock().unwrap().clone();
        assert!(at.len() >= if no_ranges { 1 } else { 3 } && at.is_sorted(), "{at:?}");
        // What was asked for is what was missing.
        let asked: Vec<String> = at.iter().filter(|at| **at > 0).map(|at| format!("bytes={at}-")).collect();
        assert_eq!(front.ranges(), asked);
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_is_gone_on_with_until_there_is_no_more() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    for no_ranges in [false, true] {
        let world = World::new(&TestDatabase::sqlite()).await;
        *front.faults() = Default::default();
        front.faults().end_after = Some(BIG / 2 + 1);
        front.faults().no_ranges = no_ranges;
        let pulled = pull(&world.oci().await, &from, &options()).await;
        if no_ranges {
            // Whoever begins anew each time and ends at the same place has no more.
            let error = pulled.unwrap_err();
            assert!(matches!(error.refusal(), Some(Refusal::SizeMismatch { .. })), "{error:?}");
        } else {
            assert_eq!(pulled.unwrap(), sample.listed("app").digest.0);
            let size = usize::try_from(sample.big_layer().size).unwrap();
            let parts = (1..).map(|part| part * (BIG / 2 + 1)).take_while(|at| *at < size);
            assert_eq!(front.ranges(), parts.map(|at| format!("bytes={at}-")).collect::<Vec<_>>());
        }
    }
    // A registry that has less than it should is asked for the rest once, and refused.
    let world = World::new(&TestDatabase::sqlite()).await;
    let big = std::fs::read(blob(&sample.layout, &sample.big_layer())).unwrap();
    *front.faults() = Default::default();
    front.faults().end_after = Some(0);
    front.faults().lie = Some(Bytes::from(big[..BIG / 2].to_vec()));
    let error = pull(&world.oci().await, &from, &options()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{error:?}");
    assert_eq!((world.files(), world.count("images_intents").await), (Vec::new(), 0));
}

#[tokio::test]
async fn a_registry_that_is_busy_is_asked_again_and_not_for_ever() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY];
    front.faults().answers = vec![busy[0]; 5];
    let error = pull(&oci, &from, &options()).await.unwrap_err();
    assert_eq!((error.kind(), front.faults().seen.len()), (&ErrorKind::Unavailable, 5));
    front.faults().answers = busy.to_vec();
    assert_eq!(pull(&oci, &from, &options()).await.unwrap(), sample.listed("app").digest.0);

    front.faults().cut_after = Some(0);
    let error =
        pull(&World::new(&TestDatabase::sqlite()).await.oci().await, &from, &options()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    let nobody = reference("127.0.0.1:1".parse().unwrap(), "team/app:1");
    assert_eq!(pull(&oci, &nobody, &options()).await.unwrap_err().kind(), &ErrorKind::Unavailable);
}

impl World {
    async fn oci(&self) -> Oci {
        Oci::new(self.node().await)
    }
}

#[tokio::test]
async fn a_registry_that_falls_silent_is_given_up() {
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let proxy = Proxy::start(registry.address).await;
    proxy.stall(true);
    let world = World::new(&TestDatabase::sqlite()).await;
    let mut impatient = options();
    impatient.silence = Duration::from_millis(50);
    let error =
        pull(&world.oci().await, &reference(proxy.address(), "team/app:1"), &impatient).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_registry_that_lies_is_refused_and_leaves_nothing() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let big = std::fs::read(blob(&sample.layout, &sample.big_layer())).unwrap();
    let mut flipped = big.clone();
    flipped[BIG / 2] ^= 1;
    for (lie, what) in
        [(flipped, "other octets"), (big[1..].to_vec(), "fewer"), ([&big[..], b"x"].concat(), "more")]
    {
        let world = World::new(&TestDatabase::sqlite()).await;
        front.faults().lie = Some(Bytes::from(lie));
        let error = pull(&world.oci().await, &from, &options()).await.expect_err(what);
        assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{what}: {error:?}");
        assert_eq!((world.files(), world.count("images_intents").await), (Vec::new(), 0), "{what}");
    }
    *front.faults() = Default::default();
    front.faults().cut_after = Some(BIG / 3);
    front.faults().shift_ranges = 1;
    let world = World::new(&TestDatabase::sqlite()).await;
    let error = pull(&world.oci().await, &from, &options()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Registry);

    let other = Digest::of(b"another");
    let by_digest = registry.reference(&format!("team/app:1@sha256:{other}"));
    let error = pull(&world.oci().await, &by_digest, &options()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
}

#[tokio::test]
async fn tokens_are_bought_with_the_password_and_go_nowhere_else() {
    let Registered { sample, registry } = Registered::new().await;
    let (front, storage) = (Front::start(registry.address).await, Front::start(registry.address).await);
    let from = reference(front.address, "team/app:1");
    let basic = "Basic dGVzdGVyOnNlY3JldC1vZi10aGUtdGVzdA==";
    front.faults().token_for = Some(basic.to_owned());
    front.faults().elsewhere = Some(storage.address);
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    for wrong in [options(), account("wrong")] {
        let error = pull(&oci, &from, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unauthorized);
        assert!(!format!("{error} {error:?}").contains("wrong\""), "{error:?}");
    }
    front.faults().seen.clear();
    assert_eq!(pull(&oci, &from, &account(PASSWORD)).await.unwrap(), sample.listed("app").digest.0);
    for seen in front.faults().seen.iter().filter(|seen| seen.authorization.is_some()) {
        let expected =
            if seen.path.starts_with("/token") { basic.to_owned() } else { format!("Bearer {TOKEN}") };
        assert_eq!(seen.authorization.as_ref(), Some(&expected), "{seen:?}");
    }
    let scope = "scope=repository%3Ateam%2Fapp%3Apull";
    assert!(front.faults().seen.iter().any(|seen| seen.path.ends_with(scope)));
    // The storage behind the registry gave the blobs, and was not told who wanted them.
    let storage = storage.faults();
    assert!(storage.seen.len() >= 4 && storage.seen.iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn nobody_but_the_registry_may_ask_for_the_password() {
    let Registered { registry, .. } = Registered::new().await;
    let (front, storage) = (Front::start(registry.address).await, Front::start(registry.address).await);
    let from = reference(front.address, "team/app:1");
    // Where the registry sends us for a blob, a token is wanted, and a place is named at which it is bought.
    front.faults().elsewhere = Some(storage.address);
    storage.faults().token_for = Some("Basic dGVzdGVyOnNlY3JldC1vZi10aGUtdGVzdA==".to_owned());
    let world = World::new(&TestDatabase::sqlite()).await;
    let error = pull(&world.oci().await, &from, &account(PASSWORD)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unauthorized, "{error}");
    let storage = storage.faults();
    let told =
        storage.seen.iter().filter(|seen| seen.authorization.is_some() || seen.path.starts_with("/token"));
    assert_eq!(told.count(), 0, "{:?}", storage.seen);
    assert!(!storage.seen.is_empty());
}

#[tokio::test]
async fn what_a_login_left_buys_a_token_and_stands_in_no_url() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    // Nobody has the right password here.
    front.faults().token_for = Some("Basic none".to_owned());
    let form = "grant_type=refresh_token&client_id=mainstay&service=test&scope=repository%3Ateam%2Fapp%3Apull\
                &refresh_token=left%2Fby%2Ba%20login";
    front.faults().token_for_form = Some(form.to_owned());
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    let identity = |text: &str| {
        let mut options = options();
        options.credentials = Credentials::Identity(Secret::new(text.to_owned()));
        options
    };
    let error = pull(&oci, &from, &identity("of somebody else")).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Unauthorized && error.to_string().contains("log in anew"), "{error}");
    let pulled = pull(&oci, &from, &identity("left/by+a login")).await.unwrap();
    assert_eq!(pulled, sample.listed("app").digest.0);
    assert!(front.faults().seen.iter().all(|seen| !format!("{seen:?}").contains("left")));
}

#[tokio::test]
async fn a_registry_on_this_machine_does_not_get_a_password_sent_in_clear_text() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    front.faults().token_for = Some("Basic dGVzdGVyOnNlY3JldC1vZi10aGUtdGVzdA==".to_owned());
    // Nobody looks whether there is such a host: the password is not given away before.
    front.faults().realm = Some("http://auth.test/token".to_owned());
    let mut identity = options();
    identity.credentials = Credentials::Identity(Secret::new("left".to_owned()));
    for asked in [account(PASSWORD), identity] {
        let error = pull(&oci, &from, &asked).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Registry, "{error}");
        assert!(error.to_string().contains("plain http at auth.test"), "{error}");
    }
    // Who allows it has it.
    let mut plain = account(PASSWORD);
    plain.transport = Transport::Http;
    plain.retry.attempts = 1;
    assert_eq!(pull(&oci, &from, &plain).await.unwrap_err().kind(), &ErrorKind::Unavailable);
    front.faults().realm = Some(format!("http://localhost:{}/token", front.address.port()));
    assert_eq!(pull(&oci, &from, &account(PASSWORD)).await.unwrap(), sample.listed("app").digest.0);
}

#[tokio::test]
async fn a_few_redirects_are_followed_and_circles_are_not() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    // Five for one request.
    front.faults().circles = 5;
    assert_eq!(pull(&oci, &from, &options()).await.unwrap(), sample.listed("app").digest.0);
    front.faults().circles = 6;
    let error = pull(&oci, &from, &options()).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Registry && error.to_string().contains("circles"), "{error}");
}

#[tokio::test]
async fn an_answer_with_a_token_is_read_up_to_a_size() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    front.faults().token_for = Some("Basic dGVzdGVyOnNlY3JldC1vZi10aGUtdGVzdA==".to_owned());
    front.faults().token_size = MAX_ANSWER + 1;
    let error = pull(&oci, &from, &account(PASSWORD)).await.unwrap_err();
    assert!(error.kind() == &ErrorKind::Registry && error.to_string().contains("larger than"), "{error}");
    front.faults().token_size = MAX_ANSWER;
    assert_eq!(pull(&oci, &from, &account(PASSWORD)).await.unwrap(), sample.listed("app").digest.0);
}

#[tokio::test]
async fn a_push_to_a_registry_that_takes_nothing_ends() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let front = Front::start(registry.address).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let (app, to): (ImageRef, _) = ("app".parse().unwrap(), reference(front.address, "team/app:1"));
    front.faults().swallow_pieces = true;
    let options = options();
    let pushing = tokio::time::timeout(Duration::from_secs(30), oci.push(&app, &to, None, &options));
    let error = pushing.await.expect("it does not try for ever").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    // The large layer was begun again twice; each time the first octet seemed to arrive, and no other.
    let pieces = front.faults().seen.iter().filter(|seen| seen.method == Method::PATCH).count();
    assert_eq!(pieces, 3 * 2);

    *front.faults() = Default::default();
    front.faults().least_piece = Some(64 * 1024 * 1024 + 1);
    let error = oci.push(&app, &to, None, &options).await.unwrap_err();
    assert!(
        error.kind() == &ErrorKind::Registry && error.to_string().contains("too large to hold"),
        "{error}"
    );
    front.faults().least_piece = Some(64 * 1024 * 1024);
    oci.push(&app, &to, None, &options).await.unwrap();
    assert_eq!(pull(&oci, &to, &options).await.unwrap(), sample.listed("app").digest.0);
}

#[tokio::test]
async fn passwords_are_sent_to_a_registry_that_asks_for_them() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Password).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let (app, to): (ImageRef, _) = ("app".parse().unwrap(), registry.reference("team/app:1"));
    for wrong in [options(), account("wrong")] {
        let error = oci.push(&app, &to, None, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unauthorized);
    }
    oci.push(&app, &to, None, &account(PASSWORD)).await.unwrap();
    assert_eq!(pull(&oci, &to, &account(PASSWORD)).await.unwrap(), sample.listed("app").digest.0);
}

#[tokio::test]
async fn skopeo_takes_what_is_pushed_and_blobs_are_mounted() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let front = Front::start(registry.address).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    oci.import(&sample.layout, &Import::all().named("all")).await.unwrap();
    let multi: ImageRef = "all:multi".parse().unwrap();
    oci.push(&multi, &reference(front.address, "team/multi:1"), None, &options()).await.unwrap();
    let uploads = |method: Method| {
        let faults = front.faults();
        faults.seen.iter().filter(|seen| seen.method == method && seen.path.contains("/uploads/")).count()
    };
    // The large layer went in pieces of 256 KiB, the rest at once.
    assert!(uploads(Method::PATCH) >= BIG / (256 * 1024));
    skopeo(
        sample.at(),
        &[
            "copy",
            "--all",
            "--src-tls-verify=false",
            &format!("docker://{}/team/multi:1", registry.address),
            "oci:back:multi",
        ],
    );
    for name in ["multi", "app", "base"] {
        let descriptor = sample.listed(name);
        assert_eq!(
            std::fs::read(blob(&sample.at().join("back"), &descriptor)).unwrap(),
            std::fs::read(blob(&sample.layout, &descriptor)).unwrap()
        );
    }

    front.faults().seen.clear();
    let other = reference(front.address, "team/other:1");
    oci.push(&"all:app".parse().unwrap(), &other, Some("team/multi"), &options()).await.unwrap();
    assert_eq!((uploads(Method::PATCH), uploads(Method::PUT)), (0, 0));
    assert_eq!(uploads(Method::POST), 5, "four layers and the configuration are mounted");
    skopeo(
        sample.at(),
        &["inspect", "--tls-verify=false", &format!("docker://{}/team/other:1", registry.address)],
    );

    // Again: everything is there.
    front.faults().seen.clear();
    oci.push(&"all:app".parse().unwrap(), &other, None, &options()).await.unwrap();
    assert_eq!(uploads(Method::POST), 0);
    // Where nothing can be mounted from, it is sent.
    let third = reference(front.address, "team/third:1");
    oci.push(&"all:app".parse().unwrap(), &third, Some("team/nothing"), &options()).await.unwrap();
    assert!(uploads(Method::PUT) >= 5);
    assert_eq!(pull(&oci, &third, &options()).await.unwrap(), sample.listed("app").digest.0);
}

#[tokio::test]
async fn a_push_goes_on_where_it_broke() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let app: ImageRef = "app".parse().unwrap();
    let proxy = Proxy::start(registry.address).await;
    for (repository, octets) in
        [("team/one", 1_000_000), ("team/two", 2_700_001), ("team/three", 40_000), ("team/four", 600)]
    {
        proxy.cut_after(octets);
        let to = reference(proxy.address(), &format!("{repository}:1"));
        oci.push(&app, &to, None, &options()).await.unwrap();
        let from = registry.reference(&format!("{repository}:1"));
        let fresh = World::new(&TestDatabase::sqlite()).await;
        assert_eq!(pull(&fresh.oci().await, &from, &options()).await.unwrap(), sample.listed("app").digest.0);
    }
    // A registry that is busy in the middle, and one that takes less than it is given: what arrived is not sent again.
    let front = Front::start(registry.address).await;
    let pieces =
        |front: &Front| front.faults().seen.iter().filter(|seen| seen.method == Method::PATCH).count();
    let least = BIG.div_ceil(256 * 1024);
    front.faults().refuse_pieces = 3;
    oci.push(&app, &reference(front.address, "team/five:1"), None, &options()).await.unwrap();
    assert!((least + 3..least + 6).contains(&pieces(&front)), "{}", pieces(&front));
    *front.faults() = Default::default();
    front.faults().halve_pieces = true;
    let halved = {
        let mut halved = options();
        halved.piece = BIG;
        halved
    };
    oci.push(&app, &reference(front.address, "team/six:1"), None, &halved).await.unwrap();
    assert!(pieces(&front) > 10, "{}", pieces(&front));
    for repository in ["team/five:1", "team/six:1"] {
        let fresh = World::new(&TestDatabase::sqlite()).await;
        let pulled = pull(&fresh.oci().await, &registry.reference(repository), &options()).await;
        assert_eq!(pulled.unwrap(), sample.listed("app").digest.0);
    }
    front.faults().halve_pieces = false;
    front.faults().refuse_pieces = u32::MAX;
    let error =
        oci.push(&app, &reference(front.address, "team/seven:1"), None, &options()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    let wrong = registry.reference(&format!("team/eight@sha256:{}", Digest::of(b"another")));
    assert_eq!(oci.push(&app, &wrong, None, &options()).await.unwrap_err().kind(), &ErrorKind::Invalid);
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted() {
    let sample = Sample::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (sample.at().join("cert.pem"), sample.at().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let registry = DockerRegistry::start_tls(&certificate, &key).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = world.oci().await;
    oci.import(&sample.layout, &Import::tagged("base").named("base")).await.unwrap();
    let to: Reference = format!("localhost:{}/team/base:1", registry.address.port()).parse().unwrap();
    let mut options = options();
    options.transport = Transport::Https;
    let push = async |options: &RegistryOptions| oci.push(&"base".parse().unwrap(), &to, None, options).await;
    assert_eq!(push(&options).await.unwrap_err().kind(), &ErrorKind::Registry);
    options.trusted = made.cert.pem().into_bytes();
    push(&options).await.unwrap();
    assert_eq!(pull(&oci, &to, &options).await.unwrap(), sample.listed("base").digest.0);
    options.trusted = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    assert_eq!(push(&options).await.unwrap_err().kind(), &ErrorKind::Invalid);
}

#[tokio::test]
async fn what_was_fetched_before_a_death_is_not_fetched_again() {
    let Registered { sample, registry } = Registered::new().await;
    let front = Front::start(registry.address).await;
    let from = reference(front.address, "team/app:1");
    let world = World::new(&TestDatabase::sqlite()).await;
    let node = world.node().await;
    // The large layer arrives; then every connection breaks, and the pull is given up.
    front.faults().cut_after = Some(BIG * 2);
    let big = sample.big_layer().digest.0;
    let oci = Oci::new(node.clone());
    let (wanted, waits) = (options(), options());
    let pulling = tokio::spawn({
        let (oci, from) = (oci.clone(), from.clone());
        async move { pull(&oci, &from, &wanted).await.map(drop) }
    });
    eventually("the large layer is there", async || {
        front.faults().answers = vec![StatusCode::SERVICE_UNAVAILABLE; 2];
        world.images.blob(&big).await.is_ok()
    })
    .await;
    pulling.abort();
    drop(pulling.await);
    front.faults().answers.clear();
    front.faults().seen.clear();
    assert_eq!(pull(&oci, &from, &waits).await.unwrap(), sample.listed("app").digest.0);
    let again = front.faults().seen.iter().any(|seen| seen.path.contains(&big.to_string()));
    assert!(!again, "the large layer was fetched again");
    let out = tempfile::tempdir().unwrap();
    oci.export(&"pulled".parse().unwrap(), out.path().join("out"), Container::Directory).await.unwrap();
    let descriptor = sample.big_layer();
    assert_eq!(
        std::fs::read(blob(&out.path().join("out"), &descriptor)).unwrap(),
        std::fs::read(blob(&sample.layout, &descriptor)).unwrap()
    );
}
