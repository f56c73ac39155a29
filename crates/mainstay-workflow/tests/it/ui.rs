//! What the compiler says about workflows that are not sound: each file of `tests/ui` does not compile, and says what stands beside it.
//!
//! The compiler is called directly, on the crates that this test was linked from: a case takes a fraction of a second.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Where the crates are that this program was built from.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The build of `mainstay-workflow` that this program was linked from: the last one before it.
fn library() -> PathBuf {
    let changed =
        |path: &Path| path.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let built = changed(&std::env::current_exe().unwrap());
    let files = libraries().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let found = files.filter(|path| {
        let file = path.file_name().unwrap().to_string_lossy();
        file.starts_with("libmainstay_workflow-") && file.ends_with(".rlib") && changed(path) <= built
    });
    found.max_by_key(|path| changed(path)).unwrap_or_else(|| panic!("it is not in {}", libraries().display()))
}

/// The compiler of the toolchain whose cargo built this.
fn rustc() -> PathBuf {
    Path::new(env!("CARGO")).with_file_name(format!("rustc{}", std::env::consts::EXE_SUFFIX))
}

/// What the compiler says about a file.
fn told(file: &Path) -> (bool, String) {
    let out = std::env::temp_dir().join(format!("mainstay-ui-{}", std::process::id()));
    std::fs::create_dir_all(&out).unwrap();
    let output = Command::new(rustc())
        .current_dir(file.parent().unwrap())
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--color=never",
            "--diagnostic-width=110",
            "-Adead_code",
        ])
        .arg("--out-dir")
        .arg(&out)
        .arg(format!("-Ldependency={}", libraries().display()))
        .arg(format!("--extern=mainstay_workflow={}", library().display()))
        .arg(file.file_name().unwrap())
        .output()
        .unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    (output.status.success(), told_of(&String::from_utf8(output.stderr).unwrap()))
}

/// Leaves out what is not ours to hold: where in other files something stands, and how the compiler counts.
fn told_of(text: &str) -> String {
    let counts = ["error: aborting", "For more information", "Some errors have"];
    let ours = |line: &&str| !counts.iter().any(|count| line.starts_with(count));
    let line = |line: &str| match line.split_once("--> ").or_else(|| line.split_once("::: ")) {
        Some((_, path)) if path.starts_with("/rustc/") => String::new(),
        Some((before, path)) if path.contains('/') => {
            let file = path.rfind("crates/").map_or(path, |at| &path[at..]);
            format!("{before}--> {}\n", file.split(':').next().unwrap_or(file))
        }
        _ => format!("{line}\n"),
    };
    let lines: String = text.lines().filter(ours).map(line).collect();
    format!("{}\n", lines.trim_end())
}

#[test]
fn the_compiler_names_the_step_and_says_what_is_wrong() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut files: Vec<PathBuf> = cases.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (compiled, told) = told(&file);
        if file.file_stem().is_some_and(|name| name == "sound") {
            assert!(compiled, "{} must compile: {told}", file.display());
            continue;
        }
        assert!(!compiled, "{} compiles", file.display());
        mainstay_testkit::golden::check(file.with_extension("stderr"), &told);
    }
}
