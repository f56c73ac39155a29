//! `mainstay images …` beside a running server on the same database and directory, with an image that `umoci` made.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mainstay_testkit::{TestDatabase, pause};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::server::{Server, json as document, mainstay, run};
use crate::workflows::{administrator, read};

/// Runs a program that must succeed.
pub(crate) fn tool(directory: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(directory).output();
    let output = output
        .unwrap_or_else(|error| panic!("{program} does not start: {error}; `cargo xtask test` installs it"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A layout `L` with the image `app` of two layers.
pub(crate) fn sample(at: &Path) -> PathBuf {
    std::fs::create_dir_all(at.join("r/etc")).unwrap();
    std::fs::write(at.join("r/etc/motd"), "welcome").unwrap();
    std::fs::write(at.join("more"), "more of it").unwrap();
    tool(at, "umoci", &["init", "--layout", "L"]);
    tool(at, "umoci", &["new", "--image", "L:app"]);
    tool(at, "umoci", &["insert", "--rootless", "--image", "L:app", "r/etc", "/etc"]);
    tool(at, "umoci", &["insert", "--rootless", "--image", "L:app", "more", "/srv/more"]);
    tool(at, "umoci", &["gc", "--layout", "L"]);
    at.join("L")
}

/// A store: a database, a directory, and a server that runs on both.
pub(crate) struct Store<'a> {
    pub(crate) database: &'a str,
    directory: TempDir,
    pub(crate) images: String,
    pub(crate) server: Server,
}

impl<'a> Store<'a> {
    pub(crate) fn new(database: &'a TestDatabase) -> Self {
        Self::with(database, &[])
    }

    pub(crate) fn with(database: &'a TestDatabase, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        // One that is named must be there.
        std::fs::create_dir(&images).unwrap();
        let images = images.to_str().unwrap().to_owned();
        let settings = [&["--database", database.url(), "--images", &images], more].concat();
        let server = Server::in_directory(directory.path(), &settings);
        Self { database: database.url(), directory, images, server }
    }

    pub(crate) fn at(&self) -> &Path {
        self.directory.path()
    }

    fn args<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        [&["images"], args, &["--database", self.database, "--images", &self.images]].concat()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        document(&self.args(args))
    }

    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], code: i32, in_error: &str) {
        let output = run(&self.args(args));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(in_error), "{args:?}: {text:?} should contain {in_error:?}");
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.json(&["ls"]);
        let names =
            list["images"].as_array().unwrap().iter().flat_map(|image| image["names"].as_array().unwrap());
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// A lease that is held until the process is told to end.
    pub(crate) fn hold(&self, image: &str) -> (Child, Value) {
        let args = ["images", "lease", "hold", image, "--key", "vm-1", "--json"];
        let place = ["--database", self.database, "--images", &self.images];
        let mut child = mainstay().args(args).args(place).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, serde_json::from_str(&line).unwrap())
    }

    /// The files of the blobs.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        let shards = std::fs::read_dir(Path::new(&self.images).join("blobs")).unwrap();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }
}

pub(crate) fn terminate(child: &mut Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_told_with_what_mends_it() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let layout = sample(store.at());
    let at = |name: &str| store.at().join(name).display().to_string();
    let layout = layout.to_str().unwrap();
    let import = |more: &[&str], code, told| store.refuses(&[&["import", layout], more].concat(), code, told);
    // Listed twice it is still the only image.
    tool(store.at(), "umoci", &["tag", "--image", "L:app", "other"]);
    let twice = store.json(&["import", layout]);
    store.json(&["rm", twice["images"][0]["digest"].as_str().unwrap()]);
    tool(store.at(), "umoci", &["insert", "--rootless", "--image", "L:other", "more", "/srv/other"]);
    import(&[], 1, "the layout has 2 images (it has app, other)");
    import(&["--tag", "none"], 1, "no image in the layout has the tag \"none\" (it has app, other)");
    import(&["--tag", "app", "--platform", "plan9/mips"], 1, "not for plan9/mips");
    assert_eq!(store.names(), [""; 0], "nothing of it came in");
    let imported = store.json(&["import", layout, "--tag", "app", "--name", "app"]);
    let digest = imported["images"][0]["digest"].as_str().unwrap();
    assert_eq!(store.json(&["import", layout, "--tag", digest])["images"][0]["digest"], digest);
    // What people have in place of a layout.
    for (wrong, made_by) in [("docker.tar", "docker-archive:docker.tar:app:1"), ("flat", "dir:flat")] {
        tool(store.at(), "skopeo", &["copy", "--insecure-policy", "oci:L:app", made_by]);
        store.refuses(&["import", &at(wrong)], 1, "skopeo copy docker-archive:FILE oci-archive:NEW.tar");
    }
    store.refuses(&["commit", &at("r")], 2, "give --parent");
    store.refuses(
        &["commit", &at("r"), "--parent", "app", "--platform", "plan9/mips"],
        1,
        "not for plan9/mips",
    );
    store.refuses(&["untag", "none"], 1, "there is no name none");
    store.refuses(&["untag", digest], 1, "images rm removes an image");
    store.refuses(&["inspect", &digest[7..12]], 1, "first six digits");
    store.json(&["inspect", &digest[7..13]]);
    store.json(&["pin", "app"]);
    store.refuses(&["rm", "app"], 1, "mainstay images pin --off app");
    store.refuses(&["scrub", "--limit", "0"], 2, "--limit");
    store.refuses(
        &["flatten", "app", &at("disk"), "--scratch", &at("none")],
        3,
        "see that the directory is there",
    );
    assert!(!store.at().join("disk").exists());
}

