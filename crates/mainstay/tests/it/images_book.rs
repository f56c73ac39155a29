//! The book's pages about images, followed line by line as somebody new would: what stands behind `$` is run as it stands, and what
//! stands below it is said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mainstay_testkit::{TestDatabase, pause};
use serde_json::Value;
use tempfile::TempDir;

use crate::images::tool;

/// The pages in the order in which somebody new reads them.
const PAGES: [&str; 2] = [
    include_str!("../../../../docs/book/src/image-store.md"),
    include_str!("../../../../docs/book/src/image-collection.md"),
];
/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn e2e_the_book_of_images_is_true_line_by_line_on_sqlite() {
    // Nothing is named: everything lies in the directory that the reader is in.
    Reader::new(None).follows();
}

#[test]
fn e2e_the_book_of_images_is_true_line_by_line_on_postgres() {
    let database = TestDatabase::postgres();
    Reader::new(Some(database.url())).follows();
}

/// A command of a page, and the lines below it.
struct Step {
    command: String,
    says: Vec<String>,
}

/// The steps of a page.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside): (Vec<Step>, bool) = (Vec::new(), false);
    for line in page.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = fence == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            let command = command.split("  #").next().unwrap().trim().to_owned();
            steps.push(Step { command, says: Vec::new() });
        } else if inside {
            steps.last_mut().unwrap().says.push(line.to_owned());
        }
    }
    steps
}

/// A line without what differs from run to run: digests, sizes, times, people.
fn skeleton(line: &str) -> Vec<String> {
    let of = |word: &str| {
        let bare = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
        let is_digest = bare.len() >= 8 && bare.chars().all(|it| it.is_ascii_hexdigit());
        match word {
            "…" => "number".to_owned(),
            "B" | "KiB" | "MiB" | "GiB" => String::new(),
            _ if word.contains("sha256:") || is_digest => "digest".to_owned(),
            _ if bare.starts_with(|it: char| it.is_ascii_digit()) => "number".to_owned(),
            _ if word.starts_with("cli:") => "somebody".to_owned(),
            _ if word.starts_with("use_") => "a use".to_owned(),
            word => word.to_owned(),
        }
    };
    line.split_whitespace().map(of).filter(|word| !word.is_empty()).collect()
}

/// Somebody with a shell, in a directory of their own.
struct Reader {
    directory: TempDir,
    database: Option<String>,
    background: Vec<Child>,
    /// The blob that was damaged, once a scrub found it.
    damaged: String,
}

