//! The README, typed by a shell as a reader types it.

use std::path::Path;
use std::process::Command;

use mainstay_testkit::{TestDatabase, for_each_database};

/// What is typed on the page, each with what it prints.
fn typed(page: &str) -> Vec<(String, Vec<String>)> {
    let blocks = page.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => all.push((command.to_owned(), Vec::new())),
            None => all.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    all
}

/// A shell that does all of it, and prints a line of its own before each command's output.
fn script(typed: &[(String, Vec<String>)]) -> String {
    let mut script = "set -m\nlast=\nrun() { \"$PROGRAM\" \"$DATABASE\" \"$@\"; }\n".to_owned();
    for (command, _) in typed.iter().filter(|(command, _)| !command.starts_with("run() {")) {
        let command = command.replace("run_…", "\"$last\"");
        script.push_str(&format!("echo '@@'\n{command} > \"$OUT\" 2>&1 {}\n", "< /dev/null"));
        script.push_str(
            "cat \"$OUT\"; id=$(grep -o 'run_[0-9A-Z]*' \"$OUT\" | tail -n 1); last=${id:-$last}\n",
        );
    }
    // What runs in the background is written where nobody reads it.
    script.replace(
        "run work & > \"$OUT\" 2>&1 < /dev/null",
        "run work > /dev/null 2>&1 < /dev/null & : > \"$OUT\"",
    )
}

fn stable(line: &str) -> String {
    let is_run = |word: &str| word.starts_with("run_") && word.len() == 17;
    line.split(' ').map(|word| if is_run(word) { "run_…" } else { word }).collect::<Vec<_>>().join(" ")
}

fn follow(database: &TestDatabase) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let typed = typed(&std::fs::read_to_string(page).unwrap());
    assert!(typed.len() > 12, "{typed:?}");
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", &script(&typed)]).env("PROGRAM", env!("CARGO_BIN_EXE_order-workflow"));
    shell.env("DATABASE", database.url()).env("OUT", directory.path().join("out"));
    let output = shell.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<Vec<String>> =
        printed.split("@@\n").skip(1).map(|part| part.lines().map(stable).collect()).collect();
    let expected: Vec<Vec<String>> = typed
        .iter()
        .filter(|(command, _)| !command.starts_with("run() {"))
        .map(|(_, lines)| lines.iter().map(|line| stable(line)).collect())
        .collect();
    assert_eq!(printed, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_readme_says_is_what_happens() {
    for_each_database(async |db| follow(db)).await;
}