#[test]
fn e2e_an_image_is_kept_used_removed_and_given_back_on_sqlite() {
    lives(&TestDatabase::sqlite());
}

#[test]
fn e2e_an_image_is_kept_used_removed_and_given_back_on_postgres() {
    lives(&TestDatabase::postgres());
}

fn lives(database: &TestDatabase) {
    let store = Store::new(database);
    let layout = sample(store.at());
    let layout = layout.to_str().unwrap();

    let imported = store.json(&["import", layout, "--tag", "app", "--name", "team/app:1"]);
    assert_eq!(store.json(&["gc"])["waiting"], 0, "what is in use does not wait to go");
    let image = imported["images"][0].clone();
    let digest = image["digest"].as_str().unwrap();
    assert_eq!((&image["kind"], &image["layers"]), (&"chain".into(), &2.into()), "{imported}");
    store.json(&["fork", "team/app:1", "team/mine"]);
    store.refuses(&["fork", "team/app:1", "team/mine"], 1, "images tag");
    assert_eq!(store.names(), ["team/app:1", "team/mine"]);
    // The beginning of the digest is enough.
    let inspected = store.json(&["inspect", &digest[7..19]]);
    assert_eq!(
        (&inspected["schema"], &inspected["digest"]),
        (&"mainstay.images.inspect/1".into(), &image["digest"])
    );
    assert_eq!(inspected["chain"].as_array().map(Vec::len), Some(2));

    let (mut holder, lease) = store.hold("team/mine");
    assert_eq!(lease["image"], image["digest"]);
    let listed = store.json(&["lease", "ls", "--limit", "1"]);
    assert_eq!((&listed["leases"][0]["token"], &listed["next"]), (&lease["token"], &lease["token"]));
    let token = lease["token"].to_string();
    assert_eq!(store.json(&["lease", "ls", "--after", &token])["leases"], json!([]));
    let holders = store.json(&["lease", "holders", "--limit", "1"]);
    assert_eq!(
        (&holders["holders"][0]["leases"], &holders["next"]),
        (&1.into(), &holders["holders"][0]["epoch"])
    );
    let epoch = holders["next"].to_string();
    assert_eq!(store.json(&["lease", "holders", "--after", &epoch])["holders"], json!([]));
    store.refuses(&["rm", "team/app:1", "--names"], 1, "leased it for \"vm-1\"");
    assert_eq!(store.names(), ["team/app:1", "team/mine"], "a removal that is refused removes no name");
    terminate(&mut holder);
    store.refuses(&["rm", "team/app:1"], 1, "images untag team/mine");
    store.json(&["pin", "team/app:1"]);
    store.refuses(&["rm", "team/app:1", "--names"], 1, "pin --off");
    store.json(&["pin", "team/app:1", "--off"]);

    // What goes out is what came in, octet for octet, and the field's own programs take it.
    let out = store.at().join("out");
    store.json(&["export", "team/app:1", out.to_str().unwrap()]);
    store.refuses(&["export", "team/app:1", out.to_str().unwrap()], 1, "nothing is yet");
    let told = tool(store.at(), "skopeo", &["inspect", "--format", "{{.Digest}}", "oci:out:1"]);
    assert_eq!(told.trim(), digest);
    let archive = store.at().join("out.tar");
    store.json(&["export", "team/mine", archive.to_str().unwrap()]);

    flattened(&store);
    layered(&store, digest);
    let before = store.blobs().len();
    let removed = store.json(&["rm", "team/app:1", "--names"]);
    assert_eq!(removed["names"], json!(["team/app:1", "team/mine"]));
    let waits = store.json(&["gc"]);
    assert_eq!(
        (&waits["blobs_removed"], &waits["waiting"]),
        (&0.into(), &before.into()),
        "they wait out their grace"
    );
    let plan = store.json(&["gc", "--full", "--dry-run"]);
    assert_eq!(plan["blobs"].as_array().map(Vec::len), Some(before));
    assert_eq!(store.blobs().len(), before, "a dry run removes nothing");
    let collected = store.json(&["gc", "--full"]);
    assert_eq!((&collected["blobs_removed"], store.blobs().len()), (&before.into(), 0), "{collected}");

    // It comes back from what was exported, under the same digest.
    let again = store.json(&["import", archive.to_str().unwrap(), "--name", "team/app:2"]);
    assert_eq!(again["images"][0]["digest"], digest);
    let scrubbed = store.json(&["scrub"]);
    assert_eq!((&scrubbed["checked"], &scrubbed["damaged"]), (&before.into(), &0.into()));
    repairs(&store, &archive);
}