impl Drop for Reader {
    fn drop(&mut self) {
        for child in &mut self.background {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Reader {
    fn new(database: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let reader = Self {
            directory,
            database: database.map(str::to_owned),
            background: Vec::new(),
            damaged: String::new(),
        };
        image_of_this_machine(reader.at());
        let script = reader.at().join("start-vm");
        std::fs::write(&script, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        reader
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn shell(&self, command: &str) -> Command {
        let binaries = Path::new(env!("CARGO_BIN_EXE_mainstay")).parent().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.at()).stdin(Stdio::null()).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", binaries.display())).env("USER", "ada");
        // Another server may have the port that is the default.
        shell.env("MAINSTAY_LISTEN", "127.0.0.1:0");
        if let Some(database) = &self.database {
            shell.env("MAINSTAY_DATABASE", database);
        }
        shell
    }

    fn follows(mut self) {
        for page in PAGES {
            let steps = steps(page);
            assert!(steps.len() > 5, "{} steps", steps.len());
            for step in steps {
                self.does(&step);
            }
            // The reader ends what was begun in the background, and goes on with the next page; the server stays.
            for mut child in self.background.drain(1..) {
                assert!(
                    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success()
                );
                child.wait().unwrap();
            }
        }
    }

    fn does(&mut self, step: &Step) {
        let says = |word: &str| step.says.iter().any(|line| line.contains(word));
        let command = step
            .command
            .replace("docker://docker.io/library/debian:13", "--insecure-policy oci:machine:13")
            .replace("sha256:668a3bff…", &self.damaged);
        if command == "mainstay serve" || command.ends_with('&') {
            return self.begins(&command);
        }
        if says("damaged sha256:") {
            self.damage();
        }
        let done = self.shell(&format!("{command} 2>&1")).output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.success(), !says("error:"), "{command}: {said}");
        if let Some(line) = said.lines().find(|line| line.starts_with("damaged sha256:")) {
            self.damaged = line.trim_start_matches("damaged ").to_owned();
        }
        let mut lines = said.lines();
        for told in &step.says {
            let found = lines.any(|line| skeleton(line) == skeleton(told));
            assert!(found, "{command} does not say {told:?} in its place: {said}");
        }
    }

    /// Goes on in the background, and is waited for until it can be seen.
    fn begins(&mut self, command: &str) {
        let command = format!("exec {}", command.trim_end_matches(['&', ' ']));
        let child = self.shell(&command).stdout(Stdio::null()).spawn().unwrap();
        self.background.push(child);
        let is_server = command.ends_with("serve");
        let (look, list) = if is_server { ("ls", "images") } else { ("lease ls", "leases") };
        let started = Instant::now();
        loop {
            let seen = self.shell(&format!("mainstay images {look} --json")).output().unwrap();
            let seen: Value = serde_json::from_slice(&seen.stdout).unwrap_or_default();
            if seen[list].as_array().is_some_and(|list| is_server || !list.is_empty()) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{command}: {seen}");
            pause(Duration::from_millis(50));
        }
    }

    /// What a disk does.
    fn damage(&self) {
        let shards = std::fs::read_dir(self.at().join("mainstay-data/images/blobs")).unwrap();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        let largest = files.iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
        let mut octets = std::fs::read(largest).unwrap();
        octets[0] ^= 1;
        std::fs::write(largest, octets).unwrap();
    }
}

/// The page about moving from one database to the other, with the reader's own places.
#[test]
fn e2e_the_books_way_from_sqlite_to_postgres_brings_every_image_with_its_names() {
    const PAGE: &str = include_str!("../../../../docs/book/src/image-operations.md");
    let script =
        PAGE.split("```sh\n").find(|block| block.starts_with("old=")).unwrap().split("```").next().unwrap();
    let database = TestDatabase::postgres();
    let reader = Reader::new(None);
    let shell = |command: &str| {
        let done = reader.shell(command).output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    shell(
        "mainstay migrate up && mainstay images import machine --name team/app:1 && mainstay images fork team/app:1 team/mine && \
         mainstay images commit start-vm --name disk && mainstay images commit machine/index.json --parent disk --name vm && \
         mainstay images pin disk",
    );
    let images = reader.at().join("moved");
    let script = script
        .replace("/var/lib/mainstay", reader.at().join("mainstay-data").to_str().unwrap())
        .replace("postgres://user:password@host/database", database.url())
        .replace("/srv/images", images.to_str().unwrap());
    shell(&format!("set -e\n{script}"));
    let place = format!("--json --database {} --images {}", database.url(), images.display());
    let lines = |place: &str| -> Vec<(Value, Value, Value)> {
        let list: Value = serde_json::from_str(&shell(&format!("mainstay images ls {place}"))).unwrap();
        let of = |image: &Value| (image["names"].clone(), image["pinned"].clone(), image["layers"].clone());
        list["images"].as_array().unwrap().iter().map(of).collect()
    };
    let moved = lines(&place);
    assert_eq!((moved.len(), moved), (3, lines("--json")));
    let shown: Value = serde_json::from_str(&shell(&format!("mainstay images inspect vm {place}"))).unwrap();
    assert!(shown["parent"].is_string(), "{shown}");
}

/// A layout with the image `13`: a root of files that every Debian has, in two layers, as the field's own programs make it.
fn image_of_this_machine(at: &Path) {
    std::fs::create_dir_all(at.join("root/usr/bin")).unwrap();
    std::fs::create_dir_all(at.join("root/etc")).unwrap();
    for file in ["/usr/bin/env", "/usr/bin/true", "/etc/os-release", "/etc/passwd", "/etc/services"] {
        if Path::new(file).exists() {
            std::fs::copy(file, at.join("root").join(file.trim_start_matches('/'))).unwrap();
        }
    }
    std::os::unix::fs::symlink("env", at.join("root/usr/bin/environment")).unwrap();
    tool(at, "umoci", &["init", "--layout", "machine"]);
    tool(at, "umoci", &["new", "--image", "machine:13"]);
    tool(at, "umoci", &["insert", "--rootless", "--image", "machine:13", "root/usr", "/usr"]);
    tool(at, "umoci", &["insert", "--rootless", "--image", "machine:13", "root/etc", "/etc"]);
    tool(at, "umoci", &["config", "--image", "machine:13", "--config.cmd", "/usr/bin/env"]);
    tool(at, "umoci", &["gc", "--layout", "machine"]);
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let page = "```sh\n$ not this\n```\n```console\n$ one arg   # why\nsaid\n$ two\n```\n$ nor this\n";
    let read: Vec<(String, Vec<String>)> =
        steps(page).into_iter().map(|step| (step.command, step.says)).collect();
    assert_eq!(read, [("one arg".to_owned(), vec!["said".to_owned()]), ("two".to_owned(), Vec::new())]);
    assert_eq!(skeleton("sha256:a3…  removed 629.58 KiB"), ["digest", "removed", "number"]);
    assert_eq!(
        skeleton("cli:ada use_… until … a317b5a400d4"),
        ["somebody", "a use", "until", "number", "digest"]
    );
}
