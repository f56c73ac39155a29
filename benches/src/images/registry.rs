//! Debian's `docker-registry`: a place to pull from, and the collector of another design.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mainstay_benches::{Random, Row};
use mainstay_images::oci::document::Descriptor;
use mainstay_images::oci::registry::RegistryOptions;
use mainstay_images::oci::{Import, Oci, Reference};
use mainstay_images::{CollectOptions, Digest, ImageRef, Images};
use mainstay_testkit::{TestDatabase, Victim, eventually};
use serde_json::json;

use crate::Scale;
use crate::layouts::timed;
use crate::store::{open, settle};

/// Layers that several images have in common.
const BASES: usize = 10;
/// Layers that an image has for itself.
const OWN: usize = 2;
/// Octets of a layer.
const LAYER: usize = 64 * 1024;
/// Repositories that the images are spread over.
const REPOSITORIES: usize = 20;
/// Images that are brought in at once.
const PARALLEL: usize = 8;

/// A registry that runs, on a directory that outlives it.
#[derive(Debug)]
pub struct DockerRegistry {
    address: SocketAddr,
    settings: PathBuf,
    data: PathBuf,
    process: Victim,
}

impl DockerRegistry {
    /// On a port of its own; what it keeps lies below a directory.
    pub async fn start(below: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let (settings, data) = (below.join("registry.yml"), below.join("registry"));
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  delete:\n    enabled: true\n  \
             filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            data.display()
        );
        std::fs::write(&settings, text).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&settings).stderr(std::process::Stdio::null());
        let process = Victim::spawn(command);
        eventually("docker-registry answers", async || TcpStream::connect(address).is_ok()).await;
        Self { address, settings, data, process }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deletes a manifest, as its interface does it.
    fn delete(&self, repository: &str, digest: &Digest) {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        write!(
            stream,
            "DELETE /v2/{repository}/manifests/sha256:{digest} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// Stops it, as its collector wants it: it must not be written to meanwhile.
    fn stop(self) -> (PathBuf, PathBuf) {
        drop(self.process);
        (self.settings, self.data)
    }
}

/// Images with their manifests' digests, in a layout.
fn make(layout: &Path, images: usize) -> Vec<(String, Digest)> {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("made");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    let put = |media_type: &str, octets: &[u8]| {
        let descriptor = Descriptor::of(media_type, octets);
        std::fs::write(blobs.join(descriptor.digest.0.to_string()), octets).expect("written");
        descriptor
    };
    let mut random = Random::new(7);
    let mut layer = || put("application/vnd.oci.image.layer.v1.tar", &archive(&mut random));
    let bases: Vec<Descriptor> = (0..BASES).map(|_| layer()).collect();
    let (mut made, mut listed) = (Vec::new(), Vec::new());
    for n in 0..images {
        let layers: Vec<Descriptor> =
            std::iter::once(bases[n / 2 % BASES].clone()).chain((0..OWN).map(|_| layer())).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"n": n.to_string()}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        let manifest = put(media_type, manifest.to_string().as_bytes());
        let name = format!("image-{n}");
        made.push((name.clone(), manifest.digest.0));
        listed.push(manifest.named(&name));
    }
    let index = json!({"schemaVersion": 2, "manifests": listed});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("written");
    made
}

/// An archive of one file.
fn archive(random: &mut Random) -> Vec<u8> {
    let content: Vec<u8> = (0..LAYER / 4).flat_map(|_| (random.next() as u32).to_le_bytes()).collect();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "srv/content", &content[..]).expect("in memory");
    builder.into_inner().expect("in memory")
}

fn repository(n: usize) -> String {
    format!("team/{}", n % REPOSITORIES)
}

/// The same images in our store and in a registry; of half of them, each forgets the same ones and collects. Both must then hold
/// the same blobs.
pub async fn collect(scale: Scale, json: bool) {
    for (name, database) in [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())] {
        let directory = tempfile::tempdir().expect("a directory");
        let registry = DockerRegistry::start(directory.path()).await;
        let layout = directory.path().join("layout");
        let made = make(&layout, scale.registered);
        let root = directory.path().join("store");
        std::fs::create_dir(&root).expect("made");
        let (repo, images) = open(&database, &root).await;
        bring(&images, &layout, &made, &registry).await;

        let gone = || made.iter().enumerate().filter(|(n, _)| n % 2 == 1);
        for (n, (_, digest)) in gone() {
            registry.delete(&repository(n), digest);
        }
        for (_, (name, digest)) in gone() {
            images.untag(name).await.expect("untagged");
            images.remove(&ImageRef::from(*digest)).await.expect("removed");
        }
        let (settings, data) = registry.stop();
        settle();
        let settings = settings.to_str().expect("a path in Unicode");
        let theirs = timed("docker-registry", &["garbage-collect", settings]);
        settle();
        let began = Instant::now();
        let report = images.collect("bench", &CollectOptions::default()).await.expect("collected");
        let ours = began.elapsed().as_secs_f64();
        // Each image that went had its own layers, a configuration and a manifest.
        assert_eq!(report.blobs_removed as usize, scale.registered / 2 * (OWN + 2));
        assert_eq!(kept(&root.join("blobs")), kept(&data.join("docker/registry/v2/blobs/sha256")));
        let began = Instant::now();
        let full = CollectOptions { full: true, ..CollectOptions::default() };
        images.collect("bench", &full).await.expect("collected");
        let again = began.elapsed().as_secs_f64();
        let name = format!("collect_{}_of_{}_images_{name}", scale.registered / 2, scale.registered);
        Row::less(&name, "s", ours, "docker-registry garbage-collect", theirs).print(json);
        settle();
        let theirs = timed("docker-registry", &["garbage-collect", settings]);
        Row::less(format!("{name}_nothing_to_do"), "s", again, "docker-registry garbage-collect", theirs)
            .print(json);
        repo.close().await;
    }
}

/// Every image into the store, and from it into the registry.
async fn bring(images: &Images, layout: &Path, made: &[(String, Digest)], registry: &DockerRegistry) {
    let node = images.join("bench").await.expect("a holder");
    let mut tasks = tokio::task::JoinSet::new();
    for (n, (name, _)) in made.iter().cloned().enumerate() {
        if tasks.len() == PARALLEL {
            tasks.join_next().await.expect("a task").expect("no panic");
        }
        let (oci, layout) = (Oci::new(node.clone()), layout.to_owned());
        let to: Reference =
            format!("{}/{}:{name}", registry.address(), repository(n)).parse().expect("a reference");
        tasks.spawn(async move {
            oci.import(&layout, &Import::tagged(&name).named(&name)).await.expect("imported");
            let image: ImageRef = name.parse().expect("a name");
            oci.push(&image, &to, None, &RegistryOptions::default()).await.expect("pushed");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    node.leave().await.expect("left");
}

/// The digests of blobs that lie below a directory: ours by the names of files, the registry's by those of directories.
fn kept(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for shard in std::fs::read_dir(root).expect("a directory") {
        for entry in std::fs::read_dir(shard.expect("an entry").path()).expect("a directory") {
            let entry = entry.expect("an entry");
            let has_octets = !entry.path().is_dir() || entry.path().join("data").exists();
            let name = entry.file_name().into_string().expect("a name in Unicode");
            if has_octets {
                found.insert(name.split('.').next().expect("a first part").to_owned());
            }
        }
    }
    found
}