/// All layers as one disk, which the field's own program reads.
fn flattened(store: &Store<'_>) {
    let path = |name: &str| store.at().join(name).to_str().unwrap().to_owned();
    let made = store.json(&["flatten", "team/app:1", &path("disk.erofs")]);
    assert_eq!(made["size_bytes"], std::fs::metadata(path("disk.erofs")).unwrap().len());
    tool(store.at(), "fsck.erofs", &["--extract=out.disk", "disk.erofs"]);
    assert_eq!(std::fs::read_to_string(path("out.disk/etc/motd")).unwrap(), "welcome");
    assert_eq!(std::fs::read_to_string(path("out.disk/srv/more")).unwrap(), "more of it");
    let again = store.json(&["flatten", "team/mine", &path("again.erofs"), "--scratch", &path(".")]);
    assert_eq!(again["digest"], made["digest"], "the same layers give the same");
    store.refuses(&["flatten", "team/app:1", &path("disk.erofs")], 1, "nothing is yet");
    store.refuses(&["flatten", "team/app:1", &path("none/disk")], 2, "mkdir");
}

/// What is committed over an image of documents and layers is one too, and others take it.
fn layered(store: &Store<'_>, parent: &str) {
    let tree = store.at().join("tree");
    std::fs::create_dir_all(tree.join("srv")).unwrap();
    std::fs::write(tree.join("srv/own"), "our own").unwrap();
    let made =
        store.json(&["commit", tree.to_str().unwrap(), "--parent", "team/mine", "--name", "team/derived"]);
    let made = made["image"].clone();
    let shown = store.json(&["inspect", "team/derived"]);
    assert_eq!((&shown["parent"], &shown["layers"]), (&parent.into(), &3.into()), "{shown}");
    store.json(&["export", "team/derived", store.at().join("derived").to_str().unwrap()]);
    let told = tool(store.at(), "skopeo", &["inspect", "--format", "{{.Digest}}", "oci:derived"]);
    assert_eq!(told.trim(), made["digest"].as_str().unwrap());
    store.json(&["rm", "team/derived", "--names"]);
    store.json(&["gc", "--full"]);
}

