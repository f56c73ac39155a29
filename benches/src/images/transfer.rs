//! Images in and out beside `skopeo`, and beside `umoci` as far as it does the same.
//!
//! `skopeo copy` compares each blob with its digest and makes it durable; so do we. We also decompress each layer on the way in,
//! compare it with its `diff_id` and look at each of its entries. Of the field's programs only those that unpack do that:
//! `umoci unpack`, which then also writes the files. Both rows stand here; neither peer does exactly the same.

use std::path::Path;
use std::time::Instant;

use mainstay_benches::Row;
use mainstay_images::oci::registry::RegistryOptions;
use mainstay_images::oci::{Container, Import, Oci, Reference, Select};
use mainstay_images::{ImageRef, Node};
use mainstay_testkit::TestDatabase;

use crate::Scale;
use crate::layouts::{Layouts, NAME, octets, skopeo, timed};
use crate::registry::DockerRegistry;
use crate::store::{middle, open, settle};

/// Times of each round, by who took them.
#[derive(Debug, Default)]
struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    fn add(&mut self, who: &'static str, seconds: f64) {
        match self.0.iter_mut().find(|(name, _)| *name == who) {
            Some((_, times)) => times.push(seconds),
            None => self.0.push((who, vec![seconds])),
        }
    }

    /// Ours beside each of the others.
    fn print(self, name: &str, json: bool) {
        let (ours, peers): (Vec<_>, Vec<_>) =
            self.0.into_iter().map(|(who, times)| (who, middle(times))).partition(|(who, _)| *who == "ours");
        let (_, ours) = ours[0];
        for (peer, seconds) in peers {
            Row::less(name, "s", ours, peer, seconds).print(json);
        }
    }
}

/// A step of a round, alone on the disk.
fn alone(step: impl FnOnce() -> f64) -> f64 {
    settle();
    step()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in Unicode").to_owned()
}

fn away(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir_all(path).expect("removed");
    } else {
        std::fs::remove_file(path).expect("removed");
    }
}

/// A store that is there for one round.
struct Round {
    directory: tempfile::TempDir,
    repo: mainstay_repo::Repo,
    node: Node,
    /// It goes with the last who holds it.
    _database: TestDatabase,
}

impl Round {
    async fn begin(layouts: &Layouts, database: TestDatabase) -> Self {
        let directory = tempfile::tempdir_in(layouts.directory.path()).expect("a directory");
        let (repo, images) = open(&database, directory.path()).await;
        let node = images.join("bench").await.expect("a holder");
        Self { directory, repo, node, _database: database }
    }

    async fn end(self) {
        self.node.leave().await.expect("left");
        self.repo.close().await;
        drop(self.directory);
    }
}

/// A layout into the store and out again, beside the field's programs.
pub async fn layouts(layouts: &Layouts, scale: Scale, json: bool) {
    for (form, layout) in [("gzip", &layouts.gzip), ("zstd", &layouts.zstd)] {
        let megabytes = octets(layout) as f64 / 1e6;
        let (mut import, mut export, mut archive) = <(Times, Times, Times)>::default();
        let mut import_postgres = Times::default();
        for round in 0..scale.rounds {
            let from = format!("oci:{}:{NAME}", layout.display());
            let out = layouts.beside("out");
            // Ours, with what is brought in given out again.
            let store = Round::begin(layouts, TestDatabase::sqlite()).await;
            let oci = Oci::new(store.node.clone());
            import.add("ours", import_in(&oci, layout).await);
            export.add("ours", export_in(&oci, &out, Container::Directory).await);
            archive.add("ours", export_in(&oci, &out, Container::Archive).await);
            store.end().await;
            let store = Round::begin(layouts, TestDatabase::postgres()).await;
            import_postgres.add("ours", import_in(&Oci::new(store.node.clone()), layout).await);
            store.end().await;
            // Theirs.
            let to_layout = alone(|| skopeo(&[], &from, &format!("oci:{}:{NAME}", out.display())));
            away(&out);
            let to_directory = alone(|| skopeo(&[], &from, &format!("dir:{}", out.display())));
            away(&out);
            for times in [&mut import, &mut import_postgres] {
                times.add("skopeo copy, oci to oci", to_layout);
                times.add("skopeo copy, oci to dir", to_directory);
            }
            export.add("skopeo copy, oci to oci", to_layout);
            let to_archive = format!("oci-archive:{}:{NAME}", out.display());
            archive.add("skopeo copy, to oci-archive", alone(|| skopeo(&[], &from, &to_archive)));
            away(&out);
            // `umoci` of Debian knows gzip alone.
            if form == "gzip" {
                let image = format!("{}:{NAME}", layout.display());
                // It stays until the end, as what was staged does.
                let bundle = text(&layouts.beside(&format!("bundle-{round}")));
                let seconds = alone(|| timed("umoci", &["unpack", "--rootless", "--image", &image, &bundle]));
                import.add("umoci unpack, which writes the files", seconds);
            }
        }
        let name = format!("{megabytes:.0}MB_{form}");
        import.print(&format!("import_{name}_sqlite"), json);
        import_postgres.print(&format!("import_{name}_postgres"), json);
        export.print(&format!("export_{name}"), json);
        archive.print(&format!("export_archive_{name}"), json);
    }
}

