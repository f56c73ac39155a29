//! The field's own programs, and the images that they make for these tests.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mainstay_images::oci::document::Descriptor;
use mainstay_images::oci::media;
use mainstay_testkit::Random;
use tempfile::TempDir;

const CREATED: &str = "2020-01-01T00:00:00Z";

/// Runs a program that must succeed, and returns what it says.
pub fn run(directory: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(directory).output();
    let output = output
        .unwrap_or_else(|error| panic!("{program} does not start: {error}; `cargo xtask test` installs it"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn skopeo(directory: &Path, args: &[&str]) -> String {
    run(directory, "skopeo", &[&["--insecure-policy"], args].concat())
}

/// A layout `L` with `base`, `app` (base, a large file, a whiteout, an opaque directory), `multi` (both, for two platforms) and
/// `odd` (content of a type that nobody knows).
pub struct Sample {
    pub directory: TempDir,
    pub layout: PathBuf,
}

/// The large file of `app`: larger than the pieces in which things are read.
pub const BIG: usize = 3 * 1024 * 1024;

impl Sample {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let root = at.join("r");
        for sub in ["bin", "etc/old", "etc/new"] {
            std::fs::create_dir_all(root.join(sub)).unwrap();
        }
        for (path, text) in
            [("bin/tool", "#!tool"), ("etc/motd", "base"), ("etc/old/a", "old a"), ("etc/new/b", "b")]
        {
            std::fs::write(root.join(path), text).unwrap();
        }
        std::fs::set_permissions(root.join("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("tool", root.join("bin/sh")).unwrap();
        std::fs::hard_link(root.join("etc/motd"), root.join("etc/issue")).unwrap();
        let mut random = Random::seeded(7);
        let big: Vec<u8> = (0..BIG / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
        std::fs::write(at.join("big"), big).unwrap();
        std::fs::create_dir(at.join("fresh")).unwrap();
        std::fs::write(at.join("fresh/c"), "fresh").unwrap();
        run(at, "find", &["r", "big", "fresh", "-exec", "touch", "-h", "-d", CREATED, "{}", "+"]);

        let umoci = |args: &[&str]| run(at, "umoci", args);
        let insert = |image: &str, args: &[&str]| {
            let image = format!("L:{image}");
            umoci(
                &[&["insert", "--rootless", "--history.created", CREATED, "--image", &image], args].concat(),
            );
        };
        umoci(&["init", "--layout", "L"]);
        umoci(&["new", "--image", "L:base"]);
        insert("base", &["r", "/"]);
        let created = ["--created", CREATED, "--history.created", CREATED, "--image", "L:base"];
        umoci(&[&["config", "--config.entrypoint", "/bin/sh"], &created[..]].concat());
        umoci(&["tag", "--image", "L:base", "app"]);
        insert("app", &["big", "/srv/big"]);
        insert("app", &["--whiteout", "/etc/motd"]);
        insert("app", &["--opaque", "fresh", "/etc/old"]);
        umoci(&["gc", "--layout", "L"]);
        let sample = Self { layout: at.join("L"), directory };
        sample.add_index_and_odd();
        sample
    }

    pub fn at(&self) -> &Path {
        self.directory.path()
    }

    /// The manifest that the layout lists under a name.
    pub fn listed(&self, name: &str) -> Descriptor {
        let index: serde_json::Value = read_json(&self.layout.join("index.json"));
        let entries: Vec<Descriptor> = serde_json::from_value(index["manifests"].clone()).unwrap();
        entries.into_iter().find(|entry| entry.name() == Some(name)).unwrap()
    }

    /// The digest of the largest layer of `app`.
    pub fn big_layer(&self) -> Descriptor {
        let manifest: serde_json::Value = read_json(&blob(&self.layout, &self.listed("app")));
        let layers: Vec<Descriptor> = serde_json::from_value(manifest["layers"].clone()).unwrap();
        layers.into_iter().max_by_key(|layer| layer.size).unwrap()
    }

    fn add_index_and_odd(&self) {
        let platform = |entry: &Descriptor, architecture: &str| {
            let mut entry = serde_json::to_value(entry).unwrap();
            entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
            entry["annotations"] = serde_json::json!({"x.unknown": "kept"});
            entry
        };
        let entries = [platform(&self.listed("base"), "arm64"), platform(&self.listed("app"), "amd64")];
        let multi = serde_json::json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries});
        let multi = self.add(media::INDEX, &serde_json::to_vec_pretty(&multi).unwrap()).named("multi");
        let odd = self.add("application/vnd.example.odd.v9+binary", &[0, 159, 146, 150]).named("odd");
        let path = self.layout.join("index.json");
        let mut index: serde_json::Value = read_json(&path);
        let list = index["manifests"].as_array_mut().unwrap();
        list.extend([multi, odd].map(|entry| serde_json::to_value(entry).unwrap()));
        std::fs::write(path, serde_json::to_vec(&index).unwrap()).unwrap();
    }

    fn add(&self, media_type: &str, octets: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, octets);
        std::fs::write(blob(&self.layout, &descriptor), octets).unwrap();
        descriptor
    }
}

pub fn blob(layout: &Path, descriptor: &Descriptor) -> PathBuf {
    layout.join("blobs/sha256").join(descriptor.digest.0.to_string())
}

pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every file below a directory with its octets, each link with where it leads.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                found.insert(name, b"directory".to_vec());
                open.push(path);
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(name, format!("-> {}", target.display()).into_bytes());
            } else {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Both directories hold the same, octet for octet.
pub fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, octets) in &one {
        assert!(octets == &other[name], "{} differs", name.display());
    }
}