/// Damage is found, told by the exit code, and mended by importing the same again.
fn repairs(store: &Store<'_>, archive: &Path) {
    let victim = store.blobs().into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    let mut octets = std::fs::read(&victim).unwrap();
    octets[0] ^= 1;
    std::fs::write(&victim, octets).unwrap();
    assert_eq!(
        store.json(&["findings"]),
        json!({ "schema": "mainstay.images.findings/1", "findings": [], "next": null })
    );
    store.refuses(&["scrub"], 4, "import or pull the same images again");
    store.refuses(&["export", "team/app:2", store.at().join("no").to_str().unwrap()], 4, "");
    // Which one it is, and what became of it.
    let listed = store.json(&["ls"]);
    assert_eq!(
        (&listed["images"][0]["names"][0], &listed["images"][0]["damaged"]),
        (&"team/app:2".into(), &1.into())
    );
    let told = String::from_utf8(run(&store.args(&["ls"])).stdout).unwrap();
    assert!(told.contains("team/app:2 (damaged)"), "{told}");
    let told = String::from_utf8(run(&store.args(&["inspect", "team/app:2"])).stdout).unwrap();
    assert!(told.lines().filter(|line| line.ends_with("  damaged")).count() == 1, "{told}");
    let found = store.json(&["findings", "--limit", "1"]);
    let lost = found["findings"][0].clone();
    assert_eq!(
        (&lost["fault"], &lost["state"], &found["next"]),
        (&"wrong".into(), &"open".into(), &lost["number"])
    );
    assert_eq!(store.json(&["inspect", "team/app:2"])["damaged_blobs"], json!([lost["digest"]]));
    let number = lost["number"].to_string();
    assert_eq!(store.json(&["findings", "--after", &number])["findings"], json!([]));
    store.json(&["import", archive.to_str().unwrap()]);
    assert_eq!(store.json(&["findings"])["findings"][0]["state"], "repaired");
    assert_eq!(store.json(&["ls"])["images"][0]["damaged"], 0);
    let scrubbed = store.json(&["scrub"]);
    assert_eq!((&scrubbed["damaged_now"], &scrubbed["damaged_now_total"]), (&json!([]), &0.into()));
    let passes = store.json(&["scrub", "--history"])["scrubs"].clone();
    let damaged: Vec<i64> =
        passes.as_array().unwrap().iter().map(|pass| pass["damaged"].as_i64().unwrap()).collect();
    assert_eq!((damaged, &passes[0]["ended_at"]), (vec![0, 1, 0], &scrubbed["ended_at"]));
    store.refuses(&["scrub", "--history", "--restart"], 2, "cannot be used with");
    store.json(&["export", "team/app:2", store.at().join("mended").to_str().unwrap()]);
}

#[test]
fn e2e_files_become_images_of_changes_and_a_command_runs_under_a_lease() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let file = |name: &str, text: &str| {
        let path = store.at().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let base = store.json(&["commit", &file("disk", "a disk"), "--name", "disk", "--label", "golden"]);
    let delta = store.json(&["commit", &file("delta", "changes"), "--parent", "disk", "--name", "vm"]);
    let vm = store.json(&["inspect", "vm"]);
    assert_eq!(vm["parent"], base["image"]["digest"]);
    assert_eq!(vm["digest"], delta["image"]["digest"]);
    store.refuses(&["rm", "disk"], 1, "was derived from it");
    let explained = store.json(&["explain", "disk"]);
    assert_eq!(explained["claims"].as_array().map(Vec::len), Some(2), "a name and a child: {explained}");
    // The first digits of a layer's digest are enough, too.
    let layer = vm["chain"][1]["digest"].as_str().unwrap();
    let explained = store.json(&["explain", &layer[7..15]]);
    assert_eq!((&explained["what"], &explained["digest"]), (&"blob".into(), &layer.into()));
    store.refuses(&["explain", "000000"], 1, "no image and no blob");
    let usage = store.json(&["du"]);
    assert_eq!((&usage["shared_bytes"], &usage["unique_bytes"]), (&6.into(), &7.into()), "{usage}");
    let mut called: Vec<&Value> =
        usage["images"].as_array().unwrap().iter().map(|image| &image["names"]).collect();
    called.sort_by_key(ToString::to_string);
    assert_eq!(called, [&json!(["disk"]), &json!(["vm"])]);
    let drawn = store.json(&["graph"]);
    assert_eq!(drawn["images"][1]["parent"], base["image"]["digest"]);
    for (form, begins) in [("svg", "<svg"), ("dot", "digraph"), ("text", "")] {
        let output = run(&store.args(&["graph", "--format", form]));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(begins) && text.contains("vm"), "{text}");
    }

    let place = ["--database", store.database, "--images", &store.images];
    let script = "test -n \"$MAINSTAY_LEASE_TOKEN\" && printf %s \"$MAINSTAY_LEASE_IMAGE\"";
    let output = mainstay()
        .args(["images", "lease", "run", "vm"])
        .args(place)
        .args(["--", "sh", "-c", script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), delta["image"]["digest"].as_str().unwrap());
    assert_eq!(store.json(&["lease", "ls"])["leases"], json!([]), "it was given back");
    let failed = mainstay().args(["images", "lease", "run", "vm"]).args(place).args(["--", "false"]).output();
    assert_eq!(failed.unwrap().status.code(), Some(1));

    // Without a name in the environment, the system's number stands for the user.
    let tagged =
        mainstay().env_remove("USER").args(["images", "tag", "vm", "spare"]).args(place).output().unwrap();
    assert!(tagged.status.success(), "{tagged:?}");
    let who = store.json(&["acts", "--limit", "1"])["acts"][0]["actor"].as_str().unwrap().to_owned();
    assert!(who.strip_prefix("cli:uid:").is_some_and(|uid| uid.parse::<u32>().is_ok()), "{who}");
    let untagged = String::from_utf8(run(&store.args(&["untag", "spare"])).stdout).unwrap();
    assert!(untagged.starts_with("the name spare is removed; the image sha256:"), "{untagged}");
    assert_eq!(store.json(&["acts", "--image", "vm", "--limit", "1"])["acts"][0]["action"], "untag");

    store.refuses(&["inspect", "nothing"], 1, "images ls");
    store.refuses(&["inspect", "-x"], 2, "");
    bad_input(&store);
    store.refuses(&["pull", "team/app"], 2, "host[:port]");
    store.refuses(&["gc", "--evict", "--make-room", "much"], 2, "20GiB");
}

