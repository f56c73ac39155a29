//! Real layouts to bring in and give out: made by `umoci` of this machine's own files, compressed anew by `skopeo`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Where the files come from: programs, libraries and texts, as an image of a distribution holds them.
const CONTENT: [&str; 4] = ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/share"];
/// Layers of the image.
pub const LAYERS: usize = 12;
/// Its name in each layout.
pub const NAME: &str = "app";

/// One image in two layouts.
#[derive(Debug)]
pub struct Layouts {
    /// They are removed with it; peers and ours write their copies below it too, on the same file system.
    pub directory: tempfile::TempDir,
    /// Layers as `umoci` writes them.
    pub gzip: PathBuf,
    /// The same layers, compressed by `skopeo`.
    pub zstd: PathBuf,
}

/// Runs a program of the field that must succeed, and tells how long it took.
pub fn timed(program: &str, arguments: &[&str]) -> f64 {
    let began = Instant::now();
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} does not start: {error}; on Debian: apt-get install umoci skopeo docker-registry")
    });
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    began.elapsed().as_secs_f64()
}

/// `skopeo copy` from one place to another.
pub fn skopeo(more: &[&str], from: &str, to: &str) -> f64 {
    timed("skopeo", &[&["--insecure-policy", "copy", "--quiet"], more, &[from, to]].concat())
}

/// What lies below a directory, in octets.
pub fn octets(root: &Path) -> u64 {
    let mut sum = 0;
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("there");
            if metadata.is_dir() {
                open.push(path);
            } else {
                sum += metadata.len();
            }
        }
    }
    sum
}

impl Layouts {
    /// An image of 12 layers, of so many octets of files in all.
    pub fn new(total: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let staged = stage(at, total);
        let (gzip, zstd) = (at.join("gzip"), at.join("zstd"));
        let layout = gzip.to_str().expect("a path in Unicode");
        let image = format!("{layout}:{NAME}");
        timed("umoci", &["init", "--layout", layout]);
        timed("umoci", &["new", "--image", &image]);
        // What is staged stays until the end: ext4 is slow to make files where many were removed just before.
        for layer in &staged {
            timed("umoci", &["insert", "--rootless", "--image", &image, layer, "/"]);
        }
        timed("umoci", &["gc", "--layout", layout]);
        let compress = ["--dest-compress", "--dest-compress-format", "zstd"];
        skopeo(&compress, &format!("oci:{image}"), &format!("oci:{}:{NAME}", zstd.display()));
        Self { gzip, zstd, directory }
    }

    /// A name below the directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Copies files, in the order of their names, until each layer has its share. Few images have a file that is half a layer.
fn stage(root: &Path, total: u64) -> Vec<String> {
    let share = total / LAYERS as u64;
    let mut files = files().into_iter();
    (0..LAYERS)
        .map(|n| {
            let layer = root.join(format!("layer-{n}"));
            let mut octets = 0;
            while octets < share {
                let (file, size) = files.next().expect("this machine has enough files of its own");
                if size > share / 2 {
                    continue;
                }
                let to = layer.join(file.strip_prefix("/").expect("from the root"));
                std::fs::create_dir_all(to.parent().expect("a directory")).expect("made");
                std::fs::copy(&file, to).expect("copied");
                octets += size;
            }
            layer.to_str().expect("a path in Unicode").to_owned()
        })
        .collect()
}

/// Regular files that can be read, each once.
fn files() -> Vec<(PathBuf, u64)> {
    let mut found = std::collections::BTreeMap::new();
    let mut open: Vec<PathBuf> = CONTENT.iter().map(PathBuf::from).collect();
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_file() && path.to_str().is_some() {
                found.insert(path, metadata.len());
            }
        }
    }
    found.into_iter().collect()
}