async fn import_in(oci: &Oci, layout: &Path) -> f64 {
    settle();
    let began = Instant::now();
    oci.import(layout, &Import::tagged(NAME).named(NAME)).await.expect("imported");
    began.elapsed().as_secs_f64()
}

async fn export_in(oci: &Oci, out: &Path, container: Container) -> f64 {
    settle();
    let began = Instant::now();
    let image: ImageRef = NAME.parse().expect("a name");
    oci.export(&image, out, container).await.expect("exported");
    let seconds = began.elapsed().as_secs_f64();
    away(out);
    seconds
}

/// From and to a registry of Debian on this machine. Each push has a registry of its own: `skopeo` remembers where it saw a blob
/// before, and would let the registry copy it.
pub async fn registry(layouts: &Layouts, scale: Scale, json: bool) {
    for (form, layout) in [("gzip", &layouts.gzip), ("zstd", &layouts.zstd)] {
        let megabytes = octets(layout) as f64 / 1e6;
        let from = format!("oci:{}:{NAME}", layout.display());
        let (mut pull, mut push) = <(Times, Times)>::default();
        for _ in 0..scale.rounds {
            let out = layouts.beside("out");
            let theirs = Registered::start(layouts).await;
            push.add("skopeo copy", alone(|| skopeo(&["--dest-tls-verify=false"], &from, &theirs.docker())));
            let round = Round::begin(layouts, TestDatabase::sqlite()).await;
            let oci = Oci::new(round.node.clone());
            pull.add("ours", pull_in(&oci, &theirs.name()).await);
            let to = format!("oci:{}:{NAME}", out.display());
            pull.add(
                "skopeo copy, to oci",
                alone(|| skopeo(&["--src-tls-verify=false"], &theirs.docker(), &to)),
            );
            away(&out);
            drop(theirs);
            let ours = Registered::start(layouts).await;
            push.add("ours", push_in(&oci, &ours.name()).await);
            round.end().await;
        }
        let name = format!("{megabytes:.0}MB_{form}");
        pull.print(&format!("pull_{name}"), json);
        push.print(&format!("push_{name}"), json);
    }
}

/// A registry with one image, on a directory that goes with it.
struct Registered {
    registry: DockerRegistry,
    _directory: tempfile::TempDir,
}

impl Registered {
    async fn start(layouts: &Layouts) -> Self {
        let directory = tempfile::tempdir_in(layouts.directory.path()).expect("a directory");
        Self { registry: DockerRegistry::start(directory.path()).await, _directory: directory }
    }

    fn name(&self) -> String {
        format!("{}/team/app:1", self.registry.address())
    }

    fn docker(&self) -> String {
        format!("docker://{}", self.name())
    }
}

async fn pull_in(oci: &Oci, from: &str) -> f64 {
    settle();
    let reference: Reference = from.parse().expect("a reference");
    let began = Instant::now();
    oci.pull(&reference, &Select::All, Some(NAME), &RegistryOptions::default()).await.expect("pulled");
    began.elapsed().as_secs_f64()
}

async fn push_in(oci: &Oci, to: &str) -> f64 {
    settle();
    let reference: Reference = to.parse().expect("a reference");
    let image: ImageRef = NAME.parse().expect("a name");
    let began = Instant::now();
    oci.push(&image, &reference, None, &RegistryOptions::default()).await.expect("pushed");
    began.elapsed().as_secs_f64()
}

/// All octets read again and compared, beside `sha256sum` of the same files.
pub async fn scrub(layouts: &Layouts, scale: Scale, json: bool) {
    let round = Round::begin(layouts, TestDatabase::sqlite()).await;
    let oci = Oci::new(round.node.clone());
    import_in(&oci, &layouts.gzip).await;
    let blobs = round.directory.path().join("blobs");
    let megabytes = octets(&blobs) as f64 / 1e6;
    let mut times = Times::default();
    for _ in 0..scale.rounds {
        let began = Instant::now();
        let options = mainstay_images::ScrubOptions { restart: true, ..Default::default() };
        let report = round.node.images().scrub(&options).await.expect("scrubbed");
        times.add("ours", began.elapsed().as_secs_f64());
        assert_eq!((report.damaged, report.bytes), (0, octets(&blobs)));
        let files = ["-c", "find \"$0\" -type f -print0 | xargs -0 sha256sum", &text(&blobs)];
        times.add("sha256sum, one process", timed("sh", &files));
    }
    times.print(&format!("scrub_{megabytes:.0}MB"), json);
    round.end().await;
}