/// Each says what, why, and what mends it.
fn bad_input(store: &Store<'_>) {
    let path = |name: &str| store.at().join(name).to_str().unwrap().to_owned();
    let (none, within, disk) = (path("none"), path("none/image.tar"), path("disk"));
    for (args, code, what, mend) in [
        (&["import", &none][..], 2, none.as_str(), "the path is right"),
        (&["import", &disk], 1, "archive", "skopeo copy docker-archive"),
        (&["commit", &none], 2, &none, "the path is right"),
        (&["pull", "localhost:1/x:1", "--ca", &none], 2, &none, "the path is right"),
        (&["export", "vm", &within], 2, "there is no directory", "mkdir"),
        (&["untag", "nothing"], 1, "no name nothing", "images ls"),
        (&["tag", "vm", "bad name!"], 2, "is no name", "a letter or digit first"),
        (&["lease", "revoke", "99"], 1, "no holder 99", "lease holders"),
        (&["lease", "run", "vm", "--", "/nonexistent"], 2, "does not start", "may be run"),
    ] {
        let (own, command) = args.split_at(args.iter().position(|it| *it == "--").unwrap_or(args.len()));
        let place = ["--database", store.database, "--images", &store.images];
        let output = run(&[&["images"], own, &place, command].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        let (error, help) = told.split_once("\n  mend: ").unwrap_or_else(|| panic!("{args:?}: {told}"));
        assert!(
            error.starts_with("error: ") && error.contains(what) && help.contains(mend),
            "{args:?}: {told}"
        );
    }
    // What the store refuses of an image that comes is told as when it is asked alone.
    sample(store.at());
    let layout = path("L");
    store.refuses(&["import", &layout, "--name", "bad name!"], 2, "mend: use up to 255 letters");
    store.refuses(&["import", &layout, "--tag", "none"], 1, "index.json");
}

/// A shell that runs another process, told of by its number in a file, and what it finds in its environment.
fn family(store: &Store<'_>, name: &str, trap: &str) -> (Child, String) {
    let told = store.at().join(name);
    let tells = "sleep 600 & echo $! $MAINSTAY_DATABASE$MAINSTAY_REGISTRY_PASSWORD";
    let script = format!("trap '{trap}' TERM; {tells} > {}; wait; wait", told.display());
    let mut command = mainstay();
    command.env("MAINSTAY_DATABASE", store.database).env("MAINSTAY_REGISTRY_PASSWORD", "secret");
    command.args(["images", "lease", "run", "disk", "--key", name, "--images", &store.images]);
    let runs = command.args(["--", "sh", "-c", &script]).spawn().unwrap();
    let (started, mut text) = (Instant::now(), String::new());
    while !text.ends_with('\n') {
        assert!(started.elapsed() < Duration::from_secs(60), "the command does not start");
        pause(Duration::from_millis(20));
        text = std::fs::read_to_string(&told).unwrap_or_default();
    }
    (runs, text.trim_end().to_owned())
}

fn until_gone(process: &str) {
    assert!(process.parse::<u32>().is_ok(), "a number and no secret: {process}");
    let started = Instant::now();
    // One that ended and waits for somebody to hear of it does nothing any more.
    let is_there = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    while is_there() {
        assert!(started.elapsed() < Duration::from_secs(60), "{process} goes on");
        pause(Duration::from_millis(20));
    }
}

#[test]
fn e2e_a_command_and_what_it_started_end_with_the_lease() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "disk"]);
    // The lease is lost: whoever does not end by SIGTERM is ended all the same.
    let (mut runs, process) = family(&store, "lost", "");
    let epoch = store.json(&["lease", "holders"])["holders"][0]["epoch"].to_string();
    store.json(&["lease", "revoke", &epoch]);
    assert_eq!(runs.wait().unwrap().code(), Some(3));
    until_gone(&process);
    // Somebody ends it: the command may do what it has to.
    let done = store.at().join("done");
    let (mut runs, process) = family(&store, "ended", &format!("echo in order > {}; exit 0", done.display()));
    assert!(Command::new("kill").args(["-TERM", &runs.id().to_string()]).status().unwrap().success());
    assert_eq!(runs.wait().unwrap().code(), Some(1));
    assert_eq!(std::fs::read_to_string(&done).unwrap(), "in order\n");
    until_gone(&process);
    assert_eq!(store.json(&["lease", "ls"])["leases"], json!([]), "it was given back");
}

