//! Layouts made by hand, honest until somebody changes them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mainstay_images::Digest;
use mainstay_images::oci::document::Descriptor;
use mainstay_images::oci::media;
use serde_json::json;
use tempfile::TempDir;

/// A layer's octets: plain tar, of whatever entries.
pub fn layer(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

/// An entry under exactly this path, which the `tar` crate itself would refuse to write.
pub fn entry(
    builder: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    path: &str,
    link: &str,
    content: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

pub fn file(builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    entry(builder, tar::EntryType::Regular, path, "", content);
}

pub fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

/// A layout below a directory of its own.
pub struct Handmade {
    pub directory: TempDir,
    pub entries: Vec<Descriptor>,
}

impl Handmade {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("L/blobs/sha256")).unwrap();
        let made = Self { directory, entries: Vec::new() };
        std::fs::write(made.layout().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        made.list();
        made
    }

    pub fn layout(&self) -> PathBuf {
        self.directory.path().join("L")
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.layout().join("blobs/sha256").join(digest.to_string())
    }

    pub fn add(&self, media_type: &str, octets: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, octets);
        std::fs::write(self.path(&descriptor.digest.0), octets).unwrap();
        descriptor
    }

    /// A document, with a space at its end.
    pub fn add_json(&self, media_type: &str, value: &serde_json::Value) -> Descriptor {
        self.add(media_type, format!("{value} ").as_bytes())
    }

    /// The configuration that a manifest names.
    pub fn config_of(&self, manifest: &Descriptor) -> Descriptor {
        let manifest: serde_json::Value = super::tools::read_json(&self.path(&manifest.digest.0));
        serde_json::from_value(manifest["config"].clone()).unwrap()
    }

    /// An image of plain layers, listed; returns its layers.
    pub fn image(&mut self, layers: &[Vec<u8>]) -> Vec<Descriptor> {
        let plain: Vec<_> =
            layers.iter().map(|layer| (self.add(media::LAYER, layer), Digest::of(layer))).collect();
        self.image_of(&plain);
        plain.into_iter().map(|(layer, _)| layer).collect()
    }

    /// An image of layers with what they are promised to decompress to.
    pub fn image_of(&mut self, layers: &[(Descriptor, Digest)]) -> Descriptor {
        let ids: Vec<String> = layers.iter().map(|(_, id)| format!("sha256:{id}")).collect();
        let config =
            json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}});
        let config = self.add_json(media::CONFIG, &config);
        let layers: Vec<_> = layers.iter().map(|(layer, _)| layer).collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": layers});
        let manifest = self.add_json(media::MANIFEST, &manifest);
        self.entries.push(manifest.clone());
        self.list();
        manifest
    }

    pub fn list(&self) {
        let list = json!({"schemaVersion": 2, "manifests": self.entries});
        std::fs::write(self.layout().join("index.json"), serde_json::to_vec(&list).unwrap()).unwrap();
    }

    /// The same layout as an archive, with whatever is added.
    pub fn archive(&self, add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> PathBuf {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir_all("", self.layout()).unwrap();
        add(&mut builder);
        let path = self.directory.path().join("L.tar");
        std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
        path
    }
}

pub fn replace(path: &Path, octets: &[u8]) {
    std::fs::write(path, octets).unwrap();
}
