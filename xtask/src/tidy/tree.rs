//! The text files of the checkout, and what kind of place each of them is.

use crate::shell::{self, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every text file by its path from the root, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    /// Everything that exists, directories and binary files included.
    paths: BTreeSet<String>,
}

impl Tree {
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path);
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).cloned()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path.trim_end_matches('/'))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(path, _)| path.ends_with(".rs"))
    }

    fn add(&mut self, path: &str) {
        self.paths.insert(path.to_owned());
        let mut rest = path;
        while let Some((directory, _)) = rest.rsplit_once('/') {
            self.paths.insert(directory.to_owned());
            rest = directory;
        }
    }
}

/// Reads what git knows, and what it would add.
pub(crate) fn read(root: &Path) -> Outcome<Tree> {
    let mut list = Command::new("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = match shell::output_of(&mut list) {
        Ok(names) => names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        // A source archive has no git directory.
        Err(_) => walk(root)?,
    };
    let mut tree = Tree::default();
    for name in names {
        let Ok(bytes) = std::fs::read(root.join(&name)) else { continue };
        tree.add(&name);
        if let Ok(text) = String::from_utf8(bytes) {
            tree.texts.insert(name, text);
        }
    }
    Ok(tree)
}

fn walk(root: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        let entries = std::fs::read_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let built = ["target", "mainstay-data", ".git"].iter().any(|built| name == *built);
                todo.extend((!built).then_some(path));
            } else if let Ok(inside) = path.strip_prefix(root) {
                names.push(inside.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(names)
}

/// `crates/<name>/src/...` without its first parts, for the files of a crate's own code.
pub(crate) fn crate_source(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.strip_prefix("crates/")?.split_once('/')?;
    Some((name, rest.strip_prefix("src/")?))
}

/// Code that only tests run.
pub(crate) fn is_test(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let (file, directories) = parts.split_last().unwrap_or((&"", &[]));
    directories.iter().any(|part| matches!(*part, "tests" | "benches" | "fuzz"))
        || *file == "tests.rs"
        || file.ends_with("_tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_exists_when_a_file_in_it_does() {
        let tree = Tree::of(&[("a/b/c.rs", "")]);
        assert!(tree.exists("a") && tree.exists("a/b/") && tree.exists("a/b/c.rs"));
        assert!(!tree.exists("a/c"));
    }

    #[test]
    fn places() {
        assert_eq!(crate_source("crates/one/src/a/b.rs"), Some(("one", "a/b.rs")));
        assert_eq!(crate_source("crates/one/tests/b.rs"), None);
        assert_eq!(crate_source("xtask/src/main.rs"), None);
        assert!(is_test("crates/one/tests/b.rs") && is_test("crates/one/src/b/tests.rs"));
        assert!(!is_test("crates/one/src/tested.rs"));
    }

    #[test]
    fn a_walk_finds_what_lies_in_directories() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(walk(here).unwrap().contains(&"src/tidy/tree.rs".to_owned()));
    }
}