#[test]
fn e2e_a_lease_is_kept_for_what_its_command_left_behind() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "disk"]);
    let (left, stop) = (store.at().join("left"), store.at().join("stop"));
    let script = format!(
        "(touch {0}; while [ ! -e {1} ]; do sleep 0.1; done) & while [ ! -e {0} ]; do sleep 0.1; done; exit 7",
        left.display(),
        stop.display()
    );
    let place = ["--database", store.database, "--images", &store.images];
    let mut command = mainstay();
    command.args(["images", "lease", "run", "disk"]).args(place).args(["--", "sh", "-c", &script]);
    let mut runs = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It says so when the command has ended and another has not.
    let mut told = BufReader::new(runs.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("the lease is kept until that has ended too"));
    assert_eq!(store.json(&["lease", "ls"])["leases"].as_array().map(Vec::len), Some(1));
    std::fs::write(&stop, "").unwrap();
    assert_eq!(runs.wait().unwrap().code(), Some(1));
    assert!(told.next().unwrap().unwrap().contains("exit status: 7"));
    assert_eq!(store.json(&["lease", "ls"])["leases"], json!([]));
}

#[test]
fn e2e_what_a_command_left_behind_has_its_time_to_end() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    store.json(&["commit", disk.to_str().unwrap(), "--name", "disk"]);
    let saved = store.at().join("saved");
    let left = store.at().join("left");
    let script = format!(
        "(trap 'sleep 1; touch {1}; exit' TERM; touch {0}; while :; do sleep 0.1; done) & while [ ! -e {0} ]; do sleep 0.1; done",
        left.display(),
        saved.display()
    );
    let place = ["--database", store.database, "--images", &store.images];
    let mut command = mainstay();
    command.args(["images", "lease", "run", "disk"]).args(place).args(["--", "sh", "-c", &script]);
    let mut runs = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(runs.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("the lease is kept"));
    // The command has ended, and what it left is asked to end and waited for.
    assert!(Command::new("kill").args(["-TERM", &runs.id().to_string()]).status().unwrap().success());
    assert_eq!(runs.wait().unwrap().code(), Some(1));
    assert!(saved.exists(), "it was ended before it had done what it had to");
}

