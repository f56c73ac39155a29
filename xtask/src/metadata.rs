//! What `cargo metadata` says of the workspace and of everything that it depends on.

use crate::shell::{self, Outcome};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The packages and how they depend on each other.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) resolve: Option<Resolve>,
}

/// One package at one version.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: String,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// A line of a `[dependencies]` table.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

/// A library, a binary, a test.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// The versions that were chosen.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// One package and the packages that it uses.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDep>,
}

/// One use.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeDep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

/// `null` is a normal dependency; the others are `dev` and `build`.
#[derive(Debug, Deserialize)]
pub(crate) struct DepKind {
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Whether it is needed to build, rather than only to test.
    pub(crate) fn is_used_outside_tests(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn load(root: &Path, manifest: &str) -> Outcome<Self> {
        let mut command = shell::cargo(root, &["metadata", "--format-version", "1", "--all-features"]);
        command.args(["--manifest-path", manifest]);
        let text = shell::output_of(&mut command)?;
        serde_json::from_str(&text).map_err(|e| format!("cargo metadata changed its form: {e}"))
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Names of all packages that `start` needs to be built, itself excepted.
    pub(crate) fn closure(&self, start: &Package) -> BTreeSet<&str> {
        let names: HashMap<&str, &str> =
            self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let nodes: HashMap<&str, &Node> = self
            .resolve
            .iter()
            .flat_map(|resolve| &resolve.nodes)
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut seen = BTreeSet::new();
        let mut todo = vec![start.id.as_str()];
        while let Some(id) = todo.pop() {
            let Some(node) = nodes.get(id) else { continue };
            let needed = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            todo.extend(needed.map(|dep| dep.pkg.as_str()).filter(|pkg| seen.insert(*pkg)));
        }
        seen.iter().filter_map(|id| names.get(id).copied()).collect()
    }
}