#[test]
fn e2e_what_is_done_under_a_lease_is_not_done_once_it_is_lost() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    let layout = sample(store.at());
    let layout = layout.to_str().unwrap();
    store.json(&["import", layout, "--tag", "app", "--name", "app"]);
    // The command finds the lease, and what it calls acts under it: at first it is held, then it is given back.
    let (mut holder, held) = store.hold("app");
    let lease = held["lease"].as_str().unwrap().to_owned();
    let place = ["--database", store.database, "--images", &store.images];
    let under = |args: &[&str]| {
        let output = mainstay().arg("images").args(args).args(place).env("MAINSTAY_LEASE", &lease).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(under(&["tag", "app", "under"]).0, Some(0));
    terminate(&mut holder);
    let disk = store.at().join("disk");
    std::fs::write(&disk, "a disk").unwrap();
    let disk = disk.to_str().unwrap();
    for args in [
        &["tag", "app", "late"][..],
        &["fork", "app", "late"],
        &["untag", "under"],
        &["pin", "app"],
        &["rm", "app", "--names"],
        &["import", layout, "--tag", "app", "--name", "late"],
        &["commit", disk, "--name", "late"],
    ] {
        let (code, told) = under(args);
        assert_eq!(code, Some(1), "{args:?}: {told}");
        assert!(told.contains("is not held any more") && told.contains("mend: "), "{args:?}: {told}");
    }
    assert_eq!(store.names(), ["app", "under"]);
    assert_eq!(under(&["ls"]).0, Some(0), "looking needs none");
    store.refuses(&["pin", "app", "--lease", "7"], 2, "is no lease");
    // Its own environment is what a command of `lease run` finds.
    let binary = env!("CARGO_BIN_EXE_mainstay");
    let script = format!("{binary} images tag app run --database {} --images {}", place[1], place[3]);
    let script = format!("echo $MAINSTAY_LEASE; {script}");
    let args = ["images", "lease", "run", "app"];
    let output = mainstay().args(args).args(place).args(["--", "sh", "-c", &script]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let token = told.split_once('-').and_then(|(token, _)| token.parse::<u64>().ok());
    assert!(output.status.success() && token.is_some(), "{output:?}");
    assert_eq!(store.names(), ["app", "run", "under"]);
}

#[test]
fn e2e_a_directory_that_is_not_mounted_is_told_from_an_empty_store() {
    let database = TestDatabase::sqlite();
    let store = Store::new(&database);
    std::fs::remove_file(Path::new(&store.images).join("mainstay-images")).unwrap();
    store.refuses(&["gc", "--full"], 3, "mount the medium");
    store.refuses(&["gc", "--full"], 3, &store.images);
    let ready = Browser::default().get(&store.server.path("/readyz"));
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("Mount it again"), "{}", ready.body);
    // Nobody asked the command below for that directory, and still it is not taken for the store's.
    let elsewhere = store.at().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let output = run(&["images", "ls", "--database", store.database, "--data", elsewhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let nowhere = store.at().join("nowhere");
    let output = run(&["images", "ls", "--database", store.database, "--images", nowhere.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains(nowhere.to_str().unwrap()) && told.contains("mount the medium"), "{told}");
}

#[test]
fn programs_see_images_of_a_session_that_may_on_sqlite() {
    programs_see(&TestDatabase::sqlite());
}

#[test]
fn programs_see_images_of_a_session_that_may_on_postgres() {
    programs_see(&TestDatabase::postgres());
}

fn programs_see(database: &TestDatabase) {
    let store = Store::with(database, &["--dev"]);
    let disk = store.at().join("disk");
    let file = |text: &str| {
        std::fs::write(&disk, text).unwrap();
        disk.to_str().unwrap().to_owned()
    };
    let base = store.json(&["commit", &file("a disk"), "--name", "team/disk"])["image"].clone();
    let vm = store.json(&["commit", &file("changes"), "--parent", "team/disk", "--name", "vm"]);
    let gone = store.json(&["commit", &file("scrap"), "--parent", "team/disk", "--name", "usage"]);
    let (vm, gone) = (vm["image"]["digest"].as_str().unwrap(), gone["image"]["digest"].as_str().unwrap());
    only_administrators_may(&store.server, vm);

    let mut browser = administrator(&store.server);
    let openapi = read(&browser.get(&store.server.path("/api/v1/openapi.json")));
    let mut see = |path: &str, schema: &str| {
        let answer = browser.get(&store.server.path(path));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let answer = read(&answer);
        as_described(&openapi, &openapi["components"]["schemas"][schema], &answer, path);
        answer
    };
    let first = see("/api/v1/images?limit=2", "Images");
    assert_eq!((&first["images"][0]["digest"], &first["images"][1]["digest"]), (&base["digest"], &vm.into()));
    let rest = see(&format!("/api/v1/images?limit=2&after={}", first["next"]), "Images");
    assert_eq!((&rest["images"][0]["names"], &rest["next"]), (&json!(["usage"]), &Value::Null));

    // A name needs its slash encoded; what is called like a path of the interface has its digest.
    let shown = see("/api/v1/images/team%2Fdisk", "Image");
    assert_eq!((&shown["digest"], &shown["children"]), (&base["digest"], &json!([vm, gone])));
    assert_eq!(see(&format!("/api/v1/images/{gone}"), "Image")["names"], json!(["usage"]));
    let (mut holder, lease) = store.hold("vm");
    let held = see("/api/v1/images/vm", "Image");
    assert_eq!((&held["parent"], &held["held"][0]["token"]), (&base["digest"], &lease["token"]));
    terminate(&mut holder);

    let used = see("/api/v1/images/usage", "ImageUsage");
    assert_eq!(
        (&used["shared_bytes"], &used["unique_bytes"], &used["unused_bytes"]),
        (&6.into(), &12.into(), &0.into())
    );
    store.json(&["rm", "usage", "--names"]);
    assert_eq!(see("/api/v1/images/usage", "ImageUsage")["unused_bytes"], 5);
    assert_eq!(see("/api/v1/images/collection", "ImageCollection")["bytes"], 0, "it waits out its grace");
    // A file that nothing names, of a number that the store has given.
    let of_nobody = format!("{}.1", "ab".repeat(32));
    let shard = Path::new(&store.images).join("blobs/ab");
    std::fs::create_dir_all(&shard).unwrap();
    std::fs::write(shard.join(&of_nobody), "x").unwrap();
    let plan = see("/api/v1/images/collection?full=true", "ImageCollection");
    assert_eq!((&plan["bytes"], &plan["orphans"]), (&5.into(), &json!([format!("blobs/ab/{of_nobody}")])));
    assert_eq!(store.blobs().len(), 4, "a plan does nothing");

    for (path, status) in [
        ("/api/v1/images/nothing", 404),
        ("/api/v1/images/-x", 400),
        ("/api/v1/images?limits=2", 400),
        ("/api/v1/images?after=x", 400),
        ("/api/v1/images/usage?full=true", 400),
        ("/api/v1/images/collection?full=perhaps", 400),
    ] {
        let problem = browser.get(&store.server.path(path));
        assert_eq!(problem.status, status, "{path}: {}", problem.body);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{path}");
    }
    assert_eq!(browser.send("POST", &store.server.path("/api/v1/images"), &[], "").status, 405);
    // An interface that only looks is told, too, when the medium goes.
    std::fs::remove_file(Path::new(&store.images).join("mainstay-images")).unwrap();
    let problem = browser.get(&store.server.path("/api/v1/images/collection"));
    assert_eq!((problem.status, problem.header("content-type")), (503, Some("application/problem+json")));
}

fn only_administrators_may(server: &Server, image: &str) {
    let mut nobody = Browser::default();
    let mut alice = Browser::default();
    crate::dev_sign_in::sign_in(&mut alice, server, "alice");
    for path in ["", "/usage", "/collection", &format!("/{image}"), "/nothing"] {
        let path = server.path(&format!("/api/v1/images{path}"));
        assert_eq!(nobody.get(&path).status, 401, "{path}");
        let refused = alice.get(&path);
        assert_eq!(refused.status, 403, "{path}");
        assert!(read(&refused)["detail"].as_str().unwrap().contains("administrator grant --global"));
    }
}

/// An answer has the fields that the description of the interface gives it, at every depth.
pub(crate) fn as_described(openapi: &Value, schema: &Value, answer: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = openapi.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return as_described(openapi, schema, answer, at);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let told = answer.as_object().unwrap_or_else(|| panic!("{at} is no object: {answer}"));
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing: Vec<&str> = required.filter(|name| !told.contains_key(*name)).collect();
        let undescribed: Vec<&String> = told.keys().filter(|name| !properties.contains_key(*name)).collect();
        assert!(missing.is_empty() && undescribed.is_empty(), "{at}: {missing:?} {undescribed:?}");
        for (name, schema) in properties.iter().filter(|(name, _)| told.contains_key(*name)) {
            as_described(openapi, schema, &answer[name], &format!("{at}.{name}"));
        }
    }
    if !schema["items"].is_null() {
        for item in answer.as_array().unwrap_or_else(|| panic!("{at} is no list: {answer}")) {
            as_described(openapi, &schema["items"], item, &format!("{at}[]"));
        }
    }
}
